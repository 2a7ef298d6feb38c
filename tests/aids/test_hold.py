"""`soloflight.testing.hold`: loads stay in the air until a test says so."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from unittest.mock import Mock, patch
from weakref import ref

import pytest

from both_worlds import World
from conftest import Boom, Caller, Clock, in_loop, until, until_async
from soloflight import bypass, cached_singleflight, singleflight, testing


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
        with pytest.raises(TimeoutError, match=r"load: after 0.01 s 1 callers are aboard, not 2"):
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


def test_it_leaves_the_function_as_it_was(world: World) -> None:
    load = world.cached(world.origin(), ttl=30)
    before = load._core.world.around
    with testing.hold(load), testing.hold(load):
        pass
    assert load._core.world.around is before
    with pytest.raises(RuntimeError, match="for one block"), testing.hold(load) as held:
        held.__enter__()


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
        with pytest.raises(AssertionError, match=r"still in progress: .*load\['blue'\]"):
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
        with pytest.raises(AssertionError, match=r"load\[\(\)\], for which 1 wait"):
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
        assert held.loads == 1
        gate.open()
        held.release()
        leader.result()


# ---- what was found


def test_an_outage_that_ends(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=30)
    with testing.hold(load) as held:
        caller = world.start(load)
        wait_for(world, held, 1)
        held.fail(Boom("down"))
        with pytest.raises(Boom):
            caller.result()
        assert world.call(load) == 2


def test_a_load_fails_that_has_only_begun(gate: Any) -> None:
    """Who is aboard when it fails gets the error, however far the loader is."""

    @singleflight
    def load() -> None:
        gate()

    with testing.hold(load) as held:
        leader = Caller(load)
        gate.arrived()
        held.fail(Boom("down"))
        gate.open()
        with pytest.raises(Boom, match="down"):
            leader.result()


@pytest.mark.parametrize("patched_first", [True, False])
def test_what_is_put_in_the_place_of_the_loader_is_held(patched_first: bool) -> None:
    @cached_singleflight(ttl=30)
    def load() -> str:
        return "real"

    mock, held = patch.object(load, "__wrapped__", Mock(return_value="mock")), testing.hold(load)
    blocks: list[Any] = [mock, held]
    with ExitStack() as stack:
        for block in blocks if patched_first else reversed(blocks):
            stack.enter_context(block)
        caller = Caller(load)
        held.wait_for_waiters(1)
        held.release()
        assert caller.result() == "mock"
    load.clear()
    assert load() == "real"


def test_each_leader_has_an_error_of_its_own() -> None:
    @singleflight
    def load(key: int) -> None: ...

    error = Boom("down")
    with testing.hold(load) as held:
        leaders = [Caller(load, key) for key in range(4)]
        held.wait_for_waiters(4)
        held.fail(error)
        raised = []
        for leader in leaders:
            with pytest.raises(Boom, match="down") as caught:
                leader.result()
            raised.append(caught.value)
    assert len({id(one) for one in raised}) == 4
    assert error in raised


def test_a_refresh_is_held_while_the_old_value_is_served(world: World, clock: Clock) -> None:
    _, load = world.aged(31, ttl=30, stale_while_revalidate=60, timer=clock)
    with testing.hold(load) as held:
        assert world.call(load) == 1
        world.call(held.wait_for_loads, 1)
        with pytest.raises(TimeoutError, match="a refresh has no callers: wait_for_loads"):
            wait_for(world, held, 1, 0.01)
        assert world.call(load) == 1
        held.release()
        until(lambda: load.peek().value == 2)


@pytest.mark.parametrize("fails", [True, False])
def test_it_leaves_no_ring(fails: bool) -> None:
    class Argument:
        pass

    @singleflight
    def load(argument: Argument) -> None:
        raise Boom

    def call() -> None:
        argument = Argument()
        gone.append(ref(argument))
        with suppress(Boom):
            load(argument)

    gone: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        with testing.hold(load) as held:
            caller = Caller(call)
            held.wait_for_waiters(1)
            held.fail(Boom("down")) if fails else held.release()
            caller.result()
        until(lambda: gone[0]() is None)
    finally:
        gc.enable()


@pytest.mark.parametrize("wrong", ["3", None, -1, float("nan")])
def test_durations_are_durations(wrong: Any) -> None:
    @singleflight
    def load() -> None: ...

    with pytest.raises((TypeError, ValueError), match="patience must "):
        testing.hold(load, patience=wrong)
    with testing.hold(load, patience=timedelta(seconds=1)) as held:
        with pytest.raises((TypeError, ValueError), match="timeout must "):
            held.wait_for_waiters(1, wrong)
        with pytest.raises((TypeError, ValueError), match="the number of callers must be "):
            held.wait_for_waiters(wrong)
    with pytest.raises((TypeError, ValueError), match="timeout must "):
        testing.assert_no_flights(wrong)
    with pytest.raises(TypeError, match="not a function that soloflight has decorated"):
        testing.hold(Mock())


def test_a_stampede_is_one_of_the_context() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="none")

    @cached_singleflight(ttl=30, key=lambda: variable.get())
    def load() -> str:
        return variable.get()

    variable.set("mine")
    assert testing.stampede(load, callers=3).answers == ["mine"] * 3
    with bypass():
        herd = testing.stampede(load, callers=3)
    assert herd.loads == 3


def test_a_wrong_call_is_one_error() -> None:
    @cached_singleflight(ttl=30)
    def load(key: int) -> int:
        return key

    with pytest.raises(TypeError, match="caller"):
        testing.stampede(load, 1, caller=5)  # type: ignore[arg-type]
    herd = testing.stampede(load, 1, callers=5)
    assert re.fullmatch(r"Stampede\(loads=1, answers=5, errors={}, slowest=.* s\)", repr(herd))


def test_a_refresh_whose_loop_stands_still_is_no_error(clock: Clock) -> None:
    """That of pytest, say, between two tests: it can neither end nor do harm."""

    @cached_singleflight(ttl=30, stale_while_revalidate=60, timer=clock)
    async def load() -> None:
        await asyncio.sleep(3600 if load.stats().loads > 1 else 0)

    async def refreshes() -> None:
        await load()
        clock.advance(31)
        await load()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(refreshes())
    assert load.in_flight()
    testing.assert_no_flights(0)
    testing.clear_local_copies()
    testing.assert_no_flights(0)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_no_test_hears_that_loops_ended_early_in_another(clock: Clock) -> None:
    @cached_singleflight(ttl=30, stale_while_revalidate=600, timer=clock)
    async def load() -> int:
        await asyncio.sleep(0)
        return load.stats().loads

    async def stale() -> int:
        clock.advance(31)
        return await load()

    asyncio.run(load())
    assert asyncio.run(stale()) == 1  # whose refresh ends with its loop
    assert asyncio.run(stale()) > 1  # in the foreground: it was learned that loops end early
    testing.clear_local_copies()
    value = asyncio.run(load())
    assert asyncio.run(stale()) == value


def test_loads_that_were_fenced_with_the_copies_are_seen(gate: Any) -> None:
    @cached_singleflight(ttl=30)
    def load() -> None:
        gate()

    with testing.time():
        leader = Caller(load)
        gate.arrived()
    with pytest.raises(AssertionError, match=r"load\[\(\)\], which is fenced"):
        testing.assert_no_flights(0.01)
    gate.open()
    leader.result()
    testing.assert_no_flights()


def test_keys_are_shown_with_care() -> None:
    class Key:
        def __repr__(self) -> str:
            raise Boom

    @singleflight
    def load(key: Key) -> None: ...

    with testing.hold(load) as held:
        caller = Caller(load, Key())
        held.wait_for_waiters(1)
        with pytest.raises(AssertionError, match=r"still in progress: .*load\[<"):
            testing.assert_no_flights(0)
        held.release()
        caller.result()


def test_a_second_hold_in_the_same_block(world: World) -> None:
    """The first one has released its loads; or both have to."""
    load = world.cached(world.origin(), ttl=30)
    with testing.hold(load) as first:
        caller = world.start(load, "a")
        wait_for(world, first, 1)
        with testing.hold(load) as second:
            other = world.start(load, "b")
            world.call(second.wait_for_loads, 1)
            world.call(first.wait_for_loads, 2)
            first.release()
            assert caller.result() == 1
            assert not load.peek("b")
            second.release()
            assert other.result() == 2


def test_holds_that_are_left_in_any_order(world: World) -> None:
    load = world.cached(world.origin(), ttl=30)
    before = load._core.world.around
    one, other = testing.hold(load), testing.hold(load)
    one.__enter__(), other.__enter__()
    one.__exit__()
    caller = world.start(load)
    world.call(other.wait_for_loads, 1)
    other.__exit__()
    assert caller.result() == 1
    assert load._core.world.around is before


def test_callers_from_before_are_not_waited_for(gate: Any) -> None:
    @singleflight
    def load(key: str) -> None:
        if key == "before":
            gate()

    earlier = Caller(load, "before")
    gate.arrived()
    with testing.hold(load) as held:
        caller = Caller(load, "k")
        held.wait_for_waiters(1)
        held.release()
        caller.result()
    gate.open()
    earlier.result()


def test_a_refresh_that_time_has_fenced_is_no_error_where_its_loop_stands_still() -> None:
    @cached_singleflight(ttl=30, stale_while_revalidate=60)
    async def load() -> None:
        await asyncio.sleep(3600 if load.stats().loads > 1 else 0)

    async def refreshes() -> None:
        with testing.time() as clock:
            await load()
            clock.advance(31)
            await load()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(refreshes())
    testing.assert_no_flights(0)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
