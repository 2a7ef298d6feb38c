"""Callers, loads and fences around a flight table: what each may do next, and what must hold.

`FlightTable`, `Shelf` and cache are the real ones. What these know of the outside (how one waits,
what runs a load) is played here: each actor is a greenlet that gives way wherever it holds no lock,
so that any other may go first.

A *generation* of a key begins with each fence. A load brings the generation in which it began, and
what is put is of the one that begins with it: so a value tells how old it is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from math import inf
from typing import Any

from greenlet import getcurrent, greenlet

from soloflight import _caches, _fences
from soloflight._flight import Flight, Outcome
from soloflight._outcome import Error, Found, Value
from soloflight._policy import Policy
from soloflight._table import FlightTable

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


class Flights(dict[Hashable, Flight]):
    """Going on the table takes no lock."""

    def setdefault(self, key: Hashable, mine: Flight) -> Flight:  # type: ignore[override]
        found = super().setdefault(key, mine)
        mine.signal.flight = found
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


def board(flight: Flight, mine: Flight) -> None:
    waiters: Any = flight.waiters.setdefault("all", Waiters())
    waiters.callers[mine] = mine.signal


class Task:
    """Runs a load that no caller owns."""

    def __init__(self, table: FlightTable, flight: Flight) -> None:
        self.task = self
        self.table, self.flight = table, flight
        self.cancelled = False

    def cancel(self) -> None:
        current = self.table.flights.get(self.flight.key)
        law(6, current is not self.flight, "cancelled before it was off the table")
        self.cancelled = True


class Caller:
    """One call; it is idle, claims, leads, waits or is done."""

    def __init__(self) -> None:
        self.state = "idle"
        self.key = ""
        self.look = True
        self.mine: Any = None
        self.flight: Any = None
        self.woken = False
        self.looked: Any = None  # what it saw in its second look, until it goes on
        # Of its key, when it called:
        self.generation = 0
        self.forgotten = 0

    def wake(self) -> None:
        self.woken = True
        outcome = self.flight.outcome
        if outcome is None:
            return  # it has to be told; see `World.resume`
        self.state = "done"
        found = outcome.exception.args if type(outcome) is Error else outcome.value
        law(7, found[0] >= self.generation, "got a value older than a fence")
        law(7, type(outcome) is Found or found[1] >= self.forgotten, "got that of a forgotten load")

    def seen(self, world: World) -> Action:
        since = world.generation[self.key] - self.generation
        forgotten = world.forgotten[self.key] - self.forgotten
        leads = self.flight is self.mine
        looked = self.looked and world.generation[self.key] - self.looked[0]
        return self.state, self.look, self.woken, leads, repr(looked), since, forgotten


class Load:
    """What runs for a flight: in the leader's thread, or in a task."""

    def __init__(self, world: World, caller: Caller) -> None:
        self.flight: Flight = caller.mine
        self.caller = caller
        self.generation = world.generation[caller.key]
        self.forgotten = world.forgotten[caller.key]
        # A fence may have struck after it went on the table, and before it began.
        self.fenced = world.table.flights.get(caller.key) is not self.flight
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


