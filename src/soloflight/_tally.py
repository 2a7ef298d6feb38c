"""A count that is exact without a lock."""

from __future__ import annotations

from itertools import count


class Tally:
    """Counts exactly without a lock: ``next(counter)`` is one C call."""

    __slots__ = ("besides", "counter", "within")

    def __init__(self, start: int = 0) -> None:
        self.counter = count(start)
        self.besides = start  # what was drawn for something else
        self.within: list[Tally] = []  # of what was drawn for others as well

    def total(self) -> int:
        others = sum(tally.total() for tally in self.within)  # first: they draw from this one first
        return int(repr(self.counter)[len("count(") : -1]) - self.besides - others
