"""What the callers of a program do, and what its loads bring; each seed makes another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

from soloflight import cached_singleflight

from .history import Call, History, Load
from .schedule import Scheduler


class Failed(Exception):
    """What a loader raises; its number is what it brought."""


class Mix(NamedTuple):
    """What callers do and loads bring, and how often in proportion."""

    operations: Mapping[str, int]
    loads: Mapping[str, int] = MappingProxyType({"value": 1})
    ttl: float | None = None
    wait_timeout: float | None = None  # there are loads that take longer
    keys: str = "a"


ALL = {"call": 6, "refresh": 2, "invalidate": 1, "put": 1, "clear": 1, "forget": 1, "peek": 1}
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
}

Operation = tuple[str, str]
"""What to do, and with which key."""


class Program:
    """Callers that use a decorated function as the seed says, and what became of it."""

    function: Any
    stores = True  # what is loaded is stored

    def __init__(self, mix: Mix, scheduler: Scheduler) -> None:
        self.mix = mix
        self.scheduler = scheduler
        self.random = Random(scheduler.random.random())
        self.history = History()
        self.time = 0.0

    def decorated(self, loader: Callable[[str], Any]) -> Any:
        mix = self.mix
        return cached_singleflight(
            ttl=mix.ttl, wait_timeout=mix.wait_timeout, timer=lambda: self.time
        )(loader)

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

    def waited(self, seconds: float, timed_out: bool) -> None:
        """There is one deadline for a whole call, however many loads it waits for."""
        limit = self.mix.wait_timeout
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
            call.got = entry and entry.value
        elif call.name == "clear":
            self.function.clear()
        elif call.name == "expire":
            self.time += 10
        else:
            getattr(self.function, call.name)(call.key)

    def duration(self) -> float:
        """How long a load takes where callers do not wait for ever: two of them, too long."""
        return self.random.choice([0, 0, 0.6, 1]) * (self.mix.wait_timeout or 0)

    def bring(self, load: Load, outcome: str, interruption: type[BaseException]) -> int:
        """The end of a load."""
        load.ended = self.history.now()
        if outcome == "error":
            raise Failed(load.number)
        if outcome == "interruption":
            raise interruption
        load.stored = self.stores
        return load.number
