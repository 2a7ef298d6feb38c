"""What a decorated function must do: a sequential model, for `test_properties`.

It knows the README and nothing of how soloflight works: keys are tuples, entries are pairs, and one
call happens after the other. What a bounded cache evicts it does not know; it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter
from typing import Any

UNSET: Any = "unset"
"""An option that is left out."""

Arguments = tuple[float, int, Any]  # a, b, session


class Boom(Exception):
    """What a loader fails with, and an option that is a callable."""


def varies(value: int) -> float | None:
    """A ttl; some values are handed over and not stored, some make it fail."""
    if value % 5 == 4:
        raise Boom("ttl")
    return (0, 5, 20, None)[value % 5]


def size(value: int) -> int:
    if value % 6 == 5:
        raise Boom("getsizeof")
    return value % 6


def used_until(_: Hashable, entry: Any, now: float) -> float:
    """The ``ttu`` of a TLRUCache."""
    if entry.value % 7 == 6:
        raise Boom("ttu")
    return now + (0, 8, 50)[entry.value % 3]


def first(a: float, b: int, *, session: Any) -> float:
    """A ``key=``."""
    return a


@dataclass(frozen=True)
class Config:
    """The options of a function, and what it is."""

    kind: str  # function, staticmethod, method, classmethod
    per_instance: Any  # UNSET, a bool, or "tenant"
    keyed: str  # plain, ignore, typed, key
    cache: str | None  # None: not cached; "default", or the name of the one that is given
    ttl: Any  # UNSET, seconds, None or `varies`
    maxsize: float | None
    sized: bool
    shared: bool  # the cache serves a second function

    @property
    def owned(self) -> bool:
        return self.kind in ("method", "classmethod")

    @property
    def room(self) -> float:
        """How much the cache holds."""
        return inf if self.cache == "dict" or self.maxsize is None else self.maxsize


@dataclass
class Entry:
    value: int
    fresh_until: float


@dataclass(eq=False)
class Flight:
    """A load in progress, on the table or fenced."""

    subject: Any
    key: Hashable
    owner: int
    arguments: Arguments
    load: Any
    leader: Any
    began: int  # step
    aboard: list[Any]  # the callers that will have its outcome; the leader too, until it leaves
    owners: set[int] = field(default_factory=set)  # whose methods those callers called


class Model:
    """The entries, the flights on the table, and the counts of one function."""

    def __init__(self, config: Config, now: Callable[[], float]) -> None:
        self.config = config
        self.now = now
        self.entries: dict[Hashable, Entry] = {}
        self.flights: dict[Hashable, Flight] = {}
        self.hits = self.misses = self.joined = self.errors = self.store_errors = 0
        self.perhaps = 0  # hits beyond `hits` that may have been counted

    def key(self, token: Hashable, tenant: str, arguments: Arguments) -> Hashable:
        """The key of a call; `token` is the instance's own."""
        config = self.config
        a, b, session = arguments
        owner: Hashable = None
        if config.owned and config.per_instance is not False:
            owner = tenant if config.per_instance == "tenant" else token
        if config.keyed == "key":
            return owner, first(a, b, session=session)
        kept = (a, b) if config.keyed == "ignore" else arguments
        return owner, kept, tuple(map(type, kept)) if config.keyed == "typed" else ()

    def fresh(self, key: Hashable) -> Entry | None:
        entry = self.entries.get(key)
        return entry if entry is not None and self.now() < entry.fresh_until else None

    def claim(self, key: Hashable, look: bool) -> Entry | Flight | None:
        """What a call finds: an entry, a flight to follow, or nothing, so that it leads."""
        entry = self.fresh(key) if look else None
        if entry is not None:
            self.hits += 1
            return entry
        flight = self.flights.get(key)
        if flight is not None:
            self.joined += 1
        else:
            self.misses += 1
        return flight

    def land(self, flight: Flight, ending: int | Boom) -> int | type[Boom]:
        """What everyone aboard gets."""
        on_the_table = self.off(flight)
        if isinstance(ending, Boom):
            self.errors += 1
            return Boom
        try:
            lifetime = self._lifetime(ending)
        except Boom:
            self.errors += 1
            return Boom
        if on_the_table:
            self._store(flight.key, ending, lifetime)
        return ending

    def off(self, flight: Flight) -> bool:
        """Take a flight off the table; whether it was there."""
        if self.flights.get(flight.key) is not flight:
            return False
        del self.flights[flight.key]
        return True

    def invalidate(self, key: Hashable) -> bool:
        fresh = self.fresh(key) is not None
        self.entries.pop(key, None)
        return self.forget(key) or fresh

    def put(self, key: Hashable, value: int) -> None:
        lifetime = self._lifetime(value)
        self.invalidate(key)
        self._store(key, value, lifetime)

    def forget(self, key: Hashable) -> bool:
        return self.flights.pop(key, None) is not None

    def clear(self) -> None:
        self.entries.clear()
        self.flights.clear()

    def _lifetime(self, value: int) -> float:
        config = self.config
        if config.cache is None:
            return 0
        ttl = config.ttl(value) if callable(config.ttl) else config.ttl
        own = 10 if config.cache == "TTLCache" else inf
        return min(own, inf if ttl in (None, UNSET) else ttl)

    def _store(self, key: Hashable, value: int, lifetime: float) -> None:
        """From now on there is this entry, or none."""
        self.entries.pop(key, None)
        if lifetime <= 0:
            return
        entry = Entry(value, self.now() + lifetime)
        try:
            if self.config.cache == "TLRUCache":
                entry.fresh_until = min(entry.fresh_until, used_until(key, entry, self.now()))
            fits = (size(value) if self.config.sized else 1) <= self.config.room
        except Boom:
            self.store_errors += 1
            return
        if fits and self.now() < entry.fresh_until:
            self.entries[key] = entry


tenant = attrgetter("tenant")
"""A ``per_instance=``."""
