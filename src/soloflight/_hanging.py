"""Flights that grew too old: they own their key no longer, and may still end."""

from __future__ import annotations

from collections.abc import Hashable

from ._durations import told
from ._flight import Flight
from .exceptions import WaitTimeout


class Hanging:
    """The old flights of a table. The lock of the table guards it."""

    __slots__ = ("_flights", "_max_abandoned", "_max_age")

    def __init__(self, max_age: float, max_abandoned: int) -> None:
        self._max_age = max_age  # of a flight that others may join, in seconds
        self._max_abandoned = max_abandoned  # older ones than that, of one key, at a time
        self._flights: dict[Hashable, list[Flight]] = {}

    def is_due(self, flight: Flight, now: float) -> bool:
        """Whether a flight on the table is too old to stay there. Takes no lock."""
        return flight.since is not None and now - flight.since >= self._max_age

    def of(self, key: Hashable) -> list[Flight]:
        return self._flights.get(key, [])

    def is_full(self, key: Hashable) -> bool:
        return len(self.of(key)) >= self._max_abandoned

    def check(self, flight: Flight) -> None:
        """Raise `WaitTimeout` where there are too many to give up one more."""
        if self.is_full(flight.key):
            raise WaitTimeout(
                f"{1 + len(self.of(flight.key))} loads are older than "
                f"max_flight_age={told(self._max_age)}, and max_abandoned={self._max_abandoned}"
            )

    def add(self, flight: Flight) -> None:
        self._flights[flight.key] = [*self.of(flight.key), flight]

    def remove(self, flight: Flight) -> None:
        """It has ended, if it was one of them."""
        left = [other for other in self._flights.pop(flight.key, ()) if other is not flight]
        if left:
            self._flights[flight.key] = left

    def __len__(self) -> int:
        return sum(map(len, list(self._flights.values())))

    def clear(self) -> None:
        self._flights.clear()
