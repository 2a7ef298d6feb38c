"""How a thread leads and waits. Reads line by line like `_tasks`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from sys import is_finalizing
from time import monotonic
from typing import Any

from .._entries.entry import Aging
from .._flights import landing, serving
from .._flights.flight import Flight, Outcome
from .._flights.table import FlightTable
from .._flights.waits import Edge, check_frozen, this_thread
from .._locks import is_held, locked, me, released
from .._outcome import Error, handed_over, without_us
from ..exceptions import WaitTimeout
from . import executor
from .executor import Submit

POLL = 0.5
"""Seconds between two looks at whether a flight is over unnoticed, or nothing runs its load."""


def new_lock() -> threading.Lock:
    return threading.Lock()  # looked up now: gevent may have patched it


class ThreadWaiters:
    """The threads that wait for one flight, in front of one turnstile.

    Landing opens it, and whoever comes through opens it for the next: threads that all woke at once
    would fight for the interpreter lock. Once the flight is over, anybody may open it, any number
    of times.
    """

    __slots__ = ("callers", "turnstile")

    def __init__(self) -> None:
        self.callers: dict[Flight, Any] = {}
        self.turnstile = new_lock()
        self.turnstile.acquire()

    def aboard(self) -> int:
        return len(self.callers)

    def wake(self) -> None:
        try:
            self.turnstile.release()
        except RuntimeError:
            pass  # it is open


def board(flight: Flight, mine: Flight) -> None:
    waiters = flight.waiters.get(ThreadWaiters)
    if waiters is None:
        waiters = flight.waiters[ThreadWaiters] = ThreadWaiters()
    waiters.callers[mine] = None
    mine.signal = waiters


def call(
    table: FlightTable,
    loader: Callable[..., Any],
    wait_timeout: float | None,
    submit: Submit | None,
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    look: bool = True,
) -> Outcome:
    """Hit, lead or follow, until there is an outcome. `look`: whether an entry will do.

    `submit`: has loads run elsewhere, so that the caller that leads waits like the others.
    """
    if threading.local is not me.kind:
        me.adapt()  # before a ticket says whose it is
    deadline = None if wait_timeout is None else monotonic() + wait_timeout
    mine = Flight(key, table.name)
    flight: Flight | None = mine
    outcome: Outcome | None = None
    cancelled = False
    try:
        while outcome is None:  # abandoned flights: somebody leads anew
            if submit is not None and (mine.load is None or mine.over):
                mine.signal = None  # it holds that ticket
                run = partial(load, table, loader, args, kwargs)
                mine = executor.queued(mine.again() if mine.over else mine, run)
                del run  # what the loader raises holds this frame
            outcome = table.claim(mine, board, look=look, aboard=False)
            if outcome is None:
                flight = mine.following
                if flight is None and submit is None:
                    if is_held(mine.thread.lock):  # see `_locks`
                        outcome = released(load, table, loader, args, kwargs, mine)
                    else:
                        outcome = load(table, loader, args, kwargs, mine)
                    table.land(mine, outcome)
                else:
                    if flight is None:
                        assert submit is not None
                        flight = mine
                        locked(table.lock, _board_own, mine)
                        executor.start(table, mine, submit)
                    # Who would run the load itself need not wait for a thread; nor may a thread
                    # of an executor wait for one of the same.
                    runs = deadline is None or submit is None or me.local.thread.works
                    if runs:
                        executor.take_over(table, flight)
                    wait(table, flight, mine.signal, deadline, runs)
                    outcome = handed_over(flight.outcome, look)
                    if outcome is None and flight is mine:
                        landing.raise_interruption(mine)
                        if cancelled:  # again: this thread will do
                            submit, mine.signal = None, None
                            mine = mine.again()
                        cancelled = True
        return serving.instead_of(table, outcome) if look and type(outcome) is Error else outcome
    except WaitTimeout as late:
        try:
            instead = serving.out_of_patience(table, mine, look)
        finally:
            table.recover(mine, outcome)
        if instead is None:
            serving.explain(late, mine, wait_timeout)
            raise
        return instead
    except BaseException:
        table.recover(mine, outcome)
        raise
    finally:
        mine.signal = None  # it holds this ticket
        # An exception holds its traceback, that the loader's frame, that this one: hold nothing.
        mine = flight = outcome = None  # type: ignore[assignment]


def behind(
    table: FlightTable,
    loader: Callable[..., Any],
    submit: Submit,
    served: Aging[Any],
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> bool:
    """Start a refresh behind an entry that is served, unless somebody else did."""
    if is_finalizing():
        return False  # there are no threads any more
    run = partial(load, table, loader, args, kwargs)
    mine = executor.queued(Flight(key, table.name), run)
    del run  # what the loader raises holds this frame
    mine.unattended = True
    try:
        try:
            if not table.claim_behind(mine, served):
                return False
            executor.start(table, mine, submit)
            return True
        except Exception as error:
            mine.unattended = False  # it has not failed: the next caller tries again
            table.recover(mine, None)
            table.tell_once("a refresh could not be started", error=error)
        return False
    except BaseException:
        table.recover(mine, None)  # once more, if that was interrupted
        raise


def _board_own(mine: Flight) -> None:
    if not mine.over:  # whoever has joined it meanwhile may have run it
        board(mine, mine)


def load(
    table: FlightTable,
    loader: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    flight: Flight,
) -> Outcome:
    """What the loader returns or raises, as a value; interruptions pass through."""
    thread = me.local.thread
    outer = thread.flight
    if outer is not None and outer.over:
        outer = None  # an interruption has left it there
    try:
        thread.flight = flight
        try:
            value = loader(*args, **kwargs)
        except Exception as error:
            # Without this frame: the traceback starts at the loader.
            assert error.__traceback__ is not None
            failure = Error(error, error.__traceback__.tb_next)
        else:
            return landing.loaded(table, flight, value)
        return landing.failed(table, flight, failure)
    except Exception as error:  # of an option
        return landing.spoilt(table, flight, without_us(error))
    finally:
        thread.flight = outer
        # An exception holds its traceback, that the loader's frame, that this one: hold nothing.
        failure = None  # type: ignore[assignment]
        del table, flight, args, kwargs


def wait(
    table: FlightTable,
    flight: Flight,
    waiters: ThreadWaiters,
    deadline: float | None,
    runs: bool = False,
) -> None:
    """Block until `flight` is over."""
    check_frozen(flight)
    thread = me.local.thread
    edge = Edge(this_thread(), flight)
    try:
        with edge:
            if is_held(thread.lock):  # see `_locks`
                released(_wait, table, flight, waiters, deadline, edge, runs)
            else:
                _wait(table, flight, waiters, deadline, edge, runs)
    finally:
        del flight, waiters, edge  # an exception holds its traceback, that this frame


def _wait(
    table: FlightTable,
    flight: Flight,
    waiters: ThreadWaiters,
    deadline: float | None,
    edge: Edge,
    runs: bool,
) -> None:
    """The same where it ends, and no lock is held."""
    try:
        while not flight.over:
            left = POLL if deadline is None else min(deadline - monotonic(), POLL)
            if left <= 0:
                raise WaitTimeout
            if table.abandon_gone(flight):
                return
            if waiters.turnstile.acquire(True, left):
                waiters.wake()
                return
            edge.check()
            if runs:
                executor.take_over(table, flight)  # who leads it was not that far before
    except BaseException:
        if flight.over:  # perhaps interrupted between the two lines above
            waiters.wake()
        raise
