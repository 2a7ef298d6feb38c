"""The picture: what reached the origin over time and what its clients got of it, a row per scheme.

It is meant to be read on its own, without the terminal's output: shared axes, titles, units, and a
line saying what one sees, with this run's own figures beside it. No display and no global state of
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
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ._figures import in_progress
from ._measure import Result
from ._report import by_scene, conditions, duration, title
from ._schemes import Scene
from ._settings import Settings

INK, MUTED, FAILED = "#22303c", "#6b7884", "#c8322f"
COLOURS = {
    "no protection": "#d9822b",
    "limit and retry": "#a58f2a",
    "singleflight": "#1f7a8c",
    "stale while revalidate": "#3a5fa8",
    "early refresh": "#7a4fa3",
    "stale if error": "#3a5fa8",
}
TITLE: Any = {"loc": "left", "fontsize": 10, "color": MUTED}
WHAT_ONE_SEES = {
    Scene.EXPIRY: (
        "Left: calls rise whenever the value has to be loaded anew. Right: bars on the left are"
        " hits, those on the right are clients that had to wait for a reload."
    ),
    Scene.OUTAGE: (
        "Shaded: the origin answers 503. Left: in red, the calls that failed. Right: in red, the"
        " clients that got an error."
    ),
}
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
# In inches.
WIDTH, LEFT, TEXT, RIGHT = 13.5, 0.4, 3.3, 0.2
HEAD, ABOVE, ROW, GAP, BELOW = 0.9, 1.1, 0.9, 0.2, 0.65


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
    scenes = by_scene(results)
    heights = [HEAD, *(ABOVE + len(rows) * (ROW + GAP) - GAP + BELOW for _, rows in scenes)]
    figure = Figure(figsize=(WIDTH, sum(heights)), facecolor="white")
    head, *parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flat
    _say(head, HEAD, 0.45, "What a hot key costs its origin, and its clients", 17, weight="bold")
    same = f"{conditions(settings)}; same load and same scales for each scheme"
    _say(head, HEAD, 0.75, same, 10, color=MUTED)
    for part, height, (scene, rows) in zip(parts, heights[1:], scenes, strict=True):
        _say(part, height, 0.35, title(scene, settings), 14, weight="bold")
        _say(part, height, 0.6, WHAT_ONE_SEES[scene], 10)
        _draw_scene(part, height, scene, rows, settings)
    return figure


def _say(part: SubFigure, height: float, down: float, text: str, size: float, **how: Any) -> None:
    part.text(LEFT / WIDTH, 1 - down / height, text, fontsize=size, **how)


def _draw_scene(
    part: SubFigure, height: float, scene: Scene, rows: Sequence[Result], settings: Settings
) -> None:
    place = {
        "left": (LEFT + TEXT) / WIDTH,
        "right": 1 - RIGHT / WIDTH,
        "top": 1 - ABOVE / height,
        "bottom": BELOW / height,
        "hspace": GAP / ROW,
        "wspace": 0.15,
        "width_ratios": (5, 4),
    }
    shape = len(rows), 2
    grid = part.subplots(*shape, sharex="col", sharey="col", squeeze=False, gridspec_kw=place)
    left, right = grid.T
    for axes, result in zip(left, rows, strict=True):
        _name(axes, result)
    _draw_calls(left, rows, settings)
    if scene is Scene.EXPIRY:
        _draw_latencies(right, rows)
    else:
        _draw_reads(right, rows, settings)
        for axes in grid.flat:
            axes.axvspan(*settings.outage, color=FAILED, alpha=0.08, linewidth=0, zorder=0)


def _name(axes: Axes, result: Result) -> None:
    colour = COLOURS[result.scheme.name]
    place: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    name = f"{result.scheme.name}, {result.scheme.kind}"
    axes.annotate(name, (0, 1), (-72 * TEXT, 0), color=colour, weight="bold", size=11, **place)
    lines = "\n".join(_in_figures(result))
    axes.annotate(lines, (0, 1), (-72 * TEXT, -17), linespacing=1.5, **place)


def _in_figures(result: Result) -> Iterator[str]:
    figures = result.figures
    full = f"full for {duration(figures.saturated)}" if figures.saturated else "never full"
    if result.scheme.scene is Scene.EXPIRY:
        yield f"{figures.calls:,} calls, {figures.expiries} expiries; {full}"
        yield f"{figures.waited:,} of {figures.answers:,} answers had to wait for a reload"
    else:
        yield f"{figures.calls:,} calls, {figures.failed_calls:,} of them failed; {full}"
        yield f"{figures.answers:,} answers, {figures.failed:,} errors"
    ages = f"slowest answer {duration(figures.latency_max)}, oldest {duration(figures.oldest)}"
    yield f"{ages}; interrupted" if figures.interrupted else ages


def _draw_calls(column: Sequence[Axes], rows: Sequence[Result], settings: Settings) -> None:
    for axes, result in zip(column, rows, strict=True):
        calls = result.run.calls
        failed = [call for call in calls if call.failed]
        for some, colour in (calls, COLOURS[result.scheme.name]), (failed, FAILED):
            moments, numbers = zip((0.0, 0), *in_progress(some), strict=True)
            fill = to_rgba(colour, 0.35)
            axes.stairs(numbers[:-1], moments, fill=True, fc=fill, ec=colour, linewidth=1.1)
        axes.axhline(settings.capacity, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    first, last = column[0], column[-1]
    first.set_title(
        "calls in progress at the origin (square-root scale); dashed: its capacity", **TITLE
    )
    last.set_xlabel("seconds since the start")
    first.set_xlim(0, None)
    # Not linear: a single call is to be seen beside a stampede.
    first.set_yscale("function", functions=(lambda n: abs(n) ** 0.5, lambda root: root**2))
    first.set_ylim(0, 1.1 * max(settings.clients, settings.capacity))
    one = [1] if settings.clients <= 200 else []  # else its label would meet the next
    most = [settings.clients] if settings.clients >= 2 * settings.capacity else []
    first.yaxis.set_major_locator(FixedLocator([*one, settings.capacity, *most]))
    first.yaxis.set_major_formatter("{x:.0f}")


def _draw_latencies(column: Sequence[Axes], rows: Sequence[Result]) -> None:
    edges = [10 ** (sixth / 6) for sixth in range(-42, 13)]  # of a decade; from 0.1 µs to 100 s
    for axes, result in zip(column, rows, strict=True):
        latencies = [read.latency for read in result.run.answers]
        weights = [1 / len(latencies)] * len(latencies)
        axes.hist(latencies, edges, weights=weights, color=COLOURS[result.scheme.name], rwidth=0.9)
    first, last = column[0], column[-1]
    first.set_title("share of answers by how long they took (log scales)", **TITLE)
    last.set_xlabel("time until the answer")
    first.set_xscale("log")
    first.set_yscale("log")
    first.set_xlim(2e-7, 3 * max(result.figures.latency_max for result in rows))
    first.set_ylim(5e-5, 1.5)
    first.xaxis.set_major_locator(FixedLocator([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10]))
    first.xaxis.set_major_formatter(FuncFormatter(_every_other_decade))
    first.xaxis.set_minor_locator(NullLocator())
    first.yaxis.set_major_locator(FixedLocator([1e-4, 1e-2, 1]))
    first.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g} %"))
    first.yaxis.set_minor_locator(NullLocator())


def _draw_reads(column: Sequence[Axes], rows: Sequence[Result], settings: Settings) -> None:
    width = settings.seconds / 40
    for axes, result in zip(column, rows, strict=True):
        answered = [read.began + read.latency for read in result.run.answers]
        failures = result.run.failures
        edges = [n * width for n in range(math.ceil(max(*answered, *failures) / width) + 1)]
        colours = [COLOURS[result.scheme.name], FAILED]
        axes.hist([answered, failures], edges, stacked=True, color=colours, rwidth=0.9)
    first, last = column[0], column[-1]
    first.set_title(f"answers and errors (red) in each {duration(width)}", **TITLE)
    last.set_xlabel("seconds since the start")
    first.set_xlim(0, None)


def _every_other_decade(seconds: float, _: object) -> str:
    texts = {-6: "1 µs", -4: "100 µs", -2: "10 ms", 0: "1 s"}
    return texts.get(round(math.log10(seconds)), "")
