"""Loads that run in a task of their own, which no caller owns.

Cancelling any caller, the one that started the load included, changes nothing for the rest.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio import CancelledError, Task, current_task
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import ref

from .._flights.flight import Call, Flight
from .._flights.landing import Failed, Landing
from .._flights.serving import raise_interruption
from .._flights.table import FlightTable
from .._runners import Held, Home, Load, held_by, me
from .._sources.direct import AsyncSource

_EAGER = sys.version_info >= (3, 12)  # a task may take its first step at once: half the cost
EAGER_FACTORY: Any = getattr(asyncio, "eager_task_factory", None)
"""Does for all tasks what we do for the loads, but that they would nest on the stack."""

loads: dict[TaskLoad, tuple[FlightTable, Flight]] = {}
"""The flight of each load, to be abandoned should its event loop be closed or dropped under it.

Single dict operations only.
"""
_many = 64
"""With more of them than that, it is time to look."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=loads.clear)


class TaskLoad(Load):
    """A load in a task of its own."""

    __slots__ = (
        "_interruption", "_refresh", "_started", "_task", "runner", "starts",
    )  # fmt: skip

    runner: Home
    # Only a refresh has them, until it starts: others may turn out to be the ticket of a follower,
    # which must not hold arguments, and with them the loop perhaps.
    _refresh: tuple[AsyncSource, Call] | None
    _started: bool
    starts: bool  # its caller is about to board
    _task: ref[Task[None]] | None
    _interruption: BaseException | None  # for the caller that started the load

    def goes_on(self) -> bool:
        return self.starts

    def is_on_its_own(self) -> bool:
        return self._started

    def cancel(self) -> None:
        task = None if self._task is None else self._task()
        loop = self.runner()
        if task is None or loop is None:
            return
        if asyncio._get_running_loop() is loop:
            task.cancel()
        else:
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:
                loads.pop(self, None)  # the loop was closed: the task will never run again

    def interruption(self) -> BaseException | None:
        interruption, self._interruption = self._interruption, None
        return interruption

    def start(
        self,
        table: FlightTable,
        flight: Flight,
        source: Any = None,
        call: Any = None,
        held: Held | None = None,
    ) -> None:
        """Run it in a task; a refresh knows which. `held`: by its loop."""
        if len(loads) > _many:
            _sweep()
        # (The caller of a refresh need not wait for its first step, which may take long.)
        eager = _EAGER and self._refresh is None
        if self._refresh is not None:
            (source, call), self._refresh = self._refresh, None
        loop: Any = self.runner()
        held = held or held_by(loop)
        thread = me.local.thread
        factory = loop.get_task_factory()
        plain = factory is None or factory is EAGER_FACTORY
        # Not on the stack of another first step: loads that ask for loads would fill it.
        eager = eager and plain and not thread.eager
        never_ran = None if eager else partial(self._never_ran, table, flight)
        run: Any = None
        task: Any = None
        try:
            try:
                self._started = True  # before the first step, which may be taken at once
                run = self._run(table, flight, held, never_ran, source, call)
                if eager:
                    try:
                        thread.eager = True
                        task = Task(run, loop=loop, name=table.name, eager_start=True)  # type: ignore[call-arg,unused-ignore]
                    finally:
                        thread.eager = False
                    return
                # Its name costs nothing if it is given.
                task = Task(run, loop=loop, name=table.name) if plain else loop.create_task(run)
                self._task = ref(task)
            except BaseException:
                self._started = False  # `recover` lands it
                if task is not None:
                    task.cancel()
                elif run is not None:
                    run.close()
                raise
            # First what takes it off again: an interrupt may strike in between.
            task.add_done_callback(never_ran)
            if not flight.over:  # a task factory may have run all of it at once
                loads[self] = table, flight
                held.tasks[task] = flight
        finally:
            # What an eager load raised holds its traceback, that this frame below it.
            del self, table, flight, held, never_ran, run, task, source, call

    def _never_ran(self, table: FlightTable, flight: Flight, task: Task[None] | None) -> None:
        """Abandon the flight of a task that will not run.

        One that was cancelled before its first step never entered its coroutine.
        """
        loads.pop(self, None)
        loop = self.runner()
        if loop is not None:
            held_by(loop).tasks.pop(task, None)
        self._interruption = CancelledError()
        self._task = None  # what has cancelled it holds its frame, and that this flight
        table.land(flight, None)

    async def _run(
        self,
        table: FlightTable,
        flight: Flight,
        held: Held,
        never_ran: Callable[[Task[None]], None] | None,
        source: AsyncSource,
        call: Call,
    ) -> None:
        landing: Landing | None = None
        heard = True
        task = None
        try:
            task = current_task()
            assert task is not None
            if self._task is None:  # this is its first step, in `start`
                self._task = ref(task)
            elif never_ran is not None:
                task.remove_done_callback(never_ran)
            loads[self] = table, flight
            held.tasks[task] = flight
            try:
                landing = await source(flight, call)
                # From Python 3.11 on; what it raised stands for its cancellation.
                failed = flight.is_refresh and isinstance(landing, Failed)
                if failed and getattr(task, "cancelling", int)():
                    table.trust.lost_in(self.runner)
            except BaseException as interruption:
                self._interruption = interruption
                # It goes to the caller that started the load; where that has left, to the loop.
                waiters = flight.waiters.get(self.runner)
                heard = self.starts or (waiters is not None and flight in waiters.callers)
                del waiters
            loads.pop(self, None)
            held.tasks.pop(task, None)
            table.land(flight, landing)
            if not heard:
                raise_interruption(flight, besides=(CancelledError, GeneratorExit))
        except BaseException:
            loads.pop(self, None)
            held.tasks.pop(task, None)
            table.land(flight, landing)
            raise
        finally:
            # Breaks the ring (see Rings).
            del self, table, flight, held, task, never_ran, landing, call


def task_load(loop: Home, refresh: tuple[AsyncSource, Call] | None = None) -> TaskLoad:
    """A load that has not started. (No `__init__`: see `Value`.)"""
    load = TaskLoad()
    load.runner = loop
    load._refresh = refresh
    load._started = False
    load.starts = refresh is None
    load._task = load._interruption = None
    return load


def _sweep() -> None:
    """Abandon the loads of event loops that are gone; they would stay for ever."""
    global _many
    for load, (table, flight) in list(loads.items()):
        if load.runner.is_gone():
            load._never_ran(table, flight, None)
    _many = max(64, 2 * len(loads))
