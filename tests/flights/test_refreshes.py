"""Refreshes and what else there is: changes of the entry, instances, shared caches, forks."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from cachetools import LRUCache

from both_worlds import Origin, Tasks, Threads, World, counted, landed
from conftest import Boom, Caller, Clock, Gate, in_child, needs_fork, until, waiters
from soloflight import cached_singleflight
from soloflight._flights.flight import call_of

OPTIONS: Any = {"ttl": 10, "stale_while_revalidate": 60}


def refreshing(world: World, clock: Clock, origin: Origin, load: Any) -> tuple[Any, Any]:
    """A refresh that is held, and a caller that waits for it."""
    load.put("old")
    clock.advance(10)
    gate = origin.hold()
    assert world.call(load) == "old"
    gate.arrived()
    origin.free()
    aboard = world.start(load.refresh)
    until(lambda: load.stats().joined == 1)
    return aboard, gate


CHANGES = pytest.mark.parametrize(
    ("change", "then", "at_last"),
    [
        (lambda load: load.invalidate(), 2, 2),
        (lambda load: load.clear(), 2, 2),
        (lambda load: load.put("put"), "put", "put"),
        (lambda load: load.forget(), "old", 2),
    ],
    ids=["invalidate", "clear", "put", "forget"],
)


@CHANGES
def test_a_refresh_is_fenced_and_those_aboard_get_its_value(
    world: World, clock: Clock, change: Callable[..., Any], then: Any, at_last: Any
) -> None:
    origin = world.origin()
    load = world.cached(origin, timer=clock, **OPTIONS)
    aboard, gate = refreshing(world, clock, origin, load)
    change(load)
    assert world.call(load) == then  # it is not joined
    landed(load)

    gate.open()
    assert aboard.result() == 1
    assert world.call(load) == at_last, "the refresh was stored"
    assert load.stats().fenced == 1


@CHANGES
def test_a_fenced_refresh_that_fails_holds_nothing_off(
    world: World, clock: Clock, change: Callable[..., Any], then: Any, at_last: Any
) -> None:
    origin = world.origin()
    load = world.cached(origin, timer=clock, **OPTIONS)
    aboard, gate = refreshing(world, clock, origin, load)
    change(load)
    origin.fail()
    gate.open()
    with pytest.raises(Boom):
        aboard.result()
    origin.recover()
    entry = load.peek()
    assert entry is None or (entry.failures, entry.last_error) == (0, None)
    assert world.call(load) == then
    landed(load)
    assert world.call(load) == at_last


def test_a_fenced_flight_is_counted_once_however_often_it_is_fenced(
    world: World, clock: Clock
) -> None:
    origin = world.origin()
    load = world.cached(origin, timer=clock, **OPTIONS)
    aboard, gate = refreshing(world, clock, origin, load)
    assert load.invalidate()
    assert not load.invalidate()
    load.clear()
    load.put("put")
    gate.open()
    assert aboard.result() == 1
    assert counted(load) == {
        "hits": 1,
        "misses": 1,
        "joined": 1,
        "refreshes": 1,
        "stale_hits": 1,
        "fenced": 1,
    }


def test_what_is_put_is_fresh_from_then_on(world: World, clock: Clock) -> None:
    origin, load = world.aged(15, put="old", timer=clock, **OPTIONS)
    load.put("new")
    clock.advance(9)
    assert world.call(load) == "new"
    assert (load.in_flight(), origin.loads) == ((), 0)
    clock.advance(1)
    assert world.call(load) == "new"
    landed(load)
    assert world.call(load) == 1


# Methods, and caches that are given


def test_each_instance_has_refreshes_of_its_own(world: World, clock: Clock) -> None:
    origin = world.origin()
    Repository = world.repository(origin, ttl=10, stale_while_revalidate=5, timer=clock)
    one, other = Repository(), Repository()
    assert [world.call(one.get), world.call(other.get)] == [1, 2]
    clock.advance(10)
    assert world.call(one.get) == 1
    landed(Repository.get)
    assert [world.call(one.get), world.call(other.get)] == [3, 2]
    landed(Repository.get)
    assert [world.call(one.get), world.call(other.get)] == [3, 4]


def test_instances_may_share_their_refreshes(world: World, clock: Clock) -> None:
    origin = world.origin()
    Repository = world.repository(
        origin, ttl=10, stale_while_revalidate=5, timer=clock, per_instance=type
    )
    one, other = Repository(), Repository()
    world.call(one.get)
    clock.advance(10)
    gate = origin.hold()
    assert [world.call(one.get), world.call(other.get)] == [1, 1]
    gate.open()
    landed(Repository.get)
    assert [world.call(one.get), world.call(other.get)] == [2, 2]


def test_a_refresh_keeps_its_instance_no_longer_than_it_runs(world: World, clock: Clock) -> None:
    origin = world.origin()
    Repository = world.repository(origin, ttl=10, stale_while_revalidate=5, timer=clock)
    instance = Repository()
    seen = weakref.ref(instance)
    world.call(instance.get)
    clock.advance(10)
    gate = origin.hold()
    world.call(instance.get)
    gate.arrived()
    del instance
    gate.open()
    until(lambda: gc.collect() >= 0 and seen() is None)


def test_functions_that_share_a_cache_refresh_their_own(world: World, clock: Clock) -> None:
    one, other = world.origin(), world.origin()
    cache: Any = LRUCache(10)
    options = {"ttl": 10, "stale_while_revalidate": 5, "timer": clock, "cache": cache}
    load_one, load_other = world.cached(one, **options), world.cached(other, **options)
    other.answer = lambda number: -number
    assert [world.call(load_one), world.call(load_other)] == [1, -1]
    clock.advance(10)
    assert world.call(load_one) == 1
    landed(load_one)
    assert world.call(load_one) == 2
    assert other.loads == 1
    assert world.call(load_other) == -1
    landed(load_other)
    assert [world.call(load_one), world.call(load_other)] == [2, -2]


# Fork


@needs_fork
def test_a_child_starts_a_refresh_of_its_own(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, timer=clock, **OPTIONS)
    parent = os.getpid()
    origin.answer = lambda number: (os.getpid(), number)
    keys = [str(number) for number in range(10)]
    for key in ["k", *keys]:
        load.put("old", key)
    clock.advance(10)
    gate = origin.hold()
    assert world.call(load) == "old"
    gate.arrived()
    origin.free()
    for key in keys:  # so that the pool has idle threads, which are not in the child
        assert world.call(load, key) == "old"
    until(lambda: len(load.in_flight()) == 1)

    def check() -> bool:
        own = Threads() if isinstance(world, Threads) else Tasks()
        assert load.in_flight() == ()
        assert own.call(load) == "old"
        landed(load)
        assert own.call(load) == (os.getpid(), 12)
        return True

    in_child(check)
    gate.open()
    landed(load)
    assert world.call(load) == (parent, 1)


def test_a_refresh_loads_though_the_flight_it_joined_only_found_an_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that missed, and then finds what was stored meanwhile, has loaded nothing."""
    loads: list[int] = []

    @cached_singleflight(ttl=60)
    def load() -> int:
        loads.append(1)
        return len(loads)

    assert load() == 1
    shelf, late = load._core.shelf, Gate()
    look = shelf.look
    monkeypatch.setattr(shelf, "look", lambda key: late() or look(key))
    call = Caller(
        load._core.miss, call_of(load.cache_key(), (), {})
    )  # it missed before that was stored
    late.arrived()
    refresher = Caller(load.refresh)
    until(lambda: waiters(load) == 1)
    late.open()
    assert call.result().value == 1
    assert refresher.result() == 2


def test_an_interruption_of_a_load_lands_nothing_of_the_flight_that_its_caller_followed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That had only found an entry. Whoever follows this load is to lead anew."""
    loads: list[int] = []

    @cached_singleflight(ttl=60)
    def load() -> int:
        loads.append(1)
        if len(loads) == 2:
            raise KeyboardInterrupt
        return len(loads)

    assert load() == 1
    shelf, late = load._core.shelf, Gate()
    look = shelf.look
    monkeypatch.setattr(shelf, "look", lambda key: late() or look(key))
    missed = call_of(load.cache_key(), (), {})  # before that was stored
    call = Caller(load._core.miss, missed)
    late.arrived()
    refresher = Caller(load.refresh)
    until(lambda: waiters(load) == 1)
    late.open()
    assert call.result().value == 1
    with pytest.raises(KeyboardInterrupt):
        refresher.result()
    assert load.stats().abandoned == 1
