"""The scoreboard as Markdown: who passes what, why it matters, and what was seen instead."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from adapters import Library
from kit import Case, Options
from worlds import WORLDS

DOCS = Path(__file__).parents[2] / "docs"
SIGNS = {"pass": "✓", "fail": "✗", "hang": "∞", "not offered": "·"}

HEAD = """\
# Scoreboard

What libraries that share loads do in the cases that our [laws](guarantees.md)
are about. Made by `python -m tox run -e scoreboard`; the cases and the adapters are in
`benchmarks/scoreboard/`, and each case is a few lines that anybody can check.

How to read it. ✓ the library does it. ✗ it does something else. ∞ somebody was left waiting: for
ever, or until a timeout of the library's own, of a minute where there is one. · not offered: the
library has no such feature, or its documentation says that it does not do this; that counts neither
way. A ✗ says what happens, not that a promise was broken: few libraries promise anything for most
of these cases, and the laws are ours. We wrote the cases, so that we pass them is no surprise. Each
of them is failed by a library in these tables or by one of those in
`tests/parts/test_conformance.py`, which are what everybody writes first.

The order is that of the ✓. A library for one world only, or one that shares loads and caches
nothing, is offered fewer cases: compare its ✓ with its ✗ and ∞, not with another library's.

Every cell is a process of its own with a time limit. What did not pass ran a second time, and the
second result counts.

![The same as a picture](scoreboard.svg)
"""


@dataclass(frozen=True)
class Result:
    verdict: str
    reason: str = ""


@dataclass(frozen=True)
class Scores:
    libraries: Sequence[Library]
    absent: dict[str, str]
    """Who should have taken part, and why they did not."""
    cases: Sequence[Case]
    cells: dict[tuple[str, str, str], Result]
    """By library, world and case; what is not offered is not in it."""

    def verdict(self, library: Library, world: str, case: Case) -> str:
        cell = self.cells.get((library.distribution, world, case.name))
        return cell.verdict if cell else "not offered"

    def totals(self, library: Library) -> Counter[str]:
        rows = [(world, case) for case in self.cases for world in case.worlds]
        return Counter(self.verdict(library, world, case) for world, case in rows)

    def ranked(self, world: str | None = None) -> list[Library]:
        """By passes, the most first; of one world: those that take part there."""
        taking_part = [x for x in self.libraries if world is None or getattr(x, world) is not None]
        return sorted(taking_part, key=lambda x: (-self.totals(x)["pass"], x.distribution))


def installed(kinds: Iterable[type[Library]]) -> tuple[list[Library], dict[str, str]]:
    present, absent = [], {}
    for kind in kinds:
        library = kind()
        world = next(world for world in WORLDS if getattr(library, world) is not None)
        try:
            library.make(_load if world == "threads" else _load_async, world, Options())
        except Exception as error:
            absent[library.distribution] = f"{type(error).__name__}: {error}"
        else:
            present.append(library)
    return present, absent


def _load(key: str) -> str:
    return key


async def _load_async(key: str) -> str:
    return key


def version_of(library: Library) -> str:
    try:
        return version(library.distribution)
    except PackageNotFoundError:
        return "from the source tree"


def surroundings() -> str:
    date = datetime.now(timezone.utc).date().isoformat()
    return f"{platform.python_implementation()} {platform.python_version()}, {date}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def markdown(scores: Scores) -> str:
    lines = [HEAD]
    rows = []
    for library in scores.ranked():
        totals = scores.totals(library)
        counts = [str(totals[verdict]) for verdict in SIGNS]
        name, usage = library.distribution, f"`{library.usage}`"
        rows.append([name, version_of(library), usage, *counts, library.note])
    both = sum(len(case.worlds) == len(WORLDS) for case in scores.cases)
    cases = f"{len(scores.cases)} cases, {both} of them both with threads and with asyncio"
    lines += [f"{surroundings()}; {cases}.", ""]
    lines += table(["library", "version", "used as", *SIGNS.values(), "note"], rows)
    lines += [f"{name} did not take part: {why}." for name, why in scores.absent.items()]
    for world in WORLDS:
        libraries = scores.ranked(world)
        lines += [f"## {world}", ""]
        head = ["case", *(library.distribution for library in libraries)]
        lines += table(
            head,
            (
                [case.title, *(SIGNS[scores.verdict(x, world, case)] for x in libraries)]
                for case in scores.cases
                if world in case.worlds
            ),
        )
    lines += ["## Why it matters", ""]
    lines += table(
        ["law", "case", "name", "why you would care"],
        ([str(c.law), c.title, f"`{c.name}`", c.why] for c in scores.cases),
    )
    lines += ["## What was seen instead", ""]
    for library in scores.ranked():
        seen = [
            f"- {world}, `{name}`{' hangs' if result.verdict == 'hang' else ''}: {escaped(result)}"
            for (who, world, name), result in scores.cells.items()
            if who == library.distribution and result.verdict != "pass"
        ]
        if seen:
            lines += [f"<details><summary>{library.distribution}</summary>", "", *seen, ""]
            lines += ["</details>", ""]
    return "\n".join(lines).rstrip() + "\n"


def escaped(result: Result) -> str:
    return result.reason.replace("<", "&lt;").replace("|", "\\|") or "no reason given"
