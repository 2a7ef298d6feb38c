"""What the demo runs with; the defaults make it about 40 seconds long."""

from __future__ import annotations

from dataclasses import dataclass, replace

LEASE = 1.0
"""Seconds until another process loads where the one that did has died, with `RedisTier`: that is to
be seen within a run. (With `HostTier` it is noticed at once, whatever the lease.)"""


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

    @property
    def fleet(self) -> Settings:
        """The same, for the clients of the fleet."""
        return replace(self, clients=self.processes * self.threads)

    @property
    def outage(self) -> tuple[float, float]:
        """From when to when the origin fails where it does, after the clients started."""
        return self.seconds / 5, 4 * self.seconds / 5

    @property
    def retry_after(self) -> tuple[float, float]:
        """How long to hold off after the first failure, and at most: all is over within the run."""
        return self.ttl / 5, self.ttl

    @property
    def least_seconds(self) -> float:
        """What it takes to see the value expire twice, with some room for a slow machine."""
        return 3 * (self.ttl + self.cost)
