"""A stale value is served at once, while one refresh runs behind it: stale_while_revalidate."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from datetime import timedelta

import pytest

from both_worlds import World, counted, landed
from conftest import Clock, until


def test_a_stale_value_is_served_at_once_with_one_refresh_behind_it(
    world: World, clock: Clock
) -> None:
    origin, load = world.aged(10, ttl=10, stale_while_revalidate=5, timer=clock)
    gate = origin.hold()

    callers = [world.start(load) for _ in range(20)]
    assert [caller.result() for caller in callers] == [1] * 20
    gate.arrived()
    clock.advance(4.5)
    assert world.call(load) == 1

    gate.open()
    landed(load)
    assert world.call(load) == 2
    assert origin.loads == 2
    assert counted(load) == {
        "hits": 22,
        "misses": 2,
        "refreshes": 1,
        "stale_hits": 21,
        "load_seconds": 4.5,
    }


def test_callers_at_the_moment_of_a_landing_start_no_second_refresh(
    world: World, clock: Clock
) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, stale_while_revalidate=5, timer=clock)
    world.call(load)
    for refreshes in range(1, 51):
        clock.advance(10)
        callers = [world.start(load) for _ in range(8)]
        assert {caller.result() for caller in callers} <= {refreshes, refreshes + 1}
        landed(load)
        assert origin.loads == 1 + refreshes
    assert load.stats().refreshes == 50


def test_until_a_deadline_and_no_longer(world: World, clock: Clock) -> None:
    origin, load = world.aged(
        9.875, ttl=timedelta(seconds=10), stale_while_revalidate=timedelta(seconds=5), timer=clock
    )
    assert world.call(load) == 1
    assert origin.loads == 1

    clock.advance(5)  # just before it ends to be served
    gate = origin.hold()
    assert world.call(load) == 1
    gate.arrived()
    assert load.peek().value == 1
    clock.advance(0.125)
    assert load.peek() is None
    late = world.start(load)
    until(lambda: load.stats().joined == 1)
    gate.open()
    assert late.result() == 2


@pytest.mark.parametrize("how", ["call", "refresh"])
def test_a_caller_that_cannot_be_served_joins_the_refresh(
    world: World, clock: Clock, how: str
) -> None:
    origin, load = world.aged(10, ttl=10, stale_while_revalidate=5, timer=clock)
    gate = origin.hold()
    assert world.call(load) == 1
    gate.arrived()

    clock.advance(5 if how == "call" else 0)
    callers = [world.start(load if how == "call" else load.refresh) for _ in range(3)]
    until(lambda: load.stats().joined == 3)
    gate.open()
    assert [caller.result() for caller in callers] == [2] * 3
    assert origin.loads == 2


def test_a_load_that_a_caller_asked_for_is_a_refresh_too(world: World, clock: Clock) -> None:
    origin, load = world.aged(10, ttl=10, stale_while_revalidate=5, timer=clock)
    gate = origin.hold()
    asked = world.start(load.refresh)
    gate.arrived()
    assert [world.call(load), world.call(load)] == [1, 1]
    gate.open()
    assert asked.result() == 2
    assert counted(load) == {"hits": 2, "misses": 2, "stale_hits": 2}


def test_a_refresh_runs_in_a_copy_of_the_context_of_the_caller_that_started_it(
    world: World, clock: Clock
) -> None:
    user = ContextVar("user", default="nobody")
    origin = world.origin()
    load = world.cached(origin, ttl=10, stale_while_revalidate=5, timer=clock)
    world.call(load)

    def answer(number: int) -> str:
        before = user.get()
        user.set("the loader")
        return before

    origin.answer = answer
    clock.advance(10)
    gate = origin.hold()
    first, second = copy_context(), copy_context()
    first.run(user.set, "first")
    second.run(user.set, "second")
    assert first.run(world.call, load) == 1
    gate.arrived()
    assert second.run(world.call, load) == 1
    gate.open()
    landed(load)

    assert world.call(load) == "first"
    assert first[user] == "first"


def test_a_stale_value_is_read_without_a_lock(world: World, clock: Clock) -> None:
    origin, load = world.aged(10, ttl=10, stale_while_revalidate=5, timer=clock)
    gate = origin.hold()
    world.call(load)
    gate.arrived()

    with load._core.table.lock:
        assert world.start(load).result() == 1
    gate.open()
    landed(load)


def test_what_was_evicted_is_not_served(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, stale_while_revalidate=5, maxsize=1, timer=clock)
    world.call(load, "a")
    clock.advance(10)
    gate = origin.hold()
    assert world.call(load, "a") == 1
    gate.arrived()
    origin.free()
    assert world.call(load, "b") == 3

    late = world.start(load, "a")
    until(lambda: load.stats().joined == 1)
    gate.open()
    assert late.result() == 2
    assert world.call(load, "a") == 2
    assert origin.loads == 3
