"""How many calls missed, as a page of tables and as a picture."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from report import TIMES

OURS = "soloflight"
FAR = 3.0  # in the picture
DOTS: Mapping[str, Mapping[str, Any]] = {
    OURS: {"color": "#c8322f", "marker": "D", "s": 34},
    "LRU": {"color": "#5d6a76", "marker": "|", "s": 50},
    "cachebox": {"color": "#b98a1c", "marker": "x", "s": 18},
    "moka-py": {"color": "#1f7a8c", "marker": "o", "s": 14},
    "theine": {"color": "#7a4fa3", "marker": "^", "s": 16},
    "warp-cache": {"color": "#2e8b57", "marker": "s", "s": 12},
}


@dataclass(frozen=True)
class Cell:
    misses: float
    maxsize: int
    alive: float
    """Values for each slot, by that ``maxsize``."""
    kept: float
    """The same where the ``maxsize`` is the number of slots."""


@dataclass(frozen=True)
class Row:
    trace: str
    slots: int
    calls: int
    cells: Mapping[str, Cell]

    def best(self) -> float:
        return min(cell.misses for name, cell in self.cells.items() if name != OURS)

    def ratio(self, name: str) -> float:
        return self.cells[name].misses / self.best()


def ratios(rows: Sequence[Row], name: str) -> tuple[float, Row]:
    """Misses ÷ those of the best of the others: the geometric mean, and the worst row."""
    mean = math.exp(fmean(math.log(row.ratio(name)) for row in rows))
    return mean, max(rows, key=lambda row: row.ratio(name))


def summary(rows: Sequence[Row], names: Iterable[str]) -> list[str]:
    lines = [
        "| | geometric mean | worst | where | values alive, at the most |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        mean, worst = ratios(rows, name)
        where = f"{worst.trace}, {worst.slots:,} slots"
        most = max(row.cells[name].kept for row in rows)
        cells = f"{mean:.2f} | {worst.ratio(name):.2f} | {where} | {most:.2f} {TIMES} `maxsize`"
        lines.append(f"| {name} | {cells} |")
    return lines


def table(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    lines = [f"| trace | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for row in rows:
        cells, fewest = [], min(cell.misses for cell in row.cells.values())
        for name in names:
            cell = row.cells[name]
            share = f"{100 * cell.misses / row.calls:.1f}"
            share = f"**{share}**" if cell.misses == fewest else share
            cells.append(share if cell.maxsize == row.slots else f"{share} ({cell.maxsize})")
        lines.append(f"| {row.trace} | {' | '.join(cells)} |")
    return lines


def page(rows: Sequence[Row], names: Sequence[str], about: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if v[0].isdigit())
    lines = [
        "# Hit ratio",
        "",
        "How many calls miss, on sequences of keys that `benchmarks/traces.py` makes, and on real",
        "ones where it was given some. What counts is how often a decorated loader ran: each time",
        "is a load at somebody's database. All are compared at an equal number of values alive",
        "(`benchmarks/hit_ratio.py` says how). LRU is `functools.lru_cache`.",
        "",
        "![A line for each sequence: how many times more often each cache misses than the best of",
        "the others](hit-ratio.svg)",
        "",
        f"Misses ÷ those of the best of all but {OURS}, over {len(rows)} rows:",
        "",
        *summary(rows, names),
        "",
        "Misses in per cent of the calls; the best of a row are bold. In brackets the `maxsize` by",
        "which a cache keeps as many values as there are slots, where that is another number.",
    ]
    for slots in dict.fromkeys(row.slots for row in rows):
        of_it = [row for row in rows if row.slots == slots]
        lines += ["", f"<details><summary>{slots:,} slots</summary>", ""]
        lines += [*table(of_it, names), "", "</details>"]
    where = f"{about['implementation']} {about['python']}, {about['date']}"
    return "\n".join([*lines, "", f"{where}. {versions}.", ""])


def draw(rows: Sequence[Row], names: Sequence[str], path: Path) -> None:
    """A line for each trace, a panel for each number of slots."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Picture

    titles = list(dict.fromkeys(row.trace for row in rows))
    slots = list(dict.fromkeys(row.slots for row in rows))
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": OURS, "font.size": 9}
    with rc_context(style):
        picture = Picture((3.5 + 2.6 * len(slots), 1.4 + 0.2 * len(titles)), layout="constrained")
        panels = picture.subplots(1, len(slots), sharey=True, squeeze=False)[0]
        for axes, count in zip(panels, slots, strict=True):
            of_it = [row for row in rows if row.slots == count]
            ys = [titles.index(row.trace) for row in of_it]
            for name in reversed(names):
                xs = [min(row.ratio(name), FAR) for row in of_it]
                axes.scatter(xs, ys, label=name, zorder=2, clip_on=False, **DOTS[name])
            axes.set_xscale("log", base=2)
            axes.set_xticks([0.7, 1, 1.5, 2, FAR], ["0.7", "1", "1.5", "2", f"{FAR:g} or more"])
            axes.set(title=f"{count:,} slots", xlim=(0.6, FAR), ylim=(len(titles) - 0.5, -0.5))
            axes.axvline(1, color="#9aa5b0", lw=0.8, zorder=1)
            axes.grid(axis="y", color="#e6eaee", zorder=0)
            axes.tick_params(length=0, which="both")
            axes.spines[:].set_visible(False)
        panels[0].set_yticks(range(len(titles)), titles)
        picture.supxlabel(f"misses ÷ those of the best of all but {OURS}: left is better", size=9)
        handles, labels = panels[0].get_legend_handles_labels()
        picture.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=len(names),
                       frameon=False)  # fmt: skip
        about = {"Date": None, "Title": "How many times more calls miss than with the best"}
        picture.savefig(path, metadata=about)


def write(rows: Sequence[Row], names: Sequence[str], about: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "hit-ratio.md").write_text(page(rows, names, about), encoding="utf-8")
    try:
        draw(rows, names, out / "hit-ratio.svg")
    except ImportError as error:
        print(f"no picture: {error}", file=sys.stderr)
