"""One flight for each key, whatever a key does: keys that collide, that switch, that change."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import pytest

from both_worlds import World, landed
from conftest import Caller, Gate, ticket, until, waiters
from soloflight import Group, cached_singleflight, singleflight
from soloflight._flights.by_key import Flights
from soloflight._flights.table import FlightTable


class Colliding:
    """All of them have one hash. What `compared` is set to runs in the middle of a comparison."""

    compared: Callable[[Colliding, Colliding], object] | None = None

    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Colliding)
        if Colliding.compared is not None:
            Colliding.compared(self, other)
        return self.name == other.name


@pytest.fixture(autouse=True)
def undisturbed() -> Any:
    yield
    Colliding.compared = None


def test_keys_of_one_hash_have_a_flight_each() -> None:
    table = FlightTable("f")
    flights = [ticket(Colliding(name)) for name in "abc"]
    assert [table.flights.enter(flight) for flight in flights] == flights
    for name, flight in zip("abc", flights, strict=True):
        assert table.flights.of(Colliding(name)) is flight
        assert table.flights.enter(ticket(Colliding(name))) is flight
    for flight in flights:
        assert table.flights.remove(flight)
        assert not table.flights.remove(flight)
        assert table.flights.of(Colliding(flight.key.name)) is None
    assert not table.flights


def test_a_key_that_equals_nothing_finds_its_own_flight() -> None:
    table, nan = FlightTable("f"), float("nan")
    flight = ticket(nan)
    assert table.flights.enter(flight) is flight
    assert table.flights.of(nan) is flight
    assert table.flights.enter(ticket(nan)) is flight


@pytest.mark.parametrize("left", [False, True], ids=["one-came", "one-came-and-one-left"])
def test_who_compares_keys_sees_what_came_meanwhile(left: bool) -> None:
    """Between finding nobody of its key and going on the table, others go on and off it."""
    table = FlightTable("f")
    other, first = ticket(Colliding("other")), ticket(Colliding("k"))
    table.flights.enter(other)

    def meanwhile(*_: object) -> None:
        Colliding.compared = None
        assert table.flights.enter(first) is first
        if left:
            table.flights.remove(other)

    Colliding.compared = meanwhile
    assert table.flights.enter(ticket(Colliding("k"))) is first
    assert list(table.flights.all()) == ([first] if left else [other, first])


@pytest.mark.parametrize("fence", ["forget", "invalidate", "clear", "put"])
def test_two_threads_that_switch_in_a_comparison_share_a_flight(fence: str) -> None:
    """A dict of keys may hold both of them: then a fence takes one off, and the other is joined."""
    comparing, go = threading.Event(), threading.Event()
    slow: list[threading.Thread] = []
    version, loads = ["old"], []
    gates = {name: Gate() for name in ("gone", "busy", "k")}

    def compared(*_: object) -> None:
        if threading.current_thread() in slow:
            comparing.set()
            assert go.wait(20)

    @cached_singleflight(ttl=60)
    def load(key: Colliding) -> str:
        loads.append(key.name)
        seen = version[0]
        gates[key.name]()
        return seen

    gone = Caller(load, Colliding("gone"))
    gates["gone"].arrived()
    busy = Caller(load, Colliding("busy"))
    gates["busy"].arrived()
    gates["gone"].open()  # the place that it took in a dict is free again
    gone.result()
    load.invalidate(Colliding("gone"))
    Colliding.compared = compared

    def call() -> str:
        slow.append(threading.current_thread())
        return load(Colliding("k"))

    first = Caller(call)
    assert comparing.wait(20)
    second = Caller(load, Colliding("k"))
    gates["k"].arrived()
    go.set()
    until(lambda: load.stats().joined == 1)
    assert loads.count("k") == 1
    if fence == "clear":
        load.clear()
    elif fence == "put":
        load.put("put", Colliding("k"))
    else:
        getattr(load, fence)(Colliding("k"))
    version[0] = "new"
    if fence == "put":
        assert load(Colliding("k")) == "put"
    else:
        late = Caller(load, Colliding("k"))
        until(lambda: loads.count("k") == 2)
    for gate in gates.values():
        gate.open()
    assert {first.result(), second.result()} == {"old"}
    busy.result()
    assert fence == "put" or late.result() == "new"
    entry = load.peek(Colliding("k"))
    assert entry is not None
    assert entry.value == ("put" if fence == "put" else "new")


def test_a_comparison_that_raises_is_its_callers_alone(gate: Gate) -> None:
    @singleflight
    def load(key: Colliding) -> str:
        gate()
        return key.name

    first = Caller(load, Colliding("a"))
    gate.arrived()

    def compared(*_: object) -> None:
        raise LookupError("incomparable")

    Colliding.compared = compared
    with pytest.raises(LookupError):
        load(Colliding("b"))
    with pytest.raises(LookupError):
        load.forget(Colliding("b"))
    gate.open()
    assert first.result() == "a"  # a landing compares nothing
    assert not load.in_flight()


def test_a_comparison_may_call_the_function_itself(gate: Gate) -> None:
    group = Group()
    first = Caller(group.do, Colliding("a"), gate)
    gate.arrived()

    def compared(*_: object) -> None:
        Colliding.compared = None
        assert group.do(Colliding("c"), lambda: "inner") == "inner"

    Colliding.compared = compared
    assert group.do(Colliding("b"), lambda: "outer") == "outer"
    gate.open()
    first.result()
    assert not group.in_flight()


class Query:
    """Its hash changes with its page."""

    page = 0

    def __hash__(self) -> int:
        return hash(("select", self.page))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Query) and self.page == other.page


class Rows: ...


def test_a_key_whose_hash_changes_while_it_loads_leaves_nothing_behind(world: World) -> None:
    alive: WeakSet[Rows] = WeakSet()
    origin = world.origin()
    query = Query()

    def answer(number: int) -> Rows:
        query.page += 1
        rows = Rows()
        alive.add(rows)
        return rows

    origin.answer = answer
    load = world.cached(origin, ttl=60, maxsize=10)
    for _ in range(50):
        query = Query()
        query.page = -len(alive)
        world.call(load, query)
    landed(load)
    gc.collect()
    assert len(alive) <= 10
    assert not load.in_flight()


def test_who_forgets_a_key_whose_hash_has_changed_harms_nobody(gate: Gate) -> None:
    query = Query()
    group = Group()
    leader = Caller(group.do, query, gate)
    gate.arrived()
    query.page = 1
    assert not group.forget(query)
    assert waiters(group) == 0
    gate.open()
    leader.result()
    assert not group.in_flight()


def test_old_flights_are_counted_for_each_key(clock: Any) -> None:
    """Keys of one hash have so many of them each."""
    gates = [Gate() for _ in range(4)]

    @cached_singleflight(ttl=60, max_flight_age=1, max_abandoned=1, timer=clock)
    def load(key: Colliding) -> None:
        gates[len(begun.append(key.name) or begun) - 1]()  # type: ignore[func-returns-value]

    begun: list[str] = []
    callers = []
    for name in "aabb":
        callers.append(Caller(load, Colliding(name)))
        until(lambda: len(begun) == len(callers))
        clock.advance(1)
    for gate in gates:
        gate.open()
    for caller in callers:
        caller.result()
    assert not load._core.table.overdue


def test_the_flights_of_a_table_can_be_cleared() -> None:
    table = FlightTable("f")
    flights: Flights = table.flights
    flights.enter(ticket("k"))
    flights.clear()
    assert not flights


@pytest.mark.parametrize("ending", ["a failed reload", "a value that is over at once"])
def test_a_comparison_that_raises_at_a_landing_changes_nobodys_outcome(
    clock: Any, ending: str
) -> None:
    @cached_singleflight(
        ttl=lambda value: 10 if value == "old" else 0, stale_if_error=100, timer=clock
    )
    def load(key: Colliding) -> str:
        if clock.now == 1000:
            return "old"
        Colliding.compared = raises
        if ending == "a failed reload":
            raise LookupError("of the origin")
        return "new"

    def raises(*_: object) -> None:
        raise ValueError("incomparable")

    load(Colliding("k"))
    clock.advance(50)
    if ending == "a failed reload":
        with pytest.raises(LookupError, match="of the origin"):
            load(Colliding("k"))
    else:
        assert load(Colliding("k")) == "new"
    assert not load.in_flight()
