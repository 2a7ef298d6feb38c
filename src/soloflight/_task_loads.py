"""Loads that run in a task of their own, which no caller owns.

Cancelling any caller, the one that started the load included, changes nothing for the rest.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio import AbstractEventLoop, CancelledError, Task, current_task, get_running_loop
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from . import _load
from ._flight import Flight, Outcome
from ._load import raise_interruption
from ._outcome import Error, without_us
from ._table import FlightTable

_EAGER = sys.version_info >= (3, 12)  # a task may take its first step at once: half the cost

loads: dict[Task[Any], Callable[[Task[Any]], None]] = {}
"""The tasks that run a load, and what abandons their flights: asyncio itself holds tasks weakly.

Single dict operations only.
"""
_many = 64
"""With more of them than that, it is time to look for those whose event loop was closed."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=loads.clear)


class TaskLoad:
    """A load in a task of its own."""

    __slots__ = ("interruption", "loop", "task")
    submitted = True

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.task: Task[None] | None = None
        self.interruption: BaseException | None = None  # for the caller that started the load

    def cancel(self) -> None:
        task = self.task
        if task is None:
            return
        if asyncio._get_running_loop() is self.loop:
            task.cancel()
        else:
            try:
                self.loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:
                loads.pop(task, None)  # the loop was closed: the task will never run again

    def withdraw(self) -> bool:
        """Its task has begun, or takes care of that itself."""
        return False


def start(
    table: FlightTable,
    flight: Flight,
    loader: Callable[..., Awaitable[Any]],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    eager: bool = _EAGER,
) -> None:
    """Run the load of `flight` in a task of its own."""
    if len(loads) > _many:
        _sweep()
    loop = get_running_loop()
    load = TaskLoad(loop)
    never_ran = partial(_never_ran, table, flight)
    run = _run(table, flight, load, never_ran, loader, args, kwargs)
    plain = loop.get_task_factory() is None
    flight.load = load  # before the first step, which a task factory may take at once
    try:
        try:
            if plain and eager:
                Task(run, loop=loop, name=table.name, eager_start=True)  # type: ignore[call-arg,unused-ignore]
                return
            # Its name costs nothing if it is given.
            task = Task(run, loop=loop, name=table.name) if plain else loop.create_task(run)
            load.task = task
        except BaseException:
            flight.load = None  # `recover` lands it
            run.close()
            raise
        # First what takes it off again: an interrupt may strike in between.
        task.add_done_callback(never_ran)
        loads[task] = never_ran
    finally:
        # What an eager load raised holds its traceback, that this frame below it.
        del table, flight, load, never_ran, run


def _sweep() -> None:
    """Abandon the loads of event loops that were closed under them; they would stay for ever."""
    global _many
    for task in list(loads):
        never_ran = loads.get(task)
        if never_ran is not None and task.get_loop().is_closed():
            never_ran(task)
    _many = max(64, 2 * len(loads))


def _never_ran(table: FlightTable, flight: Flight, task: Task[None]) -> None:
    """Abandon the flight of a task that will not run.

    One that was cancelled before its first step never entered its coroutine.
    """
    loads.pop(task, None)
    assert isinstance(flight.load, TaskLoad)
    flight.load.interruption = CancelledError()
    flight.load.task = None  # what has cancelled it holds its frame, and that this flight
    table.land(flight, None)


async def _run(
    table: FlightTable,
    flight: Flight,
    load: TaskLoad,
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
        load.task = task = current_task()
        assert task is not None
        loads[task] = never_ran
        task.remove_done_callback(never_ran)
        try:
            try:
                value = await loader(*args, **kwargs)
            except Exception as error:
                failure = without_us(error)  # the traceback starts at the loader
            else:
                outcome = _load.loaded(table, flight, value)
            if failure is not None:
                outcome = _load.failed(table, flight, failure)
        except Exception as error:  # of an option
            outcome = _load.spoilt(table, flight, without_us(error))
        except BaseException as interruption:
            load.interruption = interruption
            # It goes to the caller that started the load; where that has left, to the event loop.
            waiters = flight.waiters.get(load.loop)
            unheard = waiters is None or flight not in waiters.callers
            del waiters
        loads.pop(task, None)
        table.land(flight, outcome)
        if unheard:
            raise_interruption(flight, besides=(CancelledError, GeneratorExit))
    except BaseException:
        if task is not None:
            loads.pop(task, None)
        table.land(flight, outcome)
        raise
    finally:
        # An exception holds its traceback, that this frame: hold nothing.
        del table, flight, load, task, never_ran, value, failure, outcome
