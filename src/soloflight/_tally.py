"""Counting without a lock."""

from __future__ import annotations

from itertools import count


class Tally:
    """Counts exactly without a lock: ``next(counter)`` is one C call."""

    __slots__ = ("counter",)

    def __init__(self) -> None:
        self.counter = count()

    def total(self) -> int:
        return int(repr(self.counter)[len("count(") : -1])
