"""The single thread that explains a history: what it has of a key, and what may take place when.

For each key it keeps an entry and a flight, and it has a clock:

    board     a load goes on the table              only while there is no flight, or an old one
    look      its leader looks once more, in vain   only while there is no entry that would do, and
                                                    no attempt has to wait; or once fenced
    stamp     its deadlines are set
    store     its value is stored                   unless a fence took it off the table
    fail      it has failed                         holds the next attempt off, unless fenced
    off       it leaves the table
    see       a call got what a load brought        only while that is the flight; or the entry, and
                                                    fresh, stale or held off; or what is served as
                                                    the flight has failed
    behind    a call got it, and loads nothing      unless that is stale, and nobody refreshes it
    patience  a call waits no longer                only while it gets the entry, if there is one
    peek      a call saw what there is              only while that is so
    time      some of it passes

and `put`, `invalidate`, `clear` and `forget` as they are documented.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple


class Life(NamedTuple):
    """How long the options let an entry be what, in seconds."""

    ttl: float = inf
    stale: float = 0  # while it is refreshed
    on_error: float = 0
    error_ttl: float = 0
    early: bool = False  # it may be refreshed while it is fresh
    hold_off: float = 0  # the longest that a failed reload holds off the next
    max_age: float = inf  # of a flight


class Event(NamedTuple):
    """Something that took place at one moment between two others."""

    name: str
    began: int
    ended: int
    number: int | None = None
    flag: bool = False
    served: int | None = None  # of a look: what its caller got instead
    seconds: float = 0


class Entry(NamedTuple):
    """What a load or a put brought, with its deadlines."""

    number: int
    fresh_until: float
    stale_until: float
    until: float
    raises: bool = False
    calm: tuple[float, float] = (-inf, -inf)
    """No reload before that, if it was a short wait; served until then, if it was a long one."""


class State(NamedTuple):
    """What the single thread has of a key: numbers of loads and puts."""

    entry: Entry | None = None
    flight: int | None = None
    since: float = 0  # when the flight came
    now: float = 0
    past: int | None = None  # what was the fresh entry until time passed, or it was dropped
    instead: int | None = None  # of a load that has failed
    stamped: frozenset[Entry] = frozenset()

    def after(self, event: Event, life: Life) -> State | None:
        """The state after an event; None where that cannot be at this moment."""
        return getattr(self, event.name)(event, life)  # type: ignore[no-any-return]

    def has(self, number: int | None) -> bool:
        return self.entry is not None and self.entry.number == number

    @property
    def fresh(self) -> bool:
        return self.entry is not None and self.now < self.entry.fresh_until

    @property
    def alive(self) -> bool:
        return self.entry is not None and self.now < self.entry.until

    @property
    def stale(self) -> bool:
        return self.entry is not None and self.now < self.entry.stale_until and not self.calm

    @property
    def calm(self) -> bool:
        return self.entry is not None and self.now < self.entry.calm[1]

    # Flights

    def board(self, event: Event, life: Life) -> State | None:
        if self.flight is not None and not self.now - self.since >= life.max_age:
            return None
        return self._replace(flight=event.number, since=self.now, instead=None)

    def look(self, event: Event, life: Life) -> State | None:
        if event.flag or self.flight != event.number or not self.alive:
            return self
        assert self.entry is not None
        early = life.early and self.has(event.served)
        held_off = self.now < self.entry.calm[0]
        return self if not held_off and (early or not self.fresh) else None

    def stamp(self, event: Event, life: Life) -> State:
        assert event.number is not None
        if event.flag:
            fresh = self.now + life.error_ttl
            entry = Entry(event.number, fresh, fresh, fresh, raises=True)
        else:
            fresh = self.now + life.ttl
            entry = Entry(
                event.number, fresh, fresh + life.stale, fresh + max(life.stale, life.on_error)
            )
        return self._replace(stamped=self.stamped | {entry})

    def store(self, event: Event, life: Life) -> State:
        stored = next(entry for entry in self.stamped if entry.number == event.number)
        state = self._replace(stamped=self.stamped - {stored})
        if event.name == "store" and self.flight != event.number:
            return state
        return state._replace(entry=stored, instead=None)

    put = store

    def fail(self, event: Event, life: Life) -> State:
        if not self.alive or self.entry is None or self.entry.raises:
            return self
        state = self
        if life.on_error or not self.fresh:
            state = self._replace(instead=self.entry.number)
        return state._held_off(life) if self.flight == event.number else state

    def lost(self, event: Event, life: Life) -> State:
        """A load was interrupted that was a refresh, or may have been one (`flag`)."""
        if not self.alive or self.entry is None or self.entry.raises or self.flight != event.number:
            return self
        return self._held_off(life, perhaps=event.flag)

    def _held_off(self, life: Life, perhaps: bool = False) -> State:
        assert self.entry is not None
        until = self.entry.until
        shortest, longest = self.now + life.hold_off / 2, self.now + life.hold_off
        calm = min(shortest, until), min(longest, until)
        if perhaps:
            calm = min(self.entry.calm[0], calm[0]), max(self.entry.calm[1], calm[1])
        return self._replace(entry=self.entry._replace(calm=calm))

    def off(self, event: Event, life: Life) -> State:
        mine = self.flight == event.number
        return self._replace(flight=None, instead=None) if mine else self

    # Calls

    def see(self, event: Event, life: Life) -> State | None:
        number = event.number
        if self.flight == number or (not event.flag and self.instead == number):
            return self
        served = self.fresh or self.stale or self.calm
        return self if self.has(number) and not event.flag and served else None

    def late(self, event: Event, life: Life) -> State | None:
        return self if self.past == event.number else self.see(event, life)

    def behind(self, event: Event, life: Life) -> State | None:
        idle = self.flight is None and self.has(event.number) and self.stale and not self.fresh
        return None if idle else self

    def patience(self, event: Event, life: Life) -> State | None:
        if event.number is None:
            return None if self.alive else self
        return self if self.alive and self.has(event.number) else self.see(event, life)

    def peek(self, event: Event, life: Life) -> State | None:
        if event.number is None:
            return None if self.alive else self
        return self if self.alive and self.has(event.number) else None

    # What strikes from outside

    def invalidate(self, event: Event, life: Life) -> State:
        # A flight that is still there may hand over what it has found.
        return self._gone()._replace(entry=None)

    def forget(self, event: Event, life: Life) -> State:
        return self._replace(flight=None, past=None, instead=None)

    fence = forget

    def time(self, event: Event, life: Life) -> State:
        state = self._replace(now=self.now + event.seconds)
        return state if state.fresh else self._gone()._replace(now=state.now)

    def _gone(self) -> State:
        if self.entry is None or not self.fresh:
            return self
        return self._replace(past=self.entry.number)


ORDER = {
    name: place
    for place, name in enumerate(
        [
            "board",
            "look",
            "fence",
            "stamp",
            "invalidate",
            "store",
            "fail",
            "lost",
            "put",
            "off",
            "forget",
        ]
    )
}
"""Of the events of one number, one comes after the other."""


def explained(events: list[Event], life: Life) -> bool:
    """Whether there is an order (Wing and Gong's search, with states that led nowhere kept)."""
    before = [
        {
            i
            for i, other in enumerate(events)
            if other.number == event.number is not None
            and ORDER.get(other.name, 99) < ORDER.get(event.name, 99)
            and event.name in ORDER
        }
        for event in events
    ]
    nowhere: set[tuple[frozenset[int], State]] = set()

    def search(left: frozenset[int], state: State) -> bool:
        if not left:
            return True
        if (left, state) in nowhere:
            return False
        first = min(events[i].ended for i in left)
        for i in left:
            event = events[i]
            if event.began <= first and not before[i] & left:
                after = state.after(event, life)
                if after is not None and search(left - {i}, after):
                    return True
        nowhere.add((left, state))
        return False

    return search(frozenset(range(len(events))), State())
