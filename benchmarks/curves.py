"""What came of `scaling.py`, as tables and as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from report import TIMES, duration

if TYPE_CHECKING:
    from sweeps import Panel, Sweep

NOTABLE = 2.0
"""Lines that grow by more than this are listed under the tables, and why."""

HEAD = """\
# How cost grows

Made by `python -m tox run -e scaling`. Each figure is what *one* costs, a call, an entry or a
function, where there are so many: a row whose figures stay the same grows no faster than what it is
given. The last column has the last figure ÷ the first. *In italics* is what is none of ours: where
there is more data, less of it is in the processor's caches, which slows down a bare dict as well;
where there are more threads, there are more to wake.

![The same as a picture](scaling.svg)
"""

INK, MUTED, GRID = "#22303c", "#5d6a76", "#e4e8eb"
COLOURS = ("#1f7a8c", "#d9822b", "#7a4fa3", "#c8322f", "#3a5fa8", "#8d7a1f", "#2e8b57", "#22303c")
STYLE: Any = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": "#c5ccd3",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.fonttype": "none",  # text as text: a tenth of the size
    "svg.hashsalt": "soloflight",
}
COLUMNS = 2
APART = 0.075
"""How far the names of two lines are from each other, as a part of the height of their axes."""


@dataclass(frozen=True)
class Line:
    """What came of a sweep."""

    sweep: Sweep
    costs: Mapping[int, Sequence[float]]
    """By size, what one cost in each round."""

    @property
    def medians(self) -> dict[int, float]:
        return {size: median(costs) for size, costs in self.costs.items()}

    @property
    def growth(self) -> float:
        """The last size ÷ the first."""
        first, *_, last = self.costs.values()
        return median(b / a for a, b in zip(first, last, strict=True))

    def cells(self) -> list[str]:
        return [self.sweep.name, *map(self.shown, self.medians.values()), times(self.growth)]

    def shown(self, cost: float) -> str:
        return duration(cost) if self.sweep.unit == "s" else f"{cost:,.0f} B"


Results = Mapping["Panel", Sequence[Line]]


def times(ratio: float) -> str:
    return f"{ratio:.2f} {TIMES}"


def heads(panel: Panel, sizes: Sequence[int]) -> list[str]:
    return [panel.of, *(f"{size:,}" for size in sizes), "last ÷ first"]


def markdown(results: Results, headline: str) -> str:
    parts = [HEAD]
    grown = []
    for panel, lines in results.items():
        head = heads(panel, list(lines[0].costs))
        rows = [head, ["---", *["--:"] * (len(head) - 1)]]
        for line in lines:
            name, *cells = line.cells()
            rows.append([f"*{name}*" if line.sweep.bare else name, *cells])
            if line.growth > NOTABLE and not line.sweep.bare:
                grown.append(
                    f"- {panel.of}: {name}, {times(line.growth)}. {line.sweep.why}".strip()
                )
        parts.append("".join(f"| {' | '.join(row)} |\n" for row in rows))
    if grown:
        parts += [f"What grows by more than {NOTABLE:g} {TIMES}:\n", "\n".join(grown) + "\n"]
    return "\n".join([*parts, f"{headline}.\n"])


def draw(results: Results, headline: str, path: Path) -> None:
    # Only now: the tables need no matplotlib.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    plots = [
        (f"by number of {panel.of}", [line for line in lines if line.sweep.unit == "s"])
        for panel, lines in results.items()
    ]
    memory = [line for lines in results.values() for line in lines if line.sweep.unit == "B"]
    if memory:
        plots.append(("memory of one, by number of them", memory))
    rows = math.ceil(len(plots) / COLUMNS)
    with rc_context(STYLE):
        figure = Figure(figsize=(13, 3.4 * rows + 0.9), facecolor="white")
        grid = figure.subplots(rows, COLUMNS, squeeze=False)
        height = figure.get_figheight()
        bottom, top = 0.6 / height, 1 - 1.1 / height
        figure.subplots_adjust(0.05, bottom, 0.82, top, wspace=0.72, hspace=0.32)
        figure.text(0.02, 1 - 0.35 / height, "How cost grows", fontsize=16, weight="bold")
        told = "What one costs where there are so many: flat, where it grows no faster than these."
        figure.text(0.02, 1 - 0.62 / height, f"{told} Dashed: what is none of ours.", fontsize=10)
        figure.text(0.02, 0.15 / height, headline, fontsize=8, color=MUTED)
        for axes, (title, lines) in zip(grid.flat, plots, strict=False):
            axes.set_title(title, loc="left", fontsize=10, weight="bold")
            _draw(axes, lines)
        for axes in list(grid.flat)[len(plots) :]:
            axes.set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": "How cost grows"})


def _draw(axes: Any, lines: Sequence[Line]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    colours = iter(COLOURS)
    styles = [(MUTED, "--") if line.sweep.bare else (next(colours), "-") for line in lines]
    for line, (colour, style) in zip(lines, styles, strict=True):
        sizes, costs = zip(*line.medians.items(), strict=True)
        axes.plot(sizes, costs, style, color=colour, marker="o", markersize=3, linewidth=1.4)
    # At least two decades, so that a little noise is no mountain.
    low, high = axes.get_ylim()
    wider = max(0.0, 2 - math.log10(high / low)) / 2
    axes.set_ylim(low / 10**wider, high * 10**wider)
    axes.minorticks_off()
    axes.set_xticks(sorted({size for line in lines for size in line.costs}))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    # Powers of ten are not exact, and what is a little less than 1 µs is no 1,000 ns.
    axes.yaxis.set_major_formatter(lambda cost, _: lines[0].shown(cost * (1 + 1e-9)))
    axes.tick_params(length=0)
    _name(axes, lines, [colour for colour, _ in styles])


def _name(axes: Any, lines: Sequence[Line], colours: Sequence[str]) -> None:
    """Write each name where its line ends, or as near as there is room."""
    low, high = map(math.log10, axes.get_ylim())
    ends = [list(line.medians.items())[-1] for line in lines]
    wanted = [(math.log10(cost) - low) / (high - low) for _, cost in ends]
    right = max(size for size, _ in ends)
    places = _apart(wanted)
    for line, colour, (size, cost), place in zip(lines, colours, ends, places, strict=True):
        axes.annotate(
            line.sweep.name, (size, cost), (1.04, place), textcoords="axes fraction",
            color=colour, va="center", fontsize=8.5, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.6},
        )  # fmt: skip
    axes.set_xlim(right=right * 1.15)


def _apart(wanted: Sequence[float]) -> list[float]:
    """Places near these, in the same order and `APART`, the highest at the top."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    places = dict.fromkeys(order, 0.0)
    floor, ceiling = -math.inf, 1.0
    for i in order:
        places[i] = max(wanted[i], floor)
        floor = places[i] + APART
    for i in reversed(order):
        places[i] = min(places[i], ceiling)
        ceiling = places[i] - APART
    return [places[i] for i in range(len(wanted))]
