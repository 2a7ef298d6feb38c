"""What a tier promises, by threads and tasks of "processes" that share this one's memory.

Every order of a few steps is in `bench/test_talk.py`; here is the whole of it, with its options.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from both_worlds import World, landed, opened
from conftest import Boom, Clock, until
from soloflight import FlightDeadlock, WaitTimeout, cached_singleflight
from soloflight._entries.index import Index, Scoped
from soloflight._tiers import talk
from soloflight._tiers.memory import MemoryTier
from soloflight._tiers.verbs import DOWN, Reply
from soloflight.exceptions import RemoteLoadError


class Unknown(Exception):
    """What no other process can rebuild, as no option names it."""


class Tier(MemoryTier):
    """One whose store may be down."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.is_down = False
        ALL.append(self)
        for verb in ("read", "ask", "store", "fail", "give", "renew", "drop"):
            setattr(self, verb, self._reaching(getattr(self, verb)))

    def _reaching(self, call: Callable[..., Reply]) -> Callable[..., Reply]:
        return lambda *what: DOWN if self.is_down else call(*what)


ALL: list[Tier] = []
"""The tiers of a test."""


@pytest.fixture(autouse=True)
def all_end() -> Iterator[None]:
    yield
    for tier in ALL:
        tier.close()
    ALL.clear()


def somebody_waits() -> bool:
    """Whether somebody waits for another process."""
    return any(tier.bells for tier in ALL)


@pytest.fixture(params=["threads", "tasks"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with opened(request.param) as world:
        yield world


def tiers(number: int = 2, **options: Any) -> list[Tier]:
    first = Tier(**options)
    return [first, *(Tier(memory=first.memory, **options) for _ in range(number - 1))]


def fleet(world: World, origin: Any, number: int = 2, **options: Any) -> list[Any]:
    """One function in so many processes, all of which load from one origin."""
    clock = options.get("timer")
    all_of_them = tiers(number, **({} if clock is None else {"clock": clock}))
    return [
        world.cached(origin, tier=tier, name="load", **{"codec": "json", **options})
        for tier in all_of_them
    ]


# One load


def test_a_herd_of_all_processes_is_one_load(world: World) -> None:
    origin = world.origin()
    loads = fleet(world, origin, 8, ttl=60)
    for round_ in range(60):
        gate = origin.hold()
        leader = world.start(loads[round_ % 8], f"key {round_}")
        gate.arrived()
        callers = [world.start(load, f"key {round_}") for load in loads for _ in range(8)]
        gate.open()
        assert {caller.result() for caller in [leader, *callers]} == {round_ + 1}
    assert origin.loads == 60
    assert sum(load.stats().loads for load in loads) == 60


@pytest.mark.parametrize(
    "options",
    [{}, {"stale_while_revalidate": 5}, {"early_refresh": 1.0}],
    ids=["plain", "stale", "early"],
)
def test_a_hot_key_is_loaded_once_each_time_that_it_expires(
    options: dict[str, Any], world: World, clock: Clock
) -> None:
    origin = world.origin()
    loads = fleet(world, origin, 4, ttl=10, timer=clock, **options)
    for number in range(1, 30):
        values = [world.call(load) for load in loads for _ in range(3)]
        for load in loads:
            landed(load)
        values += [world.call(load) for load in loads]
        for load in loads:
            landed(load)
        assert origin.loads <= number
        assert set(values) <= {number - 1, number}
        clock.advance(10.5)
    assert origin.loads == 29


# Stats


def test_stats_tell_what_came_from_the_tier(world: World, clock: Clock) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=10, stale_while_revalidate=20, timer=clock)
    assert world.call(one) == world.call(other) == 1
    assert (one.stats().loads, one.stats().tier_hits) == (1, 0)
    assert (other.stats().loads, other.stats().tier_hits, other.stats().misses) == (0, 1, 1)


def test_who_gets_what_is_stale_starts_the_refresh_behind_that_very_call(
    world: World, clock: Clock
) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=10, stale_while_revalidate=20, timer=clock)
    assert world.call(one) == 1
    clock.advance(15)
    assert world.call(other) == 1
    landed(other)
    assert origin.loads == 2
    assert world.call(other) == 2
    stats = other.stats()
    assert (stats.tier_stale, stats.stale_hits, stats.refreshes, stats.loads) == (1, 1, 1, 1)


def test_without_a_tier_stats_know_how_often_was_loaded(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=60)
    world.call(load, "a")
    world.call(load, "b")
    stats = load.stats()
    assert stats.loads == 2
    assert not (stats.tier_hits or stats.tier_stale or stats.unleased or stats.unreadable)


def test_what_the_store_cannot_do_is_counted(world: World, clock: Clock) -> None:
    origin = world.origin()
    shared = Tier(clock=clock)
    load = world.cached(origin, ttl=10, timer=clock, codec="json", tier=shared, name="down")
    shared.is_down = True
    assert world.call(load) == 1
    shared.is_down = False
    assert load.stats().unleased == load.stats().loads == 1


# Fences


@pytest.mark.parametrize("fence", ["invalidate", "clear"])
def test_a_fence_is_one_for_all_processes(fence: str, world: World) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=60)
    assert world.call(one) == world.call(other) == 1
    getattr(one, fence)()
    until(lambda: other.peek() is None)
    assert world.call(other) == world.call(one) == 2


def test_what_is_put_is_there_for_all(world: World) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=60)
    assert world.call(one) == world.call(other) == 1
    one.put(7)
    until(lambda: other.peek() is None)
    assert world.call(other) == world.call(one) == 7


