"""docs/develop.md is right about where things are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import soloflight

sys.path.append(str(Path(__file__).parents[1] / "mutations"))

from fault import files, find

ROOT = Path(__file__).parents[2]
HOUSE = Path(soloflight.__file__).parent
TEXT = (ROOT / "docs/develop.md").read_text(encoding="utf-8")
FOLDERS = (HOUSE, ROOT / "tests", ROOT / "benchmarks/scoreboard")

ROOMS = sorted(
    path.relative_to(HOUSE).with_suffix("").as_posix().replace("/__init__", "/")
    for path in HOUSE.rglob("*.py")
)
MAP = TEXT.partition("## The rooms")[2].partition("### The layers")[0]
CODE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
PATHS = {code for code in CODE if re.match(r"(tests|benchmarks|src|docs)/[\w./]+$", code)}
NAMES = {
    code
    for code in CODE
    if re.match(r"\w+(\.\w+)+$", code) and any(code.partition(".")[0] in files(f) for f in FOLDERS)
}


def test_the_map_has_every_room_once() -> None:
    assert sorted(re.findall(r"^\| `([\w/]+)` \|", MAP, re.MULTILINE)) == ROOMS


@pytest.mark.parametrize("path", sorted(PATHS))
def test_what_it_sends_one_to_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_what_it_names_is_there(name: str) -> None:
    assert any(find(folder, name) for folder in FOLDERS), f"there is no {name}"
