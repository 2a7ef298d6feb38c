"""max_flight_age: a load that hangs stops owning its key."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from both_worlds import Origin, Tasks, World, counted, landed
from conftest import Boom, Clock, Gate, until, until_async
from soloflight import WaitTimeout, cached_singleflight
from soloflight._worlds import task_loads

AGING: Any = {"ttl": 1000, "max_flight_age": 30}


def hang(world: World, clock: Clock, origin: Origin, load: Any) -> tuple[Any, Gate]:
    """One more caller leads a load, which hangs and grows too old."""
    gate = origin.hold()
    caller = world.start(load)
    gate.arrived()
    clock.advance(30)
    return caller, gate


def test_while_a_load_is_young_enough_it_is_joined(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, timer=clock, **AGING)
    gate = origin.hold()
    leader = world.start(load)
    gate.arrived()
    clock.advance(29.875)
    follower = world.start(load)
    until(lambda: load.stats().joined == 1)
    gate.open()
    assert [leader.result(), follower.result()] == [1, 1]
    assert load.stats().fenced == 0


def test_the_next_caller_leads_a_new_load_and_the_old_one_is_fenced(
    world: World, clock: Clock
) -> None:
    origin = world.origin()
    load = world.cached(origin, timer=clock, **AGING)
    gate = origin.hold()
    aboard = world.aboard(3, load)
    clock.advance(30)
    new_gate = origin.hold()
    new = [world.start(load)]
    new_gate.arrived()
    new += [world.start(load) for _ in range(2)]
    until(lambda: load.stats().joined == 4)
    (info,) = load.in_flight()
    assert info.age == 0

    new_gate.open()
    assert [caller.result() for caller in new] == [2] * 3
    assert world.call(load) == 2
    gate.open()
    assert [caller.result() for caller in aboard] == [1] * 3
    assert world.call(load) == 2, "the old load was stored"
    assert counted(load) == {"hits": 2, "misses": 2, "joined": 4, "fenced": 1, "load_seconds": 30.0}


def test_the_old_load_may_end_first(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, timer=clock, **AGING)
    old, old_gate = hang(world, clock, origin, load)
    gate = origin.hold()
    new = world.start(load)
    gate.arrived()
    old_gate.open()
    assert old.result() == 1
    follower = world.start(load)
    until(lambda: load.stats().joined == 1)
    gate.open()
    assert [new.result(), follower.result(), world.call(load)] == [2, 2, 2]


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_so_many_loads_of_a_key_may_hang(world: World, clock: Clock, most: int) -> None:
    origin = world.origin()
    options = {} if most == 2 else {"max_abandoned": most}  # the default
    load = world.cached(origin, timer=clock, **AGING, **options)
    hung = [hang(world, clock, origin, load) for _ in range(1 + most)]
    origin.free()
    for _ in range(2):
        with pytest.raises(WaitTimeout, match=f"max_abandoned={most}"):
            world.call(load)
    assert origin.loads == 1 + most
    assert world.call(load, "another key") == 2 + most
    stats = load.stats()
    assert (stats.misses, stats.fenced, stats.timeouts) == (2 + most, most, 2)

    for number, (caller, gate) in enumerate(hung, 1):
        gate.open()
        assert caller.result() == number
    assert world.call(load) == 1 + most  # the youngest was still on the table


@pytest.mark.parametrize("error", [None, Boom])
def test_when_one_of_them_has_ended_there_is_room_for_another(
    world: World, clock: Clock, error: Any
) -> None:
    origin = world.origin()
    load = world.cached(origin, timer=clock, **AGING, max_abandoned=1)
    first, gate = hang(world, clock, origin, load)
    hang(world, clock, origin, load)
    with pytest.raises(WaitTimeout):
        world.call(load)

    if error is None:
        gate.open()
        assert first.result() == 1
    else:
        origin.fail(error)
        gate.open()
        with pytest.raises(error):
            first.result()
    hang(world, clock, origin, load)
    assert origin.loads == 3
    with pytest.raises(WaitTimeout):
        world.call(load)
    origin.recover()


def test_a_caller_that_would_wait_for_them_gets_the_stale_value(world: World, clock: Clock) -> None:
    origin, load = world.aged(
        10, put="old", ttl=10, stale_if_error=1000, timer=clock, max_flight_age=30, max_abandoned=1
    )
    hung = [hang(world, clock, origin, load) for _ in range(2)]
    assert [world.call(load), world.call(load)] == ["old", "old"]
    with pytest.raises(WaitTimeout):
        world.call(load.refresh)
    assert origin.loads == 2
    assert load.stats().timeouts == 3
    hung[1][1].open()
    assert hung[1][0].result() == 2
    assert world.call(load) == 2


@pytest.mark.parametrize("option", ["stale_while_revalidate", "early_refresh"])
def test_refreshes_that_hang_are_replaced_as_well(
    world: World,
    clock: Clock,
    option: str,
    die: Callable[[float], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    origin = world.origin()
    options: Any = {option: 1000}
    if option == "early_refresh":
        origin.answer = lambda number: clock.advance(1) or number
    load = world.cached(origin, ttl=500, timer=clock, max_flight_age=30, **options)
    assert world.call(load) == 1
    if option == "stale_while_revalidate":
        clock.advance(500)
    else:
        die(0.9)

    gates = []
    for refreshes in (1, 2, 3):
        gates.append(origin.hold())
        for _ in range(3):
            assert world.call(load) == 1
        gates[-1].arrived()
        assert load.stats().refreshes == refreshes
        clock.advance(30)
    assert world.call(load) == 1  # there are as many as there may be
    assert (origin.loads, load.stats().refreshes, load.stats().fenced) == (4, 3, 2)

    origin.recover()
    gates[0].open()  # it is fenced, and its value is not stored
    until(lambda: load.stats().load_seconds >= 90)
    origin.free()
    assert world.call(load) == 1  # but there is room for another one
    landed(load)
    assert world.call(load) == 5
    assert load.stats().timeouts == 0
    gates[1].open()
    gates[2].open()
    until(lambda: load.stats().load_seconds >= 90 + 60 + 30)
    assert world.call(load) == 5
    assert not caplog.records


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
    assert not load._core.table.overdue
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
