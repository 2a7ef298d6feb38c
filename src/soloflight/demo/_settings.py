"""What the demo runs with; the defaults make it about 40 seconds long."""

from __future__ import annotations

from dataclasses import dataclass, replace

LEASE = 1.0
"""Seconds until another process loads where the one that did has died, with `RedisTier`: that is to
be seen within a run. (With `HostTier` it is noticed at once, whatever the lease.)"""
DAY = 12.0
"""Seconds of a bad day."""


@dataclass(frozen=True)
class Settings:
    """One load, the same for every scheme. All durations are seconds."""

    clients: int = 200
    seconds: float = 3.0
    """How long each scheme runs."""
    ttl: float = 0.5
    capacity: int = 5
    """Calls that the origin serves at a time."""
    cost: float = 0.050
    """How long each of them takes."""
    think: float = 0.020
    """How long a client waits between two reads, on average."""
    retry: float = 0.050
    """After how long a client that was turned away tries again: as long as a call takes."""

    processes: int = 0
    """Of the fleet, each with a cache of its own; 0: there is none."""
    threads: int = 4
    """Clients of each of them."""
    kill_leader: bool = False
    """Whether a process of the fleet is killed while it loads what all wait for."""

    day: bool = False
    """Whether it is a bad day, on which the origin fails for a while and later on hangs."""

    @property
    def fleet(self) -> Settings:
        """The same, for the clients of the fleet."""
        return replace(self, clients=self.processes * self.threads)

    @property
    def outage(self) -> tuple[float, float]:
        """From when to when the origin fails where it does, after the clients started."""
        if self.day:
            return self.seconds * 3 / 12, self.seconds * 5.5 / 12
        return self.seconds / 5, 4 * self.seconds / 5

    @property
    def hang(self) -> tuple[float, float]:
        """From when to when the origin hangs on a bad day."""
        return self.seconds * 8 / 12, self.seconds * 10 / 12

    @property
    def stale(self) -> float:
        """For how long a value is served behind a refresh on a bad day: not for all of it."""
        return 2 * self.ttl

    @property
    def retry_after(self) -> tuple[float, float]:
        """How long to hold off after the first failure, and at most: all is over within the run."""
        return self.ttl / 5, self.ttl

    @property
    def wait_timeout(self) -> float:
        """How long clients wait on a bad day: twice as long as a load takes."""
        return 2 * self.cost

    @property
    def max_flight_age(self) -> float:
        """How old a load may get then: four times as old as they do."""
        return 4 * self.cost

    @property
    def least_seconds(self) -> float:
        """What it takes to see the value expire twice, with some room for a slow machine; on a bad
        day before the origin fails."""
        return (12 if self.day else 3) * (self.ttl + self.cost)
