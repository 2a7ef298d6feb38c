"""cache_clear and cache_info, as functools has them; and stats, that begin anew with them."""

from __future__ import annotations

import threading
from functools import lru_cache
from math import inf
from typing import Any

import pytest
from cachetools import LRUCache, TTLCache

from both_worlds import World, counted, landed
from conftest import HIGHEST, Boom, Caller, Clock
from soloflight import cached_singleflight


def test_the_counts_begin_anew(world: World) -> None:
    load = world.cached(world.origin(), ttl=60)
    for _ in range(3):
        world.call(load)
    load.cache_clear()
    assert counted(load) == {}
    assert load.cache_info() == (0, 0, 1024, 0)
    for _ in range(3):
        world.call(load)
    assert load.cache_info() == (2, 1, 1024, 1)
    load.cache_clear()
    assert load.cache_info() == (0, 0, 1024, 0)


def test_everything_that_is_counted_begins_anew(world: World, clock: Clock) -> None:
    origin = world.origin()
    options: Any = {"stale_while_revalidate": 5, "stale_if_error": 60, "error_ttl": {KeyError: 5}}
    load = world.cached(origin, ttl=10, timer=clock, **options)
    origin.answer = lambda number: clock.advance(1)
    world.call(load)
    clock.advance(10)
    world.call(load)  # stale, and a refresh behind it
    landed(load)
    origin.fail()
    clock.advance(30)
    world.call(load)  # on error
    gate = origin.hold()
    caller = world.start(load, "other")
    gate.arrived()
    load.invalidate("other")
    gate.open()
    with pytest.raises(Boom):
        caller.result()
    assert set(counted(load)) >= {"misses", "refreshes", "stale_hits", "errors", "fenced"}
    load.cache_clear()
    assert counted(load) == {}


def test_what_a_load_costs_is_remembered(clock: Clock, die: Any) -> None:
    @cached_singleflight(ttl=10, timer=clock, early_refresh=1.0)
    def load() -> int:
        clock.advance(2)
        return 1

    load()
    load.cache_clear()
    load.put(7)
    entry = load.peek()
    assert entry is not None and load.stats().load_seconds == 0
    clock.advance(9)
    die(HIGHEST)
    assert load() == 7
    landed(load)
    assert load.stats().early_refreshes == 1


def test_clear_leaves_the_counts_alone(world: World) -> None:
    load = world.cached(world.origin(), ttl=60)
    world.call(load)
    load.clear()
    assert load.cache_info() == (0, 1, 1024, 0)


def test_of_a_bound_method_the_counts_go_on(world: World) -> None:
    """They are those of the function, of all its instances."""
    repository = world.repository(world.origin(), ttl=60)
    one = repository()
    world.call(one.get)
    world.call(one.get)
    one.get.cache_clear()
    assert one.get.peek() is None
    assert one.get.cache_info()[:2] == repository.get.cache_info()[:2] == (1, 1)
    repository.get.cache_clear()
    assert one.get.cache_info()[:2] == (0, 0)


def test_a_load_in_progress_counts_where_it_ends(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=60)
    gate = origin.hold()
    caller = world.start(load)
    gate.arrived()
    load.cache_clear()
    origin.fail()
    gate.open()
    with pytest.raises(Boom):
        caller.result()
    assert counted(load).keys() <= {"errors", "load_seconds"}
    assert load.stats().errors == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ttl": 60}, 1024),
        ({"ttl": 60, "maxsize": 10}, 10),
        ({"ttl": 60, "maxsize": 0}, 0),
        ({"ttl": 60, "maxsize": None}, None),
        ({"ttl": None, "maxsize": None}, None),
        ({"ttl": lambda value: 60, "maxsize": None}, None),
        ({"ttl": 60, "maxsize": inf}, None),
        ({"ttl": 60, "cache": {}}, None),
        ({"ttl": 60, "cache": LRUCache(5)}, 5),
        ({"cache": TTLCache(inf, 60)}, None),
    ],
)
def test_no_limit_shows_as_in_functools(options: Any, expected: float | None) -> None:
    load = cached_singleflight(**options)(lambda: 1)
    load()
    assert load.cache_info().maxsize == expected
    assert lru_cache(maxsize=None)(lambda: 1).cache_info().maxsize is None


def test_hits_are_counted_exactly_over_threads() -> None:
    @cached_singleflight(ttl=60)
    def load() -> int:
        return 1

    load()
    start = threading.Barrier(8)

    def many() -> None:
        start.wait()
        for _ in range(1000):
            load()

    for caller in [Caller(many) for _ in range(8)]:
        caller.result()
    stats = load.stats()
    assert (stats.hits, stats.misses) == (8000, 1)
    assert load.stats() == stats
