"""What the tests share: a clock to set, callers in threads, a look at what is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from math import inf
from typing import Any

import cachetools
import pytest

from soloflight import _locks, cached_singleflight
from soloflight._entries import policy
from soloflight._flights import flight as _flight
from soloflight._flights import table as _table
from soloflight._flights import waits
from soloflight._flights.flight import Flight
from soloflight._flights.table import FlightTable
from soloflight._flights.waits import Edge
from soloflight._outcome import GIL, Error
from soloflight._runners import me
from soloflight._sources.direct import Loaded
from soloflight._worlds import task_loads
from soloflight._worlds.task_loads import TaskLoad
from soloflight._worlds.tasks import LoopWaiters
from soloflight._worlds.thread_loads import ThreadLoad
from soloflight._worlds.threads import ThreadWaiters

PATIENCE = 20.0
"""Seconds after which a test that waits for something fails."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true", help="the test bench in full: minutes, not seconds"
    )
    parser.addoption("--seed", type=int, help="the only one for tests that have many")


@pytest.fixture
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether a test that could go on for ever may take minutes."""
    return bool(request.config.getoption("--thorough"))


class Boom(Exception):
    """What a loader raises."""


class Clock:
    """A ``timer`` that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Caller(threading.Thread):
    """One call in a thread of its own."""

    def __init__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(daemon=True)
        self._call = call, args, kwargs
        self._value: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        call, args, kwargs = self._call
        try:
            self._value = call(*args, **kwargs)
        except BaseException as error:
            self.error = error

    def result(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive(), "the call hangs"
        if self.error is not None:
            raise self.error
        return self._value


class Gate:
    """Holds a load until the test opens it; knows how often a load arrived."""

    def __init__(self) -> None:
        self.arrivals = 0
        self._arrived = threading.Semaphore(0)
        self._open = threading.Event()

    def __call__(self) -> None:
        self.arrivals += 1
        self._arrived.release()
        assert self._open.wait(PATIENCE), "nobody opened the gate"

    async def in_task(self) -> None:
        self.arrivals += 1
        self._arrived.release()
        await until_async(self._open.is_set)

    def arrived(self) -> None:
        """Wait until one more load has come this far."""
        assert self._arrived.acquire(timeout=PATIENCE), "no load arrived"

    def open(self) -> None:
        self._open.set()


class AsyncGate:
    """Holds a load until the test opens it; knows how often a load arrived."""

    def __init__(self) -> None:
        self.arrivals = 0
        self.open_ = asyncio.Event()

    async def __call__(self) -> None:
        self.arrivals += 1
        await self.open_.wait()

    async def arrived(self, number: int = 1) -> None:
        await until_async(lambda: self.arrivals >= number)

    def open(self) -> None:
        self.open_.set()


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition that another thread brings about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.001)


async def until_async(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.001)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in a loop of its own; what hangs, fails."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def patiently() -> None:
            await asyncio.wait_for(test(*args, **kwargs), PATIENCE)

        asyncio.run(patiently())

    return run


def in_threads(number: int, call: Any, *args: Any) -> list[Caller]:
    return [Caller(call, *args) for _ in range(number)]


def in_tasks(number: int, call: Any, *args: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(call(*args)) for _ in range(number)]


def waiters(function: Any) -> int:
    """How many callers wait for the only flight of a function or group."""
    flights = function.in_flight()
    return int(flights[0].waiters) if flights else 0


def herd(followers: int, load: Any, gate: Gate, *args: Any) -> tuple[Caller, list[Caller]]:
    """A thread that leads a load, which comes to its gate, and so many that follow it."""
    leader = Caller(load, *args)
    gate.arrived()
    callers = in_threads(followers, load, *args)
    until(lambda: waiters(load) == followers)
    return leader, callers


