"""What a function counts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import NamedTuple


class Tally:
    """Counts exactly without a lock: ``next(counter)`` is one C call."""

    __slots__ = ("counter",)

    def __init__(self) -> None:
        self.counter = count()

    def total(self) -> int:
        return int(repr(self.counter)[len("count(") : -1])


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
