"""`soloflight.testing.hold`: loads stay in the air until a test says so."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from both_worlds import World
from conftest import Boom, Caller, in_loop, until, until_async
from soloflight import cached_singleflight, singleflight, testing


def wait_for(world: World, held: Any, count: int, timeout: float = 10) -> None:
    """Of an ``async def`` it is awaited."""
    world.call(held.wait_for_waiters, count, timeout)


def test_callers_are_aboard_until_it_is_released(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=30)
    with testing.hold(load) as held:
        callers = [world.start(load) for _ in range(5)]
        wait_for(world, held, 5)
        until(lambda: held.loads == 1)
        assert load.peek() is None
        held.release()
        assert [caller.result() for caller in callers] == [1] * 5
        assert world.call(load.refresh) == 2  # later ones are not held
    assert held.loads == 0
    assert load.stats().joined == 4


def test_it_fails_as_if_its_loader_had(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=30)
    with testing.hold(load) as held:
        callers = [world.start(load) for _ in range(3)]
        wait_for(world, held, 3)
        held.fail(Boom("down"))
        for caller in callers:
            with pytest.raises(Boom, match="down"):
                caller.result()
    assert load.stats().errors == 1
    assert world.call(load) == 2


def test_a_stale_value_hides_what_fails(world: World, clock: Any) -> None:
    _, load = world.aged(31, ttl=30, stale_if_error=60, timer=clock)
    with testing.hold(load) as held:
        caller = world.start(load)
        wait_for(world, held, 1)
        held.fail(Boom("down"))
        assert caller.result() == 1


def test_what_the_loader_raised_is_held_as_well(world: World) -> None:
    origin = world.origin()
    origin.fail()
    load = world.cached(origin, ttl=30)
    with testing.hold(load) as held:
        caller = world.start(load)
        until(lambda: held.loads)
        held.release()
        with pytest.raises(Boom):
            caller.result()


def test_leaving_the_block_releases(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=30)
    with pytest.raises(Boom), testing.hold(load) as held:
        caller = world.start(load)
        wait_for(world, held, 1)
        raise Boom
    assert caller.result() == 1
    assert origin.loads == 1


def test_who_is_not_there_in_time_is_told_of(world: World) -> None:
    load = world.cached(world.origin(), ttl=30)
    with testing.hold(load) as held:
        caller = world.start(load)
        wait_for(world, held, 1)
        with pytest.raises(TimeoutError, match=r"load: 1 callers are aboard after 0.01 s, not 2"):
            wait_for(world, held, 2, 0.01)
        held.release()
        caller.result()


def test_who_holds_his_own_call_is_told(world: World) -> None:
    load = world.cached(world.origin(), ttl=30)
    with (
        testing.hold(load, patience=0.05),
        pytest.raises(TimeoutError, match="nobody has released it"),
    ):
        world.call(load)
    assert world.call(load) == 2


def test_methods_are_held_for_all_instances(world: World) -> None:
    repository = world.repository(world.origin(), ttl=30)
    one, other = repository(), repository()
    with testing.hold(one.get) as held:
        callers = [world.start(one.get), world.start(other.get)]
        wait_for(world, held, 2)
        until(lambda: held.loads == 2)
        held.release()
        assert sorted(caller.result() for caller in callers) == [1, 2]


@in_loop
async def test_a_held_task_can_be_cancelled() -> None:
    @singleflight
    async def load() -> None:
        pass

    with testing.hold(load) as held:
        task = asyncio.create_task(load())
        await until_async(lambda: held.loads == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_async(lambda: held.loads == 0)


def test_what_cannot_be_held() -> None:
    with pytest.raises(TypeError, match="not a function that soloflight has decorated"):
        testing.hold(print).__enter__()

    @singleflight
    def load() -> None: ...

    with testing.hold(load) as held, pytest.raises(TypeError, match="fail takes an exception"):
        held.fail("down")  # type: ignore[arg-type]


# ---- a herd


def test_a_stampede_says_what_came_of_it(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=30)
    herd = herd_of(world, load, "k", callers=30)
    assert (herd.loads, herd.answers, herd.errors) == (1, [1] * 30, [])
    assert len(herd.latencies) == 30
    assert herd.latencies == sorted(herd.latencies)
    origin.fail()
    load.clear()
    herd = herd_of(world, load, key="k", callers=3)
    assert herd.answers == []
    assert {type(error) for error in herd.errors} == {Boom}
    assert load.stats().errors == herd.loads


def herd_of(world: World, load: Any, *args: Any, **kwargs: Any) -> Any:
    async def in_task() -> Any:
        return await testing.stampede(load, *args, **kwargs)

    if world.name == "tasks":
        return world.call(in_task)
    return testing.stampede(load, *args, **kwargs)


def test_all_callers_are_there_at_once() -> None:
    together = threading.Barrier(8)

    @cached_singleflight(ttl=30, key=lambda: object())  # each a key of its own
    def load() -> None:
        together.wait(10)

    assert testing.stampede(load, callers=8).loads == 8


def test_a_stampede_of_what() -> None:
    with pytest.raises(TypeError, match="not a function that soloflight has decorated"):
        testing.stampede(print)

    @singleflight
    def load() -> None: ...

    with pytest.raises(ValueError, match="callers must be at least 1, but is 0"):
        testing.stampede(load, callers=0)


# ---- what is left


def test_what_is_still_in_the_air_is_named(world: World) -> None:
    testing.assert_no_flights()
    load = world.cached(world.origin(), ttl=30)
    with testing.hold(load) as held:
        caller = world.start(load, "blue")
        until(lambda: held.loads)
        with pytest.raises(
            AssertionError, match=r"still in progress: .*load of 'blue', for .* s, "
        ):
            testing.assert_no_flights(0.01)
        held.release()
        testing.assert_no_flights()
        caller.result()


@in_loop
async def test_on_an_event_loop_it_does_not_wait() -> None:
    @singleflight
    async def load() -> None:
        pass

    with testing.hold(load) as held:
        task = asyncio.create_task(load())
        await held.wait_for_waiters(1)
        with pytest.raises(AssertionError, match="1 waiting"):
            testing.assert_no_flights(60)
        held.release()
        await task
        testing.assert_no_flights()


def test_local_copies_go_and_loads_are_fenced(world: World) -> None:
    origin = world.origin()
    load, bare = world.cached(origin, ttl=30), singleflight(world.loader(origin))
    assert world.call(load) == 1
    gate = origin.hold()
    callers = [world.start(bare), world.start(load, "other")]
    until(lambda: origin.loads == 3)
    testing.clear_local_copies()
    assert load.peek() is None
    assert not bare.in_flight()
    assert not load.in_flight()
    gate.open()
    assert sorted(caller.result() for caller in callers) == [2, 3]
    assert load.peek("other") is None


def test_a_thread_that_leads_counts(gate: Any) -> None:
    @singleflight
    def load() -> None:
        gate()

    with testing.hold(load) as held:
        leader = Caller(load)
        gate.arrived()
        held.wait_for_waiters(1)
        assert held.loads == 0  # its loader is not through
        gate.open()
        held.release()
        leader.result()
