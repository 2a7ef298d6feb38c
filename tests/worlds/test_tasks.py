"""The laws, for ``async def`` on asyncio. `test_threads` has the same tests for plain functions."""

from __future__ import annotations

import asyncio
import gc
import sys
import traceback
import weakref
from collections.abc import Awaitable
from typing import Any

import pytest

from conftest import (
    AsyncGate,
    Boom,
    Clock,
    in_loop,
    in_tasks,
    until_async,
    waiters,
)
from soloflight import (
    FlightDeadlock,
    WaitTimeout,
    cached_singleflight,
    singleflight,
)

# Law 1 and 2: one flight, order of landing


@in_loop
async def test_concurrent_identical_calls_share_one_load() -> None:
    gate = AsyncGate()

    @singleflight
    async def load(key: str) -> object:
        await gate()
        return object()

    callers = in_tasks(10, load, "k")
    await until_async(lambda: waiters(load) == 10)
    gate.open()

    assert len({id(await caller) for caller in callers}) == 1
    assert gate.arrivals == 1
    stats = load.stats()
    assert (stats.hits, stats.misses, stats.joined) == (0, 1, 9)


@in_loop
async def test_different_keys_do_not_wait_for_each_other() -> None:
    gate = AsyncGate()

    @singleflight
    async def load(key: str) -> str:
        if key == "slow":
            await gate()
        return key

    (slow,) = in_tasks(1, load, "slow")
    await gate.arrived()

    assert await load("fast") == "fast"
    gate.open()
    assert await slow == "slow"


@in_loop
async def test_without_a_cache_the_next_call_loads_again() -> None:
    loads = []

    @singleflight
    async def load() -> int:
        loads.append(1)
        return len(loads)

    assert [await load(), await load()] == [1, 2]


@in_loop
async def test_a_call_after_landing_hits() -> None:
    clock = Clock()
    loads = []

    @cached_singleflight(ttl=10, timer=clock)
    async def load(key: str) -> object:
        loads.append(key)
        await asyncio.sleep(0)
        return object()

    assert await load("k") is await load("k")
    assert loads == ["k"]
    assert load.stats().hits == 1


@in_loop
async def test_no_call_falls_between_a_load_and_the_cache() -> None:
    loads: list[int] = []

    @cached_singleflight(ttl=60)
    async def load(key: int) -> int:
        loads.append(key)
        await asyncio.sleep(0)
        return key

    async def many() -> None:
        for key in range(200):
            assert await load(key) == key

    await asyncio.gather(*[many() for _ in range(20)])
    assert sorted(loads) == list(range(200))


# Law 3: hand-over


@in_loop
async def test_followers_get_a_value_that_is_not_stored() -> None:
    gate = AsyncGate()

    @cached_singleflight(ttl=60, maxsize=1, getsizeof=lambda value: 2)
    async def load() -> object:
        await gate()
        return object()

    callers = in_tasks(3, load)
    await until_async(lambda: waiters(load) == 3)
    gate.open()

    assert len({id(await caller) for caller in callers}) == 1
    assert load.peek() is None
    assert load.stats().store_errors == 0


@in_loop
async def test_none_is_a_value() -> None:
    loads = []

    @cached_singleflight(ttl=10)
    async def load() -> None:
        loads.append(1)

    await load()
    await load()
    assert len(loads) == 1


@in_loop
async def test_ttl_counts_from_the_end_of_the_load() -> None:
    clock = Clock()
    loads = []

    @cached_singleflight(ttl=10, timer=clock)
    async def load() -> int:
        loads.append(1)
        clock.advance(100)
        return len(loads)

    assert await load() == 1
    clock.advance(9.5)
    assert await load() == 1
    clock.advance(0.5)  # exactly at the deadline
    assert await load() == 2


@pytest.mark.parametrize("ttl", [0, lambda value: 0, lambda value: -1])
@in_loop
async def test_a_ttl_that_is_over_at_once_is_handed_over_and_not_stored(ttl: Any) -> None:
    loads = []

    @cached_singleflight(ttl=ttl)
    async def load() -> int:
        loads.append(1)
        return len(loads)

    assert [await load(), await load()] == [1, 2]
    assert load.peek() is None


@in_loop
async def test_an_error_in_ttl_lands() -> None:
    def ttl(value: int) -> float:
        raise Boom

    @cached_singleflight(ttl=ttl)
    async def load() -> int:
        return 1

    for caller in in_tasks(2, load):
        with pytest.raises(Boom):
            await caller


