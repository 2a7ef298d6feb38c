"""Callers and loads that a test holds in its hand, for `test_properties`: in threads, and in tasks.

A call is made and stays wherever it has to wait. A load stays until the test says how it ends. The
two worlds have the same methods.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import meeting
from conftest import Caller, until


class Repository:
    """The owner of methods. All look alike; only their identity tells them apart."""

    tenant = "p"
    load: Any

    def __init__(self, tenant: str = "p") -> None:
        self.tenant = tenant

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


def without_frames(error: BaseException) -> BaseException:
    """An error that holds no frames any more, nor does what it was raised beside.

    A frame holds those that called it, and one of these the call, which holds its error.
    """
    linked: BaseException | None = error
    while linked is not None:
        linked.with_traceback(None)
        linked = linked.__context__
    return error


class Threads:
    """Each call in a thread of its own."""

    Interruption = KeyboardInterrupt
    leader_waits = False  # whether a leader is a waiter of its own flight
    executor = ThreadPoolExecutor(8, "refresh")
    leaves_rings = False

    def __init__(self) -> None:
        self.arrivals: deque[ThreadLoad] = deque()

    def call(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> ThreadCall:
        return ThreadCall(call, *args, **kwargs)

    def until(self, condition: Callable[[], object]) -> None:
        until(condition)

    def function(self) -> Any:
        held = self._held

        def load(a: Any, b: int = 0, *, session: Any = None) -> Any:
            return held()

        return load

    def repository(self, decorate: Callable[[Any], Any]) -> type[Repository]:
        held = self._held

        class Owner(Repository):
            @decorate
            def load(self, a: Any, b: int = 0, *, session: Any = None) -> Any:
                return held()

        return Owner

    def _held(self) -> Any:
        load = ThreadLoad()
        self.arrivals.append(load)
        try:
            return load.run()
        finally:
            del load  # an exception holds its traceback, that this frame

    def close(self) -> None:
        pass

    def give_up(self) -> None:
        pass


class ThreadCall:
    def __init__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.thread = Caller(call, *args, **kwargs)
        self.look = True  # whether an entry will do

    def done(self) -> bool:
        return not self.thread.is_alive()

    def outcome(self) -> Any:
        """What it returned or raised."""
        try:
            return self.thread.result()
        except BaseException as error:
            return without_frames(error)


class ThreadLoad:
    def __init__(self) -> None:
        self._thread = threading.current_thread()
        self._over = threading.Event()
        self._ending: Any = None

    def is_of(self, call: ThreadCall) -> bool:
        return call.thread is self._thread

    def run(self) -> Any:
        assert self._over.wait(meeting.PATIENCE), "nobody ended the load"
        try:
            if isinstance(self._ending, BaseException):
                raise self._ending
            return self._ending
        finally:
            del self

    def end(self, ending: Any) -> None:
        """Return a value, or raise."""
        self._ending = ending
        self._over.set()


class Tasks:
    """Each call in a task of its own; the event loop makes a step when it is told."""

    Interruption = asyncio.CancelledError
    leader_waits = True
    executor = None
    # From Python 3.12 on, what a task raised holds the frames that stepped the loop, and they it.
    leaves_rings = sys.version_info >= (3, 12)

    def __init__(self) -> None:
        self.arrivals: deque[TaskLoad] = deque()
        self.loop: Any = asyncio.new_event_loop()

    def call(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> TaskCall:
        return TaskCall(self, call(*args, **kwargs))

    def until(self, condition: Callable[[], object]) -> None:
        while self.loop._ready:
            self.tick()
        assert condition(), "everybody waits, and the condition is not true"

    def tick(self) -> None:
        """One round of what is ready."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def function(self) -> Any:
        held = self._held

        async def load(a: Any, b: int = 0, *, session: Any = None) -> Any:
            return await held()

        return load

    def repository(self, decorate: Callable[[Any], Any]) -> type[Repository]:
        held = self._held

        class Owner(Repository):
            @decorate
            async def load(self, a: Any, b: int = 0, *, session: Any = None) -> Any:
                return await held()

        return Owner

    async def _held(self) -> Any:
        load = TaskLoad(self.loop.create_future())
        self.arrivals.append(load)
        try:
            return await load.future
        finally:
            del load

    def close(self) -> None:
        self.until(lambda: not asyncio.all_tasks(self.loop))
        self.loop.close()

    def give_up(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.close()


class TaskCall:
    def __init__(self, world: Tasks, coroutine: Any) -> None:
        self._world = world
        self.task = world.loop.create_task(coroutine)
        self.look = True

    def done(self) -> bool:
        return bool(self.task.done())

    def outcome(self) -> Any:
        self._world.until(self.task.done)
        if self.task.cancelled():
            return asyncio.CancelledError()
        error = self.task.exception()
        return self.task.result() if error is None else without_frames(error)


class TaskLoad:
    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future

    def is_of(self, call: TaskCall) -> bool:
        return True  # nobody's: a load has a task of its own

    def end(self, ending: Any) -> None:
        if isinstance(ending, asyncio.CancelledError):
            self.future.cancel()
        elif isinstance(ending, BaseException):
            self.future.set_exception(ending)
        else:
            self.future.set_result(ending)
