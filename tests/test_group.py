"""`Group`: keys and functions known only at run time; threads, tasks and futures together."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest

from conftest import Caller, Gate, until, until_async, waiters
from soloflight import FlightDeadlock, Group


class Boom(Exception):
    pass


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
    del loop
    gc.collect()
    caplog.clear()  # "Task was destroyed but it is pending!" is asyncio's word for such a loop
