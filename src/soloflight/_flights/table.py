"""The table of flights: every transition of the protocol.

No I/O, no waiting, no asyncio, no cachetools. A call brings a `Flight` of its own and *claims* its
key with it. It then hits, leads or follows:

    claim ──> hit      a fresh entry was stored meanwhile
          ├─> lead     the flight goes on the table; load, then land
          └─> follow   another flight is on the table, or succeeds the one that this call followed
                       and that was abandoned; wait until that is over

    on the table ──land(Value | Error)──> over: stored, off the table, everyone woken
                 ──land(None)───────────> over: abandoned, off the table, everyone woken
                 ──forget, invalidate───> fenced: off the table, still flying; lands unstored
                 ──claim, too old───────> fenced, and counted among those that hang

A refresh, behind an entry that is served, claims its key like a call, but follows nobody.

Rules:

1. At most one flight per key is on the table. It leaves by identity: a flight that was forgotten
   never takes its successor off.
2. Store the entry, then take the flight off, both in one critical section; then wake. So no call
   falls between the end of a load and the cache.
3. A flight's entry is stored only while the flight is on the table. That is the fence; no clock.
4. Those who followed a flight that was abandoned follow its successor, once there is one, also
   where that is over before they have woken.
5. `land` is idempotent and wakes again when it is called again: an interrupt may strike between any
   two lines of it, and the callers of this module then land a second time.
6. The lock is never held across a load, a wait, I/O, an await or a log record. A destructor, a
   key's ``__eq__`` or a signal handler may call the same function from inside of a critical
   section, which must expect anything to have changed after it (see `_locks`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from time import monotonic
from typing import Any

from .._entries.entry import Aging, Entry
from .._entries.shelf import Shelf
from .._interruptions import users_errors
from .._locks import NOBODY, RLock, critical, exiting, is_held, locked, me, register, tell, tell_all
from .._loops import Home
from .._outcome import Error, Found, Value
from ..exceptions import FlightError, WaitTimeout
from .by_key import Flights
from .flight import Flight, FlightInfo, Outcome
from .overdue import Hanging
from .stats import Counts

Board = Callable[[Flight, Flight], None]
"""``board(flight, mine)``: put the call that brought `mine` among the waiters of `flight`."""


SHORT_LIVED, LONG_LIVED = 0.1, 60.0
"""Seconds. Where an event loop has ended with a refresh in it, another one is trusted with one once
it is older than the first plus twice the age of that; after the second, whatever there was."""


class FlightTable:
    """The flights in progress of one function or one group."""

    __slots__ = (
        "__weakref__",
        "counts",
        "flights",
        "hanging",
        "lock",
        "name",
        "proven",
        "shelf",
        "short_lived",
        "timer",
        "told",
    )

    def __init__(
        self,
        name: str,
        shelf: Shelf | None = None,
        max_age: float | None = None,
        max_abandoned: int = 2,
    ) -> None:
        self.name = name
        self.shelf = shelf
        self.timer: Callable[[], float] = monotonic if shelf is None else shelf.timer
        self.counts = Counts()
        self.told: set[str] = set()  # what is told once
        # The last event loop that ended before a refresh in it, and the age from which on another
        # loop is trusted with one.
        self.short_lived: Home | None = None
        self.proven = 0.0
        # Guards what follows, every flight's waiters, and the shelf's cache.
        self.lock: RLock = RLock() if shelf is None else shelf.lock
        self.flights = Flights(self.lock)
        self.hanging = None if max_age is None else Hanging(max_age, max_abandoned)
        register(self)

    def claim(self, mine: Flight, board: Board, *, look: bool, aboard: bool) -> Outcome | None:
        """Hit, follow or lead.

        Returns what a hit found. Otherwise ``mine.following`` is the flight to wait for, or
        ``None``: then `mine` is on the table and its caller leads. `look`: whether an entry will
        do; `aboard`: whether a leader is a waiter of its own flight (as tasks are).
        """
        abandoned, mine.following = mine.following, None  # what it followed so far
        # Going on the table takes no lock. The second look comes after it: whoever was on the
        # table before stored its entry before it left.
        if abandoned is None:
            flight = self.flights.enter(mine)
        else:
            flight = locked(self.lock, self._succeed, abandoned, mine)
        if flight is not mine and self.hanging is not None:
            flight = self._replaced(self.hanging, flight, mine)
        if flight is not mine:
            locked(self.lock, self._follow, flight, mine, board, abandoned is None)
            return None
        if look and self.shelf is not None:
            entry = self.shelf.look(mine.key)
            if entry is not None:
                return self._hit(mine, entry)
        mine.since = self.timer()
        next(self.counts.led.counter)
        if aboard:
            board(mine, mine)
        return None

    def _succeed(self, abandoned: Flight, mine: Flight) -> Flight:
        """The flight to be followed by all who followed `abandoned`: `mine` if there is none."""
        self._clean(abandoned)  # where its landing was interrupted, it may still be there
        flight = abandoned.successor
        if flight is None:
            flight = abandoned.successor = self.flights.enter(mine)
        return flight

    def _hit(self, mine: Flight, entry: Entry[Any]) -> Outcome:
        found = entry.handed()
        if type(entry) is not Entry:
            self.counts.serve(entry, self.timer())
        # Whoever follows: takes the value as well, or looks again.
        self.land(mine, None if isinstance(found, Error) else Found(found.value))
        return found

    def claim_behind(self, mine: Flight, served: Aging[Any]) -> bool:
        """Lead a refresh behind an entry that was served, unless that has become needless."""
        assert self.shelf is not None
        flight = self.flights.enter(mine)
        if flight is not mine and self.hanging is not None:
            try:
                flight = self._replaced(self.hanging, flight, mine)
            except WaitTimeout:
                return False
        if flight is not mine:
            locked(self.lock, self._clean, flight)
            return False
        # It was refreshed in between, say, or that has failed.
        if self.shelf.find(mine.key) is not served or self.timer() < served.calm_until:
            self.land(mine, None)
            return False
        mine.since = self.timer()
        return True

    def refreshing(self, key: Hashable) -> Flight | None:
        """The flight of `key`, unless a refresh would replace it."""
        flight, hanging = self.flights.get(key), self.hanging
        if flight is None or flight.over or self.abandon_gone(flight):
            return None
        if hanging is None or not hanging.is_due(flight, self.timer()):
            return flight
        for other in hanging.of(flight):
            self.abandon_gone(other)
        return flight if hanging.is_full(flight) else None

    def _replaced(self, hanging: Hanging, flight: Flight, mine: Flight) -> Flight:
        """The flight on the table: `mine` where those that were there are too old."""
        while flight is not mine and not flight.over and hanging.is_due(flight, self.timer()):
            for other in hanging.of(mine):
                self.abandon_gone(other)
            if flight.load is not None and flight.load.withdraw():
                self.land(flight, None)  # it has not even begun
            elif not locked(self.lock, self._let_go, hanging, flight):
                raise hanging.too_many(flight)
            flight = self.flights.enter(mine)
        return flight

    def _let_go(self, hanging: Hanging, flight: Flight) -> bool:
        """Take a flight off that is too old, unless there are too many; whether it is off."""
        if self.flights.has(flight) and not flight.over:
            if hanging.is_full(flight):
                return False
            if self.fence(flight):
                hanging.add(flight)
        self._clean(flight)
        return True

    def _follow(self, flight: Flight, mine: Flight, board: Board, first: bool) -> None:
        mine.following = flight
        self.counts.joined += first
        if not flight.over:
            board(flight, mine)
        else:
            self._clean(flight)

    def _clean(self, flight: Flight) -> None:
        """Take off a flight that is over: there was no room on the stack when it landed."""
        if flight.over:
            self.flights.remove(flight)

    def land(self, flight: Flight, outcome: Outcome | None) -> None:
        """End a flight with its outcome, or abandon it (``None``). Idempotent."""
        thread = me.local.thread
        before = thread.lock
        now = self.timer() if outcome is None and flight.since is not None else None
        try:
            if is_held(before) or exiting:
                locked(self.lock, self._off, flight, outcome, now)
            else:  # `locked` in line: this is a part of every miss
                thread.lock = self.lock
                with self.lock: self._off(flight, outcome, now)  # fmt: skip
        finally:
            thread.lock = before
            if flight.over and flight.waiters:
                for waiters in list(flight.waiters.values()):
                    waiters.wake()
                flight.waiters = {}  # only now: an interrupted landing wakes them again
            if thread.untold:
                tell_all()

    def _off(self, flight: Flight, outcome: Outcome | None, now: float | None = None) -> None:
        """Store, take off, seal. `now`: of a load that is abandoned."""
        key, flights, shelf = flight.key, self.flights, self.shelf
        stored = None
        try:
            if shelf is not None and not flight.over and flights.has(flight):
                entry = outcome.entry if type(outcome) is Error else outcome
                if isinstance(entry, Entry):
                    if shelf.ttu is None or (shelf.limit(key, entry) and flights.has(flight)):
                        stored = entry
                        flight.outcome = outcome
                        shelf.store(key, entry, flight)
                elif type(outcome) is Value:
                    with users_errors:  # of a key's __eq__
                        shelf.drop(key)  # its ttl is over at once; it is newer than what is there
                    shelf.tidy()
                elif now is not None and flight.unattended and flight.thread is not NOBODY:
                    flight.unattended = False  # once: a collection in here may land it as well
                    with users_errors:
                        self._hold_off(flight, shelf.find(key), now)
                else:
                    shelf.tidy()
        finally:
            # Whatever happened, the key is free and those aboard are answered; in this order: who
            # follows looks without the lock at whether it is over.
            try:
                fenced = not flights.remove(flight)  # by user code that ran in there, perhaps
                if (
                    fenced
                    and stored is not None
                    and shelf is not None
                    and shelf.find(key) is stored
                ):
                    shelf.drop(key)
            finally:
                if not flight.over:
                    flight.outcome = outcome
                    flight.over = True
                    self.counts.seconds += flight.took
                    if not isinstance(outcome, Value):
                        self._count(flight, outcome)
                    if self.hanging:
                        self.hanging.remove(flight)

    def _hold_off(self, flight: Flight, entry: Entry[Any] | None, now: float) -> None:
        """A refresh was abandoned: one that has failed, and the next attempt has to wait."""
        if type(entry) is Aging and now < entry.until:
            assert self.shelf is not None
            error = Error(FlightError("the refresh was abandoned"), None)
            policy = self.shelf.policy
            until = policy.answers_until(entry, policy.hides(None))
            policy.hold_off(entry, error, now, until)
        if flight.loop is not None:
            self.lost_in(flight.loop)

    def lost_in(self, loop: Home) -> None:
        """A refresh has ended with its event loop, or as if it had."""
        self.short_lived = loop
        self.proven = max(self.proven, min(SHORT_LIVED + 2 * loop.age(), LONG_LIVED))

    def may_end_early(self, loop: Home) -> bool:
        """Whether a refresh in this event loop may be lost, as loops live no longer than a call."""
        # (That of the last one lives on: there the refresh itself was cancelled.)
        return loop is not self.short_lived and loop.age() < self.proven

    def _count(self, flight: Flight, outcome: Error | None) -> None:
        if outcome is not None:
            self.counts.errors += 1
        elif flight.since is not None:
            self.counts.abandoned += 1

    def recover(self, mine: Flight, outcome: Outcome | None) -> None:
        """Make good after an interruption of the call that brought `mine`, wherever it struck.

        A follower leaves. The caller of a load that runs elsewhere leaves. A thread that led lands
        with what it has: the outcome, or nothing.
        """
        if mine.following is not None:
            self.leave(mine.following, mine)
        elif mine.load is not None and (mine.load.submitted or not mine.load.withdraw()):
            self.leave(mine, mine)
        else:
            try:
                self.land(mine, outcome)
            finally:
                if not mine.over:  # no room on the stack for that, and for not one frame more
                    mine.outcome = outcome
                    mine.over = True  # those aboard look now and then
                    # Not to be waited for here: this thread may hold another lock.
                    if self.lock.acquire(False):
                        try:
                            self.flights.remove(mine)
                        finally:
                            self.lock.release()

    def abandon_gone(self, flight: Flight) -> bool:
        """Abandon a flight that nothing can land any more."""
        if not flight.is_gone():
            return False
        self.land(flight, None)
        if flight.load is not None:
            flight.load.cancel()
        return True

    def leave(self, flight: Flight, mine: Flight) -> None:
        """Take one caller off a flight. When the last one leaves a task's load, that ends too.

        Not so a refresh, for which nobody has to wait.
        """
        if critical(self.lock, self._leave, flight, mine) and flight.load is not None:
            flight.load.cancel()

    def _leave(self, flight: Flight, mine: Flight) -> bool:
        if flight.over:
            return False
        for waiters in list(flight.waiters.values()):
            waiters.callers.pop(mine, None)
        if flight.load is None or flight.loop is None or flight.unattended or flight.aboard():
            return False
        # Off the table first, cancelled second: a newcomer must not join a dying flight.
        self._off(flight, None)
        return True

    def tell_once(self, text: str, *args: object, error: Exception | None = None) -> None:
        """Log what is wrong with this function as a whole."""
        if text not in self.told:
            self.told.add(text)
            tell(f"%s: {text} (no further warnings)", self.name, *args, error=error)
            tell_all()

    def forget(self, key: Hashable) -> bool:
        """Take the flight of `key` off the table; whether there was one."""
        return critical(self.lock, self._forget, key)

    def _forget(self, key: Hashable) -> bool:
        flight = self.take_off(key)
        if flight is None:
            return False
        outcome = flight.outcome
        stored = outcome.entry if type(outcome) is Error else outcome
        if self.shelf is not None and self.shelf.find(key) is stored is not None:
            self.shelf.drop(key)  # it is landing, and user code runs in there
        return True

    def take_off(self, key: Hashable) -> Flight | None:
        """Fence the flight of `key`."""
        while (flight := self.flights.get(key)) is not None:
            if self.fence(flight):  # else it has landed, in a key's __eq__, and left to another
                return flight
        return None

    def fence(self, flight: Flight) -> bool:
        """Take a flight off before it has landed; whether it was there."""
        if not self.flights.remove(flight):
            return False
        flight.fenced = True
        self.counts.fenced += 1
        return True

    def take_all_off(self) -> None:
        """Fence every flight."""
        for flight in self.flights:
            self.fence(flight)

    def in_flight(self) -> tuple[FlightInfo, ...]:
        """What is under way."""
        now = self.timer()
        return tuple(
            FlightInfo(f.key, 0.0 if f.since is None else now - f.since, f.aboard())
            for f in self.flights
            if not (f.over or self.abandon_gone(f))
        )

    def forked(self) -> None:
        """Start anew in a child process: no flight."""
        self.flights.clear()
        if self.hanging is not None:
            self.hanging.clear()
        if self.shelf is not None:
            self.shelf.forked()
