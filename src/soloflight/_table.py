"""The table of flights: every transition of the protocol.

No I/O, no waiting, no asyncio, no cachetools. A call brings a `Flight` of its own and *claims* its
key with it. It then hits, leads or follows:

    claim ──> hit      a fresh entry was stored meanwhile
          ├─> lead     the flight goes on the table; load, then land
          └─> follow   another flight is on the table; wait until that is over

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
4. `land` is idempotent and wakes again when it is called again: an interrupt may strike between any
   two lines of it, and the callers of this module then land a second time.
5. The lock is never held across a load, a wait, I/O or an await. A destructor, a key's ``__eq__``
   or a signal handler may call the same function from inside of a critical section, which must
   expect anything to have changed after it (see `_locks`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import RLock
from time import monotonic
from typing import Any

from ._entry import Aging, Entry
from ._flight import Flight, FlightInfo, Outcome
from ._hanging import Hanging
from ._locks import critical, is_held, me, register
from ._outcome import Error, Found, Value
from ._shelf import Shelf
from ._stats import Counts
from .exceptions import WaitTimeout

Board = Callable[[Flight, Flight], None]
"""``board(flight, mine)``: put the call that brought `mine` among the waiters of `flight`."""


class FlightTable:
    """The flights in progress of one function or one group."""

    __slots__ = (
        "__weakref__",
        "counts",
        "flights",
        "hanging",
        "lock",
        "name",
        "refused",
        "shelf",
        "timer",
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
        self.refused = False  # a refresh could not be started, and that was told
        # Guards what follows, every flight's waiters, and the shelf's cache.
        self.lock: RLock = RLock() if shelf is None else shelf.lock
        # Flights go on with one dict operation, and off under the lock.
        self.flights: dict[Hashable, Flight] = {}
        self.hanging = None if max_age is None else Hanging(max_age, max_abandoned)
        register(self)

    def claim(self, mine: Flight, board: Board, *, look: bool, aboard: bool) -> Outcome | None:
        """Hit, follow or lead.

        Returns what a hit found. Otherwise ``mine.following`` is the flight to wait for, or
        ``None``: then `mine` is on the table and its caller leads. `look`: whether an entry will
        do; `aboard`: whether a leader is a waiter of its own flight (as tasks are).
        """
        first = mine.following is None  # False: what it followed was abandoned
        mine.following = None
        # Going on the table is one dict operation and needs no lock. The second look comes after
        # it: whoever was on the table before stored its entry before it left.
        flight = self.flights.setdefault(mine.key, mine)
        if flight is not mine and self.hanging is not None:
            flight = self._replaced(self.hanging, flight, mine)
        if flight is not mine:
            critical(self.lock, self._follow, flight, mine, board, first)
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
        flight = self.flights.setdefault(mine.key, mine)
        if flight is not mine and self.hanging is not None:
            try:
                flight = self._replaced(self.hanging, flight, mine)
            except WaitTimeout:
                return False
        if flight is not mine:
            if flight.over:
                critical(self.lock, self._clean, flight)
            return False
        # It was refreshed in between, say, or that has failed.
        if self.shelf.find(mine.key) is not served or self.timer() < served.calm_until:
            self.land(mine, None)
            return False
        mine.since = self.timer()
        return True

    def is_busy(self, key: Hashable) -> bool:
        """Whether there is a flight of `key` that a refresh would not replace."""
        flight, hanging = self.flights.get(key), self.hanging
        if flight is None or flight.over or self.abandon_gone(flight):
            return False
        if hanging is None or not hanging.is_due(flight, self.timer()):
            return True
        for other in hanging.of(key):
            self.abandon_gone(other)
        return hanging.is_full(key)

    def _replaced(self, hanging: Hanging, flight: Flight, mine: Flight) -> Flight:
        """The flight on the table: `mine` where those that were there are too old."""
        while flight is not mine and hanging.is_due(flight, self.timer()):
            for other in hanging.of(mine.key):
                self.abandon_gone(other)
            if flight.load is not None and flight.load.withdraw():
                self.land(flight, None)  # it has not even begun
            else:
                critical(self.lock, self._let_go, hanging, flight)
            flight = self.flights.setdefault(mine.key, mine)
        return flight

    def _let_go(self, hanging: Hanging, flight: Flight) -> None:
        if flight.over:
            self._clean(flight)
        elif self.flights.get(flight.key) is flight:
            hanging.check(flight)
            self.take_off(flight.key)
            hanging.add(flight)

    def _follow(self, flight: Flight, mine: Flight, board: Board, first: bool) -> None:
        mine.following = flight
        self.counts.joined += first
        if not flight.over:
            board(flight, mine)
        else:
            self._clean(flight)

    def _clean(self, flight: Flight) -> None:
        """Take off a flight that is over: a key's ``__eq__`` raised when it landed."""
        if flight.over and self.flights.get(flight.key) is flight:
            self.flights.pop(flight.key, None)

    def land(self, flight: Flight, outcome: Outcome | None) -> None:
        """End a flight with its outcome, or abandon it (``None``). Idempotent."""
        thread = me.thread
        before = thread.lock
        try:
            if is_held(before):
                critical(self.lock, self._off, flight, outcome)
            else:  # `critical` in line: this is a part of every miss
                thread.lock = self.lock
                with self.lock: self._off(flight, outcome)  # fmt: skip
        finally:
            thread.lock = before
            if flight.over and flight.waiters:
                for waiters in list(flight.waiters.values()):
                    waiters.wake()
                flight.waiters = {}  # only now: an interrupted landing wakes them again

    def _off(self, flight: Flight, outcome: Outcome | None) -> None:
        key, flights, shelf = flight.key, self.flights, self.shelf
        stored = None
        try:
            if shelf is not None and not flight.over and flights.get(key) is flight:
                entry = outcome.entry if type(outcome) is Error else outcome
                if isinstance(entry, Entry):
                    if shelf.ttu is None or (
                        shelf.limit(key, entry) and flights.get(key) is flight
                    ):
                        stored = entry
                        flight.outcome = outcome
                        shelf.store(key, entry, flight)
                elif type(outcome) is Value:
                    shelf.drop(key)  # its ttl is over at once, and it is newer than what is there
        finally:
            # Whatever happened, the key is free and those aboard are answered; in this order: who
            # follows looks without the lock at whether it is over.
            try:
                if flights.get(key) is flight:
                    flights.pop(key, None)  # a key's __eq__ may have taken it off in that very look
                elif stored is not None and shelf is not None and shelf.find(key) is stored:
                    shelf.drop(key)  # user code that ran in there has fenced this flight
            finally:
                if not flight.over:
                    flight.outcome = outcome
                    flight.over = True
                    self.counts.seconds += flight.took
                    if not isinstance(outcome, Value):
                        self._count(flight, outcome)
                    if self.hanging:
                        self.hanging.remove(flight)

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
                            if self.flights.get(mine.key) is mine:
                                self.flights.pop(mine.key, None)
                        finally:
                            self.lock.release()

    def abandon_gone(self, flight: Flight) -> bool:
        """Abandon a flight whose event loop was closed under it, and can no longer land it."""
        if flight.loop is None or not flight.loop.is_closed():
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
        flight = self.flights.pop(key, None)
        if flight is not None:
            flight.fenced = True
            self.counts.fenced += 1
        return flight

    def take_all_off(self) -> None:
        """Fence every flight."""
        try:
            while True:  # one by one: see `Index.clear`
                self.flights.popitem()[1].fenced = True
                self.counts.fenced += 1
        except KeyError:
            pass  # it is empty

    def in_flight(self) -> tuple[FlightInfo, ...]:
        """What is under way."""
        now = self.timer()
        return tuple(
            FlightInfo(f.key, 0.0 if f.since is None else now - f.since, f.aboard())
            for f in list(self.flights.values())
            if not (f.over or self.abandon_gone(f))
        )

    def forked(self) -> None:
        """Start anew in a child process: no flight."""
        self.flights = {}
        if self.hanging is not None:
            self.hanging.clear()
        if self.shelf is not None:
            self.shelf.forked()
