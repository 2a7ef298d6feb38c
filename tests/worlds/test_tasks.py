"""The laws, for ``async def`` on asyncio. `test_threads` has the same tests for plain functions."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import Awaitable
from typing import Any

import pytest

from conftest import (
    PATIENCE,
    AsyncGate,
    Caller,
    Clock,
    Gate,
    follows_late,
    in_loop,
    in_tasks,
    until,
    until_async,
    waiters,
)
from soloflight import (
    FlightDeadlock,
    Group,
    WaitTimeout,
    cached_singleflight,
    singleflight,
)
from soloflight._flights.table import FlightTable
from soloflight._worlds import task_loads
from soloflight._worlds import tasks as _tasks


class Boom(Exception):
    pass


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


def test_one_flight_is_shared_by_the_loops_of_several_threads() -> None:
    """Law 11, and every caller starts when it can."""
    loads: list[int] = []

    @cached_singleflight(ttl=60)
    async def load(key: int) -> int:
        loads.append(key)
        await asyncio.sleep(0)
        return key

    async def many() -> None:
        for key in range(100):
            assert await load(key) == key

    for caller in [Caller(asyncio.run, many()) for _ in range(8)]:
        caller.result()
    assert sorted(loads) == list(range(100))


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
            return len([*load._core.table.flights])
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
async def test_one_error_in_many_tasks_does_not_grow_its_traceback() -> None:
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


@pytest.mark.parametrize("first", [True, False])
@in_loop
async def test_cancelling_any_caller_changes_nothing_for_the_rest(first: bool) -> None:
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


@in_loop
async def test_a_caller_that_is_cancelled_as_the_flight_lands_keeps_nobody_waiting() -> None:
    gate = AsyncGate()

    @singleflight
    async def load() -> int:
        await gate()
        callers[0].cancel()  # it takes its next step after the landing
        return 1

    callers = in_tasks(3, load)
    await until_async(lambda: waiters(load) == 3)
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await callers[0]
    assert [await caller for caller in callers[1:]] == [1, 1]


def test_an_interruption_goes_to_its_starter_though_another_one_wakes_first() -> None:
    loads: list[int] = []
    followers: list[Caller] = []

    @singleflight
    async def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            await until_async(lambda: followers and waiters(load) == 2)
            # Right after this step: the starter's loop stands still until the other one is done.
            asyncio.get_running_loop().call_soon(followers[0].join, PATIENCE)
            raise asyncio.CancelledError
        return len(loads)

    starter = Caller(lambda: asyncio.run(load()))
    until(lambda: loads)
    followers.append(Caller(lambda: asyncio.run(load())))
    assert followers[0].result() == 2
    with pytest.raises(asyncio.CancelledError):
        starter.result()


def test_a_keyboard_interrupt_in_a_load_stops_the_loop_of_its_starter() -> None:
    @cached_singleflight(ttl=60)
    async def load() -> int:
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(load())
    assert not load.in_flight()


@in_loop
async def test_a_load_that_is_over_before_it_first_waits() -> None:
    loads = []

    @singleflight
    async def load() -> int:
        loads.append(1)
        if len(loads) == 2:
            raise Boom
        if len(loads) == 3:
            raise asyncio.CancelledError
        return 1

    assert await load() == 1
    with pytest.raises(Boom):
        await load()
    with pytest.raises(asyncio.CancelledError):
        await load()
    assert await load() == 1


@in_loop
async def test_a_task_that_is_cancelled_before_its_first_step_is_abandoned() -> None:
    """Its coroutine never runs, so no ``finally`` in it does."""
    loop = asyncio.get_running_loop()
    created: list[asyncio.Task[Any]] = []

    def factory(loop: Any, coro: Any, **options: Any) -> Any:
        created.append(asyncio.Task(coro, loop=loop, **options))
        return created[-1]

    loop.set_task_factory(factory)

    @cached_singleflight(ttl=60)
    async def load() -> int:
        return 1

    caller = loop.create_task(load())
    while len(created) < 2:
        await asyncio.sleep(0)
    created[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not load.in_flight()
    assert await load() == 1


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


@in_loop
async def test_when_the_last_caller_leaves_the_load_is_cancelled() -> None:
    gate = AsyncGate()
    cancelled = asyncio.Event()

    @cached_singleflight(ttl=60)
    async def load() -> int:
        try:
            await gate()
        except asyncio.CancelledError:
            assert not load.in_flight()  # off the table first, cancelled second
            cancelled.set()
            raise
        return 1

    callers = in_tasks(3, load)
    await until_async(lambda: waiters(load) == 3)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await cancelled.wait()
    assert gate.arrivals == 1


@in_loop
async def test_a_newcomer_never_joins_a_dying_flight() -> None:
    gate = AsyncGate()
    dying = asyncio.Event()
    loads = []

    @cached_singleflight(ttl=60)
    async def load() -> int:
        loads.append(1)
        number = len(loads)
        try:
            await gate()
        except asyncio.CancelledError:
            dying.set()
            await gate()  # it takes its time to die
            raise
        return number

    (last,) = in_tasks(1, load)
    await gate.arrived()
    last.cancel()
    await dying.wait()
    (newcomer,) = in_tasks(1, load)
    await gate.arrived(3)
    gate.open()
    assert await newcomer == 2


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
async def test_a_background_task_that_a_loader_started_is_not_accused() -> None:
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


# Law 11: any caller


def stuck_at_first() -> Any:
    """A loader whose first load takes too long, and which returns the number of the load."""
    loads = []

    @cached_singleflight(ttl=60)
    async def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            await asyncio.sleep(PATIENCE)
        return len(loads)

    return load


def test_a_follower_in_another_loop_leads_anew_when_the_loop_of_the_load_ends() -> None:
    """`asyncio.run` cancels its tasks at its end: the follower is told at once."""
    load = stuck_at_first()

    async def start_and_end() -> None:
        starter = asyncio.ensure_future(load())
        await until_async(lambda: waiters(load) == 2)
        assert not starter.done()

    leader = Caller(asyncio.run, start_and_end())
    until(lambda: waiters(load) == 1)
    follower = Caller(asyncio.run, load())
    leader.result()
    assert follower.result() == 2


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_the_flight_of_a_loop_that_was_merely_closed_is_abandoned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    load = stuck_at_first()

    async def start() -> Any:
        task = asyncio.ensure_future(load())
        await until_async(lambda: waiters(load) == 1)
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(start())
    follower = Caller(asyncio.run, load())
    until(lambda: waiters(load) == 2)
    loop.close()

    assert follower.result() == 2
    assert asyncio.run(load()) == 2
    assert not load.in_flight()
    del task, loop
    gc.collect()
    caplog.clear()  # "Task was destroyed but it is pending!" is asyncio's word for such a loop


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager task factories came with Python 3.12")
@in_loop
async def test_a_deadlock_is_seen_with_an_eager_task_factory() -> None:
    factory: Any = asyncio.eager_task_factory  # type: ignore[attr-defined,unused-ignore]
    asyncio.get_running_loop().set_task_factory(factory)

    @cached_singleflight(ttl=60)
    async def load(key: int) -> int:
        return await load(key)

    with pytest.raises(FlightDeadlock):
        await load(1)


@in_loop
async def test_an_error_keeps_no_callers_frame_alive() -> None:
    """Not even where the load raised at once, in its caller's stack (Python 3.12+)."""

    class Mark:
        pass

    @singleflight
    async def load() -> None:
        raise Boom

    @singleflight
    async def own() -> None:
        await own()

    @singleflight(wait_timeout=0.01)
    async def slow() -> None:
        await asyncio.Event().wait()

    async def caller(function: Any, error: type[Exception]) -> None:
        mark = Mark()
        marks.append(weakref.ref(mark))
        with pytest.raises(error):
            await function()

    marks: list[weakref.ref[Mark]] = []
    gc.disable()
    try:
        for function, error in ((load, Boom), (own, FlightDeadlock), (slow, WaitTimeout)):
            await asyncio.create_task(caller(function, error))
        await until_async(lambda: not task_loads.loads)
        assert [mark() for mark in marks] == [None, None, None]
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_follower_whose_loop_was_closed_does_not_disturb_the_landing(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """A follower whose loop is gone harms nobody at the landing."""
    group = Group()
    leader = Caller(group.do, "k", lambda: [gate(), 1][1])
    gate.arrived()
    loop = asyncio.new_event_loop()

    async def one() -> int:
        return 1

    async def begin() -> None:
        task = asyncio.ensure_future(group.do_async("k", one))
        await until_async(lambda: waiters(group) == 1)
        assert not task.done()

    loop.run_until_complete(begin())
    loop.close()
    gate.open()
    assert leader.result() == 1
    seen = weakref.ref(loop)
    del loop
    until(lambda: gc.collect() >= 0 and seen() is None)
    caplog.clear()


def timers(loop: Any) -> list[Any]:
    return [handle for handle in loop._scheduled if not handle.cancelled()]


def test_no_poll_is_left_behind(gate: Gate) -> None:
    """What looks after a flight of another loop ends with it."""
    group, stop = Group(), threading.Event()

    async def load() -> int:
        await until_async(stop.is_set)
        return 1

    leader = Caller(lambda: asyncio.run(group.do_async("k", load)))
    until(lambda: waiters(group) == 1)

    async def follow() -> list[Any]:
        tasks = [asyncio.ensure_future(group.do_async("k", load)) for _ in range(3)]
        await until_async(lambda: waiters(group) == 4)
        stop.set()
        assert await asyncio.gather(*tasks) == [1] * 3
        return timers(asyncio.get_running_loop())

    assert asyncio.run(follow()) == []
    leader.result()


def test_no_timer_of_wait_timeout_is_left_behind() -> None:
    """A timer of wait_timeout ends with the wait."""

    @cached_singleflight(ttl=60, wait_timeout=1000)
    async def load() -> int:
        await asyncio.sleep(0)
        return 1

    async def main() -> list[Any]:
        assert await load() == 1
        return timers(asyncio.get_running_loop())

    assert asyncio.run(main()) == []


@pytest.mark.parametrize("aboard", ["starter", "nobody"])
def test_no_cycle_keeps_an_interruption_alive(aboard: str) -> None:
    class Interruption(asyncio.CancelledError):
        pass

    @singleflight
    async def load() -> int:
        await asyncio.sleep(0)
        raise Interruption

    async def main() -> Any:
        gc.collect()
        gc.disable()
        try:
            try:
                await load()
            except Interruption as error:
                seen = weakref.ref(error)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return seen()
        finally:
            gc.enable()

    assert asyncio.run(main()) is None


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_an_interruption_of_a_load_whose_starter_has_left(
    interruption: type[BaseException],
) -> None:
    """An interruption whose starter has left goes to the loop, unless it only ends tasks."""
    loads: list[int] = []
    handled: list[Any] = []

    @singleflight
    async def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            await asyncio.wait_for(go.wait(), 10)
            raise interruption
        return len(loads)

    async def main() -> int:
        global go
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: handled.append(context))
        go = asyncio.Event()
        starter, other = [asyncio.ensure_future(load()) for _ in range(2)]
        await until_async(lambda: waiters(load) == 2)
        starter.cancel()
        await until_async(lambda: waiters(load) == 1)
        go.set()
        value = await other
        gc.collect()
        await asyncio.sleep(0)
        return value

    if interruption is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
        handled.clear()  # it holds the exception, that its traceback
    else:
        assert asyncio.run(main()) == 2
        gc.collect()
        assert not handled  # of a KeyboardInterrupt asyncio has a word of its own


