"""What a flight lands with that another process has loaded."""

from __future__ import annotations

from typing import Any

from .._entries.entry import Entry
from .._flights.landing import Failed, Landing, Outcome
from .._outcome import Value


class Received(Value[Any], Landing):
    """A value from the store, with deadlines of its own."""

    __slots__ = ("entry", "is_stale")
    outcome = property(lambda self: self)

    def __init__(self, value: Any, entry: Entry[Any] | None, stale: bool = False) -> None:
        self.value = value
        self.entry = entry
        self.is_stale = stale

    def is_newer(self) -> bool:
        return True

    def taken(self, may_hit: bool, own: bool) -> Outcome:
        return self


class Told(Failed):
    """An error of another process' load. It is counted there."""

    __slots__ = ()


class Later(Landing):
    """Nothing: somebody else is at it, or everybody has left. Whoever followed claims anew."""

    __slots__ = ()
    outcome = None

    def taken(self, may_hit: bool, own: bool) -> None:
        return None


LATER = Later()
