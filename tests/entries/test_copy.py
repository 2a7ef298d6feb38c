"""copy: whoever gets a value may change it, and nobody else sees that."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from both_worlds import Origin, World, landed
from conftest import HIGHEST, Clock

Basket = dict[str, list[int]]


def baskets(world: World) -> Origin:
    origin = world.origin()
    origin.answer = lambda number: {"loads": [number]}
    return origin


def spoil(basket: Basket) -> list[int]:
    """What was in it, before it was changed."""
    before = list(basket["loads"])
    basket["loads"].append(0)
    return before


OPTIONS: Any = {"ttl": 10, "copy": deepcopy}


def test_of_a_load_leader_and_followers_get_copies(world: World, clock: Clock) -> None:
    origin = baskets(world)
    load = world.cached(origin, timer=clock, **OPTIONS)
    gate = origin.hold()
    callers = world.aboard(5, load)
    gate.open()
    assert [spoil(caller.result()) for caller in callers] == [[1]] * 5
    assert world.call(load) == {"loads": [1]}


def test_of_a_value_that_is_not_stored_everyone_gets_a_copy(world: World, clock: Clock) -> None:
    origin = baskets(world)
    load = world.cached(origin, timer=clock, cache_if=lambda value: False, **OPTIONS)
    gate = origin.hold()
    callers = world.aboard(5, load)
    gate.open()
    assert [spoil(caller.result()) for caller in callers] == [[1]] * 5


@pytest.mark.parametrize(
    "get",
    [
        lambda world, load: world.call(load),
        lambda world, load: load.peek().value,
    ],
    ids=["hit", "peek"],
)
@pytest.mark.parametrize("stale", [0, 60], ids=["", "aging"])
def test_of_an_entry(world: World, clock: Clock, get: Callable[..., Any], stale: float) -> None:
    load = world.cached(baskets(world), timer=clock, stale_while_revalidate=stale, **OPTIONS)
    assert spoil(world.call(load)) == [1]
    for _ in range(3):
        assert spoil(get(world, load)) == [1]


def test_of_refresh(world: World, clock: Clock) -> None:
    load = world.cached(baskets(world), timer=clock, **OPTIONS)
    assert spoil(world.call(load.refresh)) == [1]
    assert spoil(world.call(load)) == [1]


def test_what_is_put_may_be_changed_afterwards(world: World, clock: Clock) -> None:
    load = world.cached(baskets(world), timer=clock, **OPTIONS)
    basket: Basket = {"loads": [7]}
    load.put(basket)
    spoil(basket)
    for _ in range(2):
        assert spoil(world.call(load)) == [7]


def test_of_a_stale_value_before_and_after_the_refresh(world: World, clock: Clock) -> None:
    load = world.cached(baskets(world), timer=clock, stale_while_revalidate=60, **OPTIONS)
    world.call(load)
    clock.advance(10)
    assert spoil(world.call(load)) == [1]
    landed(load)
    for _ in range(2):
        assert spoil(world.call(load)) == [2]


def test_of_a_stale_value_while_a_refresh_runs_and_after_it_failed(
    world: World, clock: Clock
) -> None:
    origin = baskets(world)
    load = world.cached(origin, timer=clock, stale_while_revalidate=60, **OPTIONS)
    world.call(load)
    clock.advance(10)
    gate = origin.hold()
    for _ in range(3):
        assert spoil(world.call(load)) == [1]
    origin.fail()
    gate.open()
    landed(load)
    for _ in range(3):  # held off
        assert spoil(world.call(load)) == [1]


def test_of_a_fresh_value_that_is_refreshed_early(
    world: World, clock: Clock, die: Callable[[float], None]
) -> None:
    origin = baskets(world)
    load = world.cached(origin, timer=clock, early_refresh=1.0, **OPTIONS)
    origin.answer = lambda number: clock.advance(1) or {"loads": [number]}
    world.call(load)
    clock.advance(9)
    die(HIGHEST)
    gate = origin.hold()
    for _ in range(3):
        assert spoil(world.call(load)) == [1]
    gate.arrived()


def test_of_a_stale_value_in_place_of_an_error(world: World, clock: Clock) -> None:
    origin = baskets(world)
    load = world.cached(origin, timer=clock, stale_if_error=60, **OPTIONS)
    world.call(load)
    clock.advance(10)
    gate = origin.hold()
    origin.fail()
    callers = world.aboard(3, load)
    gate.open()
    assert [spoil(caller.result()) for caller in callers] == [[1]] * 3
    assert spoil(world.call(load)) == [1]


def test_of_a_stale_value_when_patience_ends(world: World, clock: Clock) -> None:
    origin = baskets(world)
    load = world.cached(origin, timer=clock, stale_if_error=60, wait_timeout=0.01, **OPTIONS)
    world.call(load)
    clock.advance(10)
    gate = origin.hold()
    leader = world.start(load)
    gate.arrived()
    for _ in range(2):
        assert spoil(world.call(load)) == [1]
    gate.open()
    leader.result()


def test_without_it_everyone_gets_the_same_object(world: World, clock: Clock) -> None:
    load = world.cached(baskets(world), ttl=10, timer=clock, stale_while_revalidate=5)
    basket = world.call(load)
    assert world.call(load) is basket
    assert load.peek().value is basket
