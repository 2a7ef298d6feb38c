"""What callers see of an early refresh."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from cachetools import TLRUCache, TTLCache

from both_worlds import World, counted, landed
from conftest import Clock
from soloflight._entries import policy


def shows(draw: float) -> float:
    """What the dice show where a caller draws so much, in units of beta times the cost."""
    return 1 - math.exp(-draw)


def slow(clock: Clock, seconds: float) -> Any:
    def answer(number: int) -> int:
        clock.advance(seconds)
        return number

    return answer


def test_who_draws_an_early_refresh_gets_the_fresh_value(
    world: World, clock: Clock, die: Callable[[float], None]
) -> None:
    origin = world.origin()
    origin.answer = slow(clock, 2)
    load = world.cached(origin, ttl=10, early_refresh=1.0, timer=clock)
    world.call(load)
    assert load.peek().cost == 2
    gate = origin.hold()

    clock.advance(6.5)
    die(shows(1.5))  # three seconds
    assert world.call(load) == 1
    assert not load.in_flight()
    clock.advance(0.75)
    callers = [world.start(load) for _ in range(20)]
    assert [caller.result() for caller in callers] == [1] * 20
    gate.arrived()
    gate.open()
    landed(load)
    assert world.call(load) == 2
    assert origin.loads == 2
    assert counted(load) == {
        "hits": 22,
        "misses": 2,
        "refreshes": 1,
        "early_refreshes": 1,
        "load_seconds": 4.0,
    }


@pytest.mark.parametrize(("beta", "cost", "early"), [(1, 1, 1), (3, 1, 3), (1, 3, 3), (0.5, 4, 2)])
def test_how_early_follows_from_beta_and_the_cost(
    world: World,
    clock: Clock,
    die: Callable[[float], None],
    beta: float,
    cost: float,
    early: float,
) -> None:
    origin = world.origin()
    origin.answer = slow(clock, cost)
    load = world.cached(origin, ttl=300, early_refresh=beta, timer=clock)
    world.call(load)
    die(shows(1))
    clock.advance(300 - early - 0.125)
    world.call(load)
    assert origin.loads == 1
    clock.advance(0.25)
    world.call(load)
    landed(load)
    assert origin.loads == 2


@pytest.mark.parametrize("ttl", [10, 20, None], ids=str)
@pytest.mark.parametrize(
    "cache",
    [lambda clock: TTLCache(9, 10, clock), lambda clock: TLRUCache(9, used_for_ten, clock)],
    ids=["ttl", "ttu"],
)
def test_early_is_before_the_end_that_a_given_cache_has_set(
    cache: Any, ttl: int | None, world: World, clock: Clock, die: Callable[[float], None]
) -> None:
    origin = world.origin()
    origin.answer = slow(clock, 0.125)
    load = world.cached(origin, cache=cache(clock), ttl=lambda _: ttl, early_refresh=1.0)
    world.call(load)

    clock.advance(9.75)
    die(shows(1.5))
    world.call(load)
    assert load.stats().early_refreshes == 0
    die(shows(2))
    world.call(load)
    assert load.stats().early_refreshes == 1
    landed(load)


def used_for_ten(key: object, entry: object, now: float) -> float:
    return now + 10


def test_far_from_the_end_no_dice_are_thrown(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = world.origin()
    origin.answer = slow(clock, 1)
    load = world.cached(origin, ttl=60, early_refresh=1.0, timer=clock)
    world.call(load)
    monkeypatch.delattr(policy, "random")
    assert world.call(load) == 1


def test_a_value_that_was_replaced_while_the_dice_fell_is_not_refreshed(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = world.origin()
    origin.answer = slow(clock, 1)
    load = world.cached(origin, ttl=10, early_refresh=1.0, timer=clock)
    world.call(load)
    clock.advance(9.5)

    def meanwhile() -> float:
        load.put("new")
        return shows(1)

    monkeypatch.setattr(policy, "random", meanwhile)
    assert world.call(load) == 1
    assert not load.in_flight()
    assert origin.loads == 1
    assert world.call(load) == "new"
    assert counted(load) == {"hits": 2, "misses": 1, "load_seconds": 1.0}
