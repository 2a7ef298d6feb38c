"""Rings of loads, each of which waits for the next: law 9 in every mix of threads and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import Any

import pytest

from conftest import PATIENCE, Caller, Gate, until, until_async, waiters
from soloflight import FlightDeadlock, Group, cached_singleflight, singleflight

# How a member leads. The first three load in a thread, the others in a task.
KINDS = ("def", "do", "submit", "async def", "do_async")


def rings(length: int) -> list[tuple[str, ...]]:
    """Every ring, once for all its rotations, in which each member can ask for the next."""
    return sorted(
        {
            min(ring[i:] + ring[:i] for i in range(length))
            for ring in product(KINDS, repeat=length)
            # A thread has no way to wait for an async def but a loop of its own.
            if all(
                not (kind in KINDS[:3] and ring[(i + 1) % length] == "async def")
                for i, kind in enumerate(ring)
            )
        }
    )


class Ring:
    """Loads that all begin before any of them asks for the next one."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds
        self.group = Group()
        self.begun: set[int] = set()
        self.plain: Any = singleflight(name="plain")(self.load)
        self.coroutine: Any = singleflight(name="coroutine")(self.load_async)

    def everybody(self) -> bool:
        return len(self.begun) == len(self.kinds)

    def load(self, member: int) -> Any:
        self.begun.add(member)
        until(self.everybody)
        return self.ask((member + 1) % len(self.kinds))

    async def load_async(self, member: int) -> Any:
        self.begun.add(member)
        await until_async(self.everybody)
        member = (member + 1) % len(self.kinds)
        if self.kinds[member] == "def":
            return self.ask(member)  # which blocks the loop
        return await self.ask_async(member)

    def ask(self, member: int) -> Any:
        """Lead or follow in a thread."""
        if self.kinds[member] == "def":
            return self.plain(member)
        return self.group.do(member, self.load, member)

    def ask_async(self, member: int) -> Awaitable[Any]:
        """Lead or follow in a task."""
        if self.kinds[member] == "async def":
            return self.coroutine(member)
        return self.group.do_async(member, self.load_async, member)

    async def lead_async(self, members: list[int]) -> list[Any]:
        asking = asyncio.gather(*map(self.ask_async, members), return_exceptions=True)
        return await asyncio.wait_for(asking, PATIENCE)

    def start(self, one_loop: bool) -> list[Callable[[], list[Any]]]:
        """Let every member lead; returns what waits for their outcomes."""
        in_tasks = [i for i, kind in enumerate(self.kinds) if kind in KINDS[3:]]
        loops = [in_tasks] if one_loop else [[i] for i in in_tasks]
        results = [Caller(asyncio.run, self.lead_async(loop)).result for loop in loops if loop]
        for member, kind in enumerate(self.kinds):
            if kind == "submit":
                future = self.group.submit(member, self.load, member)
                results.append(lambda future=future: [future.exception(PATIENCE)])
            elif member not in in_tasks:
                results.append(Caller(self.outcome, member).result)
        return results

    def outcome(self, member: int) -> list[Any]:
        try:
            return [self.ask(member)]
        except Exception as error:
            return [error]


@pytest.mark.parametrize("one_loop", [False, True], ids=["loops", "one-loop"])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_everyone_in_a_ring_gets_a_deadlock_error(length: int, one_loop: bool) -> None:
    for kinds in rings(length):
        ring = Ring(kinds)
        outcomes = [outcome for result in ring.start(one_loop) for outcome in result()]
        assert [type(outcome) for outcome in outcomes] == [FlightDeadlock] * length, kinds
        if not one_loop:  # there, what blocks the loop may close a shorter cycle
            assert all(f"[{member}]" in str(outcomes[0]) for member in range(length)), kinds
        for table in (ring.group, ring.plain, ring.coroutine):
            assert not table.in_flight(), kinds


# Loops that a loader runs


@pytest.mark.parametrize("led", ["elsewhere", "in the loop"])
@pytest.mark.parametrize("kind", ["do", "submit", "executor"])
def test_a_cycle_round_a_loaders_own_event_loop_is_seen(kind: str, led: str) -> None:
    """`a` runs a loop; its main task waits for `c`, or for `b` and that for `c`; `c` needs `a`."""
    group, begun, executor = Group(), Gate(), ThreadPoolExecutor(1)

    async def load_b() -> Any:
        return await group.do_async("c", load_b)

    def load_a() -> Any:
        begun.arrived()
        begun.open()
        return asyncio.run(group.do_async("c" if led == "elsewhere" else "b", load_b))

    a: Callable[[], Any] = partial(group.do, "a", load_a)
    if kind == "executor":
        a = cached_singleflight(ttl=60, executor=executor, wait_timeout=PATIENCE)(load_a)

    def load_c() -> Any:
        begun()
        return a()

    other = Caller(group.do, "c", load_c)
    first = group.submit("a", load_a).result if kind == "submit" else Caller(a).result
    with pytest.raises(FlightDeadlock, match=r"\['c'\]"):
        first()
    with pytest.raises(FlightDeadlock):
        other.result()
    assert not group.in_flight()
    executor.shutdown()


def test_a_background_task_in_a_loaders_own_event_loop_is_not_accused(gate: Gate) -> None:
    """The loader does not wait for it: what it waits for needs the loader, which ends."""
    group, loading = Group(), Gate()
    tasks: list[Any] = []

    def load_b() -> Any:
        loading()
        return group.do("a", int)

    async def main() -> str:
        tasks.append(asyncio.ensure_future(group.do_async("b", load_nothing)))
        waits = {"a": 1, "b": 1}  # the task for b, and b's loader for a
        await until_async(lambda: {f.key: f.waiters for f in group.in_flight()} == waits)
        return "a"

    async def load_nothing() -> None: ...

    def load_a() -> Any:
        loading.arrived()
        loading.open()
        return asyncio.run(main())

    other = Caller(group.do, "b", load_b)
    leader = Caller(group.do, "a", load_a)
    assert leader.result() == "a"
    assert other.result() == "a"
    assert tasks[0].cancelled()


def test_a_loop_that_another_thread_runs_now_blocks_nobody() -> None:
    group, loop = Group(), asyncio.new_event_loop()
    opened = asyncio.Event()

    async def load() -> str:
        await opened.wait()
        return "value"

    async def begin() -> Any:
        task = asyncio.ensure_future(group.do_async("k", load))
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(begin())
    runs = Caller(loop.run_forever)
    follower = Caller(group.do, "k", int)
    until(lambda: waiters(group) == 2)

    def wait_here() -> str:
        loop.call_soon_threadsafe(loop.call_later, 0.01, opened.set)
        return group.do("k", lambda: "a load of its own")

    try:
        assert wait_here() == follower.result() == "value"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        runs.result()
        del task
        loop.close()


def test_a_loop_that_moved_to_this_thread_is_blocked_by_it() -> None:
    """Whoever runs it now must not wait for what it has to run."""
    group, loop = Group(), asyncio.new_event_loop()

    async def begin() -> Any:
        task = asyncio.ensure_future(group.do_async("k", asyncio.Event().wait))
        await asyncio.sleep(0)
        return task

    task = Caller(loop.run_until_complete, begin()).result()

    async def blocks() -> Any:
        with pytest.raises(FlightDeadlock):
            group.do("k", int)
        task.cancel()
        await asyncio.wait([task])

    loop.run_until_complete(blocks())
    loop.close()
    assert not group.in_flight()
