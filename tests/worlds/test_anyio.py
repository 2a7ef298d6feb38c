"""Callers on anyio and trio: what works is the same as elsewhere, and the rest is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Gate, until, until_async, waiters
from soloflight import Group, cached_singleflight

anyio = pytest.importorskip("anyio")
trio = pytest.importorskip("trio")

BACKENDS = ["asyncio", "trio"]


def until_aboard(function: Any, number: int) -> Callable[[], None]:
    return lambda: until(lambda: waiters(function) == number)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_plain_function_in_worker_threads_loads_once(backend: str, gate: Gate) -> None:
    @cached_singleflight(ttl=60)
    def load(key: str) -> str:
        gate()
        return key

    async def main() -> None:
        values = []

        async def call() -> None:
            values.append(await anyio.to_thread.run_sync(load, "k"))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
            await anyio.to_thread.run_sync(until_aboard(load, 4))
            gate.open()
        assert values == ["k"] * 5

    anyio.run(main, backend=backend)
    assert gate.arrivals == 1


def test_trios_own_threads_load_once(gate: Gate) -> None:
    @cached_singleflight(ttl=60)
    def load(key: str) -> str:
        gate()
        return key

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(trio.to_thread.run_sync, load, "k")
            await trio.to_thread.run_sync(until_aboard(load, 2))
            gate.open()
        assert await trio.to_thread.run_sync(load, "k") == "k"

    trio.run(main)
    assert gate.arrivals == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_worker_thread_that_is_left_behind_goes_on_for_the_others(
    backend: str, gate: Gate
) -> None:
    """``abandon_on_cancel``: its task is cancelled, its thread is not."""

    @cached_singleflight(ttl=60)
    def load(key: str) -> str:
        gate()
        return key

    async def main() -> None:
        values, scope = [], anyio.CancelScope()

        async def leave() -> None:
            with scope:
                await anyio.to_thread.run_sync(load, "k", abandon_on_cancel=True)

        async def stay() -> None:
            values.append(await anyio.to_thread.run_sync(load, "k"))

        async with anyio.create_task_group() as group:
            group.start_soon(leave)
            await anyio.to_thread.run_sync(gate.arrived)
            group.start_soon(stay)
            await anyio.to_thread.run_sync(until_aboard(load, 1))
            scope.cancel()
            gate.open()
        assert scope.cancelled_caught
        assert values == ["k"]

    anyio.run(main, backend=backend)
    assert gate.arrivals == 1


@pytest.mark.parametrize("cancelled", [0, 2], ids=["the first", "a later one"])
def test_cancelling_the_scope_of_one_caller_leaves_the_others_alone(cancelled: int) -> None:
    async def main() -> None:
        opened, loads = anyio.Event(), []
        scopes = [anyio.CancelScope() for _ in range(3)]
        values: dict[int, str] = {}

        @cached_singleflight(ttl=60)
        async def load(key: str) -> str:
            loads.append(key)
            await opened.wait()
            return key

        async def call(number: int) -> None:
            with scopes[number]:
                values[number] = await load("k")

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(call, number)
            await until_async(lambda: waiters(load) == 3)
            scopes[cancelled].cancel()
            await until_async(lambda: waiters(load) == 2)
            opened.set()
        assert values == {number: "k" for number in range(3) if number != cancelled}
        assert scopes[cancelled].cancelled_caught
        assert loads == ["k"]

    anyio.run(main)


def test_when_every_scope_is_cancelled_so_is_the_load() -> None:
    async def main() -> None:
        begun, ended = [], anyio.Event()

        @cached_singleflight(ttl=60)
        async def load(key: str) -> str:
            begun.append(key)
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()
            return key

        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(load, "k")
                await until_async(lambda: begun and waiters(load) == 3)
                scope.cancel()
        assert scope.cancelled_caught
        with anyio.fail_after(20):
            await ended.wait()
        assert not load.in_flight()

    anyio.run(main)


def test_a_scope_inside_of_a_load_ends_within_it() -> None:
    async def main() -> None:
        @cached_singleflight(ttl=60)
        async def load(key: str) -> str:
            with anyio.move_on_after(0.01):
                await anyio.sleep_forever()
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 0)
            return key

        assert await load("k") == "k"

    anyio.run(main)


def test_an_error_in_a_task_group_of_a_load_lands() -> None:
    async def main() -> None:
        async def fail() -> None:
            raise ValueError

        @cached_singleflight(ttl=60)
        async def load(key: str) -> str:
            async with anyio.create_task_group() as group:
                group.start_soon(fail)
                await anyio.sleep_forever()
            return key

        results = await asyncio.gather(*[load("k") for _ in range(3)], return_exceptions=True)
        assert {type(result).__name__ for result in results} == {"ExceptionGroup"}
        assert load.stats().misses == 1

    anyio.run(main)


def test_a_worker_thread_may_load_through_the_event_loop() -> None:
    """``anyio.from_thread`` in a loader; tasks and threads share its flight."""

    async def main() -> None:
        group, loads = Group(), []

        async def load_async() -> str:
            loads.append("async")
            await until_async(lambda: waiters(group) == 2)
            return "k"

        def load() -> Any:
            return anyio.from_thread.run(load_async)

        values = []

        async def call() -> None:
            values.append(await anyio.to_thread.run_sync(group.do, "k", load))

        async def follow() -> None:
            await until_async(lambda: loads)
            values.append(await group.do_async("k", load_async))

        async with anyio.create_task_group() as tasks:
            for task in (call, follow, follow):
                tasks.start_soon(task)
        assert values == ["k"] * 3
        assert loads == ["async"]

    anyio.run(main)


def test_a_thread_may_call_through_a_portal(gate: Gate) -> None:
    @cached_singleflight(ttl=60)
    async def load(key: str) -> str:
        await anyio.to_thread.run_sync(gate)
        return key

    with anyio.from_thread.start_blocking_portal() as portal:
        futures = [portal.start_task_soon(load, "k") for _ in range(3)]
        until(lambda: waiters(load) == 3)
        futures[0].cancel()
        until(lambda: waiters(load) == 2)
        gate.open()
        assert [future.result(20) for future in futures[1:]] == ["k"] * 2
    assert gate.arrivals == 1


@pytest.mark.parametrize("call", ["call", "refresh", "do_async"])
def test_an_async_function_is_refused_on_trio_and_the_error_says_what_to_do(call: str) -> None:
    group = Group("some group")

    @cached_singleflight(ttl=60, name="some load")
    async def load(key: str) -> str:
        raise AssertionError("it must not begin")

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"some .*needs asyncio.*trio.to_thread") as caught:
            if call == "do_async":
                await group.do_async("k", load.__wrapped__, "k")
            else:
                await {"call": load, "refresh": load.refresh}[call]("k")
        assert caught.value.__suppress_context__
        assert not load.in_flight()
        assert not group.in_flight()
        # What needs no loop works.
        load.put("value", "k")
        assert await load("k") == "value"

    trio.run(main)
