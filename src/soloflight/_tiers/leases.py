"""Leases that a process has, and fences that it owes."""

from __future__ import annotations

from collections.abc import Hashable
from time import monotonic
from typing import Any, NamedTuple
from weakref import ref

from .._entries.entry import Aging
from .._flights.flight import Flight


class Debt(NamedTuple):
    """A fence that the store does not know of yet."""

    kind: str
    d: bytes
    envelope: bytes = b""
    until: float = 0.0  # a value that was put is kept until then, as `monotonic` has it
    key: Hashable = None
    of: Any = None  # whose key it is: a `Shared`
    inherited: bool = False  # by a forked child, whose parent pays as well

    @property
    def f(self) -> bytes:
        return b"" if self.of is None else bytes(self.of.f)

    def terms(self) -> tuple[str, bytes, bytes, float]:
        """What the verb `drop` takes."""
        return self.kind, self.d, self.envelope, self.until - monotonic()


class Lease:
    """The right to load a key, which a flight of ours has; see `verbs`."""

    __slots__ = ("__weakref__", "d", "flight", "mode", "most", "over", "seen", "stale", "token")
    mode: str  # why it was asked for

    def __init__(self, d: bytes, token: bytes, flight: Flight, seen: bytes, most: float) -> None:
        self.d, self.token = d, token
        self.flight = ref(flight)
        self.seen = seen  # the version that the store had
        self.most = most  # it is renewed for so many seconds
        self.stale: Aging[Any] | None = None  # what the store had, where there is nothing here
        self.over = False

    def give_back(self, tier: Any) -> None:
        """The load was interrupted."""
        self.over = True
        tier.give_back(self.d, self.token)

    def goes_on(self) -> bool:
        """Whether its load does, and is still wanted."""
        flight = self.flight()
        return not (self.over or flight is None or flight.over)
