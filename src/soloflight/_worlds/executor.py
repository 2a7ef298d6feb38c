"""Loads that run on a thread of an executor: refreshes, and those whose callers have patience."""

from __future__ import annotations

import os
import queue
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from time import monotonic
from typing import Any
from weakref import WeakSet

from .._flights.flight import Flight, Outcome
from .._flights.table import FlightTable
from .._locks import NOBODY, me, outside, tell, tell_all

THREADS = 8
"""The most that the pool has, but for those that `Line.hurry` adds."""
TURNS = 6
"""The most of them that the refreshes of one function take."""
LONG = 1.0
"""Seconds after which a refresh has waited for its thread for long."""

Submit = Callable[..., Any]
"""The ``submit`` of an executor, or a `Line` of the pool."""


class Pool:
    """A few daemon threads, made when they are needed, that serve one function after the other.

    Nobody waits for them when the interpreter exits. (Those of a `ThreadPoolExecutor` are joined.)
    """

    def __init__(self) -> None:
        self.lines: WeakSet[Line] = WeakSet()
        self.begin()

    def begin(self) -> None:
        """Begin, or begin anew in a forked child, where its threads are gone."""
        # May be used by a signal handler in the middle of `call`: single operations only.
        self._lines: queue.SimpleQueue[Line] | None = None
        self._idle: deque[None] = deque()  # one for each thread that waits, or will in a moment
        self._threads: deque[None] = deque()
        for line in list(self.lines):
            line.begin()

    def call(self, line: Line) -> None:
        """Have a thread come by at a line."""
        if self._lines is None:
            self._lines = queue.SimpleQueue()  # only now: gevent may have patched it
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
        self._lines.put(line)

    def _work(self) -> None:
        assert self._lines is not None
        while True:
            line = self._lines.get()
            line.serve()
            self._idle.append(None)
            line.turn_over()
            del line  # its function may go