def test_a_load_without_a_task_raises_and_leaves_nobody_waiting() -> None:
    """A task that could not be made."""
    group = Group()
    followers: list[Caller] = []

    async def one() -> int:
        return 1

    def factory(loop: Any, coro: Any, **options: Any) -> Any:
        followers.append(Caller(lambda: asyncio.run(group.do_async("k", one))))
        until(lambda: waiters(group) == 2)
        raise Boom

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        try:
            with pytest.raises(Boom):
                await group.do_async("k", one)
        finally:
            loop.set_task_factory(None)
        assert await group.do_async("k", one) == 1

    asyncio.run(main())
    assert followers[0].result() == 1
    gc.collect()


def test_an_interrupt_at_any_line_of_a_tasks_landing_leaves_nobody_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An interruption of the landing of a task's load."""

    codes = {FlightTable.land.__code__, FlightTable._off.__code__}

    async def anew() -> str:
        return "anew"

    at, struck = 0, True
    while struck:
        struck = False
        group, gate = Group(), Gate()
        left = at

        def trace(frame: Any, event: str, arg: object) -> Any:
            nonlocal left, struck
            if frame.f_code is task_loads._run.__code__:
                return trace
            if frame.f_code not in codes:
                return None
            if event == "line":
                if left == 0:
                    struck = True
                    sys.settrace(None)
                    raise KeyboardInterrupt
                left -= 1
            return trace

        async def load(gate: Gate = gate, trace: Any = trace) -> str:
            await asyncio.sleep(0)
            gate()
            sys.settrace(trace)
            # The frames that are there already need it as well.
            frame = sys._getframe().f_back
            while frame is not None:
                frame.f_trace = trace
                frame = frame.f_back
            return "k"

        loop = asyncio.new_event_loop()  # one that an interruption stops, and does not close
        leader = Caller(
            lambda loop=loop, group=group, load=load: loop.run_until_complete(
                group.do_async("k", load)
            )
        )
        gate.arrived()
        follower = Caller(group.do, "k", lambda: "anew")
        until(lambda group=group: waiters(group) == 2)
        gate.open()
        assert follower.result() in ("k", "anew")
        leader.join()
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert len(group) == 0
        at += 1
    assert at > 5
    gc.collect()
    caplog.clear()  # "exception was never retrieved": asyncio's word for an interrupted task


