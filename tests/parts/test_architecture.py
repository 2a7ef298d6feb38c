"""The house: imports point one way, and the root shows all that is public."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import soloflight
from soloflight._flights.flight import Flight

HOUSE = Path(soloflight.__file__).parent
WINGS = ("_calls", "_worlds", "_sources", "_tiers", "_flights", "_entries")
"""From the top down: each imports what stands below it, and the ground, which is at the root."""
PUBLIC = {"__init__", "__main__", "_decorators", "_registry", "group", "tiers"}
"""At the root as well, and above all the wings."""
ANNEXES = ("testing", "contrib")
"""Packages for some, above all of it."""


def _rooms() -> dict[str, Path]:
    """The modules of the library, by their names below the package."""
    paths = [
        *HOUSE.glob("*.py"),
        *(path for wing in (*WINGS, *ANNEXES) for path in (HOUSE / wing).glob("*.py")),
    ]
    return {".".join(path.relative_to(HOUSE).with_suffix("").parts): path for path in paths}


ROOMS = _rooms()


def floor(room: str) -> int:
    """How high a room is: the ground is 0."""
    wing, dot, _ = room.partition(".")
    if wing in ANNEXES:
        return len(WINGS) + 2
    if dot:
        return len(WINGS) - WINGS.index(wing)
    return len(WINGS) + 1 if room in PUBLIC else 0


def imports(room: str) -> set[str]:
    """The modules that a room imports: ours by their names below the package, others by theirs."""
    found: set[str] = set()
    wing = room.rpartition(".")[0]
    for node in ast.walk(ast.parse(ROOMS[room].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = wing if node.level == 1 else ""
            module = ".".join(filter(None, [base, node.module or ""]))
            names = {".".join(filter(None, [module, alias.name])) for alias in node.names}
            found |= {name if name in ROOMS else module for name in names}
    return found


def test_every_room_is_in_a_wing_or_on_the_ground() -> None:
    folders = {path.parent.relative_to(HOUSE).parts[:1] for path in HOUSE.rglob("*.py")}
    assert {name for (name,) in filter(None, folders)} == {*WINGS, *ANNEXES, "demo"}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_go_down(room: str) -> None:
    """Never up; nor across, but within a wing."""
    for other in imports(room) & ROOMS.keys():
        within = "." in room and room.partition(".")[0] == other.partition(".")[0]
        beside = floor(room) == floor(other) and "." not in room + other
        assert within or beside or floor(other) < floor(room), f"{room} imports {other}"


def test_imports_within_a_wing_point_one_way() -> None:
    left = {room: imports(room) & ROOMS.keys() for room in ROOMS}
    while left:
        free = {room for room, needs in left.items() if not needs & left.keys()}
        assert free, f"these import each other: {left}"
        left = {room: needs for room, needs in left.items() if room not in free}


LOOPS = {"_tiers.bells", "_tiers.host", "_tiers.loops", "_tiers.redis", "_tiers.tier"}
"""The rooms of the tiers that know event loops."""


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        (
            "asyncio",
            {
                "_clock",
                "_calls.loaders",
                "testing._clocks",
                "testing._herd",
                "testing._hold",
                "testing._left",
                "_worlds.tasks",
                "_worlds.task_loads",
                "_runners",
                *LOOPS,
            },
        ),
        ("sqlite3", {"_tiers.database", "_tiers.host"}),
        ("fcntl", {"_tiers.ofd"}),
        ("wrapt", {"_calls.function"}),
        ("cachetools", {"_entries.caches", "_entries.sieve_cache"}),
        ("msgspec", {"_tiers.codec"}),
        ("redis", {"_tiers.clients"}),
        ("pickle", {"_tiers.codec"}),
    ],
)
def test_a_library_is_imported_where_it_is_needed(library: str, rooms: set[str]) -> None:
    assert {room for room in ROOMS if library in imports(room)} == rooms


def test_only_the_table_writes_the_fields_of_a_flight() -> None:
    """Nobody else does, but who makes one (and `__str__`, which keeps its words)."""
    fields = {*Flight.__slots__} - {"__weakref__"}
    names = {"flight", "mine", "other", "ticket"}
    for room, path in ROOMS.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load):
                continue
            writes = isinstance(node.value, ast.Name) and node.value.id in names
            if writes and node.attr in fields:
                made = room == "_flights.flight"
                assert made or room == "_flights.table", f"{room}:{node.lineno} writes .{node.attr}"


def _docs(node: ast.AST) -> int:
    """The lines of a docstring."""
    body = getattr(node, "body", None)
    first = body[0] if isinstance(body, list) and body else None
    said = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    lines = first.end_lineno - first.lineno + 1 if said else 0  # type: ignore[operator, union-attr]
    return lines if said and isinstance(first.value.value, str) else 0  # type: ignore[union-attr]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_rooms_and_functions_are_small(room: str) -> None:
    """Docstrings apart. The whole protocol stands in one file."""
    text = ROOMS[room].read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    most = 400 if room == "_flights.table" else 300
    assert len(text.splitlines()) - sum(map(_docs, nodes)) <= most
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1 - _docs(node)  # type: ignore[operator]
            assert lines <= 60, f"{node.name}: {lines}"


def test_the_root_shows_all_that_is_public() -> None:
    assert list(soloflight.__all__) == sorted(soloflight.__all__)
    assert all(hasattr(soloflight, name) for name in soloflight.__all__)


def test_the_library_needs_nothing_of_the_demo() -> None:
    check = "import soloflight, sys; assert not {'rich', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
