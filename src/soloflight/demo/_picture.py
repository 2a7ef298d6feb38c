"""The picture: what reached the origin over time and how long clients waited, schemes side by side.

It is meant to be read on its own, without the terminal's output: shared axes, titles, units, and a
line saying what one sees, with this run's own figures in it. No display and no global state of
matplotlib is involved.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._figures import Figures, Result, in_progress

INK, FAINT = "#22303c", "#8a97a3"
COLOURS = ("#c8452f", "#d9902b", "#1f7a8c", "#3a5fa8")
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#c5ccd3",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#edf0f2",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    # The same run gives the same file.
    "svg.hashsalt": "soloflight",
}


def draw(path: Path, results: Sequence[Result], ttl: float, clients: int, capacity: int) -> None:
    """Write the picture as SVG or PNG, whichever `path` ends in. Raises `OSError`."""
    kind = path.suffix.lower().removeprefix(".")
    image = BytesIO()
    with rc_context(STYLE):
        figure = _figure(results, ttl, clients, capacity)
        figure.savefig(image, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})
    path.write_bytes(image.getvalue())


def _figure(results: Sequence[Result], ttl: float, clients: int, capacity: int) -> Figure:
    figure = Figure(figsize=(13, 7.4), facecolor="white")
    columns = len(results)
    grid = figure.subplots(2, columns, sharex="row", sharey="row", squeeze=False)
    figure.subplots_adjust(
        left=0.06, right=0.985, top=0.76, bottom=0.085, hspace=0.42, wspace=0.09
    )
    figure.text(
        0.06, 0.955, "One hot key keeps expiring: what reaches the origin, and how long clients wait",
        fontsize=16, fontweight="bold", va="center",
    )  # fmt: skip
    figure.text(0.06, 0.915, _conditions(ttl, clients, capacity), color=FAINT, va="center")
    figure.text(0.06, 0.877, _what_one_sees([r.figures for r in results]), fontsize=10, va="center")
    bins = _bins(results)
    for result, colour, calls, waits in zip(results, COLOURS, grid[0], grid[1], strict=False):
        _calls(calls, result, colour, capacity)
        _latencies(waits, result, colour, bins)
    grid[0][0].set_ylabel("calls in progress at the origin")
    grid[0][0].set_ylim(0, None)
    grid[0][0].set_xlim(0, None)
    grid[1][0].set_ylabel("share of answers")
    return figure


def _conditions(ttl: float, clients: int, capacity: int) -> str:
    return (
        f"{clients} clients, ttl {ttl:g} s, an HTTP origin that serves {capacity} calls at a time;"
        " the same load for each scheme"
    )


def _what_one_sees(figures: Sequence[Figures]) -> str:
    return ""


def _calls(axes: Axes, result: Result, colour: str, capacity: int) -> None:
    figures = result.figures
    moments, numbers = [0.0], [0]
    for moment, number in in_progress(result.calls):
        moments.append(moment)
        numbers.append(number)
    axes.fill_between(moments, numbers, step="post", color=colour, alpha=0.25, linewidth=0)
    axes.step(moments, numbers, where="post", color=colour, linewidth=1.3)
    axes.axhline(capacity, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel("seconds since the start")
    axes.set_title(figures.scheme, loc="left", color=colour, fontweight="bold", fontsize=12, pad=24)


def _latencies(axes: Axes, result: Result, colour: str, bins: list[float]) -> None:
    weights = [1 / len(result.latencies)] * len(result.latencies)
    axes.hist(result.latencies, bins=bins, weights=weights, color=colour, alpha=0.85)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("latency")


def _bins(results: Sequence[Result]) -> list[float]:
    return [10 ** (exponent / 5) for exponent in range(-35, 6)]
