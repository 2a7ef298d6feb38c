"""What the tests share: fixtures, a look at what is left behind, and all that `meeting` has."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Generator, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import meeting
from meeting import (  # noqa: F401
    KINDS,
    PATIENCE,
    Acting,
    AsyncGate,
    Boom,
    Caller,
    Clock,
    Gate,
    failure,
    herd,
    in_child,
    in_loop,
    in_mid_change,
    in_tasks,
    in_threads,
    in_ttl_cache,
    logged,
    numbers,
    storing,
    succeeds,
    until,
    until_async,
    waiters,
)
from soloflight import _locks
from soloflight._entries import policy
from soloflight._flights import flight as _flight
from soloflight._flights import table as _table
from soloflight._flights import waits
from soloflight._flights.flight import Flight
from soloflight._flights.table import FlightTable
from soloflight._flights.waits import Edge
from soloflight._outcome import GIL
from soloflight._runners import me
from soloflight._sources.direct import Loaded
from soloflight._worlds import task_loads
from soloflight._worlds.task_loads import TaskLoad
from soloflight._worlds.tasks import LoopWaiters
from soloflight._worlds.thread_loads import ThreadLoad
from soloflight._worlds.threads import ThreadWaiters


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true", help="the test bench in full: minutes, not seconds"
    )
    parser.addoption(
        "--short",
        action="store_true",
        help="of what is tried line by line, or at random, a sixth: on each Python another one",
    )
    parser.addoption("--seed", type=int, help="the only one for tests that have many")


def pytest_configure(config: pytest.Config) -> None:
    meeting.share = meeting.SHARES if config.getoption("--short") else 1


@pytest.fixture
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether a test that could go on for ever may take minutes."""
    return bool(request.config.getoption("--thorough"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Whose cache a function gets: a test that asks for it, or for `cached`, is run on both."""
    return str(request.param)


@pytest.fixture
def cached(kind: str) -> Callable[..., Any]:
    """`cached_singleflight`, with the default cache and with one that is given."""
    return KINDS[kind]


def follows_late(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """From now on, something happens between finding a flight and boarding it."""
    locked = _locks.locked

    def late(lock: Any, section: Any, *args: Any) -> Any:
        if section.__name__ == "_follow":
            meanwhile()
        return locked(lock, section, *args)

    monkeypatch.setattr(_table, "locked", late)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


@pytest.fixture
def clock() -> Clock:
    return Clock()


HIGHEST = 1 - 2**-53
"""The highest that `random.random` gets."""


@pytest.fixture
def die(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Say what the dice of freshness show from now on: 0 to `HIGHEST`."""
    return lambda number: monkeypatch.setattr(policy, "random", lambda: number)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def one() -> Iterator[ThreadPoolExecutor]:
    """An executor with one thread."""
    with ThreadPoolExecutor(1, "mine") as executor:
        yield executor


@pytest.fixture(params=["threads", "tasks"])
def world(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A test that asks for it is run in the world of threads, and in that of tasks."""
    import both_worlds  # it uses this module

    with both_worlds.opened(request.param) as world:
        yield world


@pytest.fixture(autouse=True, scope="module")
def only_of_this_module() -> None:
    """What was imported, and what pytest keeps, need not be looked through after each test."""
    gc.collect()
    gc.freeze()


def ticket(key: Hashable) -> Flight:
    """One of a call of this thread."""
    return _flight.ticket(key, "f", me.local.thread)


def loaded(value: Any, entry: Any = None) -> Loaded:
    """What a load lands with that has brought a value."""
    landing = Loaded()
    landing.value, landing.entry, landing.took = value, entry, 0.0
    return landing


OF_FLIGHTS = (Flight, Edge, ThreadWaiters, LoopWaiters, TaskLoad, ThreadLoad)


def in_progress() -> bool:
    """Whether there is a flight, somebody who waits for one, or a load."""
    tables, edges = _locks.tables(), waits._waiting.values()
    return (
        any(table.flights for table in tables if isinstance(table, FlightTable))
        or any(edge() for edge in edges)
        or bool(task_loads.loads)
    )


def of_flights() -> list[Any]:
    """What was made for flights and is still there; what waits for a `Group.submit` as well."""
    return [thing for thing in gc.get_objects() if isinstance(thing, OF_FLIGHTS)]


def until_gone(there: Callable[[], object]) -> None:
    """Wait for the end of what is there. Only where something is, there may be garbage."""

    def gone() -> bool:
        if there():
            gc.collect()
        return not there()

    until(gone)


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    item.stash[FAILED] = report.failed
    return report


@pytest.fixture(autouse=True)
def nothing_left_behind(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Law 8, after every test: no flight, waiter, task or thread, and asyncio logged no error."""
    handled = sys.exc_info()[1]
    yield
    if request.node.stash[FAILED]:
        return  # a failure that is told holds frames
    # Where a trace function raises between two instructions that end an `except`, CPython never
    # leaves it, and all that this thread calls from then on is inside it.
    assert sys.exc_info()[1] is handled, "still inside an `except`: interrupt a thread of its own"
    told = [record.name for record in caplog.get_records("call") if record.levelname == "ERROR"]
    caplog.get_records("call").clear()  # an exception holds its traceback, and that its frames
    until_gone(in_progress)
    gc.collect()
    if GIL:  # CPython 3.13 without it keeps functions, and all that they refer to, for ever
        until_gone(of_flights)
    told += [record.name for record in caplog.records]  # what the collection brought about
    assert "asyncio" not in told
