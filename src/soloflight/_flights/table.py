"""The table of flights: every transition of the protocol.

No I/O, no waiting, no asyncio, no cachetools. A call brings a `Flight` of its own and *claims* its
key with it. It then hits, leads or follows:

    claim ──> hit      a fresh entry was stored meanwhile
          ├─> lead     the flight goes on the table; load, then land
          └─> follow   another flight is on the table, or succeeds the one that this call followed
                       and that was abandoned; wait until that is over

    on the table ──land(Landing)──────────> over: stored, off the table, everyone woken
                 ──land(None)─────────────> over: abandoned, off the table, everyone woken
                 ──leave, the last one────> over: abandoned, and its task is cancelled
                 ──forget, invalidate,
                   put, clear─────────────> fenced: off the table, still flying; lands unstored
                 ──claim, too old─────────> fenced, and counted among those that hang

A refresh, behind an entry that is served, claims its key like a call, but follows nobody.

Rules:

1. At most one flight per key is on the table. It leaves by identity: a flight that was forgotten
   never takes its successor off.
2. Store the entry, then take the flight off, both in one critical section; then wake. So no call
   falls between the end of a load and the cache.
3. A flight's entry is stored only while the flight is on the table. That is the fence; no clock.
4. What strikes from outside fences first, and once more at last. First: a flight must not land
   where user code that runs in there gives up the lock. Last: a claim takes no lock, and one that
   came between would find the old entry and hand it to those who follow it.
5. Those who followed a flight that was abandoned follow its successor, once there is one, also
   where that is over before they have woken.
6. `land` is idempotent and wakes again when it is called again: an interrupt may strike between any
   two lines of it, and the callers of this module then land a second time.
7. The lock is never held across a load, a wait, I/O, an await or a log record. A destructor, a
   key's ``__eq__`` or a signal handler may call the same function from inside of a critical
   section, which must expect anything to have changed after it (see `_locks`).
8. Nobody else writes a flight's fields.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from .. import _clock
from .._entries.entry import Aging, Entry
from .._entries.index import Index
from .._entries.shelf import Shelf
from .._interruptions import users_errors
from .._locks import critical, exiting, is_held, locked, register, tell_all
from .._outcome import Error
from .._runners import NOBODY, Home, RLock, Thread, Trust, me
from ..exceptions import WaitTimeout
from .by_key import Flights
from .flight import Flight, FlightInfo, Waiters
from .landing import Failed, Found, Landing, Outcome
from .ledger import Ledger
from .overdue import Overdue

Board = Callable[[dict[Hashable, Waiters], Flight], Any]
"""``board(waiters, mine)``: put the call that brought `mine` among these; returns what wakes it."""


class FlightTable:
    """The flights in progress of one function or one group."""

    __slots__ = (
        "__weakref__", "flights", "ledger", "lock", "name", "overdue", "owner", "shelf", "timer",
        "trust",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        shelf: Shelf | None = None,
        max_flight_age: float | None = None,
        max_abandoned: int = 2,
    ) -> None:
        self.name, self.shelf = name, shelf
        self.timer: Callable[[], float] = _clock.now if shelf is None else shelf.timer
        self.ledger = Ledger(name) if shelf is None else Ledger(name, shelf.hits, shelf.counts)
        if shelf is not None:
            shelf.ledger = self.ledger
        self.trust = Trust()
        self.owner: Callable[[], Any] = lambda: None  # weakly: the decorated function, or the group
        # Guards what follows, every flight's waiters, and the shelf's cache.
        self.lock: RLock = RLock() if shelf is None else shelf.lock
        self.flights = Flights(self.lock)
        self.overdue = None if max_flight_age is None else Overdue(max_flight_age, max_abandoned)
        register(self)

    def claim(self, mine: Flight, board: Board, *, may_hit: bool) -> Outcome | None:
        """Hit, follow or lead.

        Returns what a hit found. Otherwise ``mine.following`` is the flight to wait for, or
        ``None``: then `mine` is on the table and its caller leads. `may_hit`: whether an entry will
        do.
        """
        abandoned, mine.following = mine.following, None  # what it followed so far
        # Going on the table takes no lock. The second look comes after it: whoever was there before
        # stored its entry before it left.
        if abandoned is None:
            found = self.flights.setdefault(mine.hash, mine)
            flight = mine if found is mine else self.flights.entered(found, mine)
        else:
            flight = locked(self.lock, self._succeed, abandoned, mine)
        if flight is not mine and self.overdue is not None:
            flight = self._replaced(self.overdue, flight, mine)
        if flight is not mine:
            locked(self.lock, self._follow, flight, mine, board, abandoned is None)
            if self.ledger.observer is not None:
                tell_all()
            return None
        if may_hit and self.shelf is not None:
            entry = self.shelf.look(mine.key)
            if entry is not None:
                return self._hit(mine, entry)
        mine.since = self.timer()
        next(self.ledger.misses.counter)
        if self.ledger.observer is not None:
            self.ledger.observe("led", mine.key)
        return None

    def _succeed(self, abandoned: Flight, mine: Flight) -> Flight:
        """The flight to be followed by all who followed `abandoned`: `mine` if there is none."""
        self._clean(abandoned)  # where its landing was interrupted, it may still be there
        if abandoned.successor is None:
            abandoned.successor = self.flights.enter(mine)
        return abandoned.successor

    def _hit(self, mine: Flight, entry: Entry[Any]) -> Outcome:
        found = entry.handed()
        # Whoever follows: takes the value as well, or looks again.
        self.land(mine, None if isinstance(found, Error) else Found(found.value))
        if type(entry) is not Entry:
            self.ledger.serve(mine.key, entry, self.timer())
        return found

    def _follow(self, flight: Flight, mine: Flight, board: Board, first: bool) -> None:
        mine.following = flight
        if first:
            self.ledger.join(flight)
        self._clean(flight)
        if not flight.over:
            mine.signal = board(flight.waiters, mine)

    def board(self, mine: Flight, board: Board) -> Any:
        """Make a leader a waiter of its own flight; returns what wakes it, unless that is over.

        Needs the lock, unless nobody but this thread boards where `board` does, or lands `mine`.
        """
        return None if mine.over else board(mine.waiters, mine)

    def _clean(self, flight: Flight) -> None:
        """Take off a flight that is over: there was no room on the stack when it landed."""
        if flight.over:
            self.flights.remove(flight)

    def signal_of(self, mine: Flight) -> Any:
        """What wakes a call; it is given once, as it holds the flight that the call brought."""
        signal, mine.signal = mine.signal, None
        return signal

    def begin(self, flight: Flight) -> None:
        """A load that had to wait for a thread begins now."""
        flight.since = self.timer()

    def refreshing(self, key: Hashable) -> Flight | None:
        """The flight of `key`, unless a refresh would replace it."""
        flight, overdue = self.flights.of(key), self.overdue
        if flight is None or flight.over or self.abandon_gone(flight):
            return None
        if overdue is None or not overdue.is_due(flight, self.timer()):
            return flight
        for other in overdue.of(flight):
            self.abandon_gone(other)
        return flight if overdue.is_full(flight) else None

    def claim_behind(self, mine: Flight, served: Aging[Any]) -> bool:
        """Lead a refresh behind an entry that was served, unless that has become needless."""
        assert self.shelf is not None
        found = self.flights.setdefault(mine.hash, mine)
        flight = mine if found is mine else self.flights.entered(found, mine)
        if flight is not mine and self.overdue is not None:
            try:
                flight = self._replaced(self.overdue, flight, mine)
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
        if self.ledger.observer is not None:
            self.ledger.observe("led", mine.key, "refresh")
        return True

    def call_off(self, mine: Flight) -> None:
        """A refresh could not be started. It has not failed: the next caller tries again."""
        mine.is_refresh = False
        self.recover(mine, None)

    def go_on(self, flight: Flight) -> None:
        """Have a load go on as a refresh, even if nobody waits for it."""
        flight.is_refresh = True

    def _replaced(self, overdue: Overdue, flight: Flight, mine: Flight) -> Flight:
        """The flight on the table: `mine` where those that were there are too old."""
        while flight is not mine and not flight.over and overdue.is_due(flight, self.timer()):
            for other in overdue.of(mine):
                self.abandon_gone(other)
            if flight.load.withdraw():
                self.land(flight, None)  # it has not even begun
            elif not locked(self.lock, self._let_go, overdue, flight):
                self.ledger.observe("refused", flight.key)
                raise overdue.too_many(flight)
            flight = self.flights.enter(mine)
        return flight

    def _let_go(self, overdue: Overdue, flight: Flight) -> bool:
        """Take a flight off that is too old, unless there are too many; whether it is off."""
        if self.flights.has(flight) and not flight.over:
            if overdue.is_full(flight):
                return False
            if self._fence(flight, "too old"):
                overdue.add(flight)
        self._clean(flight)
        return True

    def abandon_gone(self, flight: Flight) -> bool:
        """Abandon a flight that nothing can land any more."""
        if not flight.load.runner.is_gone():
            return False
        self.land(flight, None)
        flight.load.cancel()
        return True

    # Land

    def land(self, flight: Flight, landing: Landing | None, by: Thread | None = None) -> None:
        """End a flight, or abandon it (``None``). Idempotent. `by`: this thread."""
        thread = by or me.local.thread
        nested = is_held(before := thread.lock)
        now = self.timer() if landing is None and flight.since is not None else None
        gone = None  # an entry, that ends with this frame
        try:
            if nested or exiting:
                thread.dropped.append(locked(self.lock, self._off, flight, landing, now))
            else:  # `locked` in line: this is a part of every miss
                thread.lock = self.lock
                with self.lock: gone = self._off(flight, landing, now)  # fmt: skip  # noqa: F841
        finally:
            thread.lock = before
            if flight.over and flight.waiters:
                for waiters in list(flight.waiters.values()):
                    waiters.wake()
                flight.waiters = {}  # only now: an interrupted landing wakes them again
            if thread.dropped and not nested:
                thread.dropped.clear()  # as in `critical`
            if thread.untold:
                tell_all()

    def _off(
        self, flight: Flight, landing: Landing | None, now: float | None = None
    ) -> Entry[Any] | None:
        """Store, take off, seal. `now`: of a load that is abandoned.

        Whatever happens in one step, the next one is made: the key is free, and those aboard are
        answered. Returns what `Shelf.store` does.
        """
        shelf, flights, entry, gone = self.shelf, self.flights, None, None
        try:
            if (
                shelf is None
                or flight.over
                or (flights.get(flight.hash) is not flight and not flights.has(flight))
            ):
                pass
            elif landing is not None and (entry := landing.entry) is not None:
                flight.landing = landing  # see `_forget`
                key = flight.key
                if shelf.ttu is None or (shelf.limit(key, entry) and flights.has(flight)):
                    gone = shelf.store(key, entry, flight)
            else:
                self._store_nothing(shelf, flight, landing, now)
        finally:
            try:
                number = flight.hash  # as in `Flights.remove`: this is a part of every miss
                if number in flights and flights[number] is flight: del flights[number]  # fmt: skip
                elif not flights.remove(flight) and shelf is not None:
                    # It was fenced, by user code that ran in there, perhaps.
                    self._take_back(shelf, flight.key, entry)
            finally:
                if not flight.over:
                    flight.landing = landing
                    flight.over = True  # last: who follows looks at it without the lock
                    if landing is not None:
                        self.ledger.load_seconds += landing.took
                        if type(landing) is Failed:
                            self.ledger.errors += 1
                    elif flight.since is not None:
                        self.ledger.abandoned += 1
                    if self.ledger.observer is not None and flight.since is not None:
                        what = "abandoned" if landing is None else "landed"
                        self.ledger.observe(what, flight.key, landing and landing.outcome)
                    if self.overdue is not None:
                        self.overdue.remove(flight)
        return gone

    def _store_nothing(
        self, shelf: Shelf, flight: Flight, landing: Landing | None, now: float | None
    ) -> None:
        if landing is not None:
            if landing.is_newer():
                with users_errors:  # of a key's __eq__
                    shelf.drop(flight.key)
            shelf.tidy()
        elif now is not None and flight.is_refresh and flight.load.runner is not NOBODY:
            flight.is_refresh = False  # once: a collection in here may land it as well
            with users_errors:
                shelf.policy.abandoned(shelf.find(flight.key), now)
            if isinstance(flight.load.runner, Home):
                self.trust.lost_in(flight.load.runner)
        else:
            shelf.tidy()

    def _take_back(self, shelf: Shelf, key: Hashable, entry: Entry[Any] | None) -> None:
        if entry is not None and shelf.find(key) is entry:
            shelf.drop(key)

    def recover(self, mine: Flight, landing: Landing | None) -> None:
        """Make good after an interruption of the call that brought `mine`, wherever it struck.

        A follower leaves. The caller of a load that runs elsewhere leaves. A thread that led lands
        with what it has, or with nothing.
        """
        mine.signal = None  # it holds `mine`
        try:
            inline = mine.following is None and mine.load is me.local.thread
            leaves = not inline and (mine.following is not None or mine.load.is_on_its_own())
        except RecursionError:  # no room on the stack for that
            leaves = False
        if leaves:
            self.leave(mine.following or mine, mine)
        else:
            try:
                self.land(mine, landing)
            finally:
                if not mine.over:  # no room on the stack for that, and for not one frame more
                    mine.landing, mine.over = landing, True  # those aboard look now and then
                    if self.lock.acquire(False):  # this thread may hold another one: it cannot wait
                        try:
                            self.flights.remove(mine)
                        finally:
                            self.lock.release()

    def leave(self, flight: Flight, mine: Flight) -> None:
        """Take one caller off a flight. When the last one leaves a task's load, that ends too.

        Not so a refresh, for which nobody has to wait.
        """
        if critical(self.lock, self._leave, flight, mine):
            flight.load.cancel()

    def _leave(self, flight: Flight, mine: Flight) -> bool:
        if flight.over:
            return False
        self.ledger.observe("left", flight.key)
        for waiters in list(flight.waiters.values()):
            waiters.callers.pop(mine, None)
        if flight.is_refresh or flight.load.goes_on() or flight.aboard():
            return False
        # Off the table first, cancelled second: a newcomer must not join a dying flight.
        self._off(flight, None)
        return True

    # What strikes from outside

    def forget(self, key: Hashable) -> bool:
        """Take the flight of `key` off the table; whether there was one."""
        return critical(self.lock, self._forget, key)

    def _forget(self, key: Hashable) -> bool:
        flight = self._take_off(key, "forget")
        if flight is None:
            return False
        if self.shelf is not None and flight.landing is not None:
            # It is landing, and user code runs in there.
            self._take_back(self.shelf, key, flight.landing.entry)
        return True

    def invalidate(self, key: Hashable) -> bool:
        """Drop the entry of `key` and fence its flight; whether there was either."""
        fenced, entry = critical(self.lock, self._invalidate, key)
        if entry is None:
            return fenced
        return fenced or self.timer() < (entry.fresh_until if type(entry) is Entry else entry.until)

    def _invalidate(self, key: Hashable) -> tuple[bool, Entry[Any] | None]:
        assert self.shelf is not None
        fenced = self._take_off(key, "invalidate") is not None
        try:
            entry = self.shelf.drop(key)
            self.shelf.tidy()
        finally:
            fenced = self._take_off(key, "invalidate") is not None or fenced
        return fenced, entry

    def put(self, key: Hashable, entry: Entry[Any] | None) -> None:
        """Fence the flight of `key` and store an entry; None only displaces the old one."""
        critical(self.lock, self._put, key, entry)  # its result is released outside the lock

    def _put(self, key: Hashable, entry: Entry[Any] | None) -> Entry[Any] | None:
        assert self.shelf is not None
        self._take_off(key, "put")
        try:
            return self.shelf.put(key, entry)
        finally:
            self._take_off(key, "put")

    def clear(
        self, belongs: Callable[[Hashable], bool] | None = None, index: Index | None = None
    ) -> None:
        """Drop every entry and fence every flight; `belongs`: of these keys, in this index."""
        critical(self.lock, self._clear, belongs, index)  # as in `put`

    def _clear(
        self, belongs: Callable[[Hashable], bool] | None, index: Index | None
    ) -> list[Entry[Any] | None]:
        shelf, old = self.shelf, []
        assert shelf is not None
        self._take_all_off(belongs)
        try:
            if belongs is None:
                shelf.clear()
            else:
                old = [shelf.drop(key) for key in shelf.keys(index) if belongs(key)]
                shelf.tidy()
        finally:
            self._take_all_off(belongs)
        return old

    def _take_off(self, key: Hashable, why: str) -> Flight | None:
        """Fence the flight of `key`."""
        if hash(key) not in self.flights:
            return None
        while (flight := self.flights.of(key)) is not None:
            if self._fence(flight, why):  # or it has landed, in a key's __eq__, and left to another
                return flight
        return None

    def _take_all_off(self, belongs: Callable[[Hashable], bool] | None) -> None:
        for flight in self.flights.all():
            if belongs is None or belongs(flight.key):
                self._fence(flight, "clear")

    def _fence(self, flight: Flight, why: str) -> bool:
        """Take a flight off before it has landed; whether it was there."""
        if not self.flights.remove(flight):
            return False
        flight.fenced = True
        self.ledger.fence(flight, why)
        return True

    def in_flight(self) -> tuple[FlightInfo, ...]:
        """What is under way."""
        now = self.timer()
        return tuple(
            FlightInfo(f.key, 0.0 if f.since is None else now - f.since, f.aboard())
            for f in self.flights.all()
            if not (f.over or self.abandon_gone(f))
        )

    def forked(self) -> None:
        """Start anew in a child process: no flight."""
        self.flights.clear()
        if self.overdue is not None:
            self.overdue.clear()
        if self.shelf is not None:
            self.shelf.forked()
