"""What the callers of a program do, and what its loads bring; each seed makes another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

from conftest import in_ttl_cache
from soloflight import cached_singleflight

from .history import Call, History, Load
from .replaced import Crew
from .schedule import Scheduler
from .single import Life


class Failed(Exception):
    """What a loader raises; its number is what it brought."""


class Mix(NamedTuple):
    """What callers do and loads bring, and how often in proportion."""

    operations: Mapping[str, int]
    loads: Mapping[str, int] = MappingProxyType({"value": 1})
    ttl: float | None = None
    wait_timeout: float | None = None  # there are loads that take longer
    keys: str = "a"
    options: Mapping[str, Any] = MappingProxyType({})  # of freshness
    cost: float = 0  # what a load takes, on the clock of the entries
    age: float | None = None  # of the entries that are there in the beginning
    # On threads, loads run in an executor that refuses some. (Not with a max_flight_age: a flight
    # that is refused has no load to tell that it has fenced an old one.)
    crew: bool = False

    @property
    def life(self) -> Life:
        option = self.options.get
        return Life(
            ttl=inf if self.ttl is None else self.ttl,
            stale=option("stale_while_revalidate", 0),
            on_error=option("stale_if_error", 0),
            error_ttl=option("error_ttl", {}).get(Failed, 0),
            early=option("early_refresh", 0) > 0,
            hold_off=HOLD_OFF,
            max_age=option("max_flight_age", inf),
        )


HOLD_OFF = 10
ALL = {"call": 6, "refresh": 2, "invalidate": 1, "put": 1, "clear": 1, "forget": 1, "peek": 1}
STALE = {"stale_while_revalidate": 10, "retry_after": (HOLD_OFF, HOLD_OFF)}
ON_ERROR = {"stale_if_error": 30, "retry_after": (HOLD_OFF, HOLD_OFF)}
MIXES = {
    "one flight": Mix({"call": 1}),
    "order of landing": Mix({"call": 3, "peek": 1}, keys="ab"),
    "errors": Mix({"call": 1}, {"value": 1, "error": 2}),
    "interruptions": Mix({"call": 1}, {"value": 2, "interruption": 1}),
    "leaving": Mix({"call": 1}, {"value": 3, "error": 1, "interruption": 2}, wait_timeout=1),
    "fence": Mix(ALL),
    "fence, two keys": Mix(ALL, keys="ab"),
    "refresh": Mix({"call": 2, "refresh": 2, "invalidate": 1}, {"value": 2, "error": 1}),
    "expiry": Mix({"call": 4, "expire": 1, "peek": 1}, ttl=10),
    "everything": Mix(
        {**ALL, "expire": 1}, {"value": 4, "error": 1, "interruption": 1}, ttl=10, keys="ab"
    ),
    "stale": Mix(
        {"call": 6, "expire": 1, "peek": 1}, {"value": 2, "error": 1}, ttl=10, options=STALE, age=10
    ),
    "stale, fenced": Mix({**ALL, "expire": 1}, ttl=10, options=STALE, age=10),
    "stale on error": Mix(
        {"call": 6, "refresh": 1, "expire": 2, "invalidate": 1},
        {"value": 1, "error": 2},
        ttl=10,
        options=ON_ERROR,
        age=10,
    ),
    "early": Mix(
        {"call": 6, "invalidate": 1, "put": 1},
        {"value": 3, "error": 1, "interruption": 1},
        ttl=10,
        options={"early_refresh": 1.0, "retry_after": (HOLD_OFF, HOLD_OFF)},
        cost=1,
    ),
    "stored errors": Mix(
        {"call": 6, "refresh": 1, "expire": 2, "invalidate": 1, "peek": 1},
        {"value": 1, "error": 1},
        ttl=10,
        options={**STALE, "error_ttl": {Failed: 10}},
        age=10,
    ),
    "patience": Mix(
        {"call": 6, "refresh": 1, "invalidate": 1},
        {"value": 2, "error": 1},
        ttl=10,
        wait_timeout=1,
        options=ON_ERROR,
        age=20,
        crew=True,
    ),
    "too old": Mix(
        {"call": 6, "expire": 3, "invalidate": 1},
        {"value": 2, "error": 1, "interruption": 1},
        ttl=10,
        options={"stale_while_revalidate": 20, "max_flight_age": 9, "max_abandoned": 1},
        age=10,
    ),
    "everything, stale": Mix(
        {**ALL, "expire": 2},
        {"value": 3, "error": 1, "interruption": 1},
        ttl=10,
        options=STALE | ON_ERROR | {"max_flight_age": 9},
        keys="ab",
        age=10,
    ),
}

Operation = tuple[str, str]
"""What to do, and with which key."""


class Program:
    """Callers that use a decorated function as the seed says, and what became of it."""

    function: Any
    stores = True  # what is loaded is stored
    in_threads = True

    def __init__(self, mix: Mix, scheduler: Scheduler) -> None:
        self.mix = mix
        self.scheduler = scheduler
        self.random = Random(scheduler.random.random())
        # What interrupts a refresh, or keeps it from starting, leaves it to the next call.
        refreshed = not mix.crew and "interruption" not in mix.loads
        self.history = History(mix.life, refreshed=refreshed)
        scheduler.leads = self.history.leads
        self.time = 0.0

    def decorated(self, loader: Callable[[str], Any]) -> Any:
        """With a cache that was given, for every third seed."""
        mix = self.mix
        cached = in_ttl_cache if self.scheduler.seed % 3 == 2 else cached_singleflight
        options = dict(mix.options)
        if mix.crew and self.in_threads:
            options["executor"] = Crew()
        return cached(
            ttl=mix.ttl, wait_timeout=mix.wait_timeout, timer=lambda: self.time, **options
        )(loader)

    def begin_with_entries(self) -> None:
        if self.mix.age is not None:
            for key in self.mix.keys:
                call = self.begin("put", key)
                self.change(call)
                call.ended = self.history.now()
            self.passes(self.mix.age)

    def passes(self, seconds: float) -> None:
        self.time += seconds
        self.history.time(seconds)

    def callers(self) -> list[list[Operation]]:
        """What each caller does, one after the other."""
        return [
            [
                (self.pick(self.mix.operations), self.random.choice(self.mix.keys))
                for _ in range(self.random.randint(1, 3))
            ]
            for _ in range(self.random.randint(2, 4))
        ]

    def pick(self, weights: Mapping[str, int]) -> str:
        return self.random.choices(list(weights), list(weights.values()))[0]

    def waited(self, call: Call, seconds: float, timed_out: bool) -> None:
        """There is one deadline for a whole call, however many loads it waits for."""
        limit = self.mix.wait_timeout
        call.impatient = timed_out or (limit is not None and seconds > limit - 1e-6)
        if limit is None:
            assert not timed_out, "waited for nothing"
        elif timed_out:
            assert abs(seconds - limit) < 1e-6, f"left after {seconds} s instead of {limit}"
        else:
            assert seconds < limit + 1e-6, f"waited for {seconds} s, and not for {limit}"

    def begin(self, name: str, key: str) -> Call:
        return self.history.call(name, "" if name in ("clear", "expire") else key)

    def change(self, call: Call) -> None:
        """An operation that waits for nobody."""
        if call.name == "put":
            call.got = self.history.number()
            self.function.put(call.got, call.key)
        elif call.name == "peek":
            entry = self.function.peek(call.key)
            try:
                call.got = entry and entry.value
            except Failed as error:
                call.got = error.args[0]
        elif call.name == "clear":
            self.function.clear()
        elif call.name == "expire":
            self.passes(10)
        else:
            getattr(self.function, call.name)(call.key)

    def duration(self) -> float:
        """How long a load takes where callers do not wait for ever: two of them, too long."""
        return self.random.choice([0, 0, 0.6, 1]) * (self.mix.wait_timeout or 0)

    def bring(self, load: Load, outcome: str, interruption: type[BaseException]) -> int:
        """The end of a load."""
        if self.mix.cost:
            self.passes(self.mix.cost)
        load.ended = self.history.now()
        if outcome == "error":
            load.failed = True
            load.stored = bool(self.mix.life.error_ttl)
            raise Failed(load.number)
        if outcome == "interruption":
            raise interruption
        load.stored = self.stores
        return load.number

    def left(self) -> None:
        """At the end nothing is left."""
        assert not self.function.in_flight(), "something is left on the table"
        hanging = self.function._core.table.overdue
        assert not (hanging and hanging._flights), "an old flight is still known of"
        alive = [flight for flight in self.scheduler.flights if flight() is not None]
        assert not alive, "a flight keeps itself alive"