def test_what_does_not_travel_is_not_put(world: World) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=60)
    assert world.call(one) == 1
    with pytest.raises(TypeError):
        one.put(object())
    assert world.call(one) == world.call(other) == 1


def test_a_load_that_is_forgotten_is_joined_by_nobody(world: World) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=60)
    gate = origin.hold()
    caller = world.start(one)
    gate.arrived()
    one.forget()
    origin.free()
    assert world.call(other) == 2
    gate.open()
    assert caller.result() in (1, 2)
    assert world.call(one) == 2


def test_a_refresh_never_takes_what_is_stored(world: World) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=60)
    assert world.call(one) == 1
    assert world.call(other.refresh) == 2


def test_a_refresh_drops_the_copies_of_other_processes(world: World) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=60)
    assert (world.call(one), world.call(other)) == (1, 1)
    assert world.call(other.refresh) == 2
    assert (world.call(one), world.call(other)) == (2, 2)
    assert origin.loads == 2


# Errors


@pytest.mark.parametrize(
    ("raised", "got"), [(lambda n: KeyError(n), KeyError), (lambda n: Unknown(n), RemoteLoadError)]
)
def test_who_waits_for_a_load_that_fails_is_told(
    raised: Callable[[int], Exception], got: type[Exception], world: World
) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=60)
    origin.fail(raised)
    gate = origin.hold()
    leader = world.start(one)
    gate.arrived()
    follower = world.start(other)
    until(somebody_waits)
    gate.open()
    with pytest.raises(type(raised(1))):
        leader.result()
    with pytest.raises(got):
        follower.result()
    assert origin.loads == 1


def test_a_cached_error_is_one_for_all(world: World) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=60, error_ttl={Boom: 60})
    origin.fail(lambda number: Boom(number))
    for load in (one, other):
        with pytest.raises(Boom):
            world.call(load)
    assert origin.loads == 1
    assert (other.stats().remote_errors, other.stats().errors) == (1, 0)


# Options


def test_all_options_can_be_given_with_a_tier(world: World, clock: Clock) -> None:
    origin = world.origin()
    one, other = fleet(
        world, origin, ttl=10, jitter=0.1, stale_while_revalidate=5, stale_if_error=5,
        early_refresh=0.1, error_ttl={KeyError: 5}, cache_if=lambda value: True, maxsize=9,
        max_flight_age=60, wait_timeout=5, copy=lambda value: value, timer=clock, typed=True,
        version="2", codec="json",
    )  # fmt: skip
    assert world.call(one) == world.call(other) == 1


@pytest.mark.parametrize("options", [{"ttl": 0}, {"ttl": 60, "cache_if": lambda value: False}])
def test_who_waited_gets_what_is_not_stored(options: dict[str, Any], world: World) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, **options)
    gate = origin.hold()
    leader = world.start(one)
    gate.arrived()
    follower = world.start(other)
    until(somebody_waits)
    gate.open()
    assert leader.result() == follower.result() == 1
    assert one.peek() is other.peek() is None


def test_who_waits_for_another_process_is_patient_for_so_long(world: World) -> None:
    origin = world.origin()
    one, other = fleet(world, origin, ttl=60, wait_timeout=0.2)
    gate = origin.hold()
    leader = world.start(one)
    gate.arrived()
    with pytest.raises(WaitTimeout):
        world.call(other)
    gate.open()
    if world.name == "threads":
        assert leader.result() == 1
    else:
        with pytest.raises(WaitTimeout):
            leader.result()
    until(lambda: not other.in_flight())


def test_a_method_needs_to_say_what_instances_have_in_common(world: World) -> None:
    with pytest.raises(ValueError, match="per_instance"):
        world.repository(world.origin(), ttl=60, codec="json", tier=Tier(), per_instance=True)
    repository = world.repository(
        world.origin(), ttl=60, codec="json", tier=Tier(), per_instance=False
    )
    assert world.call(repository().get) == world.call(repository().get) == 1


def test_a_static_method_has_no_instances() -> None:
    class Repository:
        @cached_singleflight(ttl=60, codec="json", tier=Tier())
        @staticmethod
        def get(key: str) -> str:
            return key

    assert Repository.get("k") == Repository().get("k") == "k"


def test_an_instance_that_only_this_process_knows_is_no_part_of_a_shared_key() -> None:
    load: Any = cached_singleflight(ttl=60, codec="json", tier=Tier())(lambda key: key)
    (shared,) = (function() for function in load._core.fences.tier._functions.values())
    assert shared.digest(Scoped(shared.shelf.index, "k"), 0) == shared.digest("k", 0)
    with pytest.raises(TypeError, match="Index cannot be part of a key"):
        shared.digest(Scoped(Index(), "k"), 0)


# Cycles


def test_loads_that_wait_for_each_other_end_in_a_deadlock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over two processes nobody sees the cycle; the one that waited for too long loads itself."""
    monkeypatch.setattr(talk, "NESTED", 0.1)
    both = threading.Barrier(2)
    met = count()

    def process(tier: Tier) -> tuple[Any, Any]:
        @cached_singleflight(ttl=60, codec="json", tier=tier, name="a")
        def a(key: str) -> str:
            if next(met) < 2:
                both.wait(20)
            return f"a{b(key)}"

        @cached_singleflight(ttl=60, codec="json", tier=tier, name="b")
        def b(key: str) -> str:
            if next(met) < 2:
                both.wait(20)
            return f"b{a(key)}"

        return a, b

    (a, _), (_, b) = (process(tier) for tier in tiers())
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(a, "k"), pool.submit(b, "k")]:
            with pytest.raises((FlightDeadlock, RemoteLoadError)):
                future.result(20)
