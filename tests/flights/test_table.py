"""The protocol, one order of effects at a time."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import cachetools
import pytest

from conftest import (
    Boom,
    Caller,
    Clock,
    Gate,
    follows_late,
    herd,
    in_child,
    in_mid_change,
    needs_fork,
    storing,
    ticket,
    until,
    waiters,
)
from interrupter import Interrupter
from soloflight import Group, cached_singleflight, singleflight
from soloflight._flights import by_key
from soloflight._flights.landing import Failed
from soloflight._flights.table import FlightTable
from soloflight._outcome import Error
from soloflight._worlds import threads


@pytest.mark.parametrize("fence", ["invalidate", "clear", "put"])
def test_a_claim_in_the_middle_of_a_fence_is_fenced_as_well(
    monkeypatch: pytest.MonkeyPatch, fence: str
) -> None:
    """Going on the table takes no lock, so a claim may come while an entry is being hidden."""

    @cached_singleflight(ttl=60)
    def load(key: str) -> str:
        return "old"

    load("k")
    core = load._core
    table, shelf, key = core.table, core.shelf, load.cache_key("k")
    between = ticket(key)
    hides = {"invalidate": "drop", "clear": "clear", "put": "put"}[fence]
    hide: Any = getattr(shelf, hides)
    claims: list[None] = []

    def hide_after_a_claim(*args: Any) -> Any:
        claims.append(None)
        table.flights.enter(between)  # the claim's first step; it sees the entry next
        return hide(*args)

    monkeypatch.setattr(shelf, hides, hide_after_a_claim)
    if fence == "put":
        load.put("new", "k")
    elif fence == "clear":
        load.clear()
    else:
        load.invalidate("k")
    assert claims
    assert not table.flights, "a newcomer would join a claim that saw the old entry"


def numbered(kind: str, timer: Callable[[], float]) -> tuple[Any, Callable[[Any], Any]]:
    """A function whose loads bring 1, 2 and so on; and what calls it, or what it offers."""
    numbers = count(1)

    def loader(key: str) -> int:
        return next(numbers)

    async def async_loader(key: str) -> int:
        return next(numbers)

    def run(call: Any) -> Any:
        return call("k") if kind == "thread" else asyncio.run(call("k"))

    decorate = cached_singleflight(ttl=10, timer=timer)
    return decorate(loader if kind == "thread" else async_loader), run


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_call_that_missed_just_before_a_load_ended_hits_after_all(kind: str) -> None:
    """Somebody else loads while it reads the clock, and its clock is the old one."""
    clock, armed = Clock(), []

    def timer() -> float:
        now = clock.now
        if armed:
            armed.pop()
            Caller(run, load.refresh).result()
        return now

    load, run = numbered(kind, timer)
    assert run(load) == 1
    clock.advance(10)
    armed.append(True)
    assert run(load) == 2
    assert not load.in_flight()
    assert (load.stats().hits, load.stats().misses) == (1, 2)
    assert run(load) == 2


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_refresh_that_follows_a_caller_who_hits_after_all_loads(kind: str) -> None:
    """The caller looks at the clock twice: it misses, then hits what was stored meanwhile."""
    clock = Clock()
    steps: list[Any] = []
    caller = threading.current_thread()

    def timer() -> float:
        now = clock.now
        if steps and threading.current_thread() is caller:
            steps.pop(0)()
        return now

    load, run = numbered(kind, timer)
    followers: list[Caller] = []

    def refresh_in_between() -> None:
        Caller(run, load.refresh).result()

    def follow() -> None:
        followers.append(Caller(run, load.refresh))
        until(lambda: waiters(load) == 1)

    assert run(load) == 1
    clock.advance(10)
    steps += [refresh_in_between, follow]
    assert run(load) == 2
    assert followers[0].result() == 3


def test_who_wakes_finds_the_entry_and_the_key_free(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is done in the very moment of waking up: stored, off the table, then woken."""
    wake = threads.ThreadWaiters.wake
    seen: list[Any] = []

    def look_and_wake(waiters: threads.ThreadWaiters) -> None:
        seen.append((load.peek().value, list(load._core.table.flights.all())))  # type: ignore[union-attr]
        wake(waiters)

    @cached_singleflight(ttl=60)
    def load() -> int:
        gate()
        return 1

    callers = [Caller(load) for _ in range(2)]
    until(lambda: waiters(load) == 1)
    monkeypatch.setattr(threads.ThreadWaiters, "wake", look_and_wake)
    gate.open()
    assert [caller.result() for caller in callers] == [1, 1]
    assert seen and all(found == (1, []) for found in seen)


def test_a_follower_of_an_abandoned_flight_is_counted_once(gate: Gate) -> None:
    second = Gate()
    loads: list[int] = []

    @singleflight
    def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            gate()
            raise KeyboardInterrupt
        second()
        return len(loads)

    leader, followers = herd(4, load, gate)
    gate.open()
    with pytest.raises(KeyboardInterrupt):
        leader.result()
    second.arrived()
    until(lambda: waiters(load) == 3)
    second.open()
    assert [follower.result() for follower in followers] == [2] * 4
    assert (load.stats().misses, load.stats().joined) == (2, 4)


