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
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ._figures import Figures, Result, in_progress
from ._report import duration
from ._schemes import SCHEMES

INK, MUTED = "#22303c", "#6b7884"
LEFT = 0.065
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
    "xtick.color": MUTED,
    "ytick.color": MUTED,
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
    figure = Figure(figsize=(13.5, 7.8), facecolor="white")
    figures = [result.figures for result in results]
    figure.text(LEFT, 0.955, "One hot key that keeps expiring", fontsize=17, fontweight="bold")
    figure.text(LEFT, 0.922, _conditions(ttl, clients, capacity), color=MUTED, fontsize=10)
    figure.text(LEFT, 0.848, _what_one_sees(figures), fontsize=10, linespacing=1.6)
    grid = figure.subplots(2, len(SCHEMES), sharex="row", sharey="row")
    figure.subplots_adjust(left=LEFT, right=0.985, top=0.755, bottom=0.075, hspace=0.5, wspace=0.08)
    for axes in grid[:, len(results) :].flat:
        axes.set_visible(False)
    for result, colour, above, below in zip(results, COLOURS, *grid, strict=False):
        _draw_calls(above, result, colour)
        _draw_latencies(below, result, colour)
    _finish_calls(grid[0], capacity)
    _finish_latencies(grid[1], results)
    return figure


def _conditions(ttl: float, clients: int, capacity: int) -> str:
    return (
        f"{clients} clients, ttl {ttl:g} s, an HTTP origin that serves {capacity} calls at a time;"
        " the same load for each scheme, on the same scales"
    )


def _what_one_sees(figures: Sequence[Figures]) -> str:
    calls = "; ".join(
        f"{each.calls_per_expiry:.3g} with {_name(each)}"
        + (f", but {each.turned_away:,} tries turned away" if each.turned_away else "")
        for each in figures
    )
    waits = ", ".join(duration(each.latency_max) for each in figures)
    return (
        f"Each peak above is one expiry. Calls to the origin per expiry: {calls}.\n"
        f"The bars on the left below are hits, those on the right waits. The longest wait: {waits}."
    )


def _name(figures: Figures) -> str:
    return f"{figures.scheme} ({figures.detail})" if figures.exact else figures.scheme


def _head(axes: Axes, title: str, colour: str, line: str) -> None:
    axes.set_title(title, loc="left", color=colour, fontweight="bold", fontsize=11.5, pad=21)
    axes.text(0, 1.045, line, transform=axes.transAxes, fontsize=9)


def _draw_calls(axes: Axes, result: Result, colour: str) -> None:
    figures = result.figures
    moments, numbers = zip((0.0, 0), *in_progress(result.calls), strict=True)
    axes.fill_between(moments, numbers, step="post", color=colour, alpha=0.3, linewidth=0)
    axes.step(moments, numbers, where="post", color=colour, linewidth=1.3)
    mark = ", interrupted" if figures.interrupted else ""
    full = f"full for up to {duration(figures.saturated)}" if figures.saturated else "never full"
    _head(
        axes,
        f"{figures.scheme}, {figures.detail}{mark}",
        colour,
        f"{figures.calls:,} calls, {figures.expiries} expiries; {full}",
    )


def _finish_calls(row: Sequence[Axes], capacity: int) -> None:
    for axes in row:
        axes.axhline(capacity, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel("seconds since the start")
    highest = max(row[0].get_ylim()[1], capacity * 1.5)
    row[0].set_ylim(0, highest)
    row[0].set_xlim(0, None)
    row[0].yaxis.set_major_locator(MaxNLocator(integer=True))
    row[0].set_ylabel("calls in progress\nat the origin")
    row[-1].annotate(
        f"the origin's {capacity} places",
        (0.98, capacity),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        color=MUTED,
    )


def _draw_latencies(axes: Axes, result: Result, colour: str) -> None:
    figures = result.figures
    edges = [10 ** (exponent / 6) for exponent in range(-42, 13)]  # six bars a decade, 0.1 µs–100 s
    weights = [1 / len(result.latencies)] * len(result.latencies)
    axes.hist(result.latencies, bins=edges, weights=weights, color=colour, alpha=0.9, rwidth=0.9)
    _head(
        axes,
        "how long clients waited",
        colour,
        f"p50 {duration(figures.latency_p50)}, p99 {duration(figures.latency_p99)},"
        f" max {duration(figures.latency_max)}",
    )


def _finish_latencies(row: Sequence[Axes], results: Sequence[Result]) -> None:
    longest = max(result.figures.latency_max for result in results)
    for axes in row:
        axes.set_xlabel("latency of an answer")
    row[0].set_xscale("log")
    row[0].set_yscale("log")
    row[0].set_xlim(5e-7, longest * 3)
    row[0].set_ylim(5e-5, 1.5)
    row[0].xaxis.set_major_locator(FixedLocator([10.0**e for e in range(-6, 3)]))
    row[0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: _power_of_ten(value)))
    row[0].yaxis.set_major_locator(FixedLocator([10.0**e for e in range(-4, 1)]))
    row[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %"))
    for axis in (row[0].xaxis, row[0].yaxis):
        axis.set_minor_locator(NullLocator())
    row[0].set_ylabel("share of answers\n(logarithmic)")


def _power_of_ten(seconds: float) -> str:
    factor, unit = next(
        (factor, unit) for factor, unit in ((1e6, "µs"), (1e3, "ms"), (1, "s")) if seconds * factor < 999
    )
    return f"{seconds * factor:.0f} {unit}"
