"""wait_timeout where there is a stale value, and where there is none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from both_worlds import Threads, World, counted, landed
from conftest import Clock, Gate, herd, until, waiters
from soloflight import WaitTimeout, _clock, cached_singleflight
from soloflight._worlds import threads


@pytest.fixture
def patient(world: World) -> Any:
    """The options with which every caller is patient for a moment, those that lead included."""
    if not isinstance(world, Threads):
        yield {"wait_timeout": 0.01}
        return
    with ThreadPoolExecutor(4) as executor:
        yield {"wait_timeout": 0.1, "executor": executor}
        world.end()  # opens what was held


def test_a_follower_whose_patience_ends_gets_the_stale_value(world: World, clock: Clock) -> None:
    origin, load = world.aged(10, ttl=10, stale_if_error=60, wait_timeout=0.01, timer=clock)
    gate = origin.hold()
    leader = world.start(load)
    gate.arrived()
    followers = [world.start(load) for _ in range(3)]
    assert [follower.result() for follower in followers] == [1] * 3

    gate.open()
    # A thread that leads runs the load itself; a task waits like the others.
    leads = isinstance(world, Threads)
    assert leader.result() == (2 if leads else 1)
    landed(load)
    assert world.call(load) == 2
    late = 3 if leads else 4
    assert counted(load) == {
        "hits": 1,
        "misses": 2,
        "joined": 3,
        "timeouts": late,
        "stale_on_error": late,
    }


def test_a_leader_whose_patience_ends_gets_it_too_and_the_load_goes_on(
    world: World, clock: Clock, patient: Any
) -> None:
    origin, load = world.aged(10, put="old", ttl=10, stale_if_error=60, timer=clock, **patient)
    gate = origin.hold()
    callers = [world.start(load) for _ in range(3)]
    assert [caller.result() for caller in callers] == ["old"] * 3
    assert world.call(load) == "old"
    assert len(load.in_flight()) == 1
    gate.open()
    landed(load)
    assert world.call(load) == 1
    assert origin.loads == 1
    assert counted(load) == {
        "hits": 1,
        "misses": 1,
        "joined": 3,
        "timeouts": 4,
        "stale_on_error": 4,
    }


def test_a_load_that_everyone_has_left_may_fail_as_a_refresh_does(
    world: World, clock: Clock, patient: Any, caplog: pytest.LogCaptureFixture
) -> None:
    origin, load = world.aged(10, put="old", ttl=10, stale_if_error=60, timer=clock, **patient)
    gate = origin.hold()
    origin.fail()
    assert world.call(load) == "old"
    gate.open()
    landed(load)
    assert load.peek().failures == 1
    assert world.call(load) == "old"  # held off
    assert origin.loads == 1
    until(lambda: caplog.records)  # it is told after the landing
    assert len([record for record in caplog.records if record.name == "soloflight"]) == 1


def test_where_there_is_none_it_is_an_error(world: World, clock: Clock, patient: Any) -> None:
    origin, load = world.aged(70, put="old", ttl=10, stale_if_error=60, timer=clock, **patient)
    origin.hold()
    callers = [world.start(load) for _ in range(3)]
    for caller in callers:
        with pytest.raises(WaitTimeout, match="wait_timeout"):
            caller.result()
    assert load.stats().timeouts == 3


def test_a_value_that_expires_meanwhile_is_not_served(
    world: World, clock: Clock, patient: Any
) -> None:
    patient["wait_timeout"] = 0.5
    origin, load = world.aged(69, put="old", ttl=10, stale_if_error=60, timer=clock, **patient)
    gate = origin.hold()
    caller = world.start(load)
    gate.arrived()
    clock.advance(1)
    with pytest.raises(WaitTimeout):
        caller.result()


def test_refresh_wants_the_new_value_or_none(world: World, clock: Clock, patient: Any) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, stale_if_error=60, timer=clock, **patient)
    load.put("old")
    origin.hold()
    with pytest.raises(WaitTimeout):
        world.call(load.refresh)


def test_what_was_invalidated_meanwhile_is_not_served(
    world: World, clock: Clock, patient: Any
) -> None:
    patient["wait_timeout"] = 0.5
    origin, load = world.aged(10, put="old", ttl=10, stale_if_error=60, timer=clock, **patient)
    gate = origin.hold()
    caller = world.start(load)
    gate.arrived()
    load.invalidate()
    with pytest.raises(WaitTimeout):
        caller.result()


def test_a_caller_that_waits_for_a_refresh_has_patience_too(
    world: World, clock: Clock, patient: Any
) -> None:
    origin, load = world.aged(
        10, put="old", ttl=10, stale_while_revalidate=10, stale_if_error=60, timer=clock, **patient
    )
    gate = origin.hold()
    assert world.call(load) == "old"  # at once
    gate.arrived()
    clock.advance(10)
    assert world.call(load) == "old"  # after a while
    until(lambda: load.stats().timeouts == 1)
    gate.open()
    landed(load)
    assert world.call(load) == 1
    assert counted(load) == {
        "hits": 2,
        "misses": 1,
        "joined": 1,
        "refreshes": 1,
        "stale_hits": 1,
        "stale_on_error": 1,
        "timeouts": 1,
        "load_seconds": 10.0,
    }


def test_a_wait_timeout_may_be_as_long_as_one_likes(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=60, wait_timeout=float("inf"))
    gate = origin.hold()
    callers = world.aboard(2, load)
    gate.open()
    assert [caller.result() for caller in callers] == [1, 1]


def test_wait_timeout_is_one_deadline_for_all_the_flights_of_a_call(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One deadline for the whole call, however many flights it waits for."""
    clock, second = Clock(), Gate()
    monkeypatch.setattr(_clock, "now", clock)
    monkeypatch.setattr(threads, "POLL", 0.001)
    loads: list[int] = []

    @cached_singleflight(ttl=60, wait_timeout=10)
    def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            gate()
            raise KeyboardInterrupt
        second()
        return 2

    leader, followers = herd(2, load, gate)
    clock.advance(9)
    gate.open()
    with pytest.raises(KeyboardInterrupt):
        leader.result()
    second.arrived()
    until(lambda: waiters(load) == 1)
    clock.advance(2)
    try:
        until(lambda: not all(follower.is_alive() for follower in followers))
    finally:
        second.open()
    errors = [follower.error for follower in followers if not follower.is_alive()]
    assert any(isinstance(error, WaitTimeout) for error in errors)
