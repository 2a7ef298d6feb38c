"""What is served instead of an error: stale_if_error."""

from __future__ import annotations

import asyncio
import concurrent.futures

import pytest

from both_worlds import World, counted, landed
from conftest import Boom, Clock


def test_the_leader_and_all_who_follow_get_the_old_value(world: World, clock: Clock) -> None:
    origin, load = world.aged(29, ttl=10, stale_if_error=20, timer=clock)
    gate = origin.hold()
    origin.fail()
    callers = world.aboard(5, load)
    gate.open()
    assert [caller.result() for caller in callers] == [1] * 5
    assert world.call(load) == 1
    assert counted(load) == {
        "hits": 1,
        "misses": 2,
        "joined": 4,
        "errors": 1,
        "stale_on_error": 6,
    }


def test_who_waits_for_a_refresh_that_fails_gets_the_old_value_as_well(
    world: World, clock: Clock
) -> None:
    origin, load = world.aged(10, ttl=10, stale_while_revalidate=5, stale_if_error=20, timer=clock)
    gate = origin.hold()
    assert world.call(load) == 1
    gate.arrived()
    clock.advance(5)
    late = world.aboard(3, load)
    origin.fail()
    gate.open()
    assert [caller.result() for caller in late] == [1] * 3
    stats = load.stats()
    assert (stats.stale_hits, stats.stale_on_error, stats.errors) == (1, 3, 1)


def test_only_a_reload_that_fails_is_answered_by_the_old_value(world: World, clock: Clock) -> None:
    _, load = world.aged(10, ttl=10, stale_if_error=20, timer=clock)
    assert world.call(load) == 2
    assert counted(load) == {"misses": 2}


def test_a_reload_that_was_interrupted_holds_nobody_off(world: World, clock: Clock) -> None:
    """That is its caller's alone, and says nothing of the origin."""
    origin, load = world.aged(10, ttl=10, stale_if_error=20, timer=clock)

    def answer(number: int) -> int:
        if number == 2:
            raise asyncio.CancelledError
        return number

    origin.answer = answer
    with pytest.raises((asyncio.CancelledError, concurrent.futures.CancelledError)):
        world.call(load)
    assert world.call(load) == 3


@pytest.mark.parametrize("at", [30, 29], ids=["from-the-start", "by-the-end-of-the-load"])
def test_beyond_its_last_deadline_there_is_the_error(world: World, clock: Clock, at: float) -> None:
    origin, load = world.aged(at, ttl=10, stale_if_error=20, timer=clock)
    gate = origin.hold()
    origin.fail()
    callers = world.aboard(3, load)
    clock.advance(30 - at)
    gate.open()
    for caller in callers:
        with pytest.raises(Boom):
            caller.result()
    stats = load.stats()
    assert (stats.errors, stats.stale_on_error) == (1, 0)


@pytest.mark.parametrize("fence", ["invalidate", "clear"])
def test_what_was_invalidated_under_a_reload_that_fails_is_not_served(
    world: World, clock: Clock, fence: str
) -> None:
    origin, load = world.aged(10, ttl=10, stale_if_error=20, timer=clock)
    gate = origin.hold()
    origin.fail()
    callers = world.aboard(3, load)
    getattr(load, fence)()
    gate.open()
    for caller in callers:
        with pytest.raises(Boom):
            caller.result()
    assert load.peek() is None


def test_what_was_merely_forgotten_under_a_reload_that_fails_is_served(
    world: World, clock: Clock
) -> None:
    origin, load = world.aged(10, ttl=10, stale_if_error=20, timer=clock)
    gate = origin.hold()
    leader = world.start(load)
    gate.arrived()
    load.forget()
    origin.fail()
    gate.open()
    assert leader.result() == 1
    origin.recover()
    assert world.call(load) == 3  # it held nothing off


def test_a_value_that_was_put_is_not_blamed_for_a_load_that_began_before(
    world: World, clock: Clock
) -> None:
    origin, load = world.aged(10, ttl=10, stale_if_error=20, timer=clock)
    gate = origin.hold()
    origin.fail()
    leader = world.start(load)
    gate.arrived()
    load.put("put")
    gate.open()
    assert leader.result() == "put"
    entry = load.peek()
    assert (entry.value, entry.failures, entry.last_error) == ("put", 0, None)


def test_behind_comes_first_and_instead_second(world: World, clock: Clock) -> None:
    """Both options: first nobody waits for an attempt, then one caller does."""
    origin = world.origin()
    load = world.cached(
        origin, ttl=10, stale_while_revalidate=5, stale_if_error=20, timer=clock, retry_after=(1, 1)
    )
    world.call(load)
    origin.fail()
    clock.advance(10)
    gate = origin.hold()
    assert world.call(load) == 1
    gate.open()
    landed(load)

    clock.advance(5)
    gate = origin.hold()
    callers = world.aboard(3, load)
    gate.open()
    assert [caller.result() for caller in callers] == [1] * 3
    assert world.call(load) == 1  # the next attempt is held off
    assert counted(load) == {
        "hits": 2,
        "misses": 3,
        "joined": 2,
        "errors": 2,
        "refreshes": 1,
        "stale_hits": 1,
        "stale_on_error": 4,
    }
