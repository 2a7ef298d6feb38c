"""What calls and loads did, in the order in which they did it, and whether that can be explained.

A history is *linearizable* (Herlihy and Wing, 1990) if each event can be given one moment between
its beginning and its end, such that a single thread that did these things at those moments, one by
one, would have seen the same. Here that single thread keeps an entry and a flight for each key:

    board   a load goes on the table                   only while there is no flight
    look    its leader looks once more, in vain        only while there is no entry, or once fenced
    stamp   its ttl begins
    store   its value is stored                        unless a fence took it off the table
    off     it leaves the table
    see     a call got what a load brought             only while that is the entry or the flight
    peek    a call saw what there is                   only while that is so

and `put`, `invalidate`, `clear`, `forget`, and `expire` (all entries) as they are documented. So
every law about what a call may see is checked at once, that of the fence in particular.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

LATER = 1 << 60


class Call:
    """One operation of a caller; what it got is the number of a load or a put."""

    def __init__(self, name: str, key: str, began: int) -> None:
        self.name = name
        self.key = key
        self.began = began
        self.ended = LATER
        self.got: int | None = None
        self.led: Load | None = None

    def __str__(self) -> str:
        got = "" if self.got is None else f" got {self.got}"
        return f"{self.began}-{self.ended} {self.name} {self.key}{got}"


class Load:
    """One execution of a loader; what it brings is its number."""

    def __init__(self, number: int, leader: Call, began: int) -> None:
        self.number = number
        self.key = leader.key
        self.leader = leader
        self.began = began
        self.ended = LATER
        self.stored = False  # whether it brought something to be stored: no error
        self.landed = LATER  # at the latest

    def __str__(self) -> str:
        return f"{self.began}-{self.ended} load {self.key}: {self.number}"


class Event(NamedTuple):
    """Something that took place at one moment between two others."""

    name: str
    began: int
    ended: int
    number: int | None = None
    flag: bool = False


class State(NamedTuple):
    """What the single thread has for a key: numbers of loads and puts."""

    entry: int | None = None
    flight: int | None = None
    expired: int | None = None  # what was the entry until it expired
    stamped: frozenset[int] = frozenset()  # since the last time that entries expired

    def after(self, event: Event) -> State | None:
        """The state after an event; None where that cannot be at this moment."""
        name, number, flag = event.name, event.number, event.flag
        mine = self.flight == number
        if name == "board":
            return None if self.flight else self._replace(flight=number)
        if name == "look":
            return self if flag or self.entry is None or not mine else None
        if name in ("store", "put"):
            return self.stored(number) if mine or name == "put" else self
        if name == "off":
            return self._replace(flight=None) if mine else self
        if name == "see":
            return self if mine or (self.entry == number and not flag) else None
        if name == "late":
            return self if mine or number in (self.entry, self.expired) else None
        if name == "peek":
            return self if self.entry == number else None
        if name == "stamp":
            assert number is not None
            return self._replace(stamped=self.stamped | {number})
        if name == "expire":
            return State(None, self.flight, self.entry or self.expired)
        if name == "forget":
            return self._replace(flight=None, expired=None)
        assert name == "invalidate", name
        return self._replace(entry=None, flight=None, expired=None)

    def stored(self, number: int | None) -> State:
        return self._replace(entry=number if number in self.stamped else None)


class History:
    """The calls and the loads, with the moments at which they began and ended."""

    def __init__(self) -> None:
        self.moment = 0
        self.numbers = 0
        self.calls: list[Call] = []
        self.loads: list[Load] = []
        self._call: ContextVar[Call] = ContextVar("call")

    def now(self) -> int:
        self.moment += 1
        return self.moment

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def call(self, name: str, key: str) -> Call:
        call = Call(name, key, self.now())
        self._call.set(call)
        self.calls.append(call)
        return call

    def current(self) -> Call | None:
        """The call whose load this thread or task runs."""
        return self._call.get(None)

    def over(self, call: Call, before: Call | None) -> None:
        """A call has ended; the one `before` goes on, whose load has made it."""
        call.ended = self.now()
        if before is not None:
            self._call.set(before)

    def load(self) -> Load:
        """A load begins, of the call of this thread or task."""
        leader = self._call.get()
        assert leader.led is None, f"{leader} loads twice"
        leader.led = load = Load(self.number(), leader, self.now())
        self.loads.append(load)
        return load

    def check(self) -> None:
        """Raise `AssertionError` unless it can be explained."""
        for call in self.calls:
            if call.led is not None and call.got is not None:
                assert call.got == call.led.number, f"{call} did not get what it loaded"
        for key in {call.key for call in self.calls} - {""}:
            assert explained(list(self._events(key))), f"this cannot be:\n{self}"

    def _events(self, key: str) -> Iterator[Event]:
        for call in self.calls:
            began, ended = call.began, call.ended
            if call.key not in (key, ""):
                continue
            if call.name in ("call", "refresh"):
                if call.got is not None and call.led is None:
                    name = "late" if self._follows_a_hit(call) else "see"
                    yield Event(name, began, ended, call.got, call.name == "refresh")
            elif call.name in ("put", "invalidate", "clear"):
                # Not one moment, to those without the lock: a load may begin as there is no entry
                # any more. It is fenced in the end.
                n = -began if call.got is None else call.got
                yield Event("invalidate", began, ended, n)
                if call.name == "put":
                    yield Event("stamp", began, ended, n)
                    yield Event("put", began, ended, n)
                yield Event("forget", began, ended, n)
            else:
                yield Event(call.name, began, ended, call.got)
        for load in self.loads:
            if load.key == key:
                yield from self._events_of(load)

    def _follows_a_hit(self, call: Call) -> bool:
        """Whether it may have what another one, that began before it, has found in the cache.

        Who finds an entry after all, when it was about to load, shares that with its followers; the
        entry was fresh when it was found.
        """
        return call.name == "call" and any(
            other.got == call.got and other.led is None and other.began < call.began < other.ended
            for other in self.calls
        )

    def _events_of(self, load: Load) -> Iterator[Event]:
        n, began = load.number, load.leader.began
        got = [c for c in self.calls if c.got == n and c.name in ("call", "refresh")]
        # A hit may come as soon as it is stored; those aboard go on when it is off the table.
        aboard = [c for c in got if c.led is load or c.name == "refresh" or not load.stored]
        yield Event("board", began, load.began, n)
        yield Event("look", began, load.began, n, load.leader.name == "refresh")
        if load.stored:
            stored = min([load.landed, *(call.ended for call in got)])
            yield Event("stamp", load.ended, stored, n)
            yield Event("store", load.ended, stored, n)
        yield Event("off", load.ended, min([load.landed, *(c.ended for c in aboard)]), n)

    def __str__(self) -> str:
        lines = [(item.began, str(item)) for item in (*self.calls, *self.loads)]
        return "\n".join(line for _, line in sorted(lines))


ORDER = {
    name: place
    for place, name in enumerate(
        ["board", "look", "stamp", "invalidate", "store", "put", "off", "forget"]
    )
}
"""Of the events of one number, one comes after the other."""


def explained(events: list[Event]) -> bool:
    """Whether there is an order (Wing and Gong's search, with states that led nowhere kept)."""
    before = [
        {
            i
            for i, other in enumerate(events)
            if other.number == event.number is not None
            and ORDER.get(other.name, 9) < ORDER.get(event.name, 9)
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
                after = state.after(event)
                if after is not None and search(left - {i}, after):
                    return True
        nowhere.add((left, state))
        return False

    return search(frozenset(range(len(events))), State())
