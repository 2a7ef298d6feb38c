"""The picture: what reached the origin over time and how long clients waited, schemes side by side.

It is meant to be read on its own, without the terminal's output: shared axes, titles, units, and a
line saying what one sees, with this run's own figures in it. No display and no global state of
matplotlib is involved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ._figures import in_progress
from ._measure import Result
from ._report import duration
from ._settings import Settings

INK, MUTED = "#22303c", "#6b7884"
LEFT = 0.07
COLOURS = ("#c8452f", "#d9902b", "#1f7a8c", "#3a5fa8")
STYLE: Any = {
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


def draw(path: Path, results: Sequence[Result], settings: Settings) -> None:
    """Write the picture as SVG or PNG, whichever `path` ends in. Raises `OSError`."""
    kind = path.suffix.lower().removeprefix(".")
    image = BytesIO()
    with rc_context(STYLE):
        figure = _figure(results, settings)
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(image, format=kind, dpi=150, metadata=metadata)
    path.write_bytes(image.getvalue())


def _figure(results: Sequence[Result], settings: Settings) -> Figure:
    figure = Figure(figsize=(13.5, 7.6), facecolor="white")
    figure.text(LEFT, 0.95, "One hot key that keeps expiring", fontsize=17, fontweight="bold")
    figure.text(LEFT, 0.915, _conditions(settings), color=MUTED, fontsize=10)
    lines = "\n".join(_what_one_sees(results))
    figure.text(LEFT, 0.885, lines, fontsize=10, linespacing=1.55, va="top")
    grid = figure.subplots(2, len(results), squeeze=False, sharex="row", sharey="row")
    figure.subplots_adjust(LEFT, bottom=0.075, right=0.985, top=0.715, wspace=0.09, hspace=0.44)
    for result, colour, above, below in zip(results, COLOURS, *grid, strict=False):
        _draw_calls(above, result, colour)
        _draw_latencies(below, result, colour)
    _finish_calls(grid[0], settings.capacity)
    _finish_latencies(grid[1], results)
    return figure


def _conditions(settings: Settings) -> str:
    return (
        f"{settings.clients} clients, ttl {settings.ttl:g} s; an HTTP origin that serves"
        f" {settings.capacity} calls at a time (dashed), {settings.cost * 1e3:g} ms each; turned"
        f" away: again after {settings.retry * 1e3:g} ms. Same load, same scales for each scheme"
    )


def _what_one_sees(results: Sequence[Result]) -> Iterator[str]:
    yield (
        "Above: calls rise whenever the value expires and has to be loaded anew. Below: bars on the"
        " left are hits, those on the right are clients that had to wait."
    )
    figures = [result.figures for result in results]
    calls = _listed([f"{each.calls_per_expiry or 0:.3g}" for each in figures])
    turned_away = _listed([f"{each.turned_away:,}" for each in figures])
    longest = _listed([duration(each.latency_max) for each in figures])
    yield (
        f"From left to right: {calls} calls to the origin per expiry; {turned_away} tries turned"
        f" away; {longest} for the slowest answer."
    )
    promising = [result for result in results if result.scheme.promises]
    if promising and not any(list(result.complaints()) for result in promising):
        yield (
            "With @cached_singleflight one client goes to the origin and all others wait for its"
            " answer: exactly 1 call per expiry, nobody is turned away."
        )


def _listed(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _draw_calls(axes: Axes, result: Result, colour: str) -> None:
    figures = result.figures
    moments, numbers = zip((0.0, 0), *in_progress(result.run.calls), strict=True)
    axes.fill_between(moments, numbers, step="post", color=colour, alpha=0.3, linewidth=0)
    axes.step(moments, numbers, where="post", color=colour, linewidth=1.3)
    mark = " (interrupted)" if figures.interrupted else ""
    full = f"full for up to {duration(figures.saturated)}" if figures.saturated else "never full"
    title = f"{result.scheme.title}{mark}"
    axes.set_title(title, loc="left", color=colour, fontweight="bold", fontsize=12, pad=21)
    line = f"{figures.calls:,} calls, {figures.expiries} expiries; {full}"
    axes.text(0, 1.04, line, transform=axes.transAxes, fontsize=9.5)


def _finish_calls(row: Sequence[Axes], capacity: int) -> None:
    for axes in row:
        axes.axhline(capacity, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel("seconds since the start")
        axes.tick_params(axis="y", length=0)
    first = row[0]
    first.set_ylabel("calls in progress at the origin")
    first.set_xlim(0, None)
    first.set_ylim(0, max(first.get_ylim()[1], capacity * 1.5))
    first.yaxis.set_major_locator(MaxNLocator(6, integer=True))


def _draw_latencies(axes: Axes, result: Result, colour: str) -> None:
    figures = result.figures
    edges = [10 ** (sixth / 6) for sixth in range(-42, 13)]  # of a decade; from 0.1 µs to 100 s
    latencies = [read.latency for read in result.run.answers]
    weights = [1 / len(latencies)] * len(latencies)
    axes.hist(latencies, bins=edges, weights=weights, color=colour, alpha=0.9, rwidth=0.9)
    marks = ("p50", figures.latency_p50), ("p99", figures.latency_p99), ("max", figures.latency_max)
    line = ",  ".join(f"{mark} {duration(latency)}" for mark, latency in marks)
    axes.text(0, 1.04, line, transform=axes.transAxes, fontsize=9.5)


def _finish_latencies(row: Sequence[Axes], results: Sequence[Result]) -> None:
    for axes in row:
        axes.set_xlabel("time until the answer")
        axes.tick_params(axis="y", length=0)
    first = row[0]
    first.set_ylabel("share of answers (log)")
    first.set_xscale("log")
    first.set_yscale("log")
    first.set_xlim(2e-7, 3 * max(result.figures.latency_max for result in results))
    first.set_ylim(5e-5, 1.5)
    first.xaxis.set_major_locator(FixedLocator([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10]))
    first.xaxis.set_major_formatter(FuncFormatter(_every_other_decade))
    first.xaxis.set_minor_locator(NullLocator())
    first.yaxis.set_major_locator(FixedLocator([1e-4, 1e-3, 1e-2, 1e-1, 1]))
    first.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g} %"))
    first.yaxis.set_minor_locator(NullLocator())


def _every_other_decade(seconds: float, _: object) -> str:
    texts = {-6: "1 µs", -4: "100 µs", -2: "10 ms", 0: "1 s"}
    return texts.get(round(math.log10(seconds)), "")
