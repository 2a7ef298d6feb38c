"""A count that is exact without a lock."""

from __future__ import annotations

from itertools import count


class Tally:
    """Counts exactly without a lock: ``next(counter)`` is one C call."""

    __slots__ = ("besides", "counter")

    def __init__(self, start: int = 0) -> None:
        self.counter = count(start)
        self.besides = start  # what was drawn for something else

    def total(self) -> int:
        return int(repr(self.counter)[len("count(") : -1]) - self.besides
