"""A fault, and where its text is.

A fault names the definition that it is in, not a file and a line: "_table.FlightTable._off" is in
`_table.py`, in whatever folder that is. There its text occurs exactly once. Where several
definitions have one name (under an `if`, or in two folders), the text decides.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Fault(NamedTuple):
    name: str
    where: str  # "module.Class.function", innermost; "module" for what stands between definitions
    old: str
    new: str
    breaks: str  # which law of the protocol, and what a user would see
    by: str  # the test that is known to kill it: "table::x" is test_x in test_table.py

    def applied(self, root: Path) -> tuple[Path, str]:
        """The file that the fault is in, and its text with the fault."""
        places = find(root / "src/soloflight", self.where)
        if not places:
            raise LookupError(f"there is no {self.where}; {self._advice(root)}")
        counts = [place.text.count(self.old) for place in places]
        if sum(counts) == 0:
            raise LookupError(f"{self.where} does not have its text; {self._advice(root)}")
        if sum(counts) > 1:
            raise LookupError(f"{self.where} has its text {sum(counts)} times; add to the text")
        place = places[counts.index(1)]
        return place.path, place.before + place.text.replace(self.old, self.new) + place.after

    def _advice(self, root: Path) -> str:
        if homes := " or ".join(homes_of(root / "src/soloflight", self.old)):
            return f"the text is in {homes} now, so name that"
        return "the text is nowhere else, so write the fault anew, or delete it"

    def test(self, root: Path) -> str:
        """The test that is known to kill the fault, as pytest names it."""
        file, _, name = self.by.partition("::")
        definition = f"test_{file}.test_{name.partition('[')[0]}"
        places = find(root / "tests", definition)
        if len(places) != 1:
            raise LookupError(
                f"there are {len(places)} tests {definition}, not one; name another in `by`"
            )
        return f"{places[0].path.relative_to(root)}::test_{name}"

    def problems(self, root: Path) -> Iterator[str]:
        """Why the fault no longer applies, and what to do; nothing where it does."""
        if self.old == self.new:
            yield f"{self.name}: its text is replaced by itself; say what is wrong with it"
        for look in (self.applied, self.test):
            try:
                look(root)
            except LookupError as error:
                yield f"{self.name}: {error}"


class Place(NamedTuple):
    """A definition, or a whole module, and what stands round it."""

    path: Path
    before: str
    text: str
    after: str


def find(folder: Path, where: str) -> list[Place]:
    """All that has a dotted name: more than one where it is defined under an `if`."""
    module, _, name = where.partition(".")
    found = []
    for path in files(folder).get(module, ()):
        text = path.read_text(encoding="utf-8")
        for start, end in definitions(text).get(name, ()):
            found.append(Place(path, text[:start], text[start:end], text[end:]))
    return found


def homes_of(folder: Path, old: str) -> Iterator[str]:
    """The innermost definition that has a text, for each file that has it once."""
    for module, paths in files(folder).items():
        for path in paths:
            text = path.read_text(encoding="utf-8")
            if text.count(old) == 1:
                start = text.index(old)
                end = start + len(old)
                spans = [
                    (last - first, name)
                    for name, spans in definitions(text).items()
                    for first, last in spans
                    if first <= start and end <= last
                ]
                yield f"{module}.{min(spans)[1]}".rstrip(".")


@cache
def files(folder: Path) -> dict[str, list[Path]]:
    """The modules of a folder and of those in it, by name."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.py")):
        found.setdefault(path.stem, []).append(path)
    return found


@cache
def definitions(text: str) -> dict[str, list[tuple[int, int]]]:
    """From where to where each definition goes, by its dotted name; "" is the whole module."""
    begins = [0]
    for line in text.split("\n"):
        begins.append(begins[-1] + len(line) + 1)
    found = {"": [(0, len(text))]}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min(part.lineno for part in (child, *child.decorator_list))
                assert child.end_lineno is not None
                name = prefix + child.name
                found.setdefault(name, []).append((begins[first - 1], begins[child.end_lineno]))
                visit(child, f"{name}.")
            elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
                visit(child, prefix)

    visit(ast.parse(text), "")
    return found
