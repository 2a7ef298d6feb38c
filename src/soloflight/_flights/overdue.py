"""Flights that grew too old: they own their key no longer, and may still end."""

from __future__ import annotations

from .._durations import told
from ..exceptions import WaitTimeout
from .flight import Flight


class Overdue:
    """The old flights of a table. The lock of the table guards it."""

    __slots__ = ("_flights", "_max_abandoned", "max_age")

    def __init__(self, max_age: float, max_abandoned: int) -> None:
        self.max_age = max_age  # of a flight that others may join, in seconds
        self._max_abandoned = max_abandoned  # older ones than that, of one key, at a time
        self._flights: dict[int, list[Flight]] = {}  # by the hash of their keys

    def is_due(self, flight: Flight, now: float) -> bool:
        """Whether a flight on the table is too old to stay there. Takes no lock."""
        return flight.since is not None and now - flight.since >= self.max_age

    def of(self, flight: Flight) -> list[Flight]:
        """Those of its key."""
        key = flight.key
        found = self._flights.get(flight.hash, ())
        return [other for other in found if other.key is key or other.key == key]

    def is_full(self, flight: Flight) -> bool:
        """Whether there are too many of its key to give up one more."""
        return len(self.of(flight)) >= self._max_abandoned

    def too_many(self, flight: Flight) -> WaitTimeout:
        return WaitTimeout(
            f"{1 + len(self.of(flight))} loads are older than "
            f"max_flight_age={told(self.max_age)}, and max_abandoned={self._max_abandoned}"
        )

    def add(self, flight: Flight) -> None:
        self._flights[flight.hash] = [*self._flights.get(flight.hash, ()), flight]

    def has(self, flight: Flight) -> bool:
        """Whether it is one of them. Takes no lock."""
        return flight in self._flights.get(flight.hash, ())

    def remove(self, flight: Flight) -> None:
        """It has ended, if it was one of them."""
        left = [other for other in self._flights.get(flight.hash, ()) if other is not flight]
        if left:
            self._flights[flight.hash] = left
        else:
            self._flights.pop(flight.hash, None)

    def __len__(self) -> int:
        return sum(map(len, list(self._flights.values())))

    def clear(self) -> None:
        self._flights.clear()