def in_ttl_cache(
    *,
    ttl: Any = 60,
    maxsize: float | None = 1024,
    getsizeof: Callable[[Any], float] | None = None,
    **options: Any,
) -> Any:
    """`cached_singleflight` as it is, but that its cache is given: a `TTLCache`."""
    kept = inf if ttl is None or callable(ttl) else ttl
    kept += max(options.get(stale, 0) for stale in ("stale_while_revalidate", "stale_if_error"))
    cache: Any = cachetools.TTLCache(
        inf if maxsize is None else maxsize,
        kept,
        options.get("timer", time.monotonic),
        None if getsizeof is None else lambda entry: getsizeof(entry.value),
    )
    return cached_singleflight(cache=cache, ttl=ttl, **options)


KINDS: dict[str, Callable[..., Any]] = {"default": cached_singleflight, "given": in_ttl_cache}
"""Decorators: user code runs in the middle of a change of the one cache, and not of the other."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Whose cache a function gets: a test that asks for it, or for `cached`, is run on both."""
    return str(request.param)


@pytest.fixture
def cached(kind: str) -> Callable[..., Any]:
    """`cached_singleflight`, with the default cache and with one that is given."""
    return KINDS[kind]


class Acting(str):
    """A key that does something where it is shown, in the lock, beside one of the same hash."""

    act: Callable[[], object]
    beside: str
    compared = 0

    def __hash__(self) -> int:
        return hash(self.beside)

    def __eq__(self, other: object) -> bool:
        if self is not other:
            self.compared += sys._getframe(1).f_code.co_name == "store"
            if self.compared == 2:  # it was looked for before
                self.compared += 1
                self.act()
        return str.__eq__(self, other)


def storing(kind: str, value: str, act: Callable[[], object], beside: str = "k") -> tuple[Any, Any]:
    """A decorator, and a key: to store a value that is equal to it does something in the lock.

    A given cache runs user code of any kind there. With the default one it is the keys' own: one
    that is there already, `beside` it, has the same hash.
    """
    if kind == "default":
        key = Acting(value)
        key.act, key.beside = act, beside
        return cached_singleflight, key

    def getsizeof(stored: str) -> int:
        if stored == value:
            act()
        return 1

    return partial(in_ttl_cache, getsizeof=getsizeof), value


def in_mid_change(gate: Gate, kind: str) -> tuple[Any, Any, Caller]:
    """A function that has cached "k", and a key that a thread stores: at its gate, in the lock."""
    cached, key = storing(kind, "slow", gate)

    @cached(ttl=60)
    def load(key: str) -> str:
        return key

    load("k")
    slow = Caller(load, key)
    gate.arrived()
    return load, key, slow


def follows_late(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """From now on, something happens between finding a flight and boarding it."""
    locked = _locks.locked

    def late(lock: Any, section: Any, *args: Any) -> Any:
        if section.__name__ == "_follow":
            meanwhile()
        return locked(lock, section, *args)

    monkeypatch.setattr(_table, "locked", late)


def logged(function: Any) -> Any:
    """A decorator of the user's, as there are many."""

    @wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def failure(exception: Exception) -> Error:
    """The outcome of a load that raised."""
    try:
        raise exception
    except Exception as error:
        return Error(error, error.__traceback__)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


def in_child(check: Callable[[], bool]) -> None:
    """Run a check in a forked child, which must end in time with success."""
    child = os.fork()
    if child == 0:
        try:
            ok = check()
        except BaseException:
            ok = False
        os._exit(0 if ok else 1)
    succeeds(child)


def succeeds(child: int) -> None:
    done = threading.Event()
    status: list[int] = []

    def wait() -> None:
        status.append(os.waitpid(child, 0)[1])
        done.set()

    Caller(wait)
    if not done.wait(20):
        os.kill(child, 9)
        raise AssertionError("the child hangs")
    assert status == [0]


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
    logged = [record.name for record in caplog.get_records("call") if record.levelname == "ERROR"]
    caplog.get_records("call").clear()  # an exception holds its traceback, and that its frames
    until_gone(in_progress)
    gc.collect()
    if GIL:  # CPython 3.13 without it keeps functions, and all that they refer to, for ever
        until_gone(of_flights)
    logged += [record.name for record in caplog.records]  # what the collection brought about
    assert "asyncio" not in logged