# Law 4: errors


@in_loop
async def test_an_error_is_shared_and_not_cached() -> None:
    gate = AsyncGate()

    @cached_singleflight(ttl=60)
    async def load() -> int:
        await gate()
        raise Boom

    callers = in_tasks(5, load)
    await until_async(lambda: waiters(load) == 5)
    gate.open()
    errors = []
    for caller in callers:
        with pytest.raises(Boom) as caught:
            await caller
        errors.append(caught.value)

    assert len(set(map(id, errors))) == 1
    with pytest.raises(Boom):
        await load()
    assert gate.arrivals == 2
    assert load.stats().errors == 2


@in_loop
async def test_the_key_is_free_before_anyone_wakes() -> None:
    gate = AsyncGate()

    @cached_singleflight(ttl=60)
    async def load() -> int:
        await gate()
        raise Boom

    async def call() -> int:
        try:
            await load()
        except Boom:
            return len([*load._core.table.flights.all()])
        return -1

    callers = in_tasks(5, call)
    await until_async(lambda: waiters(load) == 5)
    gate.open()
    assert [await caller for caller in callers] == [0] * 5


@in_loop
async def test_an_error_has_the_traceback_of_the_loader_alone() -> None:
    @cached_singleflight(ttl=60)
    async def load() -> int:
        await asyncio.sleep(0)
        raise Boom

    for _ in range(3):
        with pytest.raises(Boom) as caught:
            await load()
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names[0] == "test_an_error_has_the_traceback_of_the_loader_alone"
        assert names[-1] == "load"
        ours = 0 if sys.version_info >= (3, 11) else 2
        assert len(names) <= 2 + ours


@in_loop
async def test_one_error_of_many_callers_does_not_grow_its_traceback() -> None:
    gate = AsyncGate()

    @singleflight
    async def load() -> int:
        await gate()
        raise Boom

    callers = in_tasks(30, load)
    await until_async(lambda: waiters(load) == 30)
    gate.open()
    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(errors[0], Boom)
    assert len(traceback.extract_tb(errors[0].__traceback__)) <= 10


# Law 5: interruptions


@pytest.mark.parametrize("interruption", [asyncio.CancelledError, GeneratorExit])
@in_loop
async def test_an_interruption_is_personal_and_one_follower_leads_anew(
    interruption: type[BaseException],
) -> None:
    gate = AsyncGate()
    loads = []

    @cached_singleflight(ttl=60)
    async def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            await gate()
            raise interruption
        await asyncio.sleep(0)
        return len(loads)

    async def call() -> Any:
        try:
            return await load()
        except BaseException as error:
            return type(error)

    callers = in_tasks(5, call)
    await until_async(lambda: waiters(load) == 5)
    gate.open()

    assert [await caller for caller in callers] == [interruption, 2, 2, 2, 2]
    assert len(loads) == 2


@pytest.mark.parametrize("first", [True, False])
@in_loop
async def test_an_interrupted_caller_changes_nothing_for_the_rest(first: bool) -> None:
    gate = AsyncGate()

    @cached_singleflight(ttl=60)
    async def load() -> int:
        await gate()
        return 1

    callers = in_tasks(5, load)
    await until_async(lambda: waiters(load) == 5)
    cancelled = callers.pop(0 if first else 3)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert waiters(load) == 4
    gate.open()

    assert [await caller for caller in callers] == [1] * 4
    assert gate.arrivals == 1


# Law 6: leaving


@in_loop
async def test_a_caller_leaves_after_wait_timeout_and_the_flight_goes_on() -> None:
    gate = AsyncGate()

    @cached_singleflight(ttl=60, wait_timeout=0.05)
    async def load() -> int:
        await gate()
        return 1

    with pytest.raises(WaitTimeout, match="load"):
        await load()
    assert not load.in_flight()  # it was the last one aboard
    first = in_tasks(1, load)[0]
    await gate.arrived(2)
    gate.open()
    assert await first == 1


# Law 7: the fence


