"""The two worlds that a function may live in; what holds in both is tested once.

In the world of threads a loader is a plain function, in that of tasks an ``async def``, whose event
loop runs in a thread of its own. The test stands outside of either.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from conftest import PATIENCE, Boom, Caller, Gate, until
from soloflight import cached_singleflight


class Origin:
    """What a loader loads from: it numbers its loads, and can hold them."""

    def __init__(self) -> None:
        self.loads = 0
        self.answer: Callable[[int], Any] = lambda number: number
        self.gates: list[Gate] = []
        self._gate: Gate | None = None
        self._lock = threading.Lock()

    def hold(self) -> Gate:
        """Hold the loads that begin from now on, until the gate is opened."""
        self._gate = Gate()
        self.gates.append(self._gate)
        return self._gate

    def free(self) -> None:
        """Loads that begin from now on are not held."""
        self._gate = None

    def fail(self, error: Callable[[int], Exception] = Boom) -> None:
        def answer(number: int) -> Any:
            raise error(number)

        self.answer = answer

    def recover(self) -> None:
        self.answer = lambda number: number

    def _begin(self) -> tuple[int, Gate | None]:
        with self._lock:
            self.loads += 1
            return self.loads, self._gate

    def load(self) -> Any:
        number, gate = self._begin()
        if gate is not None:
            gate()
        return self.answer(number)

    async def load_in_task(self) -> Any:
        number, gate = self._begin()
        if gate is not None:
            await gate.in_task()
        return self.answer(number)


class World:
    name: str

    def __init__(self) -> None:
        self._origins: list[Origin] = []

    def end(self) -> None:
        """What was held goes on."""
        for origin in self._origins:
            for gate in origin.gates:
                gate.open()

    def origin(self) -> Origin:
        self._origins.append(Origin())
        return self._origins[-1]

    def cached(self, origin: Origin, **options: Any) -> Any:
        """A cached ``load(key="k")``."""
        return cached_singleflight(**options)(self.loader(origin))

    def aged(self, age: float, *, put: Any = None, **options: Any) -> tuple[Origin, Any]:
        """An origin, and a cached ``load`` of it whose value is so many seconds old.

        That is 1, as it was loaded, or what was put.
        """
        origin = self.origin()
        load = self.cached(origin, **options)
        if put is None:
            assert self.call(load) == 1
        else:
            load.put(put)
        options["timer"].advance(age)
        return origin, load

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The value of a call, or its exception."""
        raise NotImplementedError

    def start(self, function: Callable[..., Any], *args: Any) -> Any:
        """The same as another caller, whose ``result()`` can be waited for."""
        raise NotImplementedError

    def aboard(self, number: int, function: Any) -> list[Any]:
        """So many callers of one load: one leads, where none is under way, and the rest wait."""
        followers = number if function.in_flight() else number - 1
        joined = function.stats().joined + followers
        callers = [self.start(function) for _ in range(number)]
        until(lambda: function.stats().joined == joined)
        return callers

    def loader(self, origin: Origin) -> Callable[..., Any]:
        raise NotImplementedError

    def repository(self, origin: Origin, **options: Any) -> Any:
        """A class with a cached method ``get(key="k")``."""
        raise NotImplementedError


class Threads(World):
    name = "threads"

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def start(self, function: Callable[..., Any], *args: Any) -> Caller:
        return Caller(function, *args)

    def loader(self, origin: Origin) -> Callable[..., Any]:
        def load(key: str = "k") -> Any:
            return origin.load()

        return load

    def repository(self, origin: Origin, **options: Any) -> Any:
        class Repository:
            @cached_singleflight(**options)
            def get(self, key: str = "k") -> Any:
                return origin.load()

        return Repository


class TaskCaller:
    """One call in a task of its own."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def result(self) -> Any:
        return self._future.result(PATIENCE)

    def leave(self) -> None:
        self._future.cancel()


class Tasks(World):
    name = "tasks"

    def __init__(self) -> None:
        super().__init__()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Caller(lambda: asyncio.run(self._run()))
        until(lambda: self._loop)

    async def _run(self) -> None:
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        await self._over.wait()

    def end(self) -> None:
        super().end()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.result()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.start(function, *args).result()

    def start(self, function: Callable[..., Any], *args: Any) -> TaskCaller:
        assert self._loop is not None
        return TaskCaller(asyncio.run_coroutine_threadsafe(function(*args), self._loop))

    def loader(self, origin: Origin) -> Callable[..., Any]:
        async def load(key: str = "k") -> Any:
            return await origin.load_in_task()

        return load

    def repository(self, origin: Origin, **options: Any) -> Any:
        class Repository:
            @cached_singleflight(**options)
            async def get(self, key: str = "k") -> Any:
                return await origin.load_in_task()

        return Repository


@contextmanager
def opened(name: str) -> Iterator[World]:
    """The world of that name, until a test is over."""
    world = Threads() if name == "threads" else Tasks()
    try:
        yield world
    finally:
        world.end()


def landed(function: Any) -> None:
    """Wait until no load of a function is in progress."""
    until(lambda: not function.in_flight())


def counted(function: Any) -> dict[str, float]:
    """What of its stats is not zero, but for the number of loads, which an origin knows."""
    counts = asdict(function.stats())
    return {name: count for name, count in counts.items() if count and name != "loads"}
