"""Where the stack runs out, and where there are very many tasks."""

from __future__ import annotations

import _thread
import asyncio
import sys
import threading
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

import interpreters
from conftest import PATIENCE, Caller, until, until_async, waiters
from soloflight import Group, cached_singleflight, singleflight
from soloflight._worlds import tasks as _tasks
from soloflight._worlds import threads
from stack import with_room


class Loader:
    """Its first load waits until it is told to end; without a frame of its own for that."""

    def __init__(self) -> None:
        first, go = self.first, self.go = threading.Lock(), threading.Lock()
        go.acquire()

        def load(key: str) -> str:
            if first.acquire(False):
                go.acquire()
            return key

        self.load = load

    def arrived(self) -> bool:
        return self.first.locked()


def cached(load: Any) -> tuple[Any, Any, list[Any]]:
    function: Any = cached_singleflight(ttl=60)(load)
    return function, function, [lambda: Caller(function, "k").result]


def coalesced(load: Any) -> tuple[Any, Any, list[Any]]:
    function: Any = singleflight(load)
    return function, function, [lambda: Caller(function, "k").result]


def grouped(load: Any) -> tuple[Any, Any, list[Any]]:
    group = Group()

    async def load_async(key: str) -> str:
        return key

    async def follow() -> str:
        return await group.do_async("k", load_async, "k")

    return (
        lambda key: group.do(key, load, key),
        group,
        [
            lambda: Caller(group.do, "k", load, "k").result,
            lambda: Caller(asyncio.run, follow()).result,
            lambda: partial(group.submit("k", load, "k").result, PATIENCE),
        ],
    )


def outcomes(make: Any, frames: int) -> set[str]:
    """Of everyone aboard, where the leader has room for so many frames."""
    loader = Loader()
    call, table, follow = make(loader.load)
    leader = Caller(with_room, frames, lambda: call("k"))
    until(lambda: loader.arrived() or not leader.is_alive())
    followers = [start() for start in follow] if loader.arrived() else []
    until(lambda: waiters(table) == len(followers))
    loader.go.release()
    found = set()
    for result in (leader.result, *followers):
        try:
            found.add(result())
        except RecursionError:  # what the loader raised is everybody's
            found.add("no room")
    assert not table.in_flight()
    assert Caller(call, "k").result() == "k"
    return found


@pytest.mark.parametrize("make", [cached, coalesced, grouped])
def test_a_leader_without_room_on_the_stack_leaves_nobody_waiting_and_the_key_free(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "POLL", 0.01)
    monkeypatch.setattr(_tasks, "POLL", 0.01)
    found = [outcomes(make, frames) for frames in range(1, 40)]
    assert set().union(*found) == {"k", "no room"}


class Bare(Executor):
    """Has a thread in one call of C: where there is little room, it needs none."""

    def submit(self, fn: Any, /, *args: Any) -> Any:
        _thread.start_new_thread(fn, args)


def test_a_leader_without_room_on_the_stack_whose_load_is_elsewhere_leaves_the_key_free() -> None:
    for frames in range(1, 40):

        @cached_singleflight(ttl=60, executor=Bare(), wait_timeout=PATIENCE)
        def load(key: str) -> str:
            return key

        assert load("before") == "before"  # what is made at its first use needs room as well
        with suppress(RecursionError):
            Caller(with_room, frames, partial(load, "k")).result()
        until(lambda load=load: not load.in_flight())  # type: ignore[misc]
        assert Caller(load, "k").result() == "k"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_a_task_without_room_on_the_stack_leaves_the_key_free() -> None:
    """From Python 3.12 on, the first step of a load is on the stack of whoever started it.

    What Python itself has no room to say, it says to a hook that needs none.
    """
    interpreters.run(
        """
        import asyncio, logging, sys
        from meeting import Caller
        from soloflight import cached_singleflight
        from stack import with_room

        logging.disable()
        sys.unraisablehook = id  # any that takes no frame

        @cached_singleflight(ttl=60)
        async def load(key):
            return await load(key - 1) if key % 10 else key

        def loads():
            loop = asyncio.new_event_loop()
            try:
                return loop.run_until_complete(load(9)) == 0
            except RecursionError:
                return False
            finally:
                loop.close()

        found = set()
        for frames in range(10, 60):
            found.add(Caller(with_room, frames, loads).result())
            assert not load.in_flight(), frames
            load.clear()
            assert asyncio.run(load(9)) == 0
            load.clear()
        assert found == {False, True}
        """
    )


@pytest.mark.parametrize("is_async", [False, True])
def test_a_recursion_may_be_deep(is_async: bool) -> None:
    levels = sys.getrecursionlimit() // 7  # a load has 4 frames of ours; a loader has one

    @cached_singleflight(ttl=60)
    def load(level: int) -> int:
        return load(level - 1) + 1 if level else 0

    @cached_singleflight(ttl=60)
    async def load_async(level: int) -> int:
        return await load_async(level - 1) + 1 if level else 0

    call = (lambda: asyncio.run(load_async(levels))) if is_async else lambda: load(levels)
    assert Caller(call).result() == levels


@pytest.mark.parametrize("kind", ["cached", "singleflight", "group", "method"])
def test_loads_of_tasks_do_not_nest_on_the_stack(kind: str) -> None:
    """Each is a task of its own: nine of ten frames of the usual limit are still free."""
    group = Group()

    async def load(level: int) -> int:
        return await again(level - 1) + 1 if level else 0

    class Repository:
        @cached_singleflight(ttl=60)
        async def load(self, level: int) -> int:
            return await self.load(level - 1) + 1 if level else 0

    again: Any = {
        "cached": cached_singleflight(ttl=60)(load),
        "singleflight": singleflight(load),
        "group": lambda level: group.do_async(level, load, level),
        "method": Repository().load,
    }[kind]
    levels = sys.getrecursionlimit() * 9 // 10
    assert Caller(lambda: asyncio.run(again(levels))).result() == levels


@pytest.mark.parametrize("loops", [1, 4])
def test_very_many_tasks_share_one_load(loops: int, thorough: bool) -> None:
    number = 100_000 if thorough else 20_000
    opened, loads = threading.Event(), []

    @cached_singleflight(ttl=60)
    async def load(key: str) -> str:
        loads.append(key)
        await until_async(opened.is_set)
        return key

    async def main() -> set[str]:
        tasks = [asyncio.ensure_future(load("k")) for _ in range(number // loops)]
        return set(await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE))

    callers = [Caller(asyncio.run, main()) for _ in range(loops)]
    until(lambda: waiters(load) == number)
    opened.set()
    assert [caller.result() for caller in callers] == [{"k"}] * loops
    assert loads == ["k"]
    assert load.stats().joined == number - 1
