"""An event loop whose time is virtual, and that runs what is ready in any order; awaits counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from random import Random
from typing import Any

from .schedule import Hang, Scheduler


class Loop(asyncio.BaseEventLoop):
    """Runs one of the ready callbacks at a time, whichever the seed says.

    It waits under the scheduler where a thread of that runs it; otherwise by itself.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._random = Random(scheduler.random.random())
        self._selector = self
        self._told = False  # by another thread; it finds nothing out by itself while it waits
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def finish(self) -> None:
        """Run what is left: loads that everyone has left, or that others wait for."""
        while left := asyncio.all_tasks(self):
            self.run_until_complete(asyncio.wait(left))
        while self._ready:
            self.run_until_complete(asyncio.sleep(0))

    def time(self) -> float:
        return self._scheduler.now

    def select(self, timeout: float | None) -> list[Any]:
        if timeout == 0:
            self._told = False
            return []
        if self._scheduler.current is not None:
            self._scheduler.wait(lambda: self._told, timeout)
        elif timeout is None:
            raise Hang("nobody can go on")
        else:
            self._scheduler.now += timeout
        self._told = False
        return []

    def _run_once(self) -> None:
        ready: Any = self._ready
        chosen = self._random.randrange(len(ready)) if ready else 0
        others = [ready.popleft() for _ in range(chosen)]
        first = ready.popleft() if ready else None
        others += ready
        ready.clear()
        if first is not None:
            ready.append(first)
        super()._run_once()  # type: ignore[misc]  # no stub
        ready.extend(others)

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        self._told = True


class Awaits:
    """Awaits a coroutine, counts how often, and at one of its awaits has its task cancelled."""

    def __init__(self, work: Coroutine[Any, Any, None], cancel_at: int | None) -> None:
        self.work = work
        self.cancel_at = cancel_at
        self.count = 0

    def __await__(self) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        step: Callable[[Any], Any] = self.work.send
        sent: Any = None
        while True:
            try:
                wanted = step(sent)
            except StopIteration:
                return
            if self.count == self.cancel_at:
                asyncio.get_running_loop().call_soon(task.cancel)
            self.count += 1
            try:
                step, sent = self.work.send, (yield wanted)
            except BaseException as error:
                step, sent = self.work.throw, error
