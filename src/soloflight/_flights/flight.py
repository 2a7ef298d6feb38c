"""Flights, and who is aboard."""

from __future__ import annotations

from collections.abc import Hashable
from sys import is_finalizing
from typing import Any, NamedTuple, Protocol

from .._locks import NOBODY, me
from .._loops import Home
from .._outcome import Error, Value
from .._shown import shown

Outcome = Value[Any] | Error


class Waiters(Protocol):
    """Callers that are woken together: threads, or the tasks of one event loop."""

    callers: dict[Flight, Any]  # the flight that each brought -> what wakes it

    def aboard(self) -> int: ...
    def wake(self) -> None: ...


class Load(Protocol):
    """A load that runs in a task of its own, or on a thread of an executor."""

    interruption: BaseException | None
    """For the caller that started it."""
    submitted: bool
    """Whether it begins, or has begun, without its caller."""

    def cancel(self) -> None: ...
    def withdraw(self) -> bool:
        """Whether it had not begun; it never will."""
        ...


class FlightInfo(NamedTuple):
    """One flight in progress: its key, its age in seconds and how many callers wait for it."""

    key: Hashable
    age: float
    waiters: int

    def __repr__(self) -> str:
        return f"FlightInfo(key={shown(self.key)}, age={self.age!r}, waiters={self.waiters!r})"


class Flight:
    """One load in progress for one key; until it leads, the ticket of one call."""

    __slots__ = (
        "__weakref__",
        "fenced",
        "following",
        "hash",
        "key",
        "load",
        "loop",
        "name",
        "outcome",
        "over",
        "shown",
        "signal",
        "since",
        "successor",
        "thread",
        "took",
        "unattended",
        "waiters",
    )

    def __init__(self, key: Hashable, name: str, loop: Home | None = None) -> None:
        self.key = key
        self.hash = hash(key)  # while it flies, that of the key may change
        self.name = name  # of the function or group, for messages
        self.thread = me.local.thread  # runs the load; of a task's: ran the loop when it began
        # The event loop whose task runs the load; None: a thread runs it. Weak, so that a loop that
        # is dropped takes its loads with it.
        self.loop = loop
        self.load: Load | None = None  # set before it begins
        self.unattended = False  # it goes on when the last caller has left: a refresh
        self.since: Any = None  # when it began to lead, a float
        self.took = 0.0  # how long the load was, once it has ended
        # Guarded by the table's lock until `over`, constant afterwards:
        self.waiters: dict[Hashable, Waiters] = {}
        self.outcome: Outcome | None = None  # None when over: abandoned
        self.over = False
        self.fenced = False  # taken off the table before it has landed
        # Guarded by the table's lock: what those follow next who got no outcome of this one.
        self.successor: Flight | None = None
        # Of the call that brought this flight, when another one was on the table:
        self.following: Flight | None = None
        self.signal: Any = None  # what wakes the call
        self.shown: str  # once somebody has asked

    def __str__(self) -> str:
        try:
            return self.shown
        except AttributeError:
            self.shown = f"{self.name}[{shown(self.key)}]"
            return self.shown

    def again(self) -> Flight:
        """The next ticket of its caller, where this flight was abandoned."""
        ticket = Flight(self.key, self.name, self.loop)
        ticket.following = self
        return ticket

    def aboard(self) -> int:
        """How many callers wait for it."""
        return sum(waiters.aboard() for waiters in list(self.waiters.values()))

    def is_gone(self) -> bool:
        """Whether nothing will ever run its load: its event loop was closed or dropped."""
        return self.loop is not None and self.loop.is_gone()

    def is_frozen(self) -> bool:
        """Whether the interpreter's end has frozen the thread that runs its load."""
        return is_finalizing() and self.thread not in (me.local.thread, NOBODY)
