"""The picture: what reached the origin over time and what its clients got of it, a row per scheme.

It is meant to be read on its own, without the terminal's output: shared axes, titles, units, and a
line saying what one sees, with this run's own figures beside it. Both columns are read alike: the
less is filled, the better. No display and no global state of matplotlib is involved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any
from xml.sax.saxutils import escape

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, PercentFormatter

from ._figures import in_progress, shares
from ._measure import LeftOut, Result
from ._report import by_scene, conditions, duration, interruption, title
from ._schemes import Scene
from ._settings import LEASE, Settings

INK, MUTED, FAILED = "#22303c", "#5d6a76", "#c8322f"
COLOURS = {
    "no protection": "#d9822b",
    "limit and retry": "#8d7a1f",
    "singleflight": "#1f7a8c",
    "stale while revalidate": "#3a5fa8",
    "early refresh": "#7a4fa3",
    "stale if error": "#3a5fa8",
    "no tier": "#d9822b",
    "HostTier": "#1f7a8c",
    "RedisTier": "#3a5fa8",
}
TITLE: Any = {"loc": "left", "fontsize": 9, "color": MUTED}
HEADING = "What a hot key costs its origin, and its clients"
WHAT_ONE_SEES = {
    Scene.EXPIRY: (
        "Left: calls whenever the value has to be loaded anew (square-root scale). Right: clients"
        " that wait for it."
    ),
    Scene.OUTAGE: (
        "Shaded: the origin answers 503. In red, left: calls that failed; right: clients that got"
        " an error and no answer since."
    ),
    Scene.FLEET: (
        "Left: calls of all processes together (square-root scale). Right: clients that wait for"
        " them."
    ),
}
IN_RED = (f"In red: the call whose process was killed (a lease of RedisTier lasts {LEASE:g} s)",)
STYLE: Any = {
    # Measured with the first one, which comes with matplotlib; a viewer may have to take others.
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
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
    "xtick.bottom": False,
    "ytick.left": False,
    "svg.fonttype": "none",  # text stays text: it can be read out, searched and copied
    # The same run gives the same file.
    "svg.hashsalt": "soloflight",
}
# In inches.
WIDTH, LEFT, TEXT, RIGHT = 10.5, 0.3, 3.35, 0.15
HEAD, ABOVE, ROW, GAP, BELOW = 0.9, 1.1, 0.95, 0.25, 0.65
STEPS = 150
"""How many moments of a run are told apart: more would not be seen."""


def draw(
    path: Path, results: Sequence[Result], settings: Settings, left_out: Sequence[LeftOut]
) -> None:
    """Write the picture as SVG or PNG, whichever `path` ends in. Raises `OSError`."""
    kind = path.suffix.lower().removeprefix(".")
    image = BytesIO()
    with rc_context(STYLE):
        figure = _figure(results, settings, left_out)
        metadata: Any = {"Date": None, "Title": HEADING} if kind == "svg" else {}
        figure.savefig(image, format=kind, dpi=150, metadata=metadata)
    content = image.getvalue()
    path.write_bytes(_described(content, results, settings, left_out) if kind == "svg" else content)


def _described(
    svg: bytes, results: Sequence[Result], settings: Settings, left_out: Sequence[LeftOut]
) -> bytes:
    """The same with what it shows in words, for those who have it read out."""
    sentences = [conditions(settings)]
    if (cut_short := interruption(results, settings, left_out)) is not None:
        sentences.append(cut_short)
    for scene, rows in by_scene(results):
        sentences.append(title(scene, settings))
        sentences += (f"{row.scheme.title}: {'; '.join(_in_figures(row))}" for row in rows)
    sentences += map(str, left_out)
    text = escape(". ".join([*sentences, ""]).strip())
    described = f'<title id="title">{HEADING}</title>\n <desc id="desc">{text}</desc>'
    head = '<svg role="img" aria-labelledby="title" aria-describedby="desc" '
    svg = svg.replace(b"<svg ", head.encode(), 1)
    return svg.replace(f"<title>{HEADING}</title>".encode(), described.encode(), 1)


def _figure(results: Sequence[Result], settings: Settings, left_out: Sequence[LeftOut]) -> Figure:
    scenes = by_scene(results)
    cut_short = interruption(results, settings, left_out)
    head_height = HEAD if cut_short is None else HEAD + 0.25
    heights = [head_height, *(ABOVE + len(rows) * (ROW + GAP) - GAP + BELOW for _, rows in scenes)]
    figure = Figure(figsize=(WIDTH, sum(heights)), facecolor="white")
    head, *parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flat
    _say(head, head_height, 0.42, HEADING, 17, weight="bold")
    same = conditions(settings)
    if not settings.processes:
        same += "; the same for each scheme"
    _say(head, head_height, 0.68, same, 10, color=MUTED)
    if cut_short is not None:
        _say(head, head_height, 0.93, cut_short, 10, color=FAILED, weight="bold")
    for part, height, (scene, rows) in zip(parts, heights[1:], scenes, strict=True):
        _say(part, height, 0.35, title(scene, settings), 14, weight="bold")
        _say(part, height, 0.6, WHAT_ONE_SEES[scene], 10)
        load = settings
        if scene is Scene.FLEET:
            load = settings.fleet
            if more := "; ".join([*IN_RED[: settings.kill_leader], *map(str, left_out)]):
                _say(part, height, 0.8, more, 10)
        _draw_scene(part, height, scene, rows, load)
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
        "wspace": 0.17,
    }
    shape = len(rows), 2
    grid = part.subplots(*shape, sharex=True, sharey="col", squeeze=False, gridspec_kw=place)
    left, right = grid.T
    for axes, result in zip(left, rows, strict=True):
        _name(axes, result)
    _draw_calls(left, rows, settings)
    _draw_waits(right, rows, settings)
    left[0].set_xlim(0, max(settings.seconds, *map(_end, rows)))
    for axes in grid[-1]:
        axes.set_xlabel("seconds since the start")
    if scene is Scene.OUTAGE:
        for axes in grid.flat:
            axes.axvspan(*settings.outage, color=FAILED, alpha=0.08, linewidth=0, zorder=0)


def _end(result: Result) -> float:
    ends = [call.end for call in result.run.log] + [wait.ended for wait in result.run.waits]
    return max(ends)


def _name(axes: Axes, result: Result) -> None:
    colour = COLOURS[result.scheme.name]
    place: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    name = f"{result.scheme.name}, {result.scheme.kind}"
    axes.annotate(name, (0, 1), (-72 * TEXT, 2), color=colour, weight="bold", size=11, **place)
    meaning = wrap(result.scheme.meaning, 44)
    lines = "\n".join(meaning)
    axes.annotate(lines, (0, 1), (-72 * TEXT, -13), color=MUTED, linespacing=1.3, **place)
    lines = "\n".join(_in_figures(result))
    down = -14 - 13.5 * len(meaning)
    axes.annotate(lines, (0, 1), (-72 * TEXT, down), linespacing=1.4, **place)


def _in_figures(result: Result) -> Iterator[str]:
    figures = result.figures
    full = f"full for {duration(figures.saturated)}" if figures.saturated else "never full"
    if result.scheme.scene is not Scene.OUTAGE:
        yield f"{figures.calls:,} calls, {figures.expiries} expiries; {full}"
    else:
        yield f"{figures.calls:,} calls, {figures.failed_calls:,} of them failed; {full}"
    if figures.takeover is not None:
        yield f"another led after {duration(figures.takeover)}; oldest {duration(figures.oldest)}"
        return
    yield f"no answer for {duration(figures.no_answer)} (mean); oldest {duration(figures.oldest)}"


def _draw_calls(column: Sequence[Axes], rows: Sequence[Result], settings: Settings) -> None:
    for axes, result in zip(column, rows, strict=True):
        calls = result.run.calls
        failed = [call for call in calls if call.failed]
        for some, colour in (calls, COLOURS[result.scheme.name]), (failed, FAILED):
            steps = _visible([(0.0, 0), *in_progress(some)], settings.seconds / STEPS)
            moments, numbers = zip(*steps, strict=True)
            _fill(axes, moments, numbers[:-1], colour)
        axes.axhline(settings.capacity, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    first = column[0]
    first.set_title("calls at the origin; dashed: its capacity", **TITLE)
    # Not linear: a single call is to be seen beside a stampede.
    first.set_yscale("function", functions=(lambda n: abs(n) ** 0.5, lambda root: root**2))
    # A process has one call in progress at a time.
    most = settings.clients if rows[0].run.processes == 1 else settings.processes
    first.set_ylim(0, 1.1 * max(most, settings.capacity))
    marks = [most] if most >= 2 * settings.capacity else []
    first.yaxis.set_major_locator(FixedLocator([settings.capacity, *marks]))
    first.yaxis.set_major_formatter("{x:.0f}")


def _visible(steps: Sequence[tuple[float, int]], width: float) -> Iterator[tuple[float, int]]:
    """These moments with the number from then on: where one cannot tell several apart, the highest
    number and the last."""
    for _, together in groupby(steps, lambda step: int(step[0] / width)):
        first, *others = together
        yield first[0], max(number for _, number in (first, *others))
        if others:
            yield others[-1]


def _draw_waits(column: Sequence[Axes], rows: Sequence[Result], settings: Settings) -> None:
    width = settings.seconds / STEPS
    for axes, result in zip(column, rows, strict=True):
        edges = [n * width for n in range(math.ceil(_end(result) / width) + 1)]
        waits = result.run.waits
        clients = settings.clients - result.run.lost
        without = [(wait.began, wait.ended) for wait in waits]
        in_error = [(wait.failed, wait.ended) for wait in waits]
        for stretches, colour in (without, COLOURS[result.scheme.name]), (in_error, FAILED):
            heights = [round(share, 2) for share in shares(stretches, clients, edges)]
            changes = [n for n, height in enumerate(heights) if n == 0 or height != heights[n - 1]]
            moments = [edges[n] for n in changes]
            _fill(axes, [*moments, edges[-1]], [heights[n] for n in changes], colour)
    first = column[0]
    first.set_title("share of clients without an answer", **TITLE)
    first.set_ylim(0, 1.1)
    first.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    first.yaxis.set_major_formatter(PercentFormatter(1))


def _fill(axes: Axes, moments: Sequence[float], heights: Sequence[float], colour: str) -> None:
    if any(heights):
        light = [1 - 0.4 * (1 - part) for part in to_rgb(colour)]  # covers what is behind it
        axes.stairs(heights, moments, fill=True, fc=light, ec=colour, linewidth=1.1)
