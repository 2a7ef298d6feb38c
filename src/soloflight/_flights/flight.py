"""Flights, what runs them, what they are asked for, and who is aboard."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .._runners import Load
from .._shown import shown

if TYPE_CHECKING:
    from .._clock import Deadline
    from .landing import Landing


class Call:
    """What a caller asks for: a key, and the arguments of the loader.

    One value, so that whatever a load needs to know of its call (its tags, the batch that it may
    join) goes from the wrapper to the source through every room without being named in each.
    """

    __slots__ = ("args", "deadline", "key", "kwargs", "may_hit")
    key: Hashable
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    may_hit: bool  # whether an entry will do
    deadline: Deadline | None  # until when its caller has patience


def call_of(key: Hashable, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """What a caller asks for. (No `__init__`: see `Value`. A named tuple takes longer to read.)"""
    call = Call()
    call.key = key
    call.args = args
    call.kwargs = kwargs
    call.may_hit = True
    return call


class Waiters(Protocol):
    """Callers that are woken together: threads, futures, or the tasks of one event loop."""

    callers: dict[Flight, Any]  # the flight that each brought -> what wakes it

    def aboard(self) -> int: ...
    def wake(self) -> None: ...


class FlightInfo(NamedTuple):
    """One flight in progress: its key, its age in seconds and how many callers wait for it."""

    key: Hashable
    age: float
    waiters: int

    def __repr__(self) -> str:
        return f"FlightInfo(key={shown(self.key)}, age={self.age!r}, waiters={self.waiters!r})"


class Flight:
    """One load in progress for one key; until it leads, the ticket of one call.

    Only the table writes what can change.
    """

    __slots__ = (
        "__weakref__", "fenced", "following", "hash", "is_refresh", "key", "landing", "load",
        "name", "over", "shown", "signal", "since", "successor", "waiters",
    )  # fmt: skip

    key: Hashable
    hash: int  # of its key, when the call came: it may change while it flies
    name: str  # of the function or group, for messages
    load: Load
    is_refresh: bool  # goes on when the last caller has left
    since: Any  # when it began to lead, a float
    # Guarded by the table's lock until `over`, constant afterwards:
    waiters: dict[Hashable, Waiters]
    landing: Landing | None  # None when over: abandoned
    over: bool
    fenced: bool  # taken off the table before it has landed
    # Guarded by the table's lock: what those follow next who got no outcome of this one.
    successor: Flight | None
    # Of the call that brought this flight: the other one that was on the table, or the one that
    # it has followed so far and that was abandoned.
    following: Flight | None
    signal: Any  # what wakes the call
    shown: str  # once somebody has asked

    def __str__(self) -> str:
        try:
            return self.shown
        except AttributeError:
            self.shown = f"{self.name}[{shown(self.key)}]"
            return self.shown

    def aboard(self) -> int:
        """How many callers wait for it."""
        return sum(waiters.aboard() for waiters in list(self.waiters.values()))


def ticket(
    key: Hashable,
    name: str,
    load: Load,
    following: Flight | None = None,
    is_refresh: bool = False,
) -> Flight:
    """The flight that a call brings. (No `__init__`: see `Value`.)"""
    mine = Flight()
    mine.hash = hash(key)
    mine.key = key
    mine.name = name
    mine.load = load
    mine.is_refresh = is_refresh
    mine.waiters = {}
    mine.over = mine.fenced = False
    mine.following = following
    mine.since = mine.landing = mine.successor = mine.signal = None
    return mine
