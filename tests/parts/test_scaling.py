"""`benchmarks/scaling.py` runs, and its tables and its picture have every row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LIST = """
import json, sys
sys.path.append(sys.argv[1])
import sweeps
print(json.dumps([[panel.of, [sweep.name for sweep in panel.sweeps]] for panel in sweeps.PANELS]))
"""


def run(*arguments: Any) -> str:
    """In a process of its own: modules of the scoreboard have the same names."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a quick run has written what came of it."""
    folder = tmp_path_factory.mktemp("scaling")
    files = ["--markdown", folder / "scaling.md", "--picture", folder / "scaling.svg"]
    run(BENCHMARKS / "scaling.py", "--quick", *files)
    return folder


@pytest.fixture(scope="module")
def panels() -> list[tuple[str, list[str]]]:
    """What grows, and the rows of it."""
    return [(of, names) for of, names in json.loads(run("-c", LIST, BENCHMARKS))]


def test_the_tables_have_every_row(written: Path, panels: list[tuple[str, list[str]]]) -> None:
    text = (written / "scaling.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    titles = [row[0].strip("*") for row in rows if row[0] != "---"]
    assert titles == [title for of, names in panels for title in (of, *names)]
    assert {len(row) for row in rows} == {4}  # two sizes, and how much larger the second cost is


def test_the_picture_names_every_line(written: Path, panels: list[tuple[str, list[str]]]) -> None:
    shown = set(ElementTree.parse(written / "scaling.svg").getroot().itertext())
    assert {name for _, names in panels for name in names} <= shown
