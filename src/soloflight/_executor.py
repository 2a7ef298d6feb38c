"""Loads that run on a thread of an executor: refreshes, and those whose callers have patience."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

from ._flight import Flight, Outcome
from ._locks import NOBODY, me, outside
from ._table import FlightTable

log = logging.getLogger("soloflight")

THREADS = 8
"""The most that the pool has."""

Submit = Callable[..., "Future[Any] | None"]
"""The ``submit`` of an executor, or of the pool."""


class Pool:
    """A few daemon threads, made when they are needed.

    Nobody waits for them when the interpreter exits. (Those of a `ThreadPoolExecutor` are joined.)
    """

    def __init__(self) -> None:
        # May be used by a signal handler in the middle of `submit`.
        self._jobs: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._idle: deque[None] = deque()  # one for each thread that waits, or will in a moment
        self._threads: deque[None] = deque()

    def submit(self, run: Callable[..., object], *args: Any) -> None:
        try:
            self._idle.pop()
        except IndexError:
            if len(self._threads) < THREADS:
                self._threads.append(None)
                try:
                    Thread(target=self._work, name="soloflight", daemon=True).start()
                except BaseException:
                    self._threads.pop()
                    raise
        self._jobs.put(partial(run, *args))  # last: what could not be started is not kept

    def _work(self) -> None:
        while True:
            try:
                self._jobs.get()()
            except BaseException:  # of a key's __eq__ when it landed, say
                with suppress(Exception):  # of a handler
                    log.exception("a refresh could not land")
            self._idle.append(None)


pool = Pool()
"""Of the process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.__init__)  # type: ignore[misc]  # its threads are gone


_NOBODY_ELSE = object()
"""Who has taken a load that was withdrawn."""


class ThreadLoad:
    """A load that waits for a thread. Whoever takes it first runs it."""

    __slots__ = ("_load", "_taken", "interruption", "submitted", "task")

    def __init__(self, load: Callable[[Flight], Outcome]) -> None:
        # In a copy of the context of the caller that starts it.
        self._load: Callable[[Flight], Outcome] | None = partial(copy_context().run, load)  # type: ignore[call-arg]
        self._taken: dict[None, object] = {}  # by whom: `setdefault` is one atomic step
        self.interruption: BaseException | None = None  # for that caller
        self.submitted = False  # an executor has it
        self.task = None

    def cancel(self) -> None:
        """What runs on a thread cannot be cancelled."""

    def withdraw(self) -> bool:
        if not self._take(_NOBODY_ELSE):
            return False
        self._load = None
        return True

    def _take(self, who: object) -> bool:
        return self._taken.setdefault(None, who) is who

    def run(self, table: FlightTable, flight: Flight, elsewhere: bool = False) -> None:
        """Run it in this thread, unless another one has taken it.

        An interruption is that of this thread, or of the caller that had it run elsewhere.
        """
        me_here, load = object(), self._load
        outcome: Outcome | None = None
        try:
            if load is None or not self._take(me_here):
                return
            self._load = None
            flight.thread = me.thread
            flight.since = table.timer()
            try:
                outcome = outside(load, flight)
            except BaseException as interruption:
                if not elsewhere:
                    raise
                self.interruption = interruption
                if not any(flight in waiters.callers for waiters in list(flight.waiters.values())):
                    log.warning("%s: the load was interrupted", flight, exc_info=interruption)
            table.land(flight, outcome)
        except BaseException:
            # Wherever an interruption struck: it has landed, or does now.
            if self._taken.get(None) is me_here:
                table.land(flight, outcome)
            raise
        finally:
            # An exception holds its traceback, that the loader's frame, that this one.
            del self, table, flight, load, outcome


def queued(name: str, key: Any, load: Callable[[Flight], Outcome]) -> Flight:
    """A flight whose load is going to wait for a thread."""
    mine = Flight(key, name)
    mine.thread = NOBODY
    mine.load = ThreadLoad(load)
    return mine


def start(table: FlightTable, flight: Flight, submit: Submit) -> None:
    """Have the load of `flight` run on a thread of an executor; raises what that raises."""
    # An executor's frames hold what it was given, and the traceback of what a load raises holds
    # those frames: when the load has ended, that is emptied.
    load = flight.load
    assert isinstance(load, ThreadLoad)
    waiting = [flight]
    try:
        future = outside(submit, _run_waiting, table, waiting)
        load.submitted = True  # an interruption before this abandons it, whoever has it
        if future is not None:
            future.add_done_callback(partial(_never_ran, table, waiting))
    except BaseException:
        if not load.submitted:
            waiting.clear()
        raise
    finally:
        del table, flight, load, waiting


def take_over(table: FlightTable, flight: Flight) -> None:
    """Run a load that still waits for its thread in this one: whoever needs it need not wait."""
    try:
        # Not before who started it leads: it may find that there is nothing to load.
        if isinstance(flight.load, ThreadLoad) and flight.since is not None:
            flight.load.run(table, flight)
    finally:
        del table, flight  # an exception holds its traceback, that the loader's frame, that this


def _run_waiting(table: FlightTable, waiting: list[Flight]) -> None:
    thread = me.thread
    before = thread.works
    try:
        thread.works = True
        for flight in waiting:
            assert isinstance(flight.load, ThreadLoad)
            flight.load.run(table, flight, elsewhere=True)
    except BaseException:
        _never_ran(table, waiting)  # interrupted before it began, perhaps
        raise
    finally:
        thread.works = before
        waiting.clear()
        flight = None  # type: ignore[assignment]
        del table


def _never_ran(table: FlightTable, waiting: list[Flight], _: object = None) -> None:
    """Abandon a flight whose load has not begun and never will: its future was cancelled, say."""
    for flight in waiting:
        if isinstance(flight.load, ThreadLoad) and flight.load.withdraw():
            table.land(flight, None)
