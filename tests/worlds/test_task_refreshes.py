"""Refreshes that are tasks: when they start, who holds them, and what ends them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from both_worlds import Tasks, counted
from conftest import AsyncGate, Boom, Clock, in_loop, until, until_async
from soloflight import cached_singleflight
from soloflight._runners import held_by

OPTIONS: Any = {"ttl": 10, "stale_while_revalidate": 60}


def stale(clock: Clock, gate: AsyncGate | None = None) -> Any:
    """A function whose only value is stale, and was none of its loads."""

    @cached_singleflight(timer=clock, **OPTIONS)
    async def load() -> int:
        numbers.append(len(numbers) + 1)
        number = numbers[-1]
        if gate is not None:
            await gate()
        return number

    numbers: list[int] = []
    load.put(0)
    clock.advance(10)
    return load


def refreshes() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name().endswith(".load")]


@in_loop
async def test_a_stale_value_costs_no_turn_of_the_loop(clock: Clock) -> None:
    load = stale(clock)
    call = load()
    with pytest.raises(StopIteration) as end:
        call.send(None)
    assert end.value.value == 0
    assert len(load.in_flight()) == 1
    await until_async(lambda: not load.in_flight())


@in_loop
async def test_a_refresh_takes_its_first_step_when_its_caller_gives_way(clock: Clock) -> None:
    gate = AsyncGate()
    load = stale(clock, gate)
    assert await load() == 0
    assert gate.arrivals == 0
    await gate.arrived()
    gate.open()
    await until_async(lambda: not load.in_flight())


@in_loop
async def test_a_caller_that_is_cancelled_leaves_the_refresh_it_started_alone(
    clock: Clock,
) -> None:
    gate = AsyncGate()
    load = stale(clock, gate)

    async def call() -> None:
        await load()
        await asyncio.Event().wait()

    caller = asyncio.ensure_future(call())
    await gate.arrived()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.open()
    await until_async(lambda: not load.in_flight())
    assert await load() == 1


@in_loop
async def test_a_follower_that_leaves_a_refresh_does_not_end_it(clock: Clock) -> None:
    gate = AsyncGate()
    load = stale(clock, gate)
    assert await load() == 0
    await gate.arrived()
    clock.advance(60)
    follower = asyncio.ensure_future(load())
    await until_async(lambda: load.stats().joined == 1)
    follower.cancel()
    with pytest.raises(asyncio.CancelledError):
        await follower
    gate.open()
    await until_async(lambda: not load.in_flight())
    assert await load() == 1


@pytest.mark.parametrize("when", ["before its first step", "in the middle"])
@in_loop
async def test_a_refresh_that_is_cancelled_leaves_the_table_and_the_next_attempt_is_held_off(
    clock: Clock, caplog: pytest.LogCaptureFixture, when: str
) -> None:
    gate = AsyncGate()
    load = stale(clock, gate)
    assert await load() == 0
    if when == "in the middle":
        await gate.arrived()
    (task,) = refreshes()
    task.cancel()
    await asyncio.wait([task])
    assert load.in_flight() == ()
    assert gate.arrivals == (when == "in the middle")
    entry = load.peek()
    assert (entry.failures, repr(entry.last_error)) == (
        1,
        "FlightError('the refresh was abandoned')",
    )

    assert await load() == 0
    assert load.in_flight() == ()
    clock.advance(2)
    assert await load() == 0
    gate.open()
    await until_async(lambda: not load.in_flight())
    assert await load() == 1 + (when == "in the middle")
    assert counted(load) == {
        "hits": 4,
        "misses": 2,
        "refreshes": 2,
        "stale_hits": 3,
        "abandoned": 1,
    }
    (record,) = caplog.records  # once, with the next attempt
    assert "a refresh was abandoned" in record.getMessage()


def test_an_interruption_of_a_refresh_goes_to_its_event_loop(clock: Clock) -> None:
    """Its caller has been served, and waits for nothing."""

    @cached_singleflight(timer=clock, **OPTIONS)
    async def load() -> str:
        raise SystemExit("of the refresh")

    async def main() -> None:
        handled = asyncio.get_running_loop().set_exception_handler
        handled(lambda loop, context: None)  # asyncio has a word of its own on it
        assert await load() == "old"
        await until_async(lambda: not load.in_flight())
        raise AssertionError("it went on")

    load.put("old")
    clock.advance(10)
    with pytest.raises(SystemExit, match="of the refresh"):
        asyncio.run(main())
    assert load.peek().failures == 1
    gc.collect()


@in_loop
async def test_a_refresh_without_a_task_is_tried_again_by_the_next_caller(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(loop: Any, coro: Any, **options: Any) -> Any:
        raise Boom

    load = stale(clock)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(refuse)
    assert [await load(), await load()] == [0, 0]
    loop.set_task_factory(None)
    assert "a refresh could not be started" in caplog.text
    assert await load() == 0
    await until_async(lambda: not load.in_flight())
    assert await load() == 1


@in_loop
async def test_who_waits_for_a_refresh_that_is_cancelled_leads_anew(clock: Clock) -> None:
    gate = AsyncGate()
    load = stale(clock, gate)
    assert await load() == 0
    await gate.arrived()
    clock.advance(60)
    followers = [asyncio.ensure_future(load()) for _ in range(3)]
    await until_async(lambda: load.stats().joined == 3)
    refreshes()[0].cancel()
    await gate.arrived(2)
    gate.open()
    assert await asyncio.gather(*followers) == [2] * 3


@in_loop
async def test_a_refresh_is_held_although_asyncio_holds_tasks_weakly(clock: Clock) -> None:
    waits: list[weakref.ref[asyncio.Future[int]]] = []

    @cached_singleflight(timer=clock, **OPTIONS)
    async def load() -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waits.append(weakref.ref(future))
        return await future

    load.put(0)
    clock.advance(10)
    assert await load() == 0
    await until_async(lambda: waits)
    gc.collect()
    future = waits[0]()
    assert future is not None
    future.set_result(1)
    await until_async(lambda: not load.in_flight())
    assert await load() == 1


def stuck_at_first(clock: Clock) -> tuple[Any, list[int]]:
    """Of the same kind; its first load waits for ever."""
    loads: list[int] = []

    @cached_singleflight(timer=clock, **OPTIONS)
    async def load() -> int:
        loads.append(len(loads) + 1)
        number = loads[-1]
        if number == 1:
            await asyncio.Event().wait()
        return number

    load.put(0)
    clock.advance(10)
    return load, loads


@pytest.mark.parametrize("begun", [False, True], ids=["before-its-first-step", "in-the-middle"])
@pytest.mark.parametrize("late", [0, 60], ids=["served", "not-served"])
def test_a_refresh_whose_loop_was_merely_closed_is_abandoned(
    clock: Clock, caplog: pytest.LogCaptureFixture, begun: bool, late: float
) -> None:
    load, loads = stuck_at_first(clock)
    if not begun:
        loads.append(1)  # the next one is not stuck
    loop = asyncio.new_event_loop()

    async def start() -> None:
        assert await load() == 0
        if begun:
            await until_async(lambda: loads)
        asyncio.get_running_loop().stop()  # now, not a turn later

    starting = loop.create_task(start())
    loop.run_forever()
    starting.result()
    (left,) = asyncio.all_tasks(loop)
    loop.close()
    assert len(loads) == 1
    clock.advance(late)

    # Held off, where there is something to serve; then in the foreground: the next loop may live
    # no longer.
    assert asyncio.run(load()) == (2 if late else 0)
    clock.advance(2)
    assert asyncio.run(load()) == 2
    assert load.stats().abandoned == 1
    left.get_coro().close()  # it was "never awaited"
    del left, starting, loop
    gc.collect()
    caplog.clear()  # "Task was destroyed but it is pending!" is asyncio's word for such a loop


def test_loops_in_several_threads_share_one_refresh(clock: Clock) -> None:
    one, other = Tasks(), Tasks()
    origin = one.origin()
    load = one.cached(origin, timer=clock, **OPTIONS)
    load.put(0)
    clock.advance(10)
    gate = origin.hold()
    assert [one.call(load), other.call(load)] == [0, 0]
    gate.arrived()
    clock.advance(60)
    late = [one.start(load), other.start(load)]
    until(lambda: load.stats().joined == 2)
    gate.open()
    assert [caller.result() for caller in late] == [1, 1]
    assert load.stats().refreshes == 1
    one.end()
    other.end()


# Event loops that live no longer than a call


@pytest.mark.parametrize("how", ["at-once", "one-after-the-other"])
def test_every_key_lands_where_each_request_has_a_loop_of_its_own(clock: Clock, how: str) -> None:
    begun: list[int] = []

    @cached_singleflight(ttl=30, stale_while_revalidate=86_400, timer=clock)
    async def load(key: int) -> float:
        begun.append(key)
        await asyncio.sleep(0.001 * key)
        return clock.now

    async def request() -> list[float]:
        if how == "at-once":
            return await asyncio.gather(*(load(key) for key in range(4)))
        return [await load(key) for key in range(4)]

    asyncio.run(request())
    for _ in range(20):
        clock.advance(60)
        values = asyncio.run(request())
    assert all(clock.now - value <= 120 for value in values)
    assert len(begun) <= 4 * 21 + 8, "more than a load for each request and key, but for the first"


def test_loops_that_live_on_refresh_behind_whatever_became_of_another(clock: Clock) -> None:
    """One that ended with a refresh does not make them wait."""
    load, loads = stuck_at_first(clock)

    async def ends() -> None:
        assert await load() == 0
        await until_async(lambda: loads)

    asyncio.run(ends())
    assert load.peek().failures == 1
    loops = [asyncio.new_event_loop() for _ in range(2)]

    async def old_enough() -> None:
        assert await load() == 0  # held off
        table = load._core.table
        held = held_by(asyncio.get_running_loop())
        await until_async(lambda: held.home.age() > table.trust._proven)

    for loop in loops:
        loop.run_until_complete(old_enough())
    for turn in range(4):
        clock.advance(20)
        refreshes = load.stats().refreshes

        async def served() -> None:
            assert await load() == (0 if len(loads) == 1 else loads[-1])
            await until_async(lambda: not load.in_flight())

        loops[turn % 2].run_until_complete(served())
        assert load.stats().refreshes == refreshes + 1
    for loop in loops:
        loop.close()
