"""What a flight lands with."""

from __future__ import annotations

from typing import Any

from .._entries.entry import Entry
from .._outcome import Error, Value

Outcome = Value[Any] | Error


class Landing:
    """What a flight lands with: what its callers get, and the entry to be stored, if any.

    The two are not the same: an exception may be stored, or a stale value be handed out in place of
    one; a value need not be stored, or may come from elsewhere with deadlines of its own. Whoever
    makes a landing decides that, and the table needs to know nothing of it.
    """

    __slots__ = ()
    outcome: Any
    entry: Entry[Any] | None = None
    took = 0.0
    """The seconds of the load."""
    instead: Value[Any] | None = None
    """What a caller gets in place of an error, where an entry will do."""
    is_stale = False
    """Whether its entry is, and nobody is known to refresh it."""

    def is_newer(self) -> bool:
        """Whether what is in the cache is out of date, though nothing takes its place."""
        return False

    def taken(self, may_hit: bool, own: bool) -> Outcome | None:
        """What a caller gets; None: it has to load itself.

        `may_hit`: whether an entry will do; `own`: whether it may have the very object that others
        of its thread have.
        """
        raise NotImplementedError


class Found(Value[Any], Landing):
    """It was no load: the value was in the cache after all."""

    __slots__ = ()
    outcome = property(lambda self: self)

    def __init__(self, value: Any) -> None:
        self.value = value

    def taken(self, may_hit: bool, own: bool) -> Outcome | None:
        return self if may_hit else None


class Failed(Landing):
    """An error, which may be an answer and be stored."""

    __slots__ = ("entry", "instead", "outcome", "took")
    outcome: Error

    def __init__(
        self,
        error: Error,
        entry: Entry[Any] | None = None,
        took: float = 0.0,
        instead: Value[Any] | None = None,
    ) -> None:
        self.outcome = error
        self.entry = entry
        self.took = took
        self.instead = instead

    def taken(self, may_hit: bool, own: bool) -> Outcome:
        if may_hit and self.instead is not None:
            return self.instead
        return self.outcome if own else self.outcome.for_another()
