"""The two worlds of the cases: loads that can be held, callers that can be watched.

In the world of threads nothing in a case ever suspends: callers are threads and loads block. In the
world of asyncio callers are tasks and loads are coroutines.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from kit import ASYNCIO, THREADS, Case, Hang, Made, Options

PATIENCE = 4.0
"""Seconds after which somebody who should have been answered is said to hang."""

HERD = 12
"""Callers at once."""


@dataclass(eq=False)
class Caller:
    """One call, and how it ended."""

    ended: bool = False
    value: Any = None
    error: BaseException | None = None
    thread: threading.Thread | None = None
    task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        assert self.task is not None
        self.task.cancel()


@dataclass(eq=False)
class Loads:
    """What a loader has seen."""

    held: frozenset[int]
    """Which loads, counted from 1, wait until `open`."""
    gate: Any  # of threading or of asyncio
    count: int = 0
    cancelled: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)  # guards count

    def begin(self) -> int:
        with self._lock:
            self.count += 1
            return self.count

    def open(self) -> None:
        self.gate.set()


Script = Callable[[int, Any, Any], Any]
"""What a load does: from its number and arguments to its value, or to a coroutine for that."""


def numbered(number: int, key: Any, extra: Any) -> Any:
    return f"{key}/{number}"


class World:
    """What both worlds have in common."""

    name: str

    def __init__(self, library: Any) -> None:
        self.library = library

    def make(self, loader: Any, **options: Any) -> Made:
        made: Made = self.library.make(loader, self.name, Options(**options))
        return made

    def cached(
        self, script: Script = numbered, held: Iterable[int] = (), **options: Any
    ) -> tuple[Loads, Made]:
        """A cached ``load(key="k", extra=0)`` that does what the script says."""
        loads, loader = self.loader(script, frozenset(held))
        return loads, self.make(loader, **options)

    def herd(self, function: Any, *args: Any, size: int = HERD) -> list[Caller]:
        return [self.start(function, *args) for _ in range(size)]

    async def values(self, callers: Iterable[Caller]) -> list[Any]:
        """Wait for all of them; an error of one is raised."""
        callers = list(callers)
        await self.finish(callers)
        for caller in callers:
            if caller.error is not None:
                raise AssertionError(f"a caller got {caller.error!r}") from caller.error
        return [caller.value for caller in callers]

    async def finish(self, callers: Iterable[Caller]) -> None:
        callers = list(callers)
        try:
            await self.until(lambda: all(caller.ended for caller in callers))
        except Hang:
            left = sum(not caller.ended for caller in callers)
            raise Hang(f"{left} of {len(callers)} callers hang") from None

    async def do(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    async def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise Hang("what was waited for did not come")
            await self.pause(0.001)

    async def pass_time(self, seconds: float) -> None:
        """Let a ttl pass: from outside, a library's clock cannot be set."""
        await self.pause(seconds * self.library.pace)

    def loader(self, script: Script, held: frozenset[int]) -> tuple[Loads, Any]: ...
    def start(self, function: Any, *args: Any, **kwargs: Any) -> Caller: ...
    async def settle(self) -> None: ...
    async def pause(self, seconds: float) -> None: ...


class Threads(World):
    name = THREADS

    def __init__(self, library: Any) -> None:
        super().__init__(library)
        self.callers: list[Caller] = []

    def loader(self, script: Script, held: frozenset[int]) -> tuple[Loads, Any]:
        loads = Loads(held, threading.Event())

        def load(key: Any = "k", extra: Any = 0) -> Any:
            number = loads.begin()
            if number in held and not loads.gate.wait(4 * PATIENCE):
                raise AssertionError("nobody opened the gate")
            result = script(number, key, extra)
            return drive(result) if inspect.iscoroutine(result) else result

        return loads, load

    def start(self, function: Any, *args: Any, **kwargs: Any) -> Caller:
        caller = Caller()

        def run() -> None:
            try:
                caller.value = function(*args, **kwargs)
            except BaseException as error:
                caller.error = error
            caller.ended = True

        caller.thread = threading.Thread(target=run, daemon=True)
        self.callers.append(caller)
        caller.thread.start()
        return caller

    async def settle(self) -> None:
        """Wait until every caller has ended or stands still.

        A black box does not tell who waits in it. So we look at the callers' stacks: they have
        settled when none has moved over five looks, or after half a second for those that poll.
        """
        last, still, deadline = None, 0, time.monotonic() + 0.5
        while still < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
            frames = sys._current_frames()
            alive = (c.thread.ident for c in self.callers if c.thread and not c.ended)
            now = [(i, id(f), f.f_lasti) for i in alive if (f := frames.get(i or 0))]
            still = still + 1 if now == last else 0
            last = now
            del frames

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def run(self, case: Case) -> None:
        drive(case.run(self))


class Tasks(World):
    name = ASYNCIO

    def loader(self, script: Script, held: frozenset[int]) -> tuple[Loads, Any]:
        loads = Loads(held, asyncio.Event())

        async def load(key: Any = "k", extra: Any = 0) -> Any:
            number = loads.begin()
            try:
                if number in held:
                    await loads.gate.wait()
            except asyncio.CancelledError:
                loads.cancelled += 1
                raise
            result = script(number, key, extra)
            return await result if inspect.iscoroutine(result) else result

        return loads, load

    def start(self, function: Any, *args: Any, **kwargs: Any) -> Caller:
        caller = Caller()

        async def run() -> None:
            try:
                caller.value = await self.do(function, *args, **kwargs)
            except BaseException as error:
                caller.error = error
            caller.ended = True

        caller.task = asyncio.create_task(run())
        return caller

    async def settle(self) -> None:
        """Wait until every task has run as far as it can: some turns of the loop, and a moment
        for those that poll or hop through a thread."""
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def run(self, case: Case) -> None:
        asyncio.run(case.run(self))


WORLDS: dict[str, Any] = {THREADS: Threads, ASYNCIO: Tasks}


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a case in the world of threads must not suspend")