@pytest.mark.parametrize("fence", ["invalidate", "clear", "put", "forget"])
@in_loop
async def test_a_load_that_began_before_the_fence_is_neither_seen_nor_joined(fence: str) -> None:
    gate = AsyncGate()
    loads = []

    @cached_singleflight(ttl=60)
    async def load(key: str) -> str:
        loads.append(key)
        if len(loads) == 1:
            await gate()
            return "old"
        return "new"

    callers = in_tasks(2, load, "k")
    await until_async(lambda: waiters(load) == 2)
    if fence == "invalidate":
        assert load.invalidate("k") is True
    elif fence == "clear":
        load.clear()
    elif fence == "put":
        load.put("new", "k")
    else:
        assert load.forget("k") is True

    assert await load("k") == "new"
    gate.open()
    assert [await caller for caller in callers] == ["old", "old"]
    assert await load("k") == "new"
    entry = load.peek("k")
    assert entry is not None and entry.value == "new"


# Law 8: nothing is left behind


@in_loop
async def test_no_cycle_keeps_the_arguments_of_a_failed_call_alive() -> None:
    class Argument:
        pass

    @cached_singleflight(ttl=60)
    async def load(argument: Argument) -> int:
        await asyncio.sleep(0)
        raise Boom

    gc.collect()
    gc.disable()
    try:
        argument = Argument()
        seen = weakref.ref(argument)
        try:
            await load(argument)
        except Boom as error:
            assert error.__traceback__ is not None
        del argument
        await asyncio.sleep(0)
        assert seen() is None
    finally:
        gc.enable()


@in_loop
async def test_no_cycle_keeps_a_value_alive_that_was_not_stored() -> None:
    class Thing:
        pass

    @singleflight
    async def load() -> Thing:
        await asyncio.sleep(0)
        return Thing()

    gc.collect()
    gc.disable()
    try:
        seen = weakref.ref(await load())
        await asyncio.sleep(0)
        assert seen() is None
    finally:
        gc.enable()


# Law 9: no hangs, no false alarms


@in_loop
async def test_a_loader_that_asks_for_its_own_key_gets_a_deadlock_error() -> None:
    @cached_singleflight(ttl=60, name="selfish")
    async def load(key: int) -> int:
        return await load(key)

    with pytest.raises(FlightDeadlock, match=r"selfish\[1\] -> selfish\[1\]"):
        await load(1)
    assert not load.in_flight()


@in_loop
async def test_a_recursive_loader_of_other_keys_is_fine() -> None:
    @cached_singleflight(ttl=60)
    async def fibonacci(n: int) -> int:
        return n if n < 2 else await fibonacci(n - 1) + await fibonacci(n - 2)

    assert await fibonacci(40) == 102334155


@in_loop
async def test_a_cycle_of_two_loads_gets_a_deadlock_error() -> None:
    arrived = []

    async def both(name: str) -> None:
        arrived.append(name)
        while len(arrived) < 2:
            await asyncio.sleep(0)

    @cached_singleflight(ttl=60, name="a")
    async def a(key: str) -> Any:
        await both("a")
        return await b(key)

    @cached_singleflight(ttl=60, name="b")
    async def b(key: str) -> Any:
        await both("b")
        return await a(key)

    errors = await asyncio.gather(a("k"), b("k"), return_exceptions=True)
    assert {type(error) for error in errors} == {FlightDeadlock}
    assert not a.in_flight() and not b.in_flight()


@in_loop
async def test_a_call_in_the_background_of_a_loader_is_not_accused() -> None:
    children: list[Awaitable[int]] = []

    @cached_singleflight(ttl=60)
    async def load() -> int:
        if not children:
            children.append(asyncio.ensure_future(load()))
            await until_async(lambda: waiters(load) == 2)
        return 1

    assert await load() == 1
    assert await children[0] == 1


# Law 10 and the rest of the surface


@in_loop
async def test_refresh_loads_now_and_stores() -> None:
    loads = []

    @cached_singleflight(ttl=10)
    async def load(key: str) -> int:
        loads.append(key)
        return len(loads)

    assert await load("k") == 1
    assert await load.refresh("k") == 2
    assert await load("k") == 2


@in_loop
async def test_refresh_joins_a_flight_in_progress() -> None:
    gate = AsyncGate()

    @cached_singleflight(ttl=10)
    async def load() -> object:
        await gate()
        return object()

    leader, refresher = in_tasks(1, load)[0], in_tasks(1, load.refresh)[0]
    await until_async(lambda: waiters(load) == 2)
    gate.open()
    assert await leader is await refresher
    assert gate.arrivals == 1
