"""What a function counts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import NamedTuple


class Tally:
    """Counts exactly without a lock: ``next(counter)`` is one C call.

    It is read by counting once more, under the lock of whoever owns it.
    """

    __slots__ = ("_looks", "counter")

    def __init__(self) -> None:
        self.counter = count()
        self._looks = 0  # how often it counted only to be read

    def look(self) -> int:
        """The number that comes next in `counter`, looks included."""
        self._looks += 1
        return next(self.counter)

    def total(self) -> int:
        return self.look() + 1 - self._looks


@dataclass(frozen=True)
class Stats:
    """Counts since the function was decorated; they only grow."""

    hits: int
    """Calls answered by an entry."""
    misses: int
    """Loads led."""
    joined: int
    """Calls that followed a flight in progress."""
    errors: int
    """Loads that ended with an exception."""
    store_errors: int
    """Values that were loaded and handed over, but could not be stored."""


class CacheInfo(NamedTuple):
    """The tuple of `functools.lru_cache`; ``currsize`` counts what the cache holds for everyone."""

    hits: int
    misses: int
    maxsize: float | None
    currsize: float
