"""max_flight_age, of loads whose callers have left or whose loop was closed."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from both_worlds import Tasks
from conftest import Clock, until, until_async
from soloflight import WaitTimeout, cached_singleflight
from soloflight._worlds import task_loads
from test_max_flight_age import AGING, hang


def test_tasks_that_leave_a_load_that_hangs_make_room(clock: Clock) -> None:
    world = Tasks()
    origin = world.origin()
    load = world.cached(origin, timer=clock, **AGING, max_abandoned=1)
    for rounds in range(1, 6):
        first, _ = hang(world, clock, origin, load)
        second, _ = hang(world, clock, origin, load)
        with pytest.raises(WaitTimeout):
            world.call(load)
        first.leave()
        second.leave()
        until(lambda rounds=rounds: load.stats().abandoned == 2 * rounds)
        assert load.in_flight() == ()
    world.end()


def test_loads_whose_loop_was_closed_make_room(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    loads: list[int] = []

    @cached_singleflight(timer=clock, **AGING, max_abandoned=1)
    async def load() -> int:
        loads.append(len(loads))
        if loads[-1] < 2:
            await asyncio.Event().wait()
        return loads[-1]

    async def start() -> None:
        number = len(loads)
        tasks.append(asyncio.ensure_future(load()))
        await until_async(lambda: len(loads) > number)

    tasks: list[Any] = []
    loops = [asyncio.new_event_loop() for _ in range(2)]
    for loop in loops:
        loop.run_until_complete(start())
        clock.advance(30)
    with pytest.raises(WaitTimeout):
        asyncio.run(load())
    loops[0].close()
    assert asyncio.run(load()) == 2
    loops[1].close()
    task_loads._sweep()  # as it happens when there are many of them
    assert not load._core.table.hanging
    assert load.stats().abandoned == 2
    tasks.clear()
    del loop, loops
    gc.collect()
    caplog.clear()  # "Task was destroyed but it is pending!" is asyncio's word for such loops


def test_refreshes_whose_loop_was_closed_make_room(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    loads: list[int] = []
    options = AGING | {"max_abandoned": 1, "stale_while_revalidate": 1000}

    @cached_singleflight(timer=clock, **options)
    async def load() -> None:
        loads.append(1)
        await asyncio.Event().wait()

    async def served() -> None:
        await load()
        await asyncio.sleep(0)  # for the first step of its refresh

    load.put(None)
    clock.advance(1000)
    loops = [asyncio.new_event_loop() for _ in range(3)]
    for loop in loops[:2]:
        loop.run_until_complete(served())
        clock.advance(30)
    loops[0].close()
    loops[2].run_until_complete(served())
    for loop in loops[1:]:
        loop.close()
    task_loads._sweep()  # as it happens when there are many of them
    del loop, loops
    gc.collect()
    caplog.clear()  # "Task was destroyed but it is pending!" is asyncio's word for such loops
    assert len(loads) == 3