class World:
    """The callers, the table, and what was promised so far."""

    def __init__(self, callers: int, keys: int, fences: int, *, tasks: bool, steps: bool) -> None:
        self.tasks = tasks
        self.steps = steps
        self.fences = fences
        self.keys = "abcd"[:keys]
        self.shelf = _caches.shelf(
            "f",
            Policy(ttl=inf),
            cache=None,
            maxsize=9,
            getsizeof=None,
            timer=lambda: 0.0,
        )
        self.shelf.look = self.second_look  # type: ignore[method-assign]
        self.table = FlightTable("f", self.shelf)
        self.table.flights = Flights()
        self.callers = [Caller() for _ in range(callers)]
        self.loads: list[Load] = []
        self.paused: list[greenlet] = []
        self.claiming: dict[greenlet, Caller] = {}
        self.generation = dict.fromkeys(self.keys, 0)
        self.forgotten = dict.fromkeys(self.keys, 0)

    # What may happen next

    def actions(self) -> Iterator[Action]:
        for number in range(len(self.paused)):
            yield "go_on", number
        for number, load in enumerate(self.loads):
            if load.dying and not load.landing:
                yield "land", number  # it is too late, whatever it brings
            elif not load.landing:
                yield "land", number
                yield "fail", number
                yield "abandon", number
        for number, caller in enumerate(self.callers):
            if caller.state == "idle":
                for key in self.keys:
                    yield "call", number, key
                    yield "refresh", number, key
                break  # those that have not called yet are all alike
        for number, caller in enumerate(self.callers):
            if caller.state == "waits":
                yield "leave", number
                if caller.woken:
                    yield "resume", number
        for key in self.keys:
            if self.shelf.find(key):
                yield "evict", key
            if self.fences:
                yield "invalidate", key
                yield "put", key
                yield "forget", key
        if self.fences:
            yield ("clear",)

    def do(self, action: Action) -> None:
        name, *args = action
        getattr(self, name)(*args)

    def act(self, step: Callable[[], None]) -> None:
        if not self.steps:
            step()
            return
        actor = greenlet(step)
        actor.switch()
        if not actor.dead:
            self.paused.append(actor)

    def go_on(self, number: int) -> None:
        actor = self.paused.pop(number)
        actor.switch()
        if not actor.dead:
            self.paused.insert(number, actor)

    # Callers

    def call(self, number: int, key: str, look: bool = True) -> None:
        caller = self.callers[number]
        caller.key, caller.look = key, look
        caller.generation, caller.forgotten = self.generation[key], self.forgotten[key]
        caller.mine = self.flight_of(caller)
        self.act(lambda: self.claim(caller))

    def refresh(self, number: int, key: str) -> None:
        self.call(number, key, look=False)

    def flight_of(self, caller: Caller) -> Flight:
        flight = Flight(caller.key, "f")
        flight.signal = caller
        return flight

    def second_look(self, key: Hashable) -> Outcome | None:
        """That of the shelf, which takes no lock either."""
        entry = type(self.shelf).look(self.shelf, key)
        caller = self.claiming[getcurrent()]
        caller.looked = () if not isinstance(entry, Value) else entry.value
        pause()
        caller.looked = None
        return entry

    def claim(self, caller: Caller) -> None:
        caller.state, caller.woken = "claims", False
        self.claiming[getcurrent()] = caller
        entry = self.table.claim(caller.mine, board, look=caller.look, aboard=self.tasks)
        if isinstance(entry, Value):
            law(7, entry.value[0] >= caller.generation, "a hit that is older than a fence")
            caller.state = "done"
            return
        following = caller.mine.following
        if following is None:
            load = Load(self, caller)
            known = caller.look and not load.fenced and self.shelf.find(caller.key)
            law(2, not known, "loads what is in the cache")
            self.loads.append(load)
            caller.state = "leads"
            if self.tasks:
                caller.mine.load = Task(self.table, caller.mine)
                caller.state = "waits"
            return
        law(1, following is caller.flight, "follows another flight than it found")
        load = self.loading().get(following)
        if load is not None and not following.over:
            law(7, load.generation >= caller.generation, "joined a load older than a fence")
            law(7, load.forgotten >= caller.forgotten, "joined a forgotten load")
            law(6, not load.dying, "joined a dying load")
        caller.state = "waits"
        if following.over:
            caller.wake()

    def resume(self, number: int) -> None:
        caller = self.callers[number]
        flight = caller.flight
        law(8, flight.over, "woken by a flight that is not over")
        if flight is caller.mine:
            caller.state = "done"  # gets what its load was interrupted by
            return
        if caller.mine.over:
            caller.mine = self.flight_of(caller)
        self.act(lambda: self.claim(caller))  # somebody leads anew

    def leave(self, number: int) -> None:
        caller = self.callers[number]
        self.table.leave(caller.flight, caller.mine)
        caller.state = "done"
        if self.tasks and not caller.flight.aboard() and caller.flight in self.loading():
            law(6, caller.flight.load.cancelled, "everyone has left, and it goes on")

    # Loads

    def entry(self, value: Any) -> Outcome:
        return self.shelf.policy.entry(value, now=0.0, cost=0.0)

    def loading(self) -> dict[Flight, Load]:
        return {load.flight: load for load in self.loads}

    def end(self, number: int, make: Callable[[Any], Outcome] | None) -> None:
        load = self.loads[number]
        load.landing = True
        flight = load.flight
        value = load.generation, load.forgotten
        outcome = make and make(value)
        late = flight.over

        def land() -> None:
            self.table.land(flight, outcome)
            law(8, not flight.waiters, "landed, and keeps waiters")
            self.loads.remove(load)
            if load.caller.state == "leads":
                load.caller.state = "done"

        before = self.shelf.find(flight.key)
        self.act(land)
        entry = self.shelf.find(flight.key)
        if make == self.entry and not late and not load.fenced:
            law(2, entry is outcome, "a value was not stored")
        else:
            law(7, entry is before, "a fenced or failed load changed the cache")
        law(2, self.table.flights.get(flight.key) is not flight, "over, and still on the table")

    def land(self, number: int) -> None:
        self.end(number, self.entry)

    def fail(self, number: int) -> None:
        self.end(number, lambda value: Error(Exception(*value), None))

    def abandon(self, number: int) -> None:
        self.end(number, None)

    # Others

    def fence(self, key: str) -> tuple[int, int]:
        self.fences -= 1
        self.generation[key] += 1
        for load in self.loads:
            load.fenced |= load.flight.key == key
        return self.generation[key], self.forgotten[key]

    def invalidate(self, key: str) -> None:
        there = bool(self.shelf.find(key)) or key in self.table.flights
        self.fence(key)
        told = _fences.invalidate(self.table, key)
        law(7, told is there, "it does not tell whether there was anything")

    def put(self, key: str) -> None:
        entry = self.entry(self.fence(key))
        _fences.put(self.table, key, entry)
        law(7, self.shelf.find(key) is entry, "what was put is not there")

    def clear(self) -> None:
        fences = self.fences
        for key in self.keys:
            self.fence(key)
        self.fences = fences - 1
        _fences.clear(self.table)

    def forget(self, key: str) -> None:
        self.fences -= 1
        self.forgotten[key] += 1
        for load in self.loads:
            load.fenced |= load.flight.key == key
        self.table.forget(key)

    def evict(self, key: str) -> None:
        del self.shelf.cache[key]

    # What holds in every state

    def check(self) -> None:
        for key in self.keys:
            flight = self.table.flights.get(key)
            loads = [
                load.flight
                for load in self.loads
                if load.flight.key == key and not load.fenced and not load.flight.over
            ]
            law(10, len(loads) <= 1, "two loads of one key")
            if loads:
                law(1, flight is loads[0], "a load in progress is not on the table")
            elif flight is not None:
                claims = [c for c in self.callers if c.state == "claims" and c.mine is flight]
                law(8, claims, "on the table, and nobody will take it off")
            entry = self.shelf.find(key)
            law(
                7,
                entry is None or entry.value[0] == self.generation[key],
                "an entry outlived a fence",
            )
        waking = [load.flight for load in self.loads if load.landing]
        waking += [caller.mine for caller in self.callers if caller.state == "claims"]
        for caller in self.callers:
            if caller.state == "waits" and not caller.woken:
                if caller.flight.over:
                    law(8, caller.flight in waking, "its flight is over, and nobody wakes it")
                else:
                    group: Any = caller.flight.waiters.get("all")
                    law(8, group and caller.mine in group.callers, "waits without being aboard")

    def check_end(self) -> None:
        law(8, all(caller.state in ("done", "idle") for caller in self.callers), "never answered")
        law(8, not self.table.flights, "something is left on the table")
        law(8, not self.loads, "a load never ends")

    def state(self) -> Hashable:
        """Worlds of one state have one future; the names of keys and callers do not matter."""
        keys = []
        for key in self.keys:
            flights: dict[Flight, list[Any]] = {}
            for caller in self.callers:
                if caller.key == key and caller.state != "done":
                    flights.setdefault(caller.flight, []).append(caller.seen(self))
            loads = {load.flight: load for load in self.loads if load.flight.key == key}
            for flight in [*loads, *filter(None, [self.table.flights.get(key)])]:
                flights.setdefault(flight, [])
            entry = self.shelf.find(key)
            keys.append(
                (
                    () if entry is None else (1,),
                    sorted(
                        (
                            sorted(callers),
                            loads[flight].seen(self) if flight in loads else (),
                            flight.over,
                            flight.outcome is None,
                            flight.aboard(),
                            self.table.flights.get(key) is flight,
                        )
                        for flight, callers in flights.items()
                    ),
                )
            )
        idle = sum(caller.state == "idle" for caller in self.callers)
        return repr((idle, self.fences, sorted(keys)))
