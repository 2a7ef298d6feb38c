"""A store in memory: what a tier promises, where its "processes" are of one process.

It is the model of the other stores, and the tier of tests that need no server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from threading import Lock
from time import monotonic
from typing import Protocol
from weakref import WeakSet

from .._clock import clock
from .bells import OnLoop
from .envelope import windows
from .tier import Tier
from .verbs import (
    BEHIND,
    CLEARED,
    DONE,
    ENDED,
    FENCED,
    FRESH,
    INVALIDATED,
    LEAD,
    LOOK,
    PUT,
    REFRESH,
    REFRESHED,
    STALE,
    TOLD,
    WAIT,
    Reply,
)

LISTED = 1024
"""Processes that are woken when a flight is over. Whoever else waits asks again by itself."""


def now_of_all() -> float:
    """The clock of all, whichever that is then."""
    return clock.now()


class Process(Protocol):
    """Whom a store has to tell something."""

    def ring(self, d: bytes) -> None:
        """Who waits for a key is to ask again."""

    def hear(self, kind: str, d: bytes) -> None:
        """Something was dropped elsewhere."""


memories: WeakSet[Memory] = WeakSet()
"""All that there are: their clock may be set back."""


@dataclass
class Lease:
    """Who loads a key, who waits for that, and how the last one ended."""

    token: bytes = b""  # b"": nobody has it
    until: float = -inf  # it is busy until then
    waiting: dict[Process, None] = field(default_factory=dict)  # in their order: it can be replayed
    ended: bytes = b""  # the flight that left nothing to be kept
    how: bytes = b""
    failures: int = 0
    kept: float = -inf  # it is known until then


class Memory:
    """What processes share. `clock` is that of all of them."""

    def __init__(self, lease: float, retain: float, clock: Callable[[], float] = monotonic) -> None:
        self.lease, self.retain, self.clock = lease, retain, clock
        memories.add(self)
        self.processes: list[Process] = []
        self.generations: dict[bytes, int] = {}
        self._lock = Lock()  # guards what follows
        self._values: dict[bytes, tuple[bytes, float]] = {}
        self._leases: dict[bytes, Lease] = {}

    def empty(self) -> None:
        """Keep nothing: the clock was set back."""
        with self._lock:
            self._values.clear()
            self._leases.clear()

    def _value(self, d: bytes, now: float) -> tuple[bytes, float]:
        """The envelope, and the seconds that it has left."""
        envelope, until = self._values.get(d, (b"", -inf))
        if now < until:
            return envelope, until - now
        self._values.pop(d, None)
        return b"", 0.0

    def _of(self, d: bytes, now: float) -> Lease:
        lease = self._leases.get(d)
        if lease is None or not now < lease.kept:
            lease = self._leases[d] = Lease()
        return lease

    def read(self, d: bytes) -> Reply:
        with self._lock:
            envelope, left = self._value(d, self.clock())
        return Reply(FRESH, envelope, left) if envelope else Reply(DONE)

    def ask(
        self, process: Process, d: bytes, token: bytes, mode: str, waited: bytes, seen: bytes
    ) -> Reply:
        with self._lock:
            now = self.clock()
            envelope, left = self._value(d, now)
            version, swr, tail = windows(envelope)
            fresh = left - tail
            if envelope:
                if version == waited or (fresh > 0 and mode != REFRESH and version != seen):
                    return Reply(FRESH, envelope, left)
                if version == seen and mode == LOOK:
                    envelope, left = b"", 0.0  # which cannot be read there
            lease = self._of(d, now)
            busy, servable = lease.until - now, envelope and fresh + swr > 0
            if lease.token == token:  # a client has asked twice
                return Reply(LEAD, envelope, left, busy, lease.failures)
            if lease.token and busy > 0:
                if mode == BEHIND or (mode == LOOK and servable):
                    return Reply(STALE, envelope, left, busy)
                if len(lease.waiting) < LISTED:
                    lease.waiting[process] = None
                return Reply(WAIT, lease.token, 0.0, busy)
            if lease.ended and lease.ended == waited:
                return Reply(ENDED, lease.how)
            if envelope and mode != REFRESH:
                if busy > 0:  # held off
                    return Reply(STALE, envelope, left, busy)
                if mode == LOOK and fresh <= 0 and servable:
                    return Reply(STALE, envelope, left)
            lease.ended = lease.how = b""
            lease.token, lease.until = token, now + self.lease
            lease.kept = lease.until + self.retain
            return Reply(LEAD, envelope, left, self.lease, lease.failures)

    def store(self, d: bytes, token: bytes, envelope: bytes, keep: float | None) -> Reply:
        with self._lock:
            now = self.clock()
            lease = self._of(d, now)
            if lease.token != token:
                return Reply(FENCED, *self._value(d, now))
            if keep is None:
                self._values.pop(d, None)
                self._leases[d] = Lease(ended=token, how=envelope, kept=now + TOLD)
            else:
                self._values[d] = envelope, now + keep
                del self._leases[d]
        return self._wake(d, lease)

    def fail(self, d: bytes, token: bytes, text: bytes, hold: float) -> Reply:
        with self._lock:
            now = self.clock()
            lease = self._of(d, now)
            if lease.token != token:
                return Reply(FENCED, *self._value(d, now))
            after = self._leases[d] = Lease(ended=token, how=text, kept=now + TOLD)
            if hold > 0:
                after.failures, after.until = lease.failures + 1, now + hold
                after.kept = after.until + self.retain
        return self._wake(d, lease)

    def give(self, d: bytes, token: bytes) -> Reply:
        with self._lock:
            lease = self._of(d, self.clock())
            if lease.token != token:
                return Reply(FENCED)
            del self._leases[d]
        return self._wake(d, lease)

    def renew(self, d: bytes, token: bytes) -> Reply:
        with self._lock:
            now = self.clock()
            lease = self._of(d, now)
            if lease.token != token:
                return Reply(FENCED)
            lease.until = now + self.lease
            lease.kept = lease.until + self.retain
        return Reply(DONE)

    def drop(
        self, process: Process, kind: str, d: bytes, envelope: bytes = b"", keep: float = 0.0
    ) -> Reply:
        if kind == CLEARED:
            return self.clear(process, d)
        if kind != REFRESHED:
            with self._lock:
                now = self.clock()
                lease = self._of(d, now)
                del self._leases[d]
                if kind == PUT:
                    self._values[d] = envelope, now + keep
                elif kind == INVALIDATED:
                    self._values.pop(d, None)
            self._wake(d, lease)
        for other in list(self.processes):
            if other is not process:
                other.hear(kind, d)
        return Reply(DONE)

    def clear(self, process: Process, f: bytes) -> Reply:
        with self._lock:
            self.generations[f] = self.generations.get(f, 0) + 1
        for other in list(self.processes):
            if other is not process:
                other.hear(CLEARED, f)
        return Reply(DONE)

    def _wake(self, d: bytes, lease: Lease) -> Reply:
        for process in lease.waiting:
            process.ring(d)
        return Reply(DONE)


class MemoryTier(Tier):
    """A tier of processes that are none: they share this one's memory, for tests.

    Tiers of the same `memory` are like the processes of a fleet; by default one has its own.

    >>> one = MemoryTier()
    >>> other = MemoryTier(memory=one.memory)
    """

    def __init__(
        self,
        *,
        memory: Memory | None = None,
        namespace: str = "",
        lease: float = 3.0,
        retain: float = 30.0,
        max_load: float = 60.0,
        clock: Callable[[], float] = now_of_all,
    ) -> None:
        super().__init__(namespace=namespace, lease=lease, retain=retain, max_load=max_load)
        self.memory = Memory(lease, retain, clock) if memory is None else memory
        self.memory.processes.append(self)
        self.aio = OnLoop(self)
        for verb in ("read", "store", "fail", "give", "renew"):
            setattr(self, verb, getattr(self.memory, verb))
        self.ask = partial(self.memory.ask, self)
        self.drop = partial(self.memory.drop, self)

    def generation(self, f: bytes) -> int:
        return self.memory.generations.get(f, 0)
