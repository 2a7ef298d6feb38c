"""Small charts for pages, as SVG: one for each step of a bad day, and one of the first herd.

Written by hand: each is a few kilobytes, and its letters are large enough on a phone. Its colours
are those of a dark screen where the reader has one; its ground is its own, so that it can be read
on any page. All steps have the same axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple
from xml.sax.saxutils import escape

from ._figures import in_progress, shares
from ._measure import Result
from ._origin import Call
from ._settings import Settings

STYLE = """\
text { font: SIZEpx "DejaVu Sans", Verdana, sans-serif; fill: #22303c }
.ground { fill: #ffffff } .title { font-weight: bold } .muted { fill: #56636f }
.big { font-weight: bold; font-size: 46px }
.end { text-anchor: end } .middle { text-anchor: middle }
.line { stroke: #d5dade; fill: none } .limit { stroke: #56636f; stroke-dasharray: 4 3 }
.zone { fill: #c8322f; opacity: 0.1 } .zoned { fill: #b02a27 }
.some { fill: #a5cad1; stroke: #1f7a8c; stroke-width: 1.2 }
.failed { fill: #eba9a7; stroke: #c8322f; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6eaee } .ground { fill: #161b22 } .muted { fill: #a3aeb8 }
.line { stroke: #38424c } .limit { stroke: #a3aeb8 }
.zone { fill: #ff7b72; opacity: 0.16 } .zoned { fill: #ff9a93 }
.some { fill: #1d4c57; stroke: #56b6c9 } .failed { fill: #6e2b29; stroke: #ff7b72 }
}"""
STEPS = 240
"""How many moments are told apart in one panel: more would not be seen."""
WIDTH, LEFT, RIGHT = 440, 46, 14


class Panel(NamedTuple):
    """A place on the picture, in its units, and what it shows of the time."""

    left: float
    top: float
    width: float
    height: float
    seconds: float
    most: float
    """The value that reaches up to the top."""
    root: bool = False
    """Whether small values are drawn larger, by their square roots."""

    def x(self, moment: float) -> float:
        return self.left + self.width * min(max(moment / self.seconds, 0), 1)

    def y(self, value: float) -> float:
        share = value / self.most
        return self.top + self.height * (1 - (math.sqrt(share) if self.root else share))

    def frame(self, marks: Sequence[tuple[float, str]]) -> Iterator[str]:
        right, bottom = self.left + self.width, self.top + self.height
        for value, text in marks:
            y = self.y(value)
            yield f'<path class="line" d="M{self.left:g} {y:.1f}H{right:g}"/>'
            yield _text(self.left - 6, y + 5, text, "end")
        yield f'<path class="line" d="M{self.left:g} {self.top:g}V{bottom:g}H{right:g}"/>'

    def fill(self, steps: Sequence[tuple[float, float]], kind: str) -> Iterator[str]:
        """What is under a line that has these heights from these moments on."""
        stretches = list(self._stretches(steps))
        if not stretches:
            return
        path = ""
        for stretch in stretches:
            path += f"M{self.x(stretch[0][0]):.1f} {self.y(0):.1f}"
            for moment, height in stretch:
                path += f"H{self.x(moment):.1f}V{self.y(height):.1f}"
        yield f'<path class="{kind}" d="{path}"/>'

    def _stretches(
        self, steps: Sequence[tuple[float, float]]
    ) -> Iterator[list[tuple[float, float]]]:
        """The steps, cut where they are at 0: there is no line then."""
        stretch: list[tuple[float, float]] = []
        for moment, height in steps:
            if moment >= self.seconds:
                break
            if height or stretch:
                stretch.append((moment, height))
            if stretch and not height:
                yield stretch
                stretch = []
        if stretch:
            yield [*stretch, (self.seconds, 0)]


def day(result: Result, heading: str, settings: Settings) -> str:
    """The chart of one step of a bad day."""
    figures = result.figures
    width = WIDTH - LEFT - RIGHT
    above = Panel(LEFT, 62, width, 96, settings.seconds, 1.1 * settings.clients, root=True)
    below = above._replace(top=190, height=70, most=1, root=False)
    calls = f"{figures.calls:,} calls"
    if figures.failed_calls:
        calls += f", {figures.failed_calls:,} failed"
    without = f"{figures.no_answer / figures.seconds:.1%} of the time"
    lines = [
        _text(LEFT - 32, 24, heading, "title"),
        _text(LEFT, 50, "calls at the origin", "muted"),
        _text(WIDTH - RIGHT, 50, calls, "end"),
        _text(LEFT, 180, "clients without an answer", "muted"),
        _text(WIDTH - RIGHT, 180, without, "end"),
    ]
    stretches = (settings.outage, "fails"), (settings.hang, "hangs")
    for stretch, _ in stretches:
        lines += (_zone(panel, *stretch) for panel in (above, below))
    lines += above.frame([(settings.capacity, f"{settings.capacity}"), _most(settings)])
    lines += _calls(above, result.run.calls)
    lines.append(_limit(above, settings.capacity))
    for stretch, word in stretches:
        lines.append(_text(above.x(sum(stretch) / 2), above.top + 22, word, "zoned middle"))
    lines += below.frame([(0, "0%"), (0.5, "50%"), (1, "100%")])
    lines += _without(below, result, settings)
    lines += _seconds(below, math.ceil(settings.seconds / 6))
    lines.append(_text(LEFT + width / 2, 296, "seconds", "muted middle"))
    words = (
        f"{settings.clients} clients. {calls} to the origin. Without an answer for {without},"
        f" and after an error for {figures.in_error / figures.seconds:.1%}."
    )
    return _svg(WIDTH, 306, heading, words, lines)


def herd(without: Result, protected: Result, settings: Settings) -> str:
    """The morning of a bad day: what an expiry costs the origin, without protection and with it."""
    lines: list[str] = []
    words: list[str] = []
    morning = settings.outage[0]
    for left, result, title in ((52, without, "without"), (334, protected, "with soloflight")):
        calls = per_expiry(result, settings)
        beside = left + 14 + 30 * len(calls)
        panel = Panel(left, 96, 212, 120, morning, 1.1 * settings.clients)
        lines += [
            _text(left, 28, title, "title"),
            _text(left, 76, calls, "big"),
            _text(beside, 56, "call" if calls == "1" else "calls", "muted"),
            _text(beside, 76, "per expiry", "muted"),
            *panel.frame([(0, "0"), _most(settings)]),
            *_calls(panel, result.run.calls),
            *_seconds(panel, math.ceil(morning / 3)),
        ]
        words.append(f"{title}: {calls} per expiry")
    lines.append(_text(280, 266, "calls in progress at the origin, over seconds", "muted middle"))
    heading = "What a hot key costs its origin each time it expires"
    words = [f"{settings.clients} clients", *words]
    return _svg(560, 280, heading, f"{'. '.join(words)}.", lines, letters=17)


def per_expiry(result: Result, settings: Settings) -> str:
    """Calls to the origin for each expiry, as long as it was well."""
    return f"{result.per_expiry(settings.outage[0], settings):.3g}"


def _calls(panel: Panel, calls: Sequence[Call]) -> Iterator[str]:
    failed = [call for call in calls if call.failed]
    for some, kind in (calls, "some"), (failed, "failed"):
        yield from panel.fill(visible(list(in_progress(some)), panel.seconds / STEPS), kind)


def visible(steps: Sequence[tuple[float, int]], width: float) -> list[tuple[float, float]]:
    """These moments with the number from then on; where several cannot be told apart, the first of
    them with the highest number, and the last."""
    found: list[tuple[float, float]] = []
    for _, together in groupby(steps, lambda step: int(step[0] / width)):
        first, *others = together
        found.append((first[0], max(number for _, number in (first, *others))))
        found += others[-1:]
    return found


def _without(panel: Panel, result: Result, settings: Settings) -> Iterator[str]:
    width = panel.seconds / STEPS
    edges = [n * width for n in range(STEPS + 1)]
    waits = result.run.waits
    without = [(wait.began, wait.ended) for wait in waits]
    in_error = [(wait.failed, wait.ended) for wait in waits]
    for stretches, kind in (without, "some"), (in_error, "failed"):
        heights = [round(share, 2) for share in shares(stretches, settings.clients, edges)]
        changes = [n for n, height in enumerate(heights) if n == 0 or height != heights[n - 1]]
        yield from panel.fill([(edges[n], heights[n]) for n in changes], kind)


def _seconds(panel: Panel, each: int) -> Iterator[str]:
    bottom = panel.top + panel.height
    for second in range(0, math.floor(panel.seconds) + 1, each):
        yield _text(panel.x(second), bottom + 20, f"{second}", "middle")


def _most(settings: Settings) -> tuple[float, str]:
    return settings.clients, f"{settings.clients}"


def _limit(panel: Panel, value: float) -> str:
    y = panel.y(value)
    return f'<path class="limit" d="M{panel.left:g} {y:.1f}h{panel.width:g}"/>'


def _zone(panel: Panel, begin: float, end: float) -> str:
    left, right = panel.x(begin), panel.x(end)
    return (
        f'<rect class="zone" x="{left:.1f}" y="{panel.top:g}" width="{right - left:.1f}"'
        f' height="{panel.height:g}"/>'
    )


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _svg(
    width: int, height: int, title: str, words: str, lines: Sequence[str], letters: int = 13
) -> str:
    """`letters`: how high they are, as all is scaled down on a phone."""
    inside = "\n".join(lines)
    style = STYLE.replace("SIZE", f"{letters}")
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title" \
aria-describedby="desc" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<title id="title">{escape(title)}</title>
<desc id="desc">{escape(words)}</desc>
<style>
{style}
</style>
<rect class="ground" width="{width}" height="{height}" rx="6"/>
{inside}
</svg>
"""
