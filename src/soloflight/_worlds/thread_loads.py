"""Loads that run on a thread of an executor: refreshes, and those whose callers have patience."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Any

from .._flights.flight import Call, Flight
from .._flights.landing import Landing
from .._flights.table import FlightTable
from .._locks import is_held, outside, released, tell
from .._once import Once
from .._runners import NOBODY, Load, Thread, me
from .._sources.direct import Source
from .pool import Line

LONG = 1.0
"""Seconds after which a refresh has waited for its thread for long."""

Submit = Callable[..., Any]
"""The ``submit`` of an executor, or a `Line` of the pool."""

_NOBODY_ELSE = object()
"""Who has taken a load that was withdrawn."""


class ThreadLoad(Load):
    """A load that waits for a thread. Whoever takes it first runs it."""

    __slots__ = (
        "_interruption", "_run", "_submit", "_submitted", "_taken", "_waits_since", "job",
        "runner", "waiting",
    )  # fmt: skip

    def __init__(self, source: Source, call: Call, submit: Submit) -> None:
        # In a copy of the context of the caller that starts it.
        self._run: tuple[Callable[..., Landing], Source, Call] | None = (
            copy_context().run,
            source,
            call,
        )
        self._taken = Once()  # by who runs it
        self._interruption: BaseException | None = None  # for that caller
        self.runner: Thread = NOBODY
        self._submit = submit
        self._submitted = False  # an executor has it
        self.waiting: list[Flight] = []  # what that holds: emptied when there is nothing to run
        self.job: Any = None  # in a line of the pool
        self._waits_since: float | None = None  # for a thread

    def is_on_its_own(self) -> bool:
        return self._submitted or not self.withdraw()

    def interruption(self) -> BaseException | None:
        interruption, self._interruption = self._interruption, None
        return interruption

    def withdraw(self) -> bool:
        if not self._taken.take(_NOBODY_ELSE):
            return False
        self._run = None
        self._leave_the_queue()
        return True

    def _leave_the_queue(self) -> None:
        self.waiting.clear()
        if self.job is not None and isinstance(self._submit, Line):
            self._submit.drop(self.job)

    def start(self, table: FlightTable, flight: Flight) -> None:
        """Have it run on a thread of an executor; raises what that raises."""
        # An executor's frames hold what it was given, and the traceback of what a load raises holds
        # those frames: when the load has ended, that is emptied.
        waiting = self.waiting
        waiting.append(flight)
        try:
            self._waits_since = monotonic()
            if is_held(me.local.thread.lock):
                future = released(self._submit, _run_waiting, table, waiting)
            else:
                future = self._submit(_run_waiting, table, waiting)
            self._submitted = True  # an interruption before this abandons it, whoever has it
            if isinstance(self._submit, Line):
                self.job = future
            elif future is not None:
                future.add_done_callback(partial(_never_ran, table, waiting))
        except BaseException:
            if not self._submitted:
                waiting.clear()
            raise
        finally:
            del self, table, flight, waiting  # breaks the ring (see Rings)

    def run(self, table: FlightTable, flight: Flight, elsewhere: bool = False) -> None:
        """Run it in this thread, unless another one has taken it.

        An interruption is that of this thread, or of the caller that had it run elsewhere.
        """
        me_here, run, thread = object(), self._run, me.local.thread
        landing: Landing | None = None
        outer: Flight | None = None
        try:
            if run is None or not self._taken.take(me_here):
                return
            self._run = None
            if not elsewhere:
                self._leave_the_queue()
            self.runner = thread
            table.begin(flight)
            outer, thread.flight = thread.flight, flight
            try:
                landing = outside(*run[:2], flight, run[2])
            except BaseException as interruption:
                if not elsewhere:
                    raise
                self._interruption = interruption
                if not any(flight in waiters.callers for waiters in list(flight.waiters.values())):
                    tell("%s: the load was interrupted", flight, error=interruption)
            finally:
                thread.flight = None if outer is None or outer.over else outer
            table.land(flight, landing)
        except BaseException:
            # Wherever an interruption struck: it has landed, or does now.
            if self._taken.is_of(me_here):
                table.land(flight, landing)
            raise
        finally:
            outer = None
            del self, table, flight, run, landing  # breaks the ring (see Rings)

    def hurry(self) -> float:
        if self._waits_since is None or self._taken or monotonic() - self._waits_since < LONG:
            return 0.0
        if isinstance(self._submit, Line):
            with suppress(RuntimeError):  # no thread could be started: perhaps the next time
                self._submit.hurry()
        return LONG


def waiting_load(threads: Any, call: Call) -> ThreadLoad:
    """The load of a call of these `Threads`."""
    return ThreadLoad(threads.source, call, threads.submit)


def take_over(table: FlightTable, flight: Flight) -> None:
    """Run a load that still waits for its thread in this one: whoever needs it need not wait."""
    try:
        # Not before who started it leads: it may find that there is nothing to load.
        if isinstance(flight.load, ThreadLoad) and flight.since is not None:
            flight.load.run(table, flight)
    finally:
        del table, flight  # breaks the ring (see Rings)


def _run_waiting(table: FlightTable, waiting: list[Flight]) -> None:
    thread = me.local.thread
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
    waiting.clear()  # somebody may have taken it over before it was in here
