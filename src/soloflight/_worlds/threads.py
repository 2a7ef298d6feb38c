"""How threads lead and wait. The loop in `call` reads like those of tasks and futures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import _clock
from .._flights import serving
from .._flights.flight import Call, Flight, Waiters, ticket
from .._flights.landing import Landing, Outcome
from .._flights.table import FlightTable
from .._flights.waits import Edge, check_frozen
from .._locks import is_held, locked, released
from .._runners import me, runners_here
from .._sources.direct import Loaded, Source, direct
from ..exceptions import WaitTimeout
from .thread_loads import Submit, take_over, waiting_load

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


def board(waiters: dict[Any, Waiters], mine: Flight) -> Waiters:
    ours = waiters.get(ThreadWaiters)
    if ours is None:
        ours = waiters[ThreadWaiters] = ThreadWaiters()
    ours.callers[mine] = None
    return ours


def _no_executor(*args: object) -> None:
    raise RuntimeError("there is no executor")


class Threads:
    """The calls of a plain function.

    `submit` runs its refreshes on threads of an executor; `elsewhere`: its other loads as well, so
    that a caller that leads waits like the others. `around` is put round what calls the loader.
    """

    __slots__ = (
        "around", "elsewhere", "loader", "serve", "source", "submit", "table", "wait_timeout",
    )  # fmt: skip

    def __init__(
        self,
        table: FlightTable,
        loader: Callable[..., Any],
        wait_timeout: float | None = None,
        submit: Submit = _no_executor,
        elsewhere: bool = False,
        around: Callable[[Source], Source] | None = None,
    ) -> None:
        self.table = table
        self.around = around
        self.load_with(loader)
        self.wait_timeout = wait_timeout
        self.submit = submit
        self.elsewhere = elsewhere
        self.serve = partial(serving.at_once, table, partial(waiting_load, self))

    def load_with(self, loader: Callable[..., Any]) -> None:
        """Have the next load, and all after it, call this loader."""
        self.loader = loader
        source = direct(self.table, loader)
        self.source: Source = source if self.around is None else self.around(source)

    def call(self, call: Call) -> Outcome:
        """Hit, lead or follow, until there is an outcome."""
        if threading.local is not me.kind:
            me.adapt()  # before a ticket says whose it is
        table, elsewhere, thread = self.table, self.elsewhere, me.local.thread
        patience, may_hit = self.wait_timeout, call.may_hit
        call.deadline = deadline = None if patience is None else _clock.now() + patience
        mine = ticket(call.key, table.name, waiting_load(self, call) if elsewhere else thread)
        flight: Flight | None = mine
        outer: Flight | None = None
        landing: Landing | None = None
        outcome: Outcome | None = None
        signal: Any = None
        again = False
        try:
            while True:  # abandoned flights: somebody leads anew
                outcome = table.claim(mine, board, may_hit=may_hit)
                if outcome is not None:
                    return outcome
                flight = mine.following
                if flight is None:
                    flight = mine
                    if elsewhere:
                        signal = locked(table.lock, table.board, mine, board)
                        mine.load.start(table, mine)  # type: ignore[attr-defined]
                    else:
                        held = is_held(thread.lock)  # then `released`: see `_locks`
                        lead = partial(released, self.source) if held else self.source
                        outer, thread.flight = thread.flight, mine
                        try:
                            landing = lead(mine, call)
                        finally:
                            thread.flight = None if outer is None or outer.over else outer
                        table.land(mine, landing, thread)
                else:
                    signal = table.signal_of(mine)  # none where it was over
                if not flight.over:
                    runs = deadline is None or not elsewhere or thread.works
                    wait(table, flight, signal, deadline, runs)
                # (Not `landing`, which is that of a load here, should an interruption strike.)
                if type(flight.landing) is Loaded:  # in line: a value, as nearly always
                    return flight.landing
                outcome = serving.take(table, flight, call, flight is mine, self.serve)
                if outcome is not None:
                    return outcome
                if flight is mine:
                    serving.raise_interruption(mine)
                    elsewhere, again = elsewhere and not again, True  # then this thread will do
                    load = waiting_load(self, call) if elsewhere else thread
                    mine = ticket(call.key, table.name, load, following=mine)
        except WaitTimeout as late:
            try:
                return serving.out_of_patience(table, mine, may_hit, late, patience)
            finally:
                table.recover(mine, landing)
        except BaseException:
            table.recover(mine, landing)
            raise
        finally:
            mine = flight = outer = landing = outcome = load = None  # type: ignore[assignment]
            del call, signal  # breaks the ring (see Rings)


def wait(
    table: FlightTable,
    flight: Flight,
    waiters: ThreadWaiters,
    deadline: float | None,
    runs: bool = False,
) -> None:
    """Block until `flight` is over. `runs`: rather run a load here that waits for a thread.

    Who would run it itself need not wait for one; nor may a thread of an executor for one of those.
    """
    if runs:
        take_over(table, flight)
    check_frozen(flight)
    thread = me.local.thread
    edge = Edge(runners_here(), flight)
    try:
        with edge:
            if is_held(thread.lock):  # see `_locks`
                released(_wait, table, flight, waiters, deadline, edge, runs)
            else:
                _wait(table, flight, waiters, deadline, edge, runs)
    finally:
        del flight, waiters, edge  # breaks the ring (see Rings)


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
            left = POLL if deadline is None else min(deadline - _clock.now(), POLL)
            if left <= 0:
                raise WaitTimeout
            if table.abandon_gone(flight):
                return
            if waiters.turnstile.acquire(True, min(left, _clock.look_again)):
                waiters.wake()
                return
            edge.check()
            if runs:
                take_over(table, flight)  # who leads it was not that far before
    except BaseException:
        if flight.over:  # perhaps interrupted between the two lines above
            waiters.wake()
        raise