class Line:
    """The refreshes of one function that wait for a thread of the pool.

    A turn is the right to a thread: the pool serves turns in the order in which they came, and a
    function has only so many, so that one whose loads hang leaves threads to the others.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        pool.lines.add(self)
        self.begin()

    def begin(self) -> None:
        # Single operations only: see `Pool.begin`.
        self._jobs: deque[Callable[[], object]] = deque()
        self._running: deque[None] = deque()
        self._turns = deque([None] * TURNS)
        self._hurries = deque([None] * TURNS)  # rights to a thread besides those of the pool

    def __call__(self, run: Callable[..., object], *args: Any) -> Callable[[], object]:
        """Have something run; returns what `drop` takes."""
        job = partial(run, *args)
        self._jobs.append(job)
        try:
            self._call()
        except BaseException:
            self.drop(job)  # what could not be started is not kept
            raise
        return job

    def drop(self, job: Callable[[], object]) -> None:
        """It need not be run any more."""
        with suppress(ValueError):
            self._jobs.remove(job)

    def _call(self) -> None:
        """Use a turn, where there is one left; those that are used go on with what waits."""
        try:
            self._turns.pop()
        except IndexError:
            return
        try:
            self._pool.call(self)
        except BaseException:
            self._turns.append(None)
            raise

    def serve(self) -> None:
        """Run what waits longest. Whatever that raises, and log handlers, the thread goes on."""
        try:
            job = self._jobs.popleft()
        except IndexError:
            return  # it was run in a hurry, or by who needed it
        self._running.append(None)
        try:
            try:
                job()
            except BaseException as error:  # of an interruption in its landing, say
                tell("a refresh could not land", error=error)
                tell_all()
        except BaseException:
            pass
        finally:
            self._running.pop()
            del job

    def turn_over(self) -> None:
        """Give a turn back; first that, then look: whoever found no turn left something before."""
        self._turns.append(None)
        if self._jobs:
            with suppress(RuntimeError):  # no thread could be started
                self._call()

    def hurry(self) -> None:
        """Something has waited for long: give it a thread, unless all that it may have are used.

        Those of the pool hang then, with the loads of others.
        """
        if len(self._running) >= TURNS:
            return
        try:
            self._hurries.pop()
        except IndexError:
            return
        try:
            Thread(target=self._serve_all, name="soloflight", daemon=True).start()
        except BaseException:
            self._hurries.append(None)
            raise

    def _serve_all(self) -> None:
        while self._jobs:
            self.serve()
        self._hurries.append(None)


pool = Pool()
"""Of the process."""
if hasattr(os, "register_at_fork"):
    for _ in range(2):  # an interruption may strike in there, and ends it
        os.register_at_fork(after_in_child=pool.begin)


def hurry(table: FlightTable, flight: Flight) -> None:
    """Tell, once, of a refresh that has waited for long, and give it a thread of its own."""
    load = flight.load
    if not isinstance(load, ThreadLoad) or not load.has_waited_long():
        return
    table.tell_once(
        "a refresh has waited for more than %s s for a thread: loads that hang have taken them; "
        "give loaders a timeout, and see max_flight_age",
        f"{LONG:g}",
    )
    if isinstance(load.submit, Line):
        with suppress(RuntimeError):  # no thread could be started: perhaps the next time
            load.submit.hurry()


_NOBODY_ELSE = object()
"""Who has taken a load that was withdrawn."""


class ThreadLoad:
    """A load that waits for a thread. Whoever takes it first runs it."""

    __slots__ = (
        "_load",
        "_taken",
        "_waits_since",
        "interruption",
        "job",
        "submit",
        "submitted",
        "waiting",
    )

    def __init__(self, load: Callable[[Flight], Outcome]) -> None:
        # In a copy of the context of the caller that starts it.
        self._load: Callable[[Flight], Outcome] | None = partial(copy_context().run, load)  # type: ignore[call-arg]
        self._taken: dict[None, object] = {}  # by whom: `setdefault` is one atomic step
        self.interruption: BaseException | None = None  # for that caller
        self.submitted = False  # an executor has it
        self.submit: Submit | None = None  # of that executor
        self.waiting: list[Flight] = []  # what that holds: emptied when there is nothing to run
        self.job: Any = None  # in a line of the pool
        self._waits_since = 0.0

    def cancel(self) -> None:
        """What runs on a thread cannot be cancelled."""

    def withdraw(self) -> bool:
        if not self._take(_NOBODY_ELSE):
            return False
        self._load = None
        self._leave_the_queue()
        return True

    def _leave_the_queue(self) -> None:
        self.waiting.clear()
        if self.job is not None and isinstance(self.submit, Line):
            self.submit.drop(self.job)

    def wait(self, submit: Submit) -> None:
        """It waits for a thread from now on."""
        self.submit = submit
        self._waits_since = monotonic()

    def has_waited_long(self) -> bool:
        waits = self.submit is not None and not self._taken
        return waits and monotonic() - self._waits_since >= LONG

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
            if not elsewhere:
                self._leave_the_queue()
            flight.thread = me.local.thread
            flight.since = table.timer()
            try:
                outcome = outside(load, flight)
            except BaseException as interruption:
                if not elsewhere:
                    raise
                self.interruption = interruption
                if not any(flight in waiters.callers for waiters in list(flight.waiters.values())):
                    tell("%s: the load was interrupted", flight, error=interruption)
            table.land(flight, outcome)
        except BaseException:
            # Wherever an interruption struck: it has landed, or does now.
            if self._taken.get(None) is me_here:
                table.land(flight, outcome)
            raise
        finally:
            # An exception holds its traceback, that the loader's frame, that this one.
            del self, table, flight, load, outcome


def queued(mine: Flight, load: Callable[[Flight], Outcome]) -> Flight:
    """A ticket whose load is going to wait for a thread."""
    mine.thread = NOBODY
    mine.load = ThreadLoad(load)
    return mine


def start(table: FlightTable, flight: Flight, submit: Submit) -> None:
    """Have the load of `flight` run on a thread of an executor; raises what that raises."""
    # An executor's frames hold what it was given, and the traceback of what a load raises holds
    # those frames: when the load has ended, that is emptied.
    load = flight.load
    assert isinstance(load, ThreadLoad)
    waiting = load.waiting
    waiting.append(flight)
    try:
        load.wait(submit)
        future = outside(submit, _run_waiting, table, waiting)
        load.submitted = True  # an interruption before this abandons it, whoever has it
        if isinstance(submit, Line):
            load.job = future
        elif future is not None:
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
