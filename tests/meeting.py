"""What tests and their programs share: a clock, callers in threads, gates. It needs no pytest."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from math import inf
from typing import Any

import cachetools

from soloflight import cached_singleflight
from soloflight._outcome import Error

PATIENCE = 20.0
"""Seconds after which a test that waits for something fails."""

SHARES = 6
"""Into how many parts `--short` divides what is tried one after the other: one for each Python."""

share = 1
"""Of so many things that could be tried one is; 1 or `SHARES`."""


def numbers(stop: int = sys.maxsize) -> range:
    """0, 1, 2, ...: of things to try. With `--short` it is every sixth, on each Python others."""
    return range(sys.version_info.minor % share, stop, share)


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
