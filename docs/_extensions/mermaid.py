"""Diagrams in Mermaid, drawn as the site is built: no script of others runs in a reader's browser.

Of that language it knows what our pages use, sequence diagrams and a row of boxes, and refuses the
rest. Colours are those of the page.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

CHARACTER, LINE, HEAD, STEP = 6.4, 15, 46, 36
MESSAGE = re.compile(r"(\w+)(--?)>>(\w+): (.+)")
NOTE = re.compile(r"Note over (\w+): (.+)")
PARTICIPANT = re.compile(r"participant (\w+) as (.+)")
BOX = re.compile(r'(\w+)\["?(.+?)"?\]')
STROKE = 'stroke="currentColor" fill="none"'
ARROW = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
    'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="currentColor"/></marker></defs>'
)


def width(lines: list[str]) -> float:
    return CHARACTER * max(len(line) for line in lines)


def words(lines: list[str], x: float, y: float, anchor: str = "middle") -> str:
    """Lines of text, the first of them at `y`."""
    return "".join(
        f'<text x="{x:.0f}" y="{y + LINE * n:.0f}" text-anchor="{anchor}">{escape(line)}</text>'
        for n, line in enumerate(lines)
    )


def svg(parts: list[str], wide: float, high: float, said: str) -> str:
    return (
        f'<div class="diagram"><svg role="img" aria-label="{escape(said)}" width="{wide:.0f}" '
        f'height="{high:.0f}" viewBox="0 0 {wide:.0f} {high:.0f}" font-size="12" '
        f'fill="currentColor">{ARROW}{"".join(parts)}</svg></div>'
    )


def sequence(lines: list[str]) -> str:
    """Who says what to whom."""
    who: dict[str, list[str]] = {}
    steps: list[tuple[str, ...]] = []
    for line in lines:
        if found := PARTICIPANT.fullmatch(line):
            who[found[1]] = found[2].split("<br>")
        elif found := MESSAGE.fullmatch(line):
            steps.append(found.groups())
        elif found := NOTE.fullmatch(line):
            steps.append((found[1], found[2]))
        else:
            raise ValueError(f"no sequence diagram of ours has {line!r}")
    place = _places(who, steps)
    y = HEAD + 14.0
    parts = []
    for step in steps:
        if len(step) == 2:
            said = step[1].split("<br>")
            wide, high = width(said) + 16, LINE * len(said) + 8
            x = place[step[0]]
            parts.append(
                f'<rect class="note" x="{x - wide / 2:.0f}" y="{y:.0f}" width="{wide:.0f}" '
                f'height="{high}" rx="3"/>{words(said, x, y + 15)}'
            )
            y += high + 12
            continue
        y += LINE
        begin, end = place[step[0]], place[step[2]]
        dashes = ' stroke-dasharray="4 3"' if step[1] == "--" else ""
        parts.append(
            f'<line x1="{begin:.0f}" x2="{end:.0f}" y1="{y:.0f}" y2="{y:.0f}" {STROKE}{dashes} '
            f'marker-end="url(#tip)"/>{words([step[3]], (begin + end) / 2, y - 5)}'
        )
        y += STEP - LINE
    heads = []
    for name, said in who.items():
        x, wide = place[name], width(said) + 16
        heads.append(
            f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{HEAD}" y2="{y:.0f}" {STROKE} opacity="0.3"/>'
            f'<rect x="{x - wide / 2:.0f}" y="2" width="{wide:.0f}" height="{HEAD - 4}" rx="4" '
            f"{STROKE}/>{words(said, x, 28 - LINE / 2 * (len(said) - 1))}"
        )
    wide = max(place.values()) + _side(list(who)[-1], who, steps)
    return svg([*heads, *parts], wide, y + 6, "; ".join(lines))


def _side(name: str, who: dict[str, list[str]], steps: list[tuple[str, ...]]) -> float:
    """What one at the edge needs on either side."""
    notes = [step[1].split("<br>") for step in steps if len(step) == 2 and step[0] == name]
    return max(width(said) for said in [who[name], *notes]) / 2 + 14


def _places(who: dict[str, list[str]], steps: list[tuple[str, ...]]) -> dict[str, float]:
    """Where each one stands: as far from the next as what is said between them is long."""
    names = list(who)
    place = {names[0]: _side(names[0], who, steps)}
    for n, name in enumerate(names[1:], 1):
        before = names[n - 1]
        least = place[before] + (width(who[before]) + width(who[name])) / 2 + 30
        for step in steps:
            if len(step) == 4 and name in (step[0], step[2]):
                other = step[2] if step[0] == name else step[0]
                if other in place:
                    least = max(least, place[other] + width([step[3]]) + 20)
        place[name] = least
    return place


def row(line: str) -> str:
    """Boxes from the left to the right."""
    parts, x = [], 2.0
    boxes = [said.split("<br>") for _, said in BOX.findall(line)]
    if len(boxes) != len(line.split("-->")):
        raise ValueError(f"no flowchart of ours has {line!r}")
    for n, said in enumerate(boxes):
        if n:
            parts.append(
                f'<line x1="{x:.0f}" x2="{x + 26:.0f}" y1="24" y2="24" {STROKE} '
                'marker-end="url(#tip)"/>'
            )
            x += 28
        wide = width(said) + 16
        parts.append(
            f'<rect x="{x:.0f}" y="3" width="{wide:.0f}" height="42" rx="4" {STROKE}/>'
            + words(said, x + wide / 2, 28 - LINE / 2 * (len(said) - 1))
        )
        x += wide
    return svg(parts, x + 2, 48, line)


def draw(source: str) -> str:
    kind, *lines = [line.strip() for line in source.strip().splitlines()]
    if kind == "sequenceDiagram":
        return sequence(lines)
    if kind == "flowchart LR" and len(lines) == 1:
        return row(lines[0])
    raise ValueError(f"no diagram of ours is a {kind}")


class Diagrams(SphinxTransform):
    default_priority = 5

    def apply(self, **kwargs: Any) -> None:
        for block in list(self.document.findall(nodes.literal_block)):
            if block.get("language") == "mermaid":
                block.replace_self(nodes.raw("", draw(block.astext()), format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(Diagrams)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
