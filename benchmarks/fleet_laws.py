"""Whether a simulated fleet keeps the promises, and how long its callers wait.

A loader returns the number of its load. So of whatever a caller gets, it is known where it comes
from, and when that began and ended.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from soloflight._tiers.envelope import HEADER
from soloflight._tiers.leases import Lease
from soloflight._tiers.verbs import DONE, LEAD, Reply

if TYPE_CHECKING:
    from fleet_process import Process
    from fleet_world import Fleet

NEWS = 0.05
"""Seconds after which others have heard of a fence, at the most."""
LONG = 0.1
"""Seconds from which on it is looked at what a call has waited for."""
SHOWN = 5
"""Breaches that are told."""


@dataclass
class OneLoad:
    number: int
    by: Process
    key: int
    begun: float
    ended: float = inf


class Fence(NamedTuple):
    by: Process
    made: float
    taken: float = inf  # by the store


@dataclass
class Judge:
    fleet: Fleet
    breaches: list[str] = field(default_factory=list)
    loads: list[OneLoad] = field(default_factory=list)
    of_key: dict[int, list[OneLoad]] = field(default_factory=lambda: defaultdict(list))
    calls: int = 0
    unleased: int = 0
    lost_fences: int = 0
    wakes: list[float] = field(default_factory=list)
    """Seconds from the end of a load to that of a call that waited for it in another process."""
    most_lost: float = 0.0
    """The seconds that a caller has waited at the most with no load of its key under way."""
    events: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._turn: dict[int, int] = defaultdict(int)  # which expiry of a key it is
        self._allowed: dict[int, int] = defaultdict(lambda: 1)
        self._turns_loaded: set[tuple[int, int]] = set()
        self._granted: dict[bytes, int] = {}  # in which expiry each lease was
        self._stored: dict[int, OneLoad] = {}
        self._fences: dict[int, list[Fence]] = defaultdict(list)
        self._down_at: dict[int, float] = {}  # when a process was last told that the store is down

    @property
    def expiries(self) -> int:
        return len(self._turns_loaded)

    def breach(self, law: str, what: str) -> None:
        if len(self.breaches) < SHOWN:
            self.breaches.append(f"{law}, after {self.fleet.elapsed():.6f} s: {what}")

    # Loads

    def event(self, key: int, what: str) -> None:
        """Something for which one more load is allowed."""
        self.events[what] += 1
        self._allowed[key] += 1

    def _anew(self, key: int) -> None:
        self._turn[key] += 1
        self._allowed[key] = 1

    def begins(self, process: Process, key: int, lease: Lease | None) -> OneLoad:
        now = self.fleet.events.now
        load = OneLoad(len(self.loads), process, key, now)
        self.loads.append(load)
        self.of_key[key].append(load)
        self._turns_loaded.add((key, self._turn[key]))
        entry = process.shelf.find(key)
        if entry is not None and now < entry.fresh_until and not self.fleet.policy.early_refresh:
            self.breach("1", f"{process} loads {key}, of which it has a fresh entry")
        if lease is None:
            self.unleased += 1
            if now - self._down_at.get(process.number, -inf) > 2.0:
                self.breach("3", f"{process} loads {key} without a lease, and the store is up")
        elif self._granted.pop(lease.token) == self._turn[key]:  # or it was dropped meanwhile
            self._allowed[key] -= 1
            if self._allowed[key] < 0:
                self.breach("1", f"{process} loads {key} once more, and nothing has happened")
        return load

    def down(self, process: Process, verb: str, d: bytes) -> None:
        """A process was told that the store is down."""
        self._down_at[process.number] = self.fleet.events.now
        key = self.fleet.key_of.get(d)
        if key is not None and verb in ("store", "renew"):
            self.event(key, "lease left behind")

    # The store

    def at_store(self, verb: str, call: Callable[..., Reply], *what: Any) -> Reply:
        reply = call(*what)
        if reply.kind == LEAD:
            self._granted[what[1]] = self._turn[self.fleet.key_of[what[0]]]
        elif reply.kind == DONE:
            if verb == "store":
                self._stores(self.loads[int(what[2][HEADER.size :])])
            elif verb == "drop":
                self._drops(call.args[0], self.fleet.key_of[what[1]])  # type: ignore[attr-defined]
        return reply

    def _stores(self, load: OneLoad) -> None:
        key = load.key
        before = self._stored.get(key)
        if before is not None and before.begun > load.begun:
            self.breach("4", f"load {load.number} replaces {before.number}, which began later")
        for fence in self._fences[key]:
            if fence.taken < inf and load.begun < fence.taken:
                self.breach("4", f"load {load.number} is stored, though {key} was dropped since")
        self._stored[key] = load
        self._anew(key)

    def _drops(self, by: Process, key: int) -> None:
        now, fences = self.fleet.events.now, self._fences[key]
        owed = [fence for fence in fences if fence.by is by and fence.taken == inf]
        self._anew(key)
        if not owed:
            # Somebody who asks and the keeper have both paid it.
            self.event(key, "paid twice")
        self._fences[key] = [
            fence._replace(taken=now) if fence in owed else fence for fence in fences
        ]

    def store_lost(self, since: float) -> None:
        """What the primary has taken since a time is gone with it."""
        self._stored.clear()
        for key in self.fleet.keys:
            fences = self._fences[key]
            kept = [fence for fence in fences if not since < fence.taken < inf]
            self.lost_fences += len(fences) - len(kept)
            self._fences[key] = kept
            self._anew(key)
            if any(load.ended == inf and load.by.alive for load in self.of_key[key][-50:]):
                self.event(key, "store lost in a load")

    # Calls

    def invalidates(self, process: Process, key: int) -> None:
        self._fences[key].append(Fence(process, self.fleet.events.now))

    def called(self, process: Process, key: int) -> None:
        self.calls += 1

    def failed(self, process: Process, key: Hashable, error: BaseException) -> None:
        self.breach("3", f"a caller of {process} gets {error!r} of {key}")

    def served(self, process: Process, key: int, value: int, began: float) -> None:
        fleet, load = self.fleet, self.loads[value]
        now, policy = fleet.events.now, fleet.policy
        if load.key != key:
            self.breach("0", f"{process} gets the value of {load.key} for {key}")
        longest = float(policy.ttl) + policy.longest_stale + fleet.slack()  # type: ignore[arg-type]
        if load.ended + longest < began:
            self.breach("0", f"{process} serves {key}, {began - load.ended:.3f} s old")
        entry = process.shelf.find(key)
        if entry is not None:
            known = self.loads[entry.value].ended + longest
            if entry.until > known:
                self.breach("0", f"{process} keeps {key} for {entry.until - known:.3f} s too long")
        self._seen(process, key, load, began)
        if load.ended > began and load.by is not process:
            self.wakes.append(now - load.ended)
        if now - began > LONG:
            self._lost(process, key, began, now)

    def _seen(self, process: Process, key: int, load: OneLoad, at: float) -> None:
        """Somebody sees a value, from a call that began at a time."""
        heard = NEWS + self.fleet.told_within
        for fence in self._fences[key]:
            own = fence.by is process and at > fence.made
            # Who was cut off meanwhile has dropped all when it was back.
            others = at > max(fence.taken, process.listens_since) + heard
            if (own or others) and load.begun < fence.made and at >= process.stopped_until + heard:
                self.breach("5", f"{process} sees load {load.number} of {key}: it was invalidated")

    def _lost(self, process: Process, key: int, began: float, now: float) -> None:
        """The part of a call in which no load of its key was under way."""
        lost, at, died = 0.0, began, 0
        for load in self.of_key[key][-500:]:
            ended = min(load.ended, now)
            died += not load.by.alive and began <= ended + self.fleet.lease
            if ended > at and load.begun < now:
                lost += max(0.0, load.begun - at)
                at = ended
        lost += now - at
        lost = min(lost, now - max(began, process.stopped_until))
        self.most_lost = max(self.most_lost, lost)
        if lost > self.fleet.scenario.patience * max(1, died):  # each has left its lease behind
            self.breach("3", f"a caller of {process} has lost {lost:.3f} s")

    def audit(self, key: int) -> None:
        """What would calls get that came now?"""
        now = self.fleet.events.now
        for process in self.fleet.processes:
            entry = process.shelf.find(key)
            if process.alive and entry is not None and now < entry.until:
                self._seen(process, key, self.loads[entry.value], now)

    def ends(self) -> None:
        """It is all over: nothing may be left."""
        for process in self.fleet.processes:
            for what in process.left() if process.alive else ():
                self.breach("8", what)
        memory, now = self.fleet.primary.memory, self.fleet.events.now
        for lease in memory._leases.values():
            if lease.token and lease.until > now:
                self.breach("8", "a lease in the store that nobody has")