def test_the_poll_ends_when_everyone_of_its_loop_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks after a flight that everyone of this loop has left."""

    monkeypatch.setattr(_tasks, "POLL", 0.001)
    group, stop = Group(), threading.Event()

    async def load() -> int:
        await until_async(stop.is_set)
        return 1

    leader = Caller(lambda: asyncio.run(group.do_async("k", load)))
    until(lambda: waiters(group) == 1)

    async def follow() -> None:
        loop = asyncio.get_running_loop()
        polls = lambda: [t for t in timers(loop) if "watch" in repr(t._callback)]  # noqa: E731
        task = asyncio.ensure_future(group.do_async("k", load))
        await until_async(lambda: waiters(group) == 2)
        assert polls()
        task.cancel()
        await until_async(lambda: waiters(group) == 1)
        await until_async(lambda: not polls())

    try:
        asyncio.run(follow())
    finally:
        stop.set()
    leader.result()


def test_a_task_that_comes_when_its_flight_has_just_landed_gets_what_landed(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = Group()
    leader = Caller(group.do, "k", lambda: [gate(), 1][1])
    gate.arrived()

    async def two() -> int:
        return 2

    follows_late(monkeypatch, lambda: (gate.open(), leader.result()))
    assert asyncio.run(group.do_async("k", two)) == 1


def test_a_starter_that_leaves_after_wait_timeout_leaves_no_load_behind() -> None:
    """A starter whose wait_timeout passed does not start a second load on its way out."""
    events: list[str] = []

    @singleflight(wait_timeout=0.01)
    async def load() -> None:
        events.append("load")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cancelled")

    async def main() -> None:
        with pytest.raises(WaitTimeout):
            await load()
        await until_async(lambda: len(events) == 2)
        assert load.stats().misses == 1

    asyncio.run(main())
    assert events == ["load", "cancelled"]


def test_a_task_that_is_cancelled_before_its_first_step_answers_its_caller() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        created: list[asyncio.Task[Any]] = []

        def factory(loop: Any, coro: Any, **options: Any) -> Any:
            created.append(asyncio.Task(coro, loop=loop, **options))
            return created[-1]

        @cached_singleflight(ttl=60)
        async def load() -> int:
            return 1

        loop.set_task_factory(factory)
        caller = loop.create_task(load())
        while len(created) < 2:
            await asyncio.sleep(0)
        created[1].cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert caller.cancelled()
        assert not load.in_flight()

    asyncio.run(main())


@in_loop
async def test_a_refresh_that_is_cancelled_before_its_first_step_leaves_no_coroutine() -> None:
    @cached_singleflight(ttl=60)
    async def load() -> None: ...

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (refresher,) = in_tasks(1, load.refresh)
        refresher.cancel()
        with pytest.raises(asyncio.CancelledError):
            await refresher
    assert not caught
