"""How futures lead and wait: like threads, but that one thread waits for all those of a flight.

The steps of the loop that threads and tasks go through are methods here: `claim`, and with that
`start`; a thread waits; `landed` takes what there is, or claims again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any, TypeVar, cast

from .._flights.flight import Call, Flight, Waiters, ticket
from .._flights.landing import Landing, Outcome
from .._flights.table import FlightTable
from .._flights.waits import check_frozen
from .._locks import critical, tell, tell_all
from .._once import Once
from .._outcome import Error
from .._runners import NOBODY, Load, me
from .._sources.direct import Source
from . import threads

R = TypeVar("R")


class _Load(Load):
    """A load on a thread that its future has started. (That gets what interrupts it, by itself.)"""

    __slots__ = ("runner",)

    def __init__(self) -> None:
        self.runner = NOBODY  # until it has its thread

    def run(
        self,
        table: FlightTable,
        flight: Flight,
        future: SubmitFuture[Any],
        source: Source,
        call: Call,
    ) -> None:
        self.runner = thread = me.local.thread
        landing: Landing | None = None
        try:
            thread.flight = flight
            landing = source(flight, call)
        except BaseException as interruption:  # SystemExit: it is that of the caller who started it
            assert interruption.__traceback__ is not None
            future.finish(Error(interruption, interruption.__traceback__.tb_next))
        finally:
            thread.flight = None
            table.land(flight, landing)
            del flight, future, call, landing  # breaks the ring (see Rings)


class _Crew(threads.ThreadWaiters):
    """The futures that wait for one flight, and the one thread that waits for all of them."""

    __slots__ = ("manned",)
    callers: dict[Flight, SubmitFuture[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.manned = Once()  # taken by whoever starts the thread

    def start(self, name: str, flight: Flight, run: Callable[[], None]) -> None:
        Thread(target=self._attend, args=(flight, run), name=name, daemon=True).start()

    def _attend(self, flight: Flight, run: Callable[[], None]) -> None:
        try:
            run()
            self.deliver(flight)
        except BaseException as error:
            self.deliver(flight, Error(error, error.__traceback__))
        finally:
            del self, flight, run  # breaks the ring (see Rings)

    def deliver(self, flight: Flight, instead: Error | None = None) -> None:
        """Hand everyone what the flight has landed with, once; nobody boards any more."""
        for mine in list(self.callers):
            future = self.callers.pop(mine, None)
            try:
                if future is None:
                    continue
                if instead is None:
                    future.landed(flight)
                else:
                    future.finish(instead)
            except BaseException as error:  # SystemExit: nobody else's business
                tell("a callback of a future of Group.submit raised", error=error)
        tell_all()


def _board(future: SubmitFuture[Any], waiters: dict[Any, Waiters], mine: Flight) -> _Crew:
    crew = waiters.get(_Crew)
    if crew is None:
        crew = waiters[_Crew] = _Crew()
    crew.callers[mine] = future
    return cast("_Crew", crew)


def _disband(flight: Flight, crew: _Crew) -> None:
    if flight.waiters.get(_Crew) is crew:  # not that of others, where this one has not boarded
        del flight.waiters[_Crew]


class SubmitFuture(Future[R]):
    """One caller of `Group.submit`. It ends once, by `finish` or by `cancel`."""

    def __init__(self, table: FlightTable, source: Source, call: Call) -> None:
        super().__init__()
        self._table = table
        self._ended = Once()  # taken by whoever ends it
        # Until it ended:
        self._wanted: tuple[Source, Call] | None = source, call
        self._mine: Flight | None = None
        # Afterwards, unless it was cancelled:
        self._outcome: Outcome | None = None

    def claim(self, abandoned: Flight | None = None) -> None:
        """Follow, or lead on a thread of its own; take what landed in between."""
        table, wanted = self._table, self._wanted
        if wanted is None or self._ended or self.cancelled():
            return  # it has ended, or is about to
        if threading.local is not me.kind:
            me.adapt()
        source, call = wanted
        load = _Load()
        after = None if abandoned is None else abandoned.following or abandoned
        self._mine = mine = ticket(call.key, table.name, load, following=after)
        # Aboard and manned before it is on the table: whoever finds it there may rely on it.
        board = partial(_board, self)
        own = crew = board(mine.waiters, mine)
        own.manned.take(self)
        try:
            table.claim(mine, board, may_hit=False)
            flight = mine.following
            if flight is None:
                crew.start(table.name, mine, partial(load.run, table, mine, self, source, call))
            elif (boarded := table.signal_of(mine)) is None:
                self.landed(flight)  # it was over before this one could board
            else:
                crew = boarded
                if crew.manned.take(object()):
                    run = partial(threads.wait, table, flight, crew, None)
                    crew.start(table.name, flight, run)
        except BaseException:  # no thread could be started, say
            flight = mine.following or mine
            crew = table.signal_of(mine) or crew
            table.leave(flight, mine)
            table.recover(mine, None)
            critical(table.lock, _disband, flight, crew)
            crew.wake()  # its thread, if it has one
            crew.callers.pop(mine, None)
            crew.deliver(flight)  # the others look for a thread of their own
            mine.waiters.clear()
            raise
        if flight is not None:
            mine.waiters.clear()
            own.callers.clear()  # the ticket may hold it
        if self._ended:  # cancelled meanwhile
            table.leave(flight or mine, mine)

    def landed(self, flight: Flight) -> None:
        """Take what a flight has landed with, or claim again."""
        landing = flight.landing
        if landing is not None:
            outcome = landing.taken(True, False)
            assert outcome is not None
            self.finish(outcome)
            return
        try:
            self.claim(self._mine)  # abandoned: somebody leads anew
        except Exception as error:
            self.finish(Error(error, error.__traceback__))

    def finish(self, outcome: Outcome) -> None:
        if self._end() and self.set_running_or_notify_cancel():
            self._outcome = outcome
            if isinstance(outcome, Error):
                outcome.reset(outcome.exception)
                self.set_exception(outcome.exception)
            else:
                self.set_result(outcome.value)

    def cancel(self) -> bool:
        """Leave, unless the flight has landed already."""
        if not super().cancel():
            return False
        mine = self._mine
        if self._end():
            self.set_running_or_notify_cancel()  # for `concurrent.futures.wait`
            if mine is not None:
                self._table.leave(mine.following or mine, mine)
        return True

    def exception(self, timeout: float | None = None) -> BaseException | None:
        mine = self._mine
        if mine is not None and not self.done():
            check_frozen(mine.following or mine)
        return super().exception(timeout)

    def result(self, timeout: float | None = None) -> R:
        """As that of any future; an exception has the loader's traceback, and does not grow it."""
        try:
            self.exception(timeout)  # waits
            outcome = self._outcome
            assert outcome is not None
            try:
                return cast("R", outcome.value)
            except BaseException as error:
                outcome.reset(error)
                raise
        finally:
            outcome = None
            del self  # breaks the ring (see Rings)

    def _end(self) -> bool:
        """Whether this call ends it. What it needed for its load is released."""
        if not self._ended.take(object()):
            return False
        self._wanted = self._mine = None
        return True
