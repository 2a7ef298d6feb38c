"""Callers and loads, as the flight table sees them; `model` moves them.

How one waits and what runs a load is played here: each actor is a greenlet that gives way wherever
it holds no lock, so that any other may go first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from greenlet import getcurrent

from soloflight._flights import by_key
from soloflight._flights.flight import Flight
from soloflight._flights.landing import Found
from soloflight._flights.table import FlightTable
from soloflight._locks import is_held
from soloflight._outcome import Error

if TYPE_CHECKING:
    from .model import World

Action = tuple[Any, ...]


class BrokenLaw(AssertionError):
    """What must never be so, is."""


def law(number: int, holds: object, otherwise: str) -> None:
    if not holds:
        raise BrokenLaw(f"law {number}: {otherwise}")


def pause() -> None:
    """This actor holds no lock: others may go first."""
    actor = getcurrent()
    if actor.parent is not None:
        actor.parent.switch()


class Flights(by_key.Flights):
    """Going on the table takes no lock."""

    def __init__(self, world: World) -> None:
        super().__init__(world.table.lock)
        self.world = world

    def setdefault(self, hash: int, mine: Any) -> Any:
        found = super().setdefault(hash, mine)
        caller = self.world.claiming[getcurrent()]
        caller.flight = found
        if mine.is_refresh:
            caller.mine = mine
        if not is_held(self._lock):  # as it is for a successor
            pause()
        return found


class Waiters:
    """Callers that wait for a flight; to wake them is to let them go on."""

    def __init__(self) -> None:
        self.callers: dict[Flight, Caller] = {}

    def aboard(self) -> int:
        return len(self.callers)

    def wake(self) -> None:
        pause()
        for caller in self.callers.values():
            caller.wake()


def board(waiters: dict[Any, Any], mine: Flight) -> Any:
    waiters.setdefault("all", Waiters()).callers[mine] = mine.signal
    return mine.signal


class Task:
    """Runs a load that no caller owns, and is its event loop as well."""

    def __init__(self, table: FlightTable) -> None:
        self.table = table
        self.runner = self
        self.flight: Any = None  # once it leads
        self.cancelled = False

    def is_gone(self) -> bool:
        return False

    def is_frozen(self) -> bool:
        return False

    def goes_on(self) -> bool:
        return self.flight is None  # its caller is about to board

    def is_on_its_own(self) -> bool:
        return self.flight is not None

    def withdraw(self) -> bool:
        return False

    def cancel(self) -> None:
        current = self.table.flights.of(self.flight.key)
        law(6, current is not self.flight, "cancelled before it was off the table")
        self.cancelled = True

    def hurry(self) -> float:
        return 0.0

    def interruption(self) -> None: ...


class Brought(NamedTuple):
    """A value, or the arguments of an exception: how old it is."""

    generation: int
    forgotten: int
    time: float = 0


def brought(outcome: Any) -> Brought:
    return Brought(*outcome.exception.args) if type(outcome) is Error else outcome.value


class Caller:
    """One call; it is idle, claims, leads, waits or is done."""

    def __init__(self) -> None:
        self.state = "idle"
        self.key = ""
        self.look = True
        self.mine: Any = None
        self.flight: Any = None
        self.followed: Any = None  # the last one that it followed
        self.woken = False
        self.looked: Any = None  # what it saw in its second look, until it goes on
        # Of its key, when it called:
        self.generation = 0
        self.forgotten = 0

    def wake(self) -> None:
        self.woken = True
        landing = self.flight.landing
        if landing is None:
            return  # it has to be told; see `World.resume`
        self.state = "done"
        instead = landing.instead if self.look else None
        found = brought(instead or landing.outcome)
        law(7, found.generation >= self.generation, "got a value older than a fence")
        of_the_flight = instead is None and type(landing) is not Found
        law(7, not of_the_flight or found.forgotten >= self.forgotten, "got a forgotten load's")

    def seen(self, world: World) -> Action:
        since = world.generation[self.key] - self.generation
        forgotten = world.forgotten[self.key] - self.forgotten
        leads = self.flight is self.mine
        looked = self.looked and world.generation[self.key] - self.looked.generation
        return self.state, self.look, self.woken, leads, repr(looked), since, forgotten


class Load:
    """What runs for a flight: in the leader's thread, or in a task."""

    def __init__(self, world: World, caller: Caller) -> None:
        self.flight: Flight = caller.mine
        self.caller = caller
        self.generation = world.generation[caller.key]
        self.forgotten = world.forgotten[caller.key]
        # A fence may have struck after it went on the table, and before it began.
        self.fenced = world.table.flights.of(caller.key) is not self.flight
        self.landing = False

    @property
    def dying(self) -> bool:
        return isinstance(self.flight.load, Task) and self.flight.over

    def seen(self, world: World) -> Action:
        if self.flight.over:
            return "over", self.landing
        since = world.generation[self.flight.key] - self.generation
        forgotten = world.forgotten[self.flight.key] - self.forgotten
        return "loads", self.fenced, since, forgotten
