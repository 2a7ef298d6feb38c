"""The measurement of hit ratios: every trace is played, loads are counted, like meets like."""

from __future__ import annotations

import json
import lzma
import sys
from array import array
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import hit_ratio
import traces
from hit_page import OURS, Cell, Row, draw, page, ratios
from hit_ratio import SLOTS, measure, play


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "all.json").read_text("utf-8"))["rows"]
    return rows


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, if a short one, with two traces in a folder besides those that are made."""
    out, given = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("given")
    for name, keys in {"loop": list(range(60)) * 5, "few": [1, 2, 70_000, 1, 2, 70_000]}.items():
        numbers = array("I", keys)
        if sys.byteorder == "big":
            numbers.byteswap()
        (given / f"{name}.bin.xz").write_bytes(lzma.compress(numbers.tobytes()))
    with pytest.MonkeyPatch.context() as patch:
        # The others are not installed where the tests run.
        ours_and_lru = {name: hit_ratio.CONTESTANTS[name] for name in (OURS, "LRU")}
        patch.setattr(hit_ratio, "CONTESTANTS", ours_and_lru)
        options = ["--quick", "--traces", given, "--json", out / "all.json", "--out", out]
        assert hit_ratio.main([str(option) for option in options]) == 0
    return out


def test_there_is_a_row_for_every_trace_and_size(quick: Path) -> None:
    expected = {(trace, n) for trace in (*traces.TRACES, "few", "loop") for n in SLOTS}
    rows = rows_of(quick)
    assert {(row["trace"], row["slots"]) for row in rows} == expected
    assert len(rows) == len(expected) == 18 * 3
    assert all(list(row["cells"]) == [OURS, "LRU"] for row in rows)


def test_the_page_has_every_row_too(quick: Path) -> None:
    text = (quick / "hit-ratio.md").read_text("utf-8")
    for trace in (*traces.TRACES, "few", "loop"):
        assert text.count(f"\n| {trace} | ") == len(SLOTS)


def test_given_traces_are_read(quick: Path) -> None:
    misses = {
        (row["trace"], row["slots"]): (row["calls"], row["cells"]["LRU"]["misses"])
        for row in rows_of(quick)
    }
    assert misses["few", 50] == (6, 3)
    assert misses["loop", 50] == (300, 300)  # larger than the cache: LRU misses every call
    assert misses["loop", 200] == (300, 60)


def test_the_picture_has_a_line_for_every_trace(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    cells = {OURS: Cell(1, 50, 1, 1), "LRU": Cell(2, 50, 1, 1)}
    draw(
        [Row(t, n, 9, cells) for t in traces.TRACES for n in SLOTS], list(cells), tmp_path / "a.svg"
    )
    text = (tmp_path / "a.svg").read_text("utf-8")
    assert all(f">{trace}</text>" in text for trace in traces.TRACES)


@pytest.mark.parametrize("title", traces.TRACES)
def test_a_trace_is_the_same_each_time(title: str) -> None:
    again = traces.synthetic(1_000)
    assert len(again) == 16
    assert traces.synthetic(1_000)[title] == again[title]
    assert len(again[title]) == 1_000


def test_each_trace_has_dice_of_its_own() -> None:
    """So that it stays as it is where another one is changed."""
    alone = dict(islice(traces.TRACES.items(), 2))
    with pytest.MonkeyPatch.context() as patch:
        whole = traces.synthetic(1_000)
        patch.setattr(traces, "TRACES", alone)
        assert traces.synthetic(1_000).items() <= whole.items()


def test_loads_are_counted_and_values_that_are_alive() -> None:
    assert play(lru_cache(10), [*range(20), *range(10, 20)] * 2).misses == 20 + 10 + 10
    assert play(lru_cache(10), range(100)).alive == 10


class Hoarder:
    """A cache that keeps more than it was told to, the oldest of which goes first."""

    def __init__(self, maxsize: int, more: Callable[[int], int]) -> None:
        self.kept: deque[tuple[int, Any]] = deque(maxlen=more(maxsize))

    def __call__(self, load: Callable[[int], Any]) -> Callable[[int], Any]:
        def call(key: int) -> Any:
            for known, value in self.kept:
                if known == key:
                    return value
            value = load(key)
            self.kept.append((key, value))
            return value

        return call


@pytest.mark.parametrize(
    ("more", "maxsize"),
    [
        pytest.param(lambda n: n, 20, id="as-many-as-told"),
        pytest.param(lambda n: n + 7, 13, id="some-more"),
        pytest.param(lambda n: n * 2, 10, id="twice-as-many"),
    ],
)
def test_who_keeps_more_gets_less_room(more: Callable[[int], int], maxsize: int) -> None:
    cell = measure(lambda n: Hoarder(n, more), list(range(25)) * 8, 20, runs=1)
    assert cell.maxsize == maxsize
    assert cell.alive == 1
    assert cell.kept == min(25, more(20)) / 20
    assert cell.misses == 200  # where everything fits, it is 25


def test_who_is_never_full_keeps_its_room() -> None:
    cell = measure(lambda n: lru_cache(n), list(range(25)) * 8, 50, runs=3)
    assert (cell.maxsize, cell.misses) == (50, 25)


def row(trace: str, ours: int, **others: int) -> Row:
    cells = {OURS: ours, **others}
    return Row(trace, 50, 1_000, {name: Cell(misses, 50, 1, 1) for name, misses in cells.items()})


def test_we_are_compared_with_the_best_of_the_others_in_each_row() -> None:
    rows = [row("a", 400, lru=200, moka=800), row("b", 100, lru=500, moka=200)]
    mean, worst = ratios(rows, OURS)
    assert mean == pytest.approx(1)  # twice as many, and half as many
    assert (worst.trace, worst.ratio(OURS)) == ("a", 2)
    assert ratios(rows, "lru")[0] == pytest.approx(2.5**0.5)


def test_the_best_of_a_row_is_bold() -> None:
    about = {"versions": {}, "implementation": "CPython", "python": "3", "date": "today"}
    text = page([row("a", 400, lru=200), row("b", 100, lru=500)], [OURS, "lru"], about)
    assert "| a | 40.0 | **20.0** |" in text
    assert "| b | **10.0** | 50.0 |" in text
