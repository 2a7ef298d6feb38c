"""Entries: what is cached, and until when it may be served as what. Pure: no clock, no dice.

The life of an entry, whose deadlines are set when it is stored:

    stored ── fresh ──[ early ]── fresh_until ── stale ── stale_until ── on error ── error_until
                                                                                     expired ...

Until ``calm_until`` it is served with no thought at all: that is all that a hit looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Any, TypeVar

from .._outcome import Error, Value
from .._public import unpickled
from .._shown import shown

V = TypeVar("V")
E = TypeVar("E", bound="Entry[Any]")


class Entry(Value[V]):
    """A cached value with its deadlines, which are times on the function's ``timer``.

    ``value`` is what the loader returned; of an exception that is cached (``error_ttl``), reading
    it raises a copy. ``fresh_until`` is the time from which on it is stale (``math.inf``: never).
    The cache holds entries, ``peek()`` returns one.
    """

    __slots__ = (
        "__weakref__", "fresh_until", "key", "newer", "older", "size", "tag", "visited",
    )  # fmt: skip

    # In the queue of a `Sieve`:
    key: Any
    fresh_until: float
    newer: Any  # None: it has been there
    older: Any
    size: int
    tag: int  # of its key's hash
    visited: int  # the number of its last use; below zero: unmarked

    @property
    def stale_until(self) -> float:
        """Until then it is served while one refresh runs behind it."""
        return self.fresh_until

    @property
    def error_until(self) -> float:
        """Until then it is served where a reload fails."""
        return self.fresh_until

    @property
    def cost(self) -> float:
        """The seconds that its load took, where an option needs them."""
        return 0.0

    @property
    def failures(self) -> int:
        """How many reloads have failed since it was stored."""
        return 0

    @property
    def last_error(self) -> Exception | None:
        """What the last of them raised, without its traceback (that is in the log).

        It is a copy. In place of an exception that cannot be copied, there is one of the nearest of
        Python's own classes, with the same ``args`` and a note that says of what class it was.
        """
        return None

    @property
    def error(self) -> BaseException | None:
        """The exception that is cached in place of a value, if it is one."""
        return None

    @property
    def until(self) -> float:
        """The last of its deadlines: it is kept until then."""
        return self.fresh_until

    def is_fresh(self, now: float) -> bool:
        """Whether it is fresh at a time on the function's ``timer``."""
        return now < self.fresh_until

    def limit(self, until: float) -> None:
        """Have it expire at a time, if not before."""
        self.fresh_until = min(self.fresh_until, until)

    def handed(self) -> Value[V] | Error:
        """What a caller gets of it."""
        return self

    def copy(self, of_value: Callable[[V], V]) -> Entry[V]:
        """An entry of its own: one of the cache is seen for as long as anybody holds it."""
        return entry_of(of_value(self.value), self.fresh_until)

    def __reduce__(self) -> Any:
        # Its parts come second: they may hold the cache that holds it.
        return unpickled, (type(self).__name__,), self.__getstate__()

    def __getstate__(self) -> Any:
        return {"value": self.value, "fresh_until": self.fresh_until}

    def __setstate__(self, state: Any) -> None:
        for slot, kept in state.items():
            setattr(self, slot, kept)

    def __repr__(self) -> str:
        return f"Entry(value={shown(self.value)}, fresh_until={self.fresh_until!r})"


def entry_of(value: V, fresh_until: float) -> Entry[V]:
    """An entry that is stored by hand, or for good."""
    entry: Entry[V] = Entry()
    entry.value = value
    entry.fresh_until = fresh_until
    entry.size = 1
    return entry


class Aging(Entry[V]):
    """An entry of a function that serves stale values or refreshes early."""

    __slots__ = (
        "calm_until", "cost", "error_until", "failures", "last_error", "stale_until", "version",
    )  # fmt: skip

    # What its callers write and read without a lock are single attributes.
    calm_until: float  # until then it is served without a thought
    cost: float
    error_until: float
    failures: int
    last_error: Exception | None
    stale_until: float
    version: bytes  # under which a tier's store has it; b"": it does not

    @property
    def until(self) -> float:
        return max(self.fresh_until, self.stale_until, self.error_until)

    def limit(self, until: float) -> None:
        for deadline in ("fresh_until", "stale_until", "error_until", "calm_until"):
            setattr(self, deadline, min(getattr(self, deadline), until))

    def copy(self, of_value: Callable[[V], V]) -> Entry[V]:
        copy: Aging[V] = Aging.__new__(Aging)
        self._tell(copy)
        copy.value = of_value(self.value)
        return copy

    def __getstate__(self) -> Any:
        # Not every exception can be pickled; this one only says what happened.
        state = {slot: getattr(self, slot) for slot in ("fresh_until", *Aging.__slots__)}
        return {**state, "last_error": None, **self._content()}

    def _content(self) -> dict[str, Any]:
        return {"value": self.value}

    def _tell(self, copy: Aging[V]) -> None:
        for slot in ("fresh_until", *Aging.__slots__):
            setattr(copy, slot, getattr(self, slot))


class Raising(Aging[Any]):
    """An exception in place of a value. It is never calm: whoever hits it gets a copy of its own.

    One object for all of them would collect what they chain to it, and keep that alive.
    """

    __slots__ = ("kept",)
    kept: Error

    value = property(lambda self: self.handed().value, lambda self, value: None)

    @property
    def error(self) -> BaseException:
        return self.handed().exception

    def handed(self) -> Error:
        return self.kept.copy()

    def copy(self, of_value: object) -> Entry[Any]:
        copy = Raising.__new__(Raising)
        self._tell(copy)
        copy.kept = self.kept
        return copy

    def _content(self) -> dict[str, Any]:
        return {"kept": self.kept}

    def __repr__(self) -> str:
        return f"Entry(raises {shown(self.kept.exception)}, fresh_until={self.fresh_until!r})"


class Plain(Aging[Any]):
    """What somebody has put in by hand: no entry of a function, and never served by one."""

    __slots__ = ()

    def __init__(self, value: Any) -> None:
        self.value = value
        self.fresh_until = self.calm_until = self.error_until = self.stale_until = -inf
        self.cost = 0.0
        self.version = b""
        self.size = 1


class State(Enum):
    """What an entry is good for."""

    FRESH = "is served"
    EARLY = "is served, fresh as it is, and one refresh starts behind it"
    STALE = "is served, and one refresh starts behind it"
    HELD_OFF = "is served: a reload has failed, and the next attempt has to wait"
    ON_ERROR = "is served where a reload fails"
    EXPIRED = "is not served any more"


FRESH, EARLY, STALE, HELD_OFF, ON_ERROR, EXPIRED = State  # reading them there is slow


def state(entry: Aging[Any], now: float, draw: float = 0.0) -> State:
    """What `entry` is good for at the time `now`.

    `draw`: how early this caller would refresh, in seconds before the end of freshness; see
    `Policy.draw`. A deadline itself belongs to what comes after it.
    """
    if now < entry.fresh_until:
        early = entry.calm_until <= now and entry.fresh_until - now <= draw
        return EARLY if early else FRESH
    if now < entry.calm_until:
        return HELD_OFF
    if now < entry.stale_until:
        return STALE
    if now < entry.error_until:
        return ON_ERROR
    return EXPIRED
