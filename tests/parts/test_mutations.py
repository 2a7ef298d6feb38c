"""What the mutations say of a fault that no longer applies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "mutations"))

from fault import Fault
from faults import FAULTS

SOURCE = """\
LIMIT = 3

if GIL:
    def leave(self):
        return self.gone
else:
    def leave(self):
        return self.left

class Table:
    @property
    def size(self):
        def inner():
            return len(self.flights)
        return inner()

    async def land(self):
        self.wake()
        self.wake()
"""
TEST = """\
@pytest.mark.parametrize("way", ["a", "b"])
def test_it_lands(way):
    pass
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A source with a module in a wing, another one of its name, and a test in a folder."""
    for file, text in {
        "src/soloflight/_wing/_table.py": SOURCE,
        "src/soloflight/demo/_table.py": "def leave(self):\n    return 0\n",
        "tests/wing/test_table.py": TEST,
    }.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def fault(where: str, old: str, new: str = "pass", by: str = "table::it_lands[a]") -> Fault:
    return Fault("mine", where, old, new, "9, no hangs", by)


@pytest.mark.parametrize(
    ("where", "old"),
    [
        ("_table", "LIMIT = 3"),
        ("_table.Table", "    @property\n"),
        ("_table.Table.size", "@property"),
        ("_table.Table.size.inner", "len(self.flights)"),
        ("_table.Table.land", "    async def land(self):\n        self.wake()\n"),
        ("_table.leave", "self.left"),
        ("_table.leave", "return 0"),
    ],
)
def test_a_fault_is_put_into_the_definition_that_it_names(root: Path, where: str, old: str) -> None:
    mine = fault(where, old)
    path, faulty = mine.applied(root)
    assert faulty == path.read_text(encoding="utf-8").replace(old, "pass")
    assert mine.test(root) == "tests/wing/test_table.py::test_it_lands[a]"
    assert list(mine.problems(root)) == []


@pytest.mark.parametrize(
    ("mine", "problem"),
    [
        (
            fault("_tabel.Table", "LIMIT = 3"),
            "there is no _tabel.Table; the text is in _table now, so name that",
        ),
        (
            fault("_table.Table.gone", "len(self.flights)"),
            "there is no _table.Table.gone; "
            "the text is in _table.Table.size.inner now, so name that",
        ),
        (
            fault("_table.Table.land", "@property"),
            "_table.Table.land does not have its text; "
            "the text is in _table.Table.size now, so name that",
        ),
        (
            fault("_table.Table.land", "self.ring()"),
            "_table.Table.land does not have its text; "
            "the text is nowhere else, so write the fault anew, or delete it",
        ),
        (
            fault("_table.Table.land", "self.wake()"),
            "_table.Table.land has its text 2 times; add to the text",
        ),
        (
            fault("_table.leave", "def leave(self)"),
            "_table.leave has its text 3 times; add to the text",
        ),
        (
            fault("_table", "LIMIT = 3", "LIMIT = 3"),
            "its text is replaced by itself; say what is wrong with it",
        ),
        (
            fault("_table", "LIMIT = 3", by="table::it_took_off"),
            "there are 0 tests test_table.test_it_took_off, not one; name another in `by`",
        ),
    ],
)
def test_a_fault_that_no_longer_applies_says_what_to_do(
    root: Path, mine: Fault, problem: str
) -> None:
    assert list(mine.problems(root)) == [f"mine: {problem}"]


def test_every_fault_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in FAULTS]
    assert sorted(set(names)) == sorted(names)
