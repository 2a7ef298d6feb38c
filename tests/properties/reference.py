"""What a decorated function must do: a sequential model, for `test_properties`.

It knows the README and nothing of how soloflight works: keys are tuples, entries are records, and
one call happens after the other. What a bounded cache evicts it does not know; it is told. What the
dice show it is told as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from math import inf, log
from operator import attrgetter
from typing import Any, NamedTuple

from soloflight import FlightError

UNSET: Any = "unset"
"""An option that is left out."""

Arguments = tuple[float, int, Any]  # a, b, session


class Boom(Exception):
    """What a loader fails with, and an option that is a callable."""


class Copy(int):
    """What callers get of a value where ``copy`` is given."""


def varies(value: int) -> float | None:
    """A ttl; some values are handed over and not stored, some make it fail."""
    if value % 5 == 4:
        raise Boom("ttl")
    return (0, 5, 20, None)[value % 5]


def error_varies(error: Boom) -> float | None:
    """An error_ttl; some errors are no answers, some make it fail."""
    number = error.args[0]
    if number % 5 == 4:
        raise Boom("error_ttl")
    return (0, 5, 20, None)[number % 5]


def is_kept(value: int) -> bool:
    """A cache_if; some values make it fail."""
    if value % 7 == 6:
        raise Boom("cache_if")
    return value % 7 > 1


def size(value: int | Boom) -> int:
    if isinstance(value, Boom):
        return 1
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


class Dice:
    """What every roll shows until it is told otherwise."""

    shows = 0.0

    def __call__(self) -> float:
        return self.shows


dice = Dice()


class Freshness(NamedTuple):
    """The options of freshness and failure."""

    jitter: float = 0
    stale: float = 0  # while revalidating
    on_error: float = 0
    early: float = 0
    retry_after: tuple[float, float] = (1, 30)
    error_ttl: Any = None  # of Boom: seconds, or `error_varies`
    cache_if: bool = False
    max_age: float | None = None
    max_abandoned: int = 2

    @property
    def aging(self) -> bool:
        return bool(self.stale or self.on_error or self.early or self.error_ttl is not None)


PLAIN = Freshness()


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
    copied: bool = False
    executor: bool = False  # one is given, where it has a meaning
    life: Freshness = PLAIN

    @property
    def owned(self) -> bool:
        return self.kind in ("method", "classmethod")

    @property
    def ours(self) -> bool:
        """Whether it is cached in a `SieveCache`."""
        return self.cache in ("default", "SieveCache")

    @property
    def room(self) -> float:
        """How much the cache holds."""
        return inf if self.cache == "dict" or self.maxsize is None else self.maxsize


@dataclass
class Entry:
    value: int  # the number of the exception, where it `raises`
    fresh_until: float
    stale_until: float
    error_until: float
    cost: float = 0
    raises: bool = False
    failures: int = 0
    last_error: type[Exception] | None = None
    held_until: float = -inf
    hit: bool = False  # since something had to go, for sure

    @property
    def until(self) -> float:
        return max(self.fresh_until, self.stale_until, self.error_until)

    def limited(self, until: float) -> Entry:
        deadlines = (self.fresh_until, self.stale_until, self.error_until)
        fresh, stale, on_error = (min(deadline, until) for deadline in deadlines)
        return replace(self, fresh_until=fresh, stale_until=stale, error_until=on_error)


class Served(NamedTuple):
    """What a call gets at once, and whether a refresh starts behind it."""

    entry: Entry
    refresh: bool


class Refused(NamedTuple):
    """A call finds too many flights that hang; it gets the entry, if there is one."""

    entry: Entry | None


class Landing(NamedTuple):
    """What those get who call, and those who refresh: a value, or what the error says."""

    call: Any
    refresh: Any


@dataclass(eq=False)
class Flight:
    """A load in progress, on the table or fenced."""

    subject: Any
    key: Hashable
    owner: int
    arguments: Arguments
    load: Any
    leader: Any  # None: it is a refresh behind an entry
    began: int  # step
    since: float
    aboard: list[Any]  # the callers that will have its outcome; the leader too, until it leaves
    owners: set[int]  # whose methods those callers called
    real: Any  # a weak reference to what is on the library's table

    def is_over(self) -> bool:
        real = self.real()
        return real is None or real.over


COUNTS = (
    *("hits", "misses", "joined", "errors", "store_errors", "refreshes", "early_refreshes"),
    *("stale_hits", "stale_on_error", "negative_hits", "fenced", "abandoned", "timeouts"),
    *("evictions", "expired", "load_seconds"),
)


class Model:
    """The entries, the flights on the table, and the counts of one function."""

    def __init__(self, config: Config, now: Callable[[], float]) -> None:
        self.config = config
        self.life = config.life
        self.now = now
        self.entries: dict[Hashable, Entry] = {}
        self.flights: dict[Hashable, Flight] = {}
        self.hanging: list[Flight] = []
        self.counts: dict[str, float] = dict.fromkeys(COUNTS, 0)
        self.perhaps: Counter[str] = Counter()  # what may have been counted beyond that
        self.gone = 0  # what has left a cache of ours, to make room or as it had expired

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

    # Entries

    def alive(self, key: Hashable) -> Entry | None:
        """The entry, if it may be served in whatever case."""
        entry = self.entries.get(key)
        return entry if entry is not None and self.now() < entry.until else None

    def will_do(self, key: Hashable) -> Entry | None:
        """The entry, if nobody who wants it needs to load."""
        entry = self.entries.get(key)
        if entry is None or not self.now() < max(entry.fresh_until, entry.held_until):
            return None
        return entry

    def instead(self, key: Hashable, look: bool) -> Entry | None:
        """What a call gets that would wait no longer."""
        self.counts["timeouts"] += 1
        entry = self.alive(key) if look and self.life.aging else None
        if entry is not None:
            self._count(entry)
        return entry

    def serve(self, key: Hashable) -> Entry | None:
        """The entry, if it is served at once."""
        entry = self.entries.get(key)
        if entry is None or not self.now() < max(entry.stale_until, entry.held_until):
            return None
        self.count_hit(entry)
        return entry

    def count_hit(self, entry: Entry) -> None:
        self.counts["hits"] += 1
        self._count(entry)

    def _count(self, entry: Entry) -> None:
        now = self.now()
        if entry.raises:
            self.counts["negative_hits"] += 1
        elif now >= entry.fresh_until:
            kind = "stale_hits" if now < entry.stale_until else "stale_on_error"
            self.counts[kind] += 1

    def is_early(self, entry: Entry) -> bool:
        """Whether the dice have this caller refresh what is fresh."""
        left = entry.fresh_until - self.now()
        return 0 < left <= self.life.early * entry.cost * -log(1 - dice())

    # Calls

    def claim(self, key: Hashable, look: bool) -> Served | Refused | Flight | None:
        """What a call finds: an entry, a flight to follow, or nothing, so that it leads."""
        entry = self.serve(key) if look else None
        if entry is not None:
            return Served(entry, self._refreshes(key, entry))
        flight = self.flights.get(key)
        if flight is not None and self.is_due(flight):
            if not self.let_go(flight):
                return Refused(self.instead(key, look))
            flight = None
        self.counts["misses" if flight is None else "joined"] += 1
        return flight

    def _refreshes(self, key: Hashable, entry: Entry) -> bool:
        early = self.is_early(entry)
        stale = entry.fresh_until <= self.now()
        if self.now() < entry.held_until or not (early or stale):
            return False
        flight = self.flights.get(key)
        if flight is not None and not (self.is_due(flight) and self.let_go(flight)):
            return False
        self.counts["misses"] += 1
        self.counts["refreshes"] += 1
        self.counts["early_refreshes"] += early
        return True

    def is_due(self, flight: Flight) -> bool:
        """Whether it owns its key no longer, if others come."""
        return self.life.max_age is not None and self.now() - flight.since >= self.life.max_age

    def let_go(self, flight: Flight) -> bool:
        hanging = [other for other in self.hanging if other.key == flight.key]
        if len(hanging) >= self.life.max_abandoned:
            return False
        self.hanging.append(flight)
        return self.forget(flight.key)

    # The end of a load

    def land(self, flight: Flight, ending: int | Boom) -> Landing:
        """What everyone aboard gets."""
        on_the_table = self.off(flight)
        cost = self.now() - flight.since
        self.counts["load_seconds"] += cost
        try:
            if isinstance(ending, Boom):
                entry = self._error_entry(ending)
                self.counts["errors"] += 1
                if entry is None:
                    return self._failed(flight, ending, on_the_table)
            else:
                entry = self.entry(ending, cost)
        except Boom as error:  # of an option
            self.counts["errors"] += 1
            if flight.leader is None and on_the_table:
                self._hold_off(flight.key)
            error = error.with_traceback(None)  # it would keep these frames, and what they know
            return Landing(error, error)
        entry = self._measured(entry)
        if on_the_table:
            self.store(flight.key, entry)
        return Landing(ending, ending)

    def _failed(self, flight: Flight, error: Boom, on_the_table: bool) -> Landing:
        entry = self.alive(flight.key)
        if entry is None or entry.raises or not self.life.aging:
            return Landing(error, error)
        if on_the_table:
            self._hold_off(flight.key)
        fresh = self.now() < entry.fresh_until
        return Landing(error if fresh and not self.life.on_error else entry.value, error)

    def _hold_off(self, key: Hashable, error: type[Exception] = Boom) -> None:
        entry = self.alive(key)
        if entry is not None and not entry.raises:
            base, most = self.life.retry_after
            wait = min(base * 2**entry.failures, most) * (0.5 + dice() / 2)
            entry.failures += 1
            entry.last_error = error
            entry.held_until = min(self.now() + wait, entry.until)

    def abandon(self, flight: Flight) -> None:
        """A refresh that is abandoned is one that has failed."""
        if self.off(flight) and flight.leader is None:
            self._hold_off(flight.key, FlightError)

    def off(self, flight: Flight) -> bool:
        """Take a flight off the table; whether it was there."""
        if flight in self.hanging:
            self.hanging.remove(flight)
        if self.flights.get(flight.key) is not flight:
            return False
        del self.flights[flight.key]
        return True

    # What strikes from outside

    def invalidate(self, key: Hashable) -> bool:
        alive = self.alive(key) is not None
        self.entries.pop(key, None)
        return self.forget(key) or alive

    def put(self, key: Hashable, value: int) -> None:
        entry = self.entry(value, self.counts["load_seconds"] / (self.counts["misses"] or 1))
        entry = self._measured(entry)
        self.invalidate(key)
        self.store(key, entry)

    def forget(self, key: Hashable) -> bool:
        there = self.flights.pop(key, None) is not None
        self.counts["fenced"] += there
        return there

    def clear(self, keys: Iterable[Any]) -> None:
        for key in keys:
            self.entries.pop(key, None)
            self.forget(key)

    # What is stored

    def entry(self, value: int, cost: float) -> Entry | None:
        config, life = self.config, self.life
        if config.cache is None or (life.cache_if and not is_kept(value)):
            return None
        ttl = config.ttl(value) if callable(config.ttl) else config.ttl
        if ttl is UNSET:
            ttl = self.most
        return self._for(value, inf if ttl is None else ttl, life.stale, life.on_error, cost)

    def _error_entry(self, error: Boom) -> Entry | None:
        ttl = self.life.error_ttl
        if callable(ttl):
            ttl = ttl(error)
        entry = self._for(error.args[0], ttl or 0)
        return entry and replace(entry, raises=True)

    def _measured(self, entry: Entry | None) -> Entry | None:
        """Where its load has ended, also where it is not to be stored any more."""
        try:
            if entry is not None and self.config.sized and not entry.raises:
                size(entry.value)
            return entry
        except Boom:
            self.counts["store_errors"] += 1
            return None

    def _for(
        self, value: int, ttl: float, stale: float = 0, on_error: float = 0, cost: float = 0
    ) -> Entry | None:
        if ttl <= 0:
            return None
        fresh_until = self.now() + ttl * (1 - self.life.jitter * dice())
        entry = Entry(value, fresh_until, fresh_until + stale, fresh_until + on_error, cost)
        return entry.limited(self.now() + self.most)

    @property
    def most(self) -> float:
        """How long the cache keeps what."""
        return 10 if self.config.cache == "TTLCache" else inf

    def store(self, key: Hashable, entry: Entry | None) -> None:
        """From now on there is this entry, or none."""
        old = self.entries.pop(key, None)
        if entry is None:
            return
        if old is not None and self.now() < old.until:
            entry.hit = old.hit
        try:
            if self.config.cache == "TLRUCache":
                if entry.raises:
                    raise Boom("it has no value")
                entry = entry.limited(used_until(key, entry, self.now()))
            of = Boom() if entry.raises else entry.value
            fits = (size(of) if self.config.sized else 1) <= self.config.room
        except Boom:
            self.counts["store_errors"] += 1
            return
        if fits and self.now() < entry.until:
            self.entries[key] = entry


tenant = attrgetter("tenant")
"""A ``per_instance=``."""
