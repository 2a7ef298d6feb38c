"""docs/operating.md: the list of log records is complete, and what else it says of them holds."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conftest import Boom, Clock
from soloflight import cached_singleflight

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operating.md"
SOURCE = ROOT / "src/soloflight"

LOGGERS = {"_locks": "soloflight", "tier": "soloflight.tier"}
"""The rooms that have a `log`, which others import from there."""
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
GAP = "\0"
"""What stands for a part of a text that is known only when it is logged."""


class Record(NamedTuple):
    logger: str
    level: str
    text: str  # with gaps

    def is_shown_as(self, shown: str) -> bool:
        parts = map(re.escape, self.text.split(GAP))
        return re.fullmatch(".+?".join(parts), shown) is not None


class Room(ast.NodeVisitor):
    """What one file logs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.name = path.stem
        self.imported = {
            alias.asname or alias.name: (node.module or "").rpartition(".")[2]
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    def calls(self) -> Iterator[tuple[str, str, ast.expr]]:
        """What is called with a text: the logger, how, and that text."""
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Call):
                continue
            called, args = node.func, node.args
            if self._name(called) == "partial" and args:  # partial(log.warning, text, ...)
                called, args = args[0], args[1:]
            if isinstance(called, ast.Attribute) and self._name(called.value) in ("log", "logging"):
                if called.attr in LEVELS:
                    yield LOGGERS[self.imported.get("log", self.name)], called.attr, args[0]
            elif self._name(called) == "tell" and "_locks" in (
                self.imported.get("tell"),
                self.name,
            ):
                yield "soloflight", "warning", args[0]
            elif isinstance(called, ast.Attribute) and called.attr == "tell_once":
                yield "soloflight", "tell_once", args[0]

    @staticmethod
    def _name(node: ast.expr) -> str:
        return node.id if isinstance(node, ast.Name) else ""

    def texts(self, node: ast.expr) -> list[str]:
        """The texts that an expression may be; none, where that cannot be seen here."""
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        if isinstance(node, ast.JoinedStr):
            values = node.values
            return ["".join(str(v.value) if isinstance(v, ast.Constant) else GAP for v in values)]
        if isinstance(node, ast.Name):
            return [
                text
                for assigned in ast.walk(self.tree)
                if isinstance(assigned, ast.Assign)
                and any(self._name(target) == node.id for target in assigned.targets)
                and isinstance(assigned.value, (ast.Constant, ast.JoinedStr))
                for text in self.texts(assigned.value)
                if text
            ]
        return []


ROOMS = [Room(path) for path in sorted(SOURCE.rglob("*.py"))]

SEEN_ELSEWHERE = {
    ("_locks", "text"): "what was given to `tell`",
}
"""Texts that are no constants where they are logged."""


def records() -> list[Record]:
    """All that may be logged."""
    found = []
    for room in ROOMS:
        for logger, how, given in room.calls():
            texts = room.texts(given)
            if not texts:
                where = (room.name, ast.unparse(given))
                assert where in SEEN_ELSEWHERE, (
                    f"what is logged in {where}? This test cannot see it"
                )
            found += [made(logger, how, text) for text in texts]
    return found


def made(logger: str, how: str, text: str) -> Record:
    text = text.replace("%s", GAP)
    if how == "tell_once":
        return Record(logger, "warning", ONCE.replace(GAP, text).replace("%s", GAP))
    return Record(logger, how, text)


ONCE = f"%s: {GAP} (no further warnings)"
"""What `Ledger.tell_once` makes of a text."""

RECORDS = [record for record in records() if record.text != ONCE.replace("%s", GAP)]


def on_the_page() -> dict[str, list[str]]:
    """The records on the page, by logger."""
    found: dict[str, list[str]] = {}
    logger = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = re.fullmatch(r"### By `(.+)`", line)
            logger = heading[1] if heading else ""
        elif logger and (row := re.match(r"\| `(.+?)` \|", line)):
            found.setdefault(logger, []).append(row[1])
    return found


def test_records_are_found() -> None:
    assert len(RECORDS) > 15
    assert {record.logger for record in RECORDS} == {"soloflight", "soloflight.tier"}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.text.replace(GAP, "_")[:60])
def test_what_may_be_logged_is_on_the_page(record: Record) -> None:
    shown = [text for text in on_the_page()[record.logger] if record.is_shown_as(text)]
    assert len(shown) == 1, f"on {PAGE.name}: {record.text!r}"
    assert record.level == "warning"  # as the page says of all of them


def test_what_is_on_the_page_may_be_logged() -> None:
    shown = [(logger, text) for logger, texts in on_the_page().items() for text in texts]
    for logger, text in shown:
        assert any(one.logger == logger and one.is_shown_as(text) for one in RECORDS), text
    assert len(shown) == len(RECORDS)


# What else is said of them


@pytest.fixture
def failing(clock: Clock) -> Any:
    """A function that has old values, and fails for the keys in ``failing.down``."""
    down: set[str] = set()

    @cached_singleflight(ttl=60, stale_if_error=600, retry_after=(1, 1), timer=clock, name="load")
    def load(key: str) -> float:
        if key in down:
            raise Boom(key)
        return clock()

    load.down = down
    load("a"), load("b")
    clock.advance(61)
    return load


def test_an_outage_is_logged_once_and_its_end(
    failing: Any, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    failing.down |= {"a", "b"}
    for _ in range(3):
        failing("a"), failing("b")
        clock.advance(1)
    failing.down.clear()
    failing("a"), failing("b")
    assert caplog.messages == [
        "load['a']: a reload failed",
        "load: loads succeed again; 5 more reloads had failed",
    ]


def test_the_end_is_not_logged_where_one_reload_failed(
    failing: Any, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    failing.down.add("a")
    failing("a")
    failing.down.clear()
    clock.advance(1)
    failing("a")
    assert caplog.messages == ["load['a']: a reload failed"]


def test_where_others_load_each_attempt_of_a_key_that_fails_is_logged(
    failing: Any, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    failing.down.add("a")
    for other in ("b", "c", "d"):
        for _ in range(10):
            failing("a")  # one attempt, and the next one has to wait
        failing(other)
        clock.advance(1)
    assert caplog.messages == ["load['a']: a reload failed"] * 3


def test_an_error_that_reaches_the_callers_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @cached_singleflight(ttl=60, stale_if_error=600)
    def load() -> None:
        raise Boom

    with pytest.raises(Boom):
        load()
    assert not caplog.records


def test_without_a_configuration_python_prints_them(
    failing: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    failing.down.add("a")
    failing("a")
    assert capsys.readouterr().err.startswith("load['a']: a reload failed\n")


def test_every_metric_is_on_the_page() -> None:
    prometheus = pytest.importorskip("soloflight.contrib.prometheus")
    shown = set(re.findall(r"`(soloflight_\w+)`", PAGE.read_text(encoding="utf-8")))
    made = {
        sample
        for family in prometheus.Collector().describe()
        for sample in [family.name + ("_total" if family.type == "counter" else "")]
    }
    assert shown == made
