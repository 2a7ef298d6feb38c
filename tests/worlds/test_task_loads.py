"""What only loads that are tasks do: they are left, cancelled, interrupted, and end with a loop."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
import weakref
from typing import Any

import pytest

from conftest import (
    PATIENCE,
    AsyncGate,
    Boom,
    Caller,
    Gate,
    follows_late,
    in_loop,
    in_tasks,
    until,
    until_async,
    waiters,
)
from soloflight import FlightDeadlock, Group, WaitTimeout, cached_singleflight, singleflight
from soloflight._flights.table import FlightTable
from soloflight._worlds import task_loads
from soloflight._worlds import tasks as _tasks


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


def test_a_follower_that_leaves_before_the_load_has_begun_does_not_end_it() -> None:
    """It comes and goes when the starter is on the table already, and not aboard yet."""
    before: list[Any] = []

    async def come_and_go() -> None:
        (follower,) = in_tasks(1, load)
        await until_async(lambda: waiters(load) == 1)
        follower.cancel()
        with pytest.raises(asyncio.CancelledError):
            await follower

    def timer() -> float:  # the starter looks when it begins (and before, for an entry)
        if before and load._core.table.flights:
            Caller(asyncio.run, before.pop()()).result()
        return 0.0

    @cached_singleflight(ttl=60, timer=timer)
    async def load() -> int:
        return 1

    before.append(come_and_go)
    assert asyncio.run(load()) == 1
    stats = load.stats()
    assert (stats.misses, stats.abandoned) == (1, 0)
    assert load.peek()


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
        until(lambda: waiters(group) == 1)
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
            if frame.f_code is task_loads.TaskLoad._run.__code__:
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


@in_loop
async def test_a_starter_that_is_interrupted_before_it_boards_leaves_no_load_behind() -> None:
    def interrupted(*args: Any) -> None:
        raise asyncio.CancelledError

    @singleflight
    async def load() -> None:
        await asyncio.Event().wait()

    tasks = asyncio.all_tasks()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(asyncio.CancelledError):
        patch.setattr(FlightTable, "board", interrupted)
        await load()
    await until_async(lambda: not load.in_flight())
    await until_async(lambda: asyncio.all_tasks() == tasks)


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
