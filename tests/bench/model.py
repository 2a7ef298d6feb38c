"""Callers, loads and fences around a flight table: what each may do next, and what must hold.

`FlightTable`, `Shelf` and cache are the real ones. What these know of the outside is played: see
`actors`.

A *generation* of a key begins with each fence. A load brings the generation in which it began, and
what is put is of the one that begins with it: so a value tells how old it is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from math import inf
from typing import Any

from cachetools import Cache
from greenlet import getcurrent, greenlet

from conftest import loaded
from soloflight._entries import caches
from soloflight._entries.entry import Entry
from soloflight._entries.policy import Policy
from soloflight._flights.flight import Flight, ticket
from soloflight._flights.landing import Failed, Landing, Outcome
from soloflight._flights.table import FlightTable
from soloflight._given import UNSET
from soloflight._outcome import Error
from soloflight._runners import me

from .actors import Action, Brought, Caller, Flights, Load, Task, board, brought, law, pause


class World:
    """The callers, the table, and what was promised so far."""

    policy = Policy(ttl=inf)
    time = 0.0

    def __init__(
        self,
        callers: int,
        keys: int,
        fences: int,
        *,
        tasks: bool,
        steps: bool,
        cache: type[Cache[Any, Any]] | None = None,
    ) -> None:
        self.tasks = tasks
        self.steps = steps
        self.fences = fences
        self.keys = "abcd"[:keys]
        self.shelf = caches.shelf(
            "f",
            self.policy,
            cache=None if cache is None else cache(9),
            maxsize=UNSET,
            getsizeof=None,
            timer=lambda: self.time,
        )
        self.shelf.look = self.second_look  # type: ignore[method-assign]
        self.table = self.make_table()
        self.table.flights = Flights(self)
        self.callers = [Caller() for _ in range(callers)]
        self.loads: list[Load] = []
        self.paused: list[greenlet] = []
        self.claiming: dict[greenlet, Caller] = {}
        self.generation = dict.fromkeys(self.keys, 0)
        self.forgotten = dict.fromkeys(self.keys, 0)

    def make_table(self) -> FlightTable:
        return FlightTable("f", self.shelf)

    # What may happen next

    def actions(self) -> Iterator[Action]:
        for number in range(len(self.paused)):
            yield "go_on", number
        for number, load in enumerate(self.loads):
            if not load.landing:
                yield from ((ending, number) for ending in self.endings(load))
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
        yield from (("evict", key) for key in self.keys if self.alive(key))
        if self.fences:
            for key in self.keys:
                yield "invalidate", key
                yield "put", key
                yield "forget", key
            yield ("clear",)

    def endings(self, load: Load) -> tuple[str, ...]:
        # It may be too late, whatever it brings.
        return ("land",) if load.dying else ("land", "fail", "abandon")

    def do(self, action: Action) -> None:
        name, *args = action
        getattr(self, name)(*args)
        self.let_go()

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
        self.act(lambda: self.ask(caller))

    def refresh(self, number: int, key: str) -> None:
        self.call(number, key, look=False)

    def flight_of(self, caller: Caller) -> Flight:
        load = Task(self.table) if self.tasks else me.local.thread
        flight = ticket(caller.key, "f", load)
        flight.signal = caller
        return flight

    def second_look(self, key: Hashable) -> Entry[Any] | None:
        """That of the shelf, which takes no lock either."""
        entry = type(self.shelf).look(self.shelf, key)
        caller = self.claiming[getcurrent()]
        caller.looked = () if entry is None else brought(entry.handed())
        pause()
        caller.looked = None
        return entry

    def ask(self, caller: Caller) -> None:
        """A call that finds no entry at first."""
        self.claim(caller)

    def hits(self, caller: Caller, outcome: Outcome) -> None:
        found = brought(outcome)
        law(7, found.generation >= caller.generation, "a hit that is older than a fence")
        caller.state = "done"

    def claim(self, caller: Caller) -> None:
        caller.state, caller.woken = "claims", False
        self.claiming[getcurrent()] = caller
        outcome = self.table.claim(caller.mine, board, may_hit=caller.look)
        if outcome is not None:
            self.hits(caller, outcome)
            return
        following = caller.mine.following
        if following is None:
            self.let_go()
            load = Load(self, caller)
            known = caller.look and not load.fenced and self.is_known(caller.key)
            law(2, not known, "loads what is in the cache")
            self.loads.append(load)
            caller.state = "leads"
            if self.tasks:
                self.table.board(caller.mine, board)
                caller.mine.load.flight = caller.mine
                caller.state = "waits"
            return
        abandoned, caller.followed = caller.followed, following
        succeeds = abandoned is not None and abandoned.successor is following
        law(1, following is caller.flight or succeeds, "follows another flight than it found")
        caller.flight = following
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
        flight = caller.flight
        if self.tasks and not flight.aboard() and flight in self.loading():
            goes_on = not flight.load.cancelled
            law(6, goes_on is flight.is_refresh, "everyone has left, and it goes on, or should")

    # Loads

    def entry(self, value: Brought) -> Entry[Any]:
        entry = self.shelf.policy.entry(value, now=self.time, cost=0.0)
        assert entry is not None
        return entry

    def alive(self, key: str) -> Entry[Any] | None:
        """The entry that may be served somehow."""
        entry = self.shelf.find(key)
        return entry if entry is not None and self.time < entry.until else None

    def is_known(self, key: str) -> bool:
        """Whether there is an entry that will do."""
        return self.shelf.find(key) is not None

    def loading(self) -> dict[Flight, Load]:
        return {load.flight: load for load in self.loads}

    def end(self, load: Load, landing: Landing | None) -> None:
        load.landing = True
        flight = load.flight
        late = flight.over

        def land() -> None:
            self.table.land(flight, landing)
            law(8, not flight.waiters, "landed, and keeps waiters")
            self.loads.remove(load)
            if load.caller.state == "leads":
                load.caller.state = "done"

        before = self.shelf.find(flight.key)
        self.act(land)
        entry = self.shelf.find(flight.key)
        stored = None if landing is None else landing.entry
        if stored is not None and not late and not load.fenced:
            law(2, entry is stored, "it was not stored")
        else:
            law(7, entry is before, "a fenced or failed load changed the cache")
        law(2, self.table.flights.of(flight.key) is not flight, "over, and still on the table")

    def brings(self, load: Load) -> Brought:
        return Brought(load.generation, load.forgotten, self.time)

    def land(self, number: int) -> None:
        load = self.loads[number]
        entry = self.entry(self.brings(load))
        self.end(load, loaded(entry.value, entry))

    def fail(self, number: int) -> None:
        load = self.loads[number]
        self.end(load, Failed(Error(Exception(*self.brings(load)), None)))

    def abandon(self, number: int) -> None:
        self.end(self.loads[number], None)

    # Others

    def fence(self, key: str) -> Brought:
        """What is put is as new as that."""
        self.fences -= 1
        self.generation[key] += 1
        for load in self.loads:
            load.fenced |= load.flight.key == key
        return Brought(self.generation[key], self.forgotten[key], self.time)

    def invalidate(self, key: str) -> None:
        there = self.alive(key) is not None or self.table.flights.of(key) is not None
        self.fence(key)
        told = self.table.invalidate(key)
        law(7, told is there, "it does not tell whether there was anything")

    def put(self, key: str) -> None:
        entry = self.entry(self.fence(key))
        self.table.put(key, entry)
        law(7, self.shelf.find(key) is entry, "what was put is not there")

    def clear(self) -> None:
        fences = self.fences
        for key in self.keys:
            self.fence(key)
        self.fences = fences - 1
        self.table.clear()

    def forget(self, key: str) -> None:
        self.fences -= 1
        self.forgotten[key] += 1
        for load in self.loads:
            load.fenced |= load.flight.key == key
        self.table.forget(key)

    def evict(self, key: str) -> None:
        del self.shelf.cache[key]

    # What holds in every state

    def let_go(self) -> None:
        """See which flights own their key no longer."""

    def check(self) -> None:
        for key in self.keys:
            flight = self.table.flights.of(key)
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
            now = entry is None or brought(entry.handed()).generation == self.generation[key]
            law(7, now, "an entry outlived a fence")
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

    def seen(self, key: str) -> Action:
        return () if self.shelf.find(key) is None else (1,)

    def seen_by(self, caller: Caller) -> Action:
        return caller.seen(self)

    def seen_of(self, flight: Flight) -> Action:
        """What else of a flight decides on its future."""
        return ()

    def state(self) -> Hashable:
        """Worlds of one state have one future; the names of keys and callers do not matter."""
        keys = []
        for key in self.keys:
            flights: dict[Flight, list[Any]] = {}
            for caller in self.callers:
                if caller.key == key and caller.state != "done":
                    flights.setdefault(caller.flight, []).append(self.seen_by(caller))
            loads = {load.flight: load for load in self.loads if load.flight.key == key}
            for flight in [*loads, *filter(None, [self.table.flights.of(key)])]:
                flights.setdefault(flight, [])
            keys.append(
                (
                    self.seen(key),
                    sorted(
                        (
                            sorted(callers),
                            loads[flight].seen(self) if flight in loads else (),
                            flight.over,
                            flight.landing is None,
                            flight.aboard(),
                            self.table.flights.of(key) is flight,
                            *self.seen_of(flight),
                        )
                        for flight, callers in flights.items()
                    ),
                )
            )
        idle = sum(caller.state == "idle" for caller in self.callers)
        return repr((idle, self.fences, sorted(keys)))
