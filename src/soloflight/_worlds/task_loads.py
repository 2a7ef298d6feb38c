"""Loads that run in a task of their own, which no caller owns.

Cancelling any caller, the one that started the load included, changes nothing for the rest.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio import CancelledError, Task, current_task
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from weakref import ref

from .._flights import landing
from .._flights.flight import Flight, Outcome
from .._flights.landing import raise_interruption
from .._flights.table import FlightTable
from .._locks import me
from .._loops import Held, Home, held_by
from .._outcome import Error, without_us

_EAGER = sys.version_info >= (3, 12)  # a task may take its first step at once: half the cost
EAGER_FACTORY: Any = getattr(asyncio, "eager_task_factory", None)
"""Does for all tasks what we do for the loads, but that they would nest on the stack."""

loads: dict[TaskLoad, Callable[[Any], None]] = {}
"""What abandons the flight of each load, should its event loop be closed or dropped under it.

Single dict operations only.
"""
_many = 64
"""With more of them than that, it is time to look."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=loads.clear)


class TaskLoad:
    """A load in a task of its own."""

    __slots__ = ("interruption", "loop", "task")
    submitted = True

    def __init__(self, loop: Home) -> None:
        self.loop = loop
        self.task: ref[Task[None]] | None = None
        self.interruption: BaseException | None = None  # for the caller that started the load

    def cancel(self) -> None:
        task = None if self.task is None else self.task()
        loop = self.loop()
        if task is None or loop is None:
            return
        if asyncio._get_running_loop() is loop:
            task.cancel()
        else:
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:
                loads.pop(self, None)  # the loop was closed: the task will never run again

    def withdraw(self) -> bool:
        """Its task has begun, or takes care of that itself."""
        return False


def start(
    table: FlightTable,
    flight: Flight,
    held: Held,
    loader: Callable[..., Awaitable[Any]],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    eager: bool = _EAGER,
) -> None:
    """Run the load of `flight` in a task of its own."""
    if len(loads) > _many:
        _sweep()
    loop: Any = held.home()
    flight.load = load = TaskLoad(held.home)  # before the first step, which may be taken at once
    never_ran = partial(_never_ran, table, flight)
    run = _run(table, flight, load, held, never_ran, loader, args, kwargs)
    thread = me.local.thread
    factory = loop.get_task_factory()
    plain = factory is None or factory is EAGER_FACTORY
    try:
        try:
            # Not on the stack of another first step: loads that ask for loads would fill it.
            if plain and eager and not thread.eager:
                try:
                    thread.eager = True
                    Task(run, loop=loop, name=table.name, eager_start=True)  # type: ignore[call-arg,unused-ignore]
                finally:
                    thread.eager = False
                return
            # Its name costs nothing if it is given.
            task = Task(run, loop=loop, name=table.name) if plain else loop.create_task(run)
            load.task = ref(task)
        except BaseException:
            flight.load = None  # `recover` lands it
            run.close()
            raise
        # First what takes it off again: an interrupt may strike in between.
        task.add_done_callback(never_ran)
        if not flight.over:  # a task factory may have run all of it at once
            loads[load] = never_ran
            held.tasks[task] = flight
    finally:
        # What an eager load raised holds its traceback, that this frame below it.
        del table, flight, load, held, never_ran, run


def _sweep() -> None:
    """Abandon the loads of event loops that are gone; they would stay for ever."""
    global _many
    for load, never_ran in list(loads.items()):
        if load.loop.is_gone():
            never_ran(None)
    _many = max(64, 2 * len(loads))


def _never_ran(table: FlightTable, flight: Flight, task: Task[None] | None) -> None:
    """Abandon the flight of a task that will not run.

    One that was cancelled before its first step never entered its coroutine.
    """
    load = flight.load
    assert isinstance(load, TaskLoad)
    loads.pop(load, None)
    loop = load.loop()
    if loop is not None:
        held_by(loop).tasks.pop(task, None)
    load.interruption = CancelledError()
    load.task = None  # what has cancelled it holds its frame, and that this flight
    table.land(flight, None)


async def _run(
    table: FlightTable,
    flight: Flight,
    load: TaskLoad,
    held: Held,
    never_ran: Callable[[Task[None]], None],
    loader: Callable[..., Awaitable[Any]],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> None:
    value: Any = None
    failure: Error | None = None
    outcome: Outcome | None = None
    unheard = False
    task = None
    try:
        task = current_task()
        assert task is not None
        load.task = ref(task)
        loads[load] = never_ran
        held.tasks[task] = flight
        task.remove_done_callback(never_ran)
        try:
            try:
                value = await loader(*args, **kwargs)
            except Exception as error:
                failure = without_us(error)  # the traceback starts at the loader
            else:
                outcome = landing.loaded(table, flight, value)
            if failure is not None:
                outcome = landing.failed(table, flight, failure)
                # From Python 3.11 on; what it raised stands for its cancellation.
                if flight.unattended and getattr(task, "cancelling", int)():
                    table.lost_in(load.loop)
        except Exception as error:  # of an option
            outcome = landing.spoilt(table, flight, without_us(error))
        except BaseException as interruption:
            load.interruption = interruption
            # It goes to the caller that started the load; where that has left, to the event loop.
            waiters = flight.waiters.get(load.loop)
            unheard = waiters is None or flight not in waiters.callers
            del waiters
        loads.pop(load, None)
        held.tasks.pop(task, None)
        table.land(flight, outcome)
        if unheard:
            raise_interruption(flight, besides=(CancelledError, GeneratorExit))
    except BaseException:
        loads.pop(load, None)
        held.tasks.pop(task, None)
        table.land(flight, outcome)
        raise
    finally:
        # An exception holds its traceback, that this frame: hold nothing.
        del table, flight, load, held, task, never_ran, value, failure, outcome
