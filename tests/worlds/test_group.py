"""`Group`: keys and functions known only at run time; threads, tasks and futures together."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import sys
import threading
import traceback
import weakref
from concurrent.futures import CancelledError, Future, wait
from typing import Any

import pytest

from conftest import Boom, Caller, Gate, follows_late, ticket, until, until_async, waiters
from soloflight import FlightDeadlock, Group
from soloflight._flights.table import FlightTable
from soloflight._outcome import Error
from soloflight._runners import me
from soloflight._worlds import task_loads, threads

OUR_FRAMES = 0 if sys.version_info >= (3, 11) else 2


# do


def test_do_runs_once_for_concurrent_callers_of_a_key(gate: Gate) -> None:
    group = Group()

    def load(value: int, *, factor: int) -> list[int]:
        gate()
        return [value * factor]

    callers = [Caller(group.do, "k", load, 2, factor=3) for _ in range(5)]
    until(lambda: waiters(group) == 4)
    assert len(group) == 1
    gate.open()
    results = [caller.result() for caller in callers]
    assert results[0] == [6]
    assert len(set(map(id, results))) == 1
    assert len(group) == 0


def test_do_passes_arguments_named_like_its_own() -> None:
    assert Group().do("k", lambda key, fn: (key, fn), key=1, fn=2) == (1, 2)


def test_do_with_a_coroutine_function_says_what_to_use() -> None:
    async def load() -> int:
        return 1

    with pytest.raises(TypeError, match="coroutine"):
        Group().do("k", load)


def test_a_loader_that_asks_for_its_own_key_gets_a_deadlock_error() -> None:
    group = Group()
    with pytest.raises(FlightDeadlock, match=r"Group\['k'\] -> Group\['k'\]"):
        group.do("k", group.do, "k", int)
    assert len(group) == 0


def test_forget_lets_the_next_call_start_a_flight_of_its_own(gate: Gate) -> None:
    group = Group()
    first = Caller(group.do, "k", lambda: [gate(), 1][1])
    gate.arrived()
    assert group.forget("k") is True
    assert group.do("k", lambda: 2) == 2
    assert group.forget("k") is False
    gate.open()
    assert first.result() == 1


def test_a_forgotten_flight_never_takes_its_successor_off_the_table(gate: Gate) -> None:
    group = Group()
    second_gate = Gate()
    first = Caller(group.do, "k", gate)
    gate.arrived()
    group.forget("k")
    second = Caller(group.do, "k", second_gate)
    second_gate.arrived()
    gate.open()
    first.result()
    assert len(group) == 1
    second_gate.open()
    second.result()
    assert len(group) == 0


# do_async


def test_do_async_runs_once_for_concurrent_tasks() -> None:
    async def main() -> None:
        group = Group()
        gate = asyncio.Event()

        async def load(value: int) -> list[int]:
            await gate.wait()
            return [value]

        callers = [asyncio.ensure_future(group.do_async("k", load, 1)) for _ in range(5)]
        await until_async(lambda: waiters(group) == 5)
        gate.set()
        assert len({id(await caller) for caller in callers}) == 1
        assert len(group) == 0

    asyncio.run(main())


def test_a_task_joins_the_flight_of_a_thread(gate: Gate) -> None:
    group = Group()

    async def never() -> str:
        raise AssertionError

    thread = Caller(group.do, "k", lambda: [gate(), "thread"][1])
    gate.arrived()
    task = Caller(lambda: asyncio.run(group.do_async("k", never)))
    until(lambda: waiters(group) == 1)
    gate.open()
    assert thread.result() == task.result() == "thread"


def test_a_thread_joins_the_flight_of_a_task() -> None:
    group = Group()
    opened = threading.Event()

    async def load() -> str:
        await until_async(opened.is_set)
        return "task"

    task = Caller(lambda: asyncio.run(group.do_async("k", load)))
    until(lambda: waiters(group) == 1)
    thread = Caller(group.do, "k", str)
    until(lambda: waiters(group) == 2)
    opened.set()
    assert thread.result() == task.result() == "task"


def test_a_thread_keeps_a_tasks_flight_alive_when_every_task_has_left() -> None:
    group = Group()
    opened = threading.Event()

    async def load() -> str:
        await until_async(opened.is_set)
        return "task"

    async def main() -> str:
        caller = asyncio.ensure_future(group.do_async("k", load))
        await until_async(lambda: waiters(group) == 2)
        caller.cancel()
        await until_async(lambda: waiters(group) == 1)
        opened.set()
        await until_async(lambda: len(group) == 0)  # it lands before the loop ends
        return await group.do_async("other", load)

    loop = Caller(lambda: asyncio.run(main()))
    until(lambda: waiters(group) == 1)
    thread = Caller(group.do, "k", str)
    assert thread.result() == "task"
    loop.result()


def test_a_thread_that_would_block_the_loop_that_runs_its_leader_gets_a_deadlock_error() -> None:
    async def main() -> None:
        group = Group()
        gate = asyncio.Event()
        task = asyncio.ensure_future(group.do_async("k", gate.wait))
        await until_async(lambda: waiters(group) == 1)
        with pytest.raises(FlightDeadlock, match="Group"):
            group.do("k", int)
        gate.set()
        assert await task is True

    asyncio.run(main())


def test_a_loop_that_asks_for_the_key_of_the_thread_that_runs_it_gets_a_deadlock_error() -> None:
    group = Group()

    async def never() -> None:
        raise AssertionError

    with pytest.raises(FlightDeadlock, match=r"Group\['k'\] -> Group\['k'\]"):
        group.do("k", lambda: asyncio.run(group.do_async("k", never)))
    assert len(group) == 0


@pytest.mark.parametrize("call", ["do", "do_async", "submit"])
def test_an_error_has_the_traceback_of_the_loader_alone(call: str) -> None:
    group = Group()

    def load() -> None:
        raise Boom

    async def load_async() -> None:
        raise Boom

    async def main() -> None:
        await group.do_async("k", load_async)

    with pytest.raises(Boom) as caught:
        if call == "do":
            group.do("k", load)
        elif call == "submit":
            group.submit("k", load).result(20)
        else:
            asyncio.run(main())
    frames = traceback.extract_tb(caught.value.__traceback__)
    ours = [frame for frame in frames if "soloflight/" in frame.filename.replace("tests", "")]
    assert frames[-1].name.startswith("load")
    assert len([f for f in ours if "/src/" in f.filename or "site-packages" in f.filename]) <= (
        OUR_FRAMES
    )


def test_a_cycle_of_a_thread_and_a_task_gets_a_deadlock_error() -> None:
    group = Group()
    both = threading.Barrier(2)

    def in_thread() -> Any:
        both.wait()
        return group.do("task", int)

    async def in_task() -> Any:
        await asyncio.get_running_loop().run_in_executor(None, both.wait)
        return await group.do_async("thread", asyncio.sleep, 0)

    callers = [
        Caller(group.do, "thread", in_thread),
        Caller(lambda: asyncio.run(group.do_async("task", in_task))),
    ]
    for caller in callers:
        with pytest.raises(FlightDeadlock):
            caller.result()
    assert len(group) == 0


# submit


def test_submit_runs_on_a_thread_in_the_callers_context_and_is_shared(gate: Gate) -> None:
    group = Group()
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")

    def load() -> tuple[str, int]:
        gate()
        return variable.get(), threading.get_ident()

    futures = [group.submit("k", load) for _ in range(3)]
    assert len(set(map(id, futures))) == 3
    gate.open()
    results = [future.result(20) for future in futures]
    assert len(set(results)) == 1
    assert results[0][0] == "set"
    assert results[0][1] != threading.get_ident()


def test_cancelling_one_future_touches_neither_the_flight_nor_the_others(gate: Gate) -> None:
    group = Group()
    first, second = [group.submit("k", lambda: [gate(), 1][1]) for _ in range(2)]
    assert waiters(group) == 2
    assert first.cancel() is True
    assert waiters(group) == 1
    gate.open()
    assert second.result(20) == 1
    with pytest.raises(CancelledError):
        first.result()
    assert second.cancel() is False


def test_submit_hands_over_errors() -> None:
    def load() -> None:
        raise Boom

    with pytest.raises(Boom):
        Group().submit("k", load).result(20)


def test_an_interruption_goes_to_the_future_that_started_the_load(gate: Gate) -> None:
    group = Group()

    def load() -> int:
        gate()
        if gate.arrivals == 1:
            raise SystemExit
        return 2

    first = group.submit("k", load)
    gate.arrived()
    second = group.submit("k", load)
    gate.open()
    assert second.result(20) == 2
    assert isinstance(first.exception(20), SystemExit)


def test_submit_without_a_thread_to_run_on_raises_and_leaves_the_key_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    group = Group()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            group.submit("k", int)
    assert len(group) == 0
    assert group.do("k", lambda: 1) == 1


def test_the_others_of_a_flight_without_a_thread_are_answered(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A future that relied on another one's thread, which could not be started, leads itself."""
    group = Group()
    start = threading.Thread.start
    second: list[Future[int]] = []

    def refuse_once(self: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        second.append(group.submit("k", lambda: 2))
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        group.submit("k", lambda: 1)
    assert second[0].result(20) == 2


@pytest.mark.parametrize("leader", ["thread", "future"])
def test_a_future_that_finds_its_flight_landed_gets_what_landed(leader: str) -> None:
    """Eight callers at once, many times over, of a load that takes no time."""
    group = Group()
    both = threading.Barrier(8)

    def submit() -> None:
        for n in range(200):
            both.wait()
            if leader == "thread":
                group.do(n, int)
            assert group.submit(n, lambda n=n: n).result(20) in (n, 0)

    for caller in [Caller(submit) for _ in range(8)]:
        caller.result()


def test_a_callback_that_raises_an_interruption_harms_nobody(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(future: Future[int]) -> None:
        raise SystemExit

    group = Group()
    leader = Caller(group.do, "k", lambda: [gate(), 1][1])
    gate.arrived()
    first, second = group.submit("k", int), group.submit("k", int)
    first.add_done_callback(interrupt)
    gate.open()
    assert leader.result() == first.result(20) == second.result(20) == 1
    until(lambda: "callback" in caplog.text)


def test_a_cancelled_future_counts_as_done(gate: Gate) -> None:
    group = Group()
    future = group.submit("k", gate)
    assert future.cancel() is True
    assert future.cancel() is True
    assert future in wait([future], timeout=20).done
    gate.open()


def test_the_load_of_a_cancelled_future_goes_on(gate: Gate) -> None:
    group = Group()
    group.submit("k", lambda: [gate(), 1][1]).cancel()
    second = group.submit("k", int)
    gate.open()
    assert second.result(20) == 1


def test_cancelling_the_last_future_cancels_the_load_of_a_task() -> None:
    cancelled = []

    async def load() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        group = Group()
        task = asyncio.ensure_future(group.do_async("k", load))
        await until_async(lambda: waiters(group) == 1)
        future = group.submit("k", int)
        task.cancel()
        await until_async(lambda: waiters(group) == 1)
        future.cancel()
        await until_async(lambda: bool(cancelled))

    asyncio.run(main())


def test_a_future_keeps_no_argument_alive_once_it_is_done(gate: Gate) -> None:
    class Argument:
        pass

    group = Group()
    argument = Argument()
    seen = weakref.ref(argument)
    leader = Caller(group.do, "k", gate)
    gate.arrived()
    follower = group.submit("k", id, argument)
    gate.open()
    leader.result()
    assert follower.result(20) is None
    led = group.submit("k", type, argument)
    assert led.result(20) is Argument
    del argument
    until(lambda: seen() is None)  # the thread hands over and ends


def test_a_future_with_an_error_is_no_reference_cycle() -> None:
    def load() -> None:
        raise Boom

    future = Group().submit("k", load)
    with pytest.raises(Boom):
        future.result(20)
    seen = weakref.ref(future)
    gc.collect()
    gc.disable()
    try:
        del future
        until(lambda: seen() is None)
    finally:
        gc.enable()


def test_one_error_of_many_futures_does_not_grow_its_traceback(gate: Gate) -> None:
    def load() -> None:
        gate()
        raise Boom

    group = Group()
    futures = [group.submit("k", load) for _ in range(30)]
    gate.open()
    for future in futures:
        with pytest.raises(Boom) as caught:
            future.result(20)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[0] == "test_one_error_of_many_futures_does_not_grow_its_traceback"
    assert names[-1] == "load"
    assert len(names) <= 2 + OUR_FRAMES


def test_a_key_that_cannot_be_one_leaves_nothing_behind() -> None:
    group = Group()

    class Argument:
        pass

    argument = Argument()
    seen = weakref.ref(argument)
    gc.disable()
    try:
        with pytest.raises(TypeError, match="unhashable"):
            group.submit([], id, argument)  # type: ignore[arg-type]
        del argument
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this platform has no SIGUSR1")
def test_a_wait_in_a_signal_handler_hides_no_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler's thread waits for another flight meanwhile; the cycle closes behind its back."""
    monkeypatch.setattr(threads, "POLL", 0.01)
    group, b_goes_on, c_goes_on = Group(), Gate(), Gate()
    b_asked = threading.Event()

    def load_b() -> str:
        b_goes_on()
        b_asked.set()
        return group.do("a", str)

    def load_c() -> None:
        c_goes_on()

    def direct() -> None:
        until(lambda: aboard("b"))
        signal.pthread_kill(main, signal.SIGUSR1)
        until(lambda: aboard("c"))
        b_goes_on.open()
        until(lambda: b_asked.is_set() and aboard("a"))
        c_goes_on.open()

    def aboard(key: str) -> int:
        return next((info.waiters for info in group.in_flight() if info.key == key), 0)

    main = threading.get_ident()
    old = signal.signal(signal.SIGUSR1, lambda *_: group.do("c", load_c))
    try:
        b, c = Caller(group.do, "b", load_b), Caller(group.do, "c", load_c)
        b_goes_on.arrived(), c_goes_on.arrived()
        director = Caller(direct)
        with pytest.raises(FlightDeadlock):
            group.do("a", group.do, "b", load_b)
    finally:
        signal.signal(signal.SIGUSR1, old)
    for caller in (b, c, director):
        try:
            caller.result()
        except FlightDeadlock:
            assert caller is b


def test_a_caller_may_submit_a_key_and_then_wait_for_it(gate: Gate) -> None:
    group = Group()
    future = group.submit("k", lambda: [gate(), 1][1])
    gate.open()
    assert group.do("k", lambda: 1) == 1
    assert future.result(20) == 1


def test_in_flight_names_the_keys(gate: Gate) -> None:
    group = Group()
    futures = [group.submit(key, gate) for key in "ab"]
    assert sorted(info.key for info in group.in_flight()) == ["a", "b"]
    assert len(group) == 2
    gate.open()
    for future in futures:
        future.result(20)


# The flight of an event loop that is no more holds nobody up


def stranded(group: Group) -> asyncio.AbstractEventLoop:
    """A loop that was closed under its flight of "k"."""
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        starter = asyncio.ensure_future(group.do_async("k", asyncio.Event().wait))
        await until_async(lambda: waiters(group) == 1)
        assert not starter.done()

    loop.run_until_complete(begin())
    return loop


def bury(seen: weakref.ref[asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture) -> None:
    """Wait until nobody holds a loop, so that asyncio has its word on it here and nowhere else."""
    until(lambda: gc.collect() >= 0 and seen() is None)
    caplog.clear()  # "Task was destroyed but it is pending!"


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("caller", ["thread", "future", "task"])
def test_who_waits_for_the_flight_of_a_loop_that_is_closed_leads_anew(
    caller: str, caplog: pytest.LogCaptureFixture
) -> None:
    group = Group()
    loop = Caller(stranded, group).result()

    async def one() -> int:
        return 1

    if caller == "thread":
        waiting = Caller(group.do, "k", lambda: 1)
    elif caller == "future":
        waiting = Caller(group.submit("k", lambda: 1).result, 20)
    else:
        waiting = Caller(lambda: asyncio.run(group.do_async("k", one)))
    until(lambda: waiters(group) == 2)
    loop.close()
    assert waiting.result() == 1
    assert len(group) == 0
    seen = weakref.ref(loop)
    del loop, waiting
    bury(seen, caplog)


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_the_flight_of_a_closed_loop_is_no_load_in_progress(
    caplog: pytest.LogCaptureFixture,
) -> None:
    group = Group()
    loop = stranded(group)
    assert len(group) == 1
    loop.close()
    assert len(group) == 0
    assert group.in_flight() == ()
    seen = weakref.ref(loop)
    del loop
    bury(seen, caplog)


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("caller", ["thread", "task that runs a load"])
def test_the_flight_of_a_closed_loop_in_the_same_thread_is_no_deadlock(
    caller: str, caplog: pytest.LogCaptureFixture
) -> None:
    group = Group()
    loop = stranded(group)
    loop.close()

    async def one() -> int:
        return 1

    async def outer() -> int:
        return await group.do_async("k", one)

    if caller == "thread":
        assert group.do("k", lambda: 1) == 1
    else:
        assert asyncio.run(group.do_async("outer", outer)) == 1
    assert len(group) == 0
    seen = weakref.ref(loop)
    del loop
    bury(seen, caplog)


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_wait_that_ended_with_its_loop_is_no_part_of_a_cycle(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    group = Group()
    loop = asyncio.new_event_loop()

    def load() -> str:
        gate()
        return group.do("k", lambda: "a load of its own")

    leader = Caller(group.do, "other", load)
    gate.arrived()

    async def begin() -> None:
        starter = asyncio.ensure_future(group.do_async("k", group.do_async, "other", never))
        await until_async(lambda: [info.waiters for info in group.in_flight()] == [1, 1])
        assert not starter.done()

    async def never() -> None:
        raise AssertionError

    loop.run_until_complete(begin())
    loop.close()
    gate.open()
    assert leader.result() == "a load of its own"
    assert len(group) == 0
    seen = weakref.ref(loop)
    del loop
    bury(seen, caplog)


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("forget", [False, True])
def test_a_load_whose_loop_was_closed_is_given_up_though_nobody_asks_for_its_key(
    forget: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(task_loads, "_many", 0)
    group = Group()
    loop = stranded(group)
    if forget:
        group.forget("k")
    loop.close()

    async def one() -> int:
        return 1

    assert asyncio.run(group.do_async("other", one)) == 1
    seen = weakref.ref(loop)
    del loop
    bury(seen, caplog)


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_caller_whose_loop_was_closed_is_no_longer_aboard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    group = Group()
    closed, cancelled = threading.Event(), threading.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def lead() -> None:
        task = asyncio.ensure_future(group.do_async("k", slow))
        await until_async(closed.is_set)
        assert waiters(group) == 1
        task.cancel()
        await until_async(cancelled.is_set)

    async def follow() -> None:
        following.append(asyncio.ensure_future(group.do_async("k", slow)))
        await until_async(lambda: waiters(group) == 2)

    following: list[asyncio.Task[None]] = []
    leader = Caller(lambda: asyncio.run(lead()))
    until(lambda: waiters(group) == 1)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(follow())
    loop.close()
    closed.set()
    leader.result()
    assert len(group) == 0
    seen = weakref.ref(loop)
    del loop
    following.clear()
    bury(seen, caplog)


@pytest.mark.parametrize("leader", ["future", "thread"])
def test_all_the_futures_of_a_flight_need_one_thread(gate: Gate, leader: str) -> None:
    """One thread for the load, one for all who follow a flight of somebody else."""
    group = Group("crowd")
    others = []
    if leader == "thread":
        others.append(Caller(group.do, "k", gate))
        gate.arrived()
    futures = [group.submit("k", gate) for _ in range(5)]
    assert len([t for t in threading.enumerate() if t.name == "crowd"]) == 1
    assert all(t.daemon for t in threading.enumerate() if t.name == "crowd")  # G31
    gate.open()
    for future in futures:
        future.result(20)
    for other in others:
        other.result()


def test_a_follower_without_a_thread_leaves_the_next_one_a_thread_of_its_own(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread for the first future that follows somebody else's flight."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    group = Group()
    leader = Caller(group.do, "k", lambda: [gate(), 1][1])
    gate.arrived()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            group.submit("k", int)
    assert waiters(group) == 0
    future = group.submit("k", int)
    gate.open()
    assert leader.result() == future.result(20) == 1


def test_a_future_that_followed_is_no_reference_cycle(gate: Gate) -> None:
    """A future that followed is no cycle."""
    group = Group()
    leader = Caller(group.do, "k", lambda: [gate(), 1][1])
    gate.arrived()
    gc.collect()
    gc.disable()
    try:
        future = group.submit("k", int)
        gate.open()
        assert leader.result() == future.result(20) == 1
        seen = weakref.ref(future)
        del future
        until(lambda: seen() is None)
    finally:
        gc.enable()


def test_a_future_that_is_cancelled_while_it_claims_is_not_aboard(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled between two lines of its claim."""
    group = Group()
    leader = Caller(group.do, "k", lambda: [gate(), 1][1])
    gate.arrived()
    claim = FlightTable.claim

    def cancel_first(self: Any, mine: Any, *args: Any, **options: Any) -> Any:
        assert next(iter(mine.waiters.values())).callers[mine].cancel()
        return claim(self, mine, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FlightTable, "claim", cancel_first)
        future = group.submit("k", int)
    assert future.cancelled()
    assert waiters(group) == 0
    gate.open()
    assert leader.result() == 1


def test_nobody_runs_a_submitted_load_before_it_has_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread that submits does not run the load, not even before that has a thread."""
    group, start = Group(), threading.Thread.start
    seen: list[Any] = []

    def look(self: threading.Thread) -> None:
        seen.append(group._table.flights.of("k").load.runner is me.local.thread)
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", look)
        future = group.submit("k", int)
    assert future.result(20) == 0
    assert seen == [False]


def test_a_future_that_comes_when_its_flight_has_just_landed_gets_what_landed(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = Group()
    leader = Caller(group.do, "k", lambda: [gate(), 1][1])
    gate.arrived()
    with monkeypatch.context() as patch:
        follows_late(patch, lambda: (gate.open(), leader.result()))
        future = group.submit("k", lambda: 2)
    assert future.result(4) == 1


def test_a_future_that_leads_anew_without_a_thread_gets_the_error(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A future that has to lead anew and gets no thread."""

    def load() -> None:
        gate()
        raise KeyboardInterrupt

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    group = Group()
    leader = Caller(group.do, "k", load)
    gate.arrived()
    future = group.submit("k", int)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        gate.open()
        assert isinstance(future.exception(4), RuntimeError)
    with pytest.raises(KeyboardInterrupt):
        leader.result()
    assert len(group) == 0


def test_a_future_that_is_being_answered_is_not_cancelled(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A future that is being answered cannot be cancelled any more."""
    cancelled: list[bool] = []
    futures: list[Any] = []
    reset = Error.reset

    def cancel(self: Error, error: BaseException) -> None:
        if not cancelled:
            cancelled.append(futures[0].cancel())
        reset(self, error)

    def load() -> None:
        gate()
        raise Boom

    monkeypatch.setattr(Error, "reset", cancel)
    futures.append(Group().submit("k", load))
    gate.open()
    assert isinstance(futures[0].exception(4), Boom)
    assert cancelled == [False]


@pytest.mark.parametrize("follow", [False, True])
def test_the_exception_of_a_future_has_no_frame_of_ours(gate: Gate, follow: bool) -> None:
    """The exception of a future has the loader's own traceback, also before anybody raises it."""

    def load() -> None:
        gate()
        raise Boom

    group = Group()
    future = group.submit("k", load)
    gate.arrived()
    if follow:
        future = group.submit("k", load)
    gate.open()
    error = future.exception(4)
    assert error is not None and error.__traceback__ is not None
    assert error.__traceback__.tb_frame.f_code is load.__code__


def test_a_submitted_load_that_asks_for_its_own_key_gets_a_deadlock_error() -> None:
    """A submitted load that asks for its own key."""

    group = Group()
    future = group.submit("k", lambda: group.do("k", int))
    assert isinstance(future.exception(4), FlightDeadlock)


def test_a_future_that_joins_one_that_is_just_claiming_is_answered(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aboard and manned before it is on the table."""
    group = Group()
    second: list[Any] = []
    claim = FlightTable.claim

    def claim_and_be_joined(self: Any, *args: Any, **options: Any) -> Any:
        entry = claim(self, *args, **options)
        if not second:
            second.append(None)
            second[0] = group.submit("k", int)
        return entry

    monkeypatch.setattr(FlightTable, "claim", claim_and_be_joined)
    first = group.submit("k", lambda: [gate(), 1][1])
    assert waiters(group) == 2
    gate.open()
    assert first.result(4) == second[0].result(4) == 1


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_any_interruption_goes_to_the_future_that_started_the_load_alone(
    gate: Gate, interruption: type[BaseException]
) -> None:
    group = Group()

    def load() -> int:
        gate()
        if gate.arrivals == 1:
            raise interruption
        return 2

    first = group.submit("k", load)
    gate.arrived()
    second = group.submit("k", load)
    gate.open()
    assert second.exception(4) is None  # (raised in a test it would stop pytest)
    assert second.result(4) == 2
    assert isinstance(first.exception(4), interruption)


def test_a_landing_compares_no_keys(gate: Gate) -> None:
    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if armed:
                raise RuntimeError("incomparable")
            return self is other

    armed: list[int] = []
    keys = Key(), Key()
    group = Group()
    other = Caller(group.do, keys[0], gate)
    gate.arrived()
    future = group.submit(keys[1], lambda: armed.append(1))
    assert future.exception(4) is None
    until(lambda: len(group) == 1)
    gate.open()
    other.result()
    assert len(group) == 0


def test_a_future_that_has_ended_leads_no_more(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A future that has ended asks for no flight any more."""
    tried: list[threading.Thread] = []

    def refuse(self: threading.Thread) -> None:
        tried.append(self)
        raise RuntimeError("no thread")

    group = Group()
    future = group.submit("k", gate)
    assert future.cancel()
    gate.open()
    until(lambda: len(group) == 0)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    future.landed(ticket("k"))  # as a crew does that had taken it just before
    assert len(group) == 0
    assert not tried


def test_a_future_that_is_handed_on_while_it_claims_is_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its flight is abandoned, and it is taken on to another, before `submit` has returned."""
    group = Group()
    first, second, boarded, handed_on = Gate(), Gate(), Gate(), threading.Event()
    claim = FlightTable.claim

    def slow(self: Any, mine: Any, *args: Any, **options: Any) -> Any:
        entry = claim(self, mine, *args, **options)
        if mine.following is not None:
            if threading.current_thread() in submitters:
                boarded()
            elif submitters[0].is_alive():
                boarded.open()  # before this thread has manned the crew that it has boarded
                submitters[0].join(20)
                handed_on.set()
        return entry

    def interrupted() -> None:
        first()
        raise SystemExit

    starter = group.submit("k", interrupted)
    first.arrived()
    monkeypatch.setattr(FlightTable, "claim", slow)
    submitters: list[threading.Thread] = []

    def submit() -> Any:
        submitters.append(threading.current_thread())
        return group.submit("k", int)

    submitter = Caller(submit)
    boarded.arrived()
    group.forget("k")
    leader = Caller(group.do, "k", lambda: [second(), 2][1])
    second.arrived()
    first.open()
    future = submitter.result()
    second.open()
    assert leader.result() == future.result(20) == 2
    assert handed_on.is_set()
    with pytest.raises(SystemExit):
        starter.result(20)


def test_a_future_that_is_being_cancelled_does_not_load_again(gate: Gate) -> None:
    """Its load was interrupted between two lines of its `cancel`."""
    group, loads = Group(), []

    def interrupted() -> None:
        loads.append(1)
        gate()
        raise KeyboardInterrupt

    future = group.submit("k", interrupted)
    gate.arrived()
    assert future._ended.take(object())  # what `cancel` does first
    gate.open()
    until(lambda: len(group) == 0)
    assert loads == [1]
    future._ended.clear()
    assert future.cancel()
