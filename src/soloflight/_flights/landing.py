"""What a flight lands with."""

from __future__ import annotations

from typing import Any, Protocol

from .._entries.entry import Entry
from .._outcome import Error, Value

Outcome = Value[Any] | Error


class Landing(Protocol):
    """What a flight lands with: what its callers get, and the entry to be stored, if any.

    The two are not the same: an exception may be stored, or a stale value be handed out in place of
    one; a value need not be stored, or may come from elsewhere with deadlines of its own. Whoever
    makes a landing decides that, and the table needs to know nothing of it.
    """

    @property
    def outcome(self) -> Outcome:
        """What the caller that leads gets."""
        ...

    @property
    def entry(self) -> Entry[Any] | None: ...
    @property
    def took(self) -> float:
        """The seconds of the load."""
        ...

    @property
    def instead(self) -> Value[Any] | None:
        """What a caller gets in place of an error, where an entry will do."""
        ...

    def is_newer(self) -> bool:
        """Whether what is in the cache is out of date, though nothing takes its place."""
        ...

    def taken(self, look: bool, own: bool) -> Outcome | None:
        """What a caller gets; None: it has to load itself.

        `look`: whether an entry will do; `own`: whether it may have the very object that others of
        its thread have.
        """
        ...


class Found(Value[Any]):
    """It was no load: the value was in the cache after all."""

    __slots__ = ()
    entry: Entry[Any] | None = None
    took = 0.0
    instead: Value[Any] | None = None

    @property
    def outcome(self) -> Value[Any]:
        return self

    def is_newer(self) -> bool:
        return False

    def taken(self, look: bool, own: bool) -> Value[Any] | None:
        return self if look else None


class Failed:
    """An error, which may be an answer and be stored."""

    __slots__ = ("entry", "instead", "outcome", "took")

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

    def is_newer(self) -> bool:
        return False

    def taken(self, look: bool, own: bool) -> Outcome | None:
        if look and self.instead is not None:
            return self.instead
        return self.outcome if own else self.outcome.for_another()
