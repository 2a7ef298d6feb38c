"""Draws the pictures of docs/pattern.md, from docs/pattern.txt, which says how.

They have colours of their own for light and for dark, and a background in both, so that they can be
read on any page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

DOCS = Path(__file__).parents[1]

LEFT, TOP, ROW, UNIT, WIDTH = 74, 34, 30, 42, 520
STYLE = """
.back { fill: #ffffff } .rule { stroke: #d5dbdf } text { fill: #1d2b30 } .mark { stroke: #6b7a82 }
.load { fill: #a9ddd6; stroke: #2a9d8f } .wait { fill: none; stroke: #6b7a82 }
.source { fill: #f3c3b5; stroke: #d1603d }
.old { fill: #e0b13f } .new { fill: #2a9d8f } .error { fill: #d1603d }
@media (prefers-color-scheme: dark) {
.back { fill: #131416 } .rule { stroke: #3a4247 } text { fill: #e6ecef } .mark { stroke: #9fb0b8 }
.load { fill: #1d5c55; stroke: #4fc3b5 } .wait { fill: none; stroke: #9fb0b8 }
.source { fill: #6e3422; stroke: #e76f51 }
.old { fill: #e9c46a } .new { fill: #4fc3b5 } .error { fill: #e76f51 }
}
"""
KINDS = {"old": "old", "error": "error"}
"""The looks of a value; of any other one: ``new``."""


@dataclass
class Picture:
    name: str
    seen: str
    marks: list[tuple[float, str]] = field(default_factory=list)
    lanes: list[tuple[str, list[list[str]]]] = field(default_factory=list)

    def calls(self) -> list[tuple[float, float]]:
        """When the source was called."""
        steps = [step for _, steps in self.lanes for step in steps if step[0] == "loads"]
        return sorted((float(step[1]), float(step[2])) for step in steps)


def read(text: str) -> list[Picture]:
    """The pictures that a text describes."""
    pictures: list[Picture] = []
    for line in text.splitlines():
        if begins := re.match(r"= (\w+): (.+)", line):
            pictures.append(Picture(*begins.groups()))
        elif mark := re.match(r"at (\S+) (.+)", line):
            pictures[-1].marks.append((float(mark[1]), mark[2]))
        elif lane := re.match(r"(\w+): (.+)", line):
            steps = [step.split() for step in lane[2].split(";")]
            pictures[-1].lanes.append((lane[1], steps))
    return pictures


def x(time: float) -> float:
    return round(LEFT + time * UNIT, 1)


def value(time: float, middle: float, said: str) -> list[str]:
    """A dot, and the value beside it."""
    look = KINDS.get(said, "new")
    return [
        f'<circle class="{look}" cx="{x(time)}" cy="{middle}" r="5"/>',
        f'<text x="{x(time) + 8}" y="{middle + 4}">{escape(said)}</text>',
    ]


def bar(look: str, begin: float, end: float, middle: float, said: str = "") -> list[str]:
    height = 18 if said else 12
    box = f'x="{x(begin)}" y="{middle - height / 2}" width="{x(end) - x(begin):.1f}"'
    dashes = ' stroke-dasharray="4 3"' if look == "wait" else ""
    found = [f'<rect class="{look}" {box} height="{height}" rx="4"{dashes}/>']
    if said:
        at = round((x(begin) + x(end)) / 2, 1)
        found.append(f'<text x="{at}" y="{middle + 4}" text-anchor="middle">{said}</text>')
    return found


def draw(picture: Picture) -> str:
    """A picture as SVG."""
    calls = picture.calls()
    below = TOP + ROW * len(picture.lanes)
    height = below + 20 + 15 * max(1, len(calls) if _together(calls) else 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" '
        'font-family="DejaVu Sans, Verdana, sans-serif" font-size="13">',
        f"<title>{escape(picture.seen)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>',
    ]
    for time, said in picture.marks:
        parts += [
            f'<line class="mark" x1="{x(time)}" x2="{x(time)}" y1="24" y2="{height - 8}" '
            'stroke-dasharray="2 3"/>',
            f'<text x="{x(time)}" y="18" text-anchor="middle">{escape(said)}</text>',
        ]
    for row, (lane, steps) in enumerate(picture.lanes):
        middle = TOP + ROW * row + ROW // 2
        parts += [
            f'<line class="rule" x1="{LEFT}" x2="{WIDTH - 10}" y1="{middle}" y2="{middle}"/>',
            f'<text x="12" y="{middle + 4}">{escape(lane)}</text>',
        ]
        for what, *rest in steps:
            if what == "gets":
                parts += value(float(rest[0]), middle, rest[1])
                continue
            begin, end = float(rest[0]), float(rest[1])
            parts += bar("wait" if what == "waits" else "load", begin, end, middle, what)
            if len(rest) > 2:
                parts += value(end, middle, rest[2])
    parts.append(f'<text x="12" y="{below + 18}" font-weight="bold">source</text>')
    for nth, (begin, end) in enumerate(calls):
        parts += bar("source", begin, end, below + 14 + 15 * (nth if _together(calls) else 0))
    return "\n".join([*parts, "</svg>\n"])


def _together(calls: list[tuple[float, float]]) -> bool:
    """Whether calls are in progress at the same time."""
    return any(later[0] < earlier[1] for earlier, later in pairwise(calls))


def pictures() -> dict[Path, str]:
    """What is in the files of the pictures."""
    found = read((DOCS / "pattern.txt").read_text(encoding="utf-8"))
    return {DOCS / f"pattern-{picture.name}.svg": draw(picture) for picture in found}


if __name__ == "__main__":
    for path, svg in pictures().items():
        path.write_text(svg, encoding="utf-8")
        print(path)