def test_who_comes_when_its_flight_has_just_landed_gets_what_landed_and_keeps_nothing(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody boards a flight that is over: that would be a reference cycle."""

    class Thing:
        pass

    group = Group()
    leader = Caller(group.do, "k", lambda: [gate(), Thing()][1])
    gate.arrived()
    seen: list[Any] = []

    def land() -> None:
        gate.open()
        seen.append(weakref.ref(leader.result()))

    follows_late(monkeypatch, land)
    gc.collect()
    gc.disable()
    try:
        thing = group.do("k", int)
        assert thing is seen[0]()
        leader._value = None
        del thing
        assert seen[0]() is None
    finally:
        gc.enable()


def test_who_comes_when_its_flight_has_just_landed_leaves_the_next_one_alone(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late follower takes off only the flight that it came for."""
    group, next_gate = Group(), Gate()
    leader = Caller(group.do, "k", lambda: [gate(), 1][1])
    gate.arrived()
    successors: list[Caller] = []

    def land_and_lead_anew() -> None:
        gate.open()
        leader.result()
        successors.append(Caller(group.do, "k", lambda: [next_gate(), 2][1]))
        next_gate.arrived()

    with monkeypatch.context() as patch:
        follows_late(patch, land_and_lead_anew)
        assert group.do("k", int) == 1
    assert len(group) == 1, "the successor is still under way"
    next_gate.open()
    assert successors[0].result() == 2


def test_a_landing_inside_a_lock_does_not_hold_that_while_it_waits_for_its_own(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside_b, landing = threading.Event(), threading.Event()
    land = FlightTable.land

    def inside_of_a() -> None:
        assert inside_b.wait(10)
        b("led")

    def inside_of_b() -> None:  # here its thread holds the lock of b
        inside_b.set()
        assert landing.wait(10)
        Caller(a.invalidate, "k").result()  # user code that needs the lock of a

    cached_a, outer_a = storing(kind, "outer", inside_of_a)
    cached_b, outer_b = storing(kind, "outer", inside_of_b)

    @cached_a(ttl=60)
    def a(key: str) -> str:
        return key

    @cached_b(ttl=60)
    def b(key: str) -> str:
        return key

    def tell(self: Any, flight: Any, *how: Any) -> None:
        if self is b._core.table and flight.key == b.cache_key("led"):
            landing.set()
        land(self, flight, *how)

    assert (a("k"), b("k")) == ("k", "k")
    monkeypatch.setattr(FlightTable, "land", tell)
    callers = [Caller(a, outer_a), Caller(b, outer_b)]
    assert [caller.result() for caller in callers] == ["outer", "outer"]
    assert landing.is_set()


def test_an_interrupt_at_any_line_of_a_landing_leaves_no_task_waiting() -> None:
    """An interrupted landing wakes them again: tasks too, which do not look by themselves."""

    async def anew() -> str:
        return "anew"

    at = 0
    while True:
        interrupter = Interrupter(at)
        group, gate = Group(), Gate()
        followers: list[Caller] = []

        def load(gate: Gate = gate) -> str:
            if gate.arrivals == 0:
                gate()
            return "k"

        def follow(gate: Gate = gate, group: Group = group, followers: Any = followers) -> None:
            gate.arrived()
            followers.append(Caller(lambda: asyncio.run(group.do_async("k", anew))))
            until(lambda: waiters(group) == 1)
            gate.open()

        thread = Caller(follow)
        interrupter.run(partial(group.do, "k", load))
        if gate.arrivals == 0:
            Caller(group.do, "k", load)
        thread.result()
        assert followers[0].result() in ("k", "anew"), interrupter.where
        assert len(group) == 0
        if not interrupter.struck:
            break
        at += 1
    assert at > 10


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not-stored"])
@pytest.mark.parametrize("fence", ["invalidate", "clear", "put", "forget"])
def test_a_fenced_load_does_not_displace_what_was_stored_after_the_fence(
    gate: Gate, fence: str, stored: bool
) -> None:
    loads: list[str] = []

    @cached_singleflight(ttl=60, cache_if=lambda value: stored or value == "new")
    def load(key: str) -> str:
        loads.append(key)
        if len(loads) == 1:
            gate()
            return "old"
        return "new"

    leader = Caller(load, "k")
    gate.arrived()
    if fence == "put":
        load.put("new", "k")
    elif fence == "clear":
        load.clear()
    else:
        getattr(load, fence)("k")
    assert load("k") == "new"
    number = len(loads)
    gate.open()
    assert leader.result() == "old"
    assert load("k") == "new"
    assert len(loads) == number


def test_a_claim_whose_key_is_compared_during_a_clear_can_be_taken_off_again(gate: Gate) -> None:
    """A dict that was cleared in the middle of an insertion loses what is inserted (CPython 3.11 to
    3.13, where keys are no strings): nobody finds it there, and nobody takes it off.
    """

    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if armed:
                armed.pop()
                Caller(load.clear).result()
            return self is other

    armed: list[bool] = []
    first, second = Key(), Key()

    @cached_singleflight(ttl=60)
    def load(key: Key) -> Key:
        if key is first:
            gate()
        return key

    leader = Caller(load, first)
    gate.arrived()
    armed.append(True)
    assert load(second) is second
    assert not armed
    assert load.in_flight() == ()
    assert load.peek(second) is not None
    gate.open()
    assert leader.result() is first


def test_landing_twice_counts_an_error_once() -> None:
    table = FlightTable("f")
    mine = ticket("k")
    table.claim(mine, threads.board, may_hit=False)
    for _ in range(2):
        table.land(mine, Failed(Error(Boom(), None)))
    assert table.ledger.errors == 1


def test_a_flight_that_is_over_has_its_outcome_and_a_free_key_at_every_line() -> None:
    """A thread looks at `over` without the lock, takes the outcome, and may call again."""
    seen: list[bool] = []

    def trace(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code is not FlightTable._off.__code__:
            return None if frame.f_code is not FlightTable.land.__code__ else trace
        flight = frame.f_locals["flight"]
        stays = load._core.table.flights.has(flight)
        seen.append(flight.over and (flight.landing is None or stays))
        return trace

    @singleflight
    def load() -> int:
        return 1

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        load()
    finally:
        sys.settrace(old)
    assert seen and not any(seen)


def test_an_interrupt_between_load_and_landing_lands_what_was_loaded() -> None:
    """An interruption between the load and its landing does not lose what was loaded."""
    loads: list[int] = []

    @cached_singleflight(ttl=60)
    def load() -> int:
        loads.append(1)
        return len(loads)

    def trace(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code is not threads.Threads.call.__code__:
            return None
        if event == "line" and frame.f_locals.get("landing") is not None:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    def interrupted() -> None:
        sys.settrace(trace)
        load()

    with pytest.raises(KeyboardInterrupt):
        Caller(interrupted).result()
    assert load() == 1
    assert len(loads) == 1


@pytest.mark.parametrize("fence", ["invalidate", "clear", "put"])
def test_a_fence_that_is_interrupted_while_it_drops_the_entry_fences_the_flight(
    gate: Gate, fence: str
) -> None:
    class Interrupted(cachetools.LRUCache[Any, Any]):
        def pop(self, *args: Any) -> Any:
            if armed:
                raise armed.pop()
            return super().pop(*args)

    armed: list[type[BaseException]] = []
    loads: list[int] = []

    @cached_singleflight(cache=Interrupted(3))
    def load(key: str) -> int:
        loads.append(1)
        if len(loads) == 2:
            gate()
        return len(loads)

    load("k")
    refresher = Caller(load.refresh, "k")
    gate.arrived()
    armed.append(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        if fence == "put":
            load.put(7, "k")
        elif fence == "clear":
            load.clear()
        else:
            load.invalidate("k")
    assert not load.in_flight()
    gate.open()
    assert refresher.result() == 2
    assert load.peek("k") is None


def test_a_flight_that_has_just_gone_on_the_table_has_no_age() -> None:
    """A flight that went on the table this very moment is not as old as the machine."""
    table = FlightTable("f")
    table.flights.enter(ticket("k"))
    assert table.in_flight()[0].age == 0
    table.flights.clear()


@needs_fork
def test_a_child_that_was_forked_in_mid_change_stores_in_its_cache(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A given one starts empty there; the default one is whole at any time."""
    monkeypatch.setattr("soloflight._locks.PATIENCE", 0.01)
    gate = Gate()

    load, key, slow = in_mid_change(gate, kind)
    kept = ["new"] if kind == "given" else ["k", "new"]
    in_child(lambda: load("new") == "new" and set(load.cache) == set(map(load.cache_key, kept)))
    gate.open()
    assert slow.result() == "slow"
    assert load.peek(key) is not None


def test_a_flight_that_user_code_forgets_in_the_middle_of_its_store_is_not_stored(
    cached: Any,
) -> None:
    def getsizeof(value: str) -> int:
        assert load.forget("k") is True
        return 1

    @cached(ttl=60, getsizeof=getsizeof)
    def load(key: str) -> str:
        return "old"

    assert load("k") == "old"
    assert load.peek("k") is None
    assert len(load.cache) == 0


def test_a_flight_is_over_only_when_its_key_is_free() -> None:
    """Whoever follows looks without the lock, and may call again at once."""

    class Flights(by_key.Flights):
        def __delitem__(self, hash: int) -> None:
            assert not mine.over
            super().__delitem__(hash)

    table = FlightTable("f")
    table.flights = Flights(table.lock)
    mine = ticket("k")
    table.claim(mine, threads.board, may_hit=False)
    table.land(mine, Failed(Error(ValueError(), None)))
    assert mine.over
    assert not table.flights
