"""The house: imports point one way, and the root shows all that is public."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import soloflight

HOUSE = Path(soloflight.__file__).parent
ROOMS = {path.stem for path in HOUSE.glob("*.py")} - {"__init__", "__main__"}


def imports(room: str) -> set[str]:
    """The modules that a module imports; ours without the package's name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((HOUSE / f"{room}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return found


def test_imports_point_one_way() -> None:
    left = {room: imports(room) & ROOMS for room in ROOMS}
    while left:
        free = {room for room, needs in left.items() if not needs & left.keys()}
        assert free, f"these import each other: {left}"
        left = {room: needs for room, needs in left.items() if room not in free}


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("asyncio", {"_loaders", "_tasks", "_task_loads", "_waits"}),
        ("wrapt", {"_function"}),
        ("cachetools", {"_caches"}),
    ],
)
def test_a_library_is_imported_in_one_room(library: str, rooms: set[str]) -> None:
    assert {room for room in ROOMS if library in imports(room)} == rooms


PURE = {"_outcome", "_durations", "_entry", "_policy", "exceptions", "_shown", "_stats"}


@pytest.mark.parametrize("room", sorted(PURE))
def test_pure_rooms_know_nothing_of_flights(room: str) -> None:
    assert imports(room) & ROOMS <= PURE


def test_the_root_shows_all_that_is_public() -> None:
    assert list(soloflight.__all__) == sorted(soloflight.__all__)
    assert all(hasattr(soloflight, name) for name in soloflight.__all__)


def test_the_library_needs_nothing_of_the_demo() -> None:
    check = "import soloflight, sys; assert not {'rich', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
