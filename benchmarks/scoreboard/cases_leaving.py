"""Callers that are interrupted or cancelled, loops that end, forks (laws 5, 6, 11, 14)."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from kit import ASYNCIO, THREADS, Hang, Made, case
from worlds import PATIENCE, Caller, Loads, World


async def loading(w: World, script: Any = None) -> tuple[Loads, Made, Caller, list[Caller]]:
    load, f = w.cached(held=[1], **({"script": script} if script else {}))
    leader = w.start(f.call, "k")
    await w.until(lambda: load.count == 1)
    followers = w.herd(f.call, "k", size=3)
    await w.settle()
    return load, f, leader, followers


@case(5, "Ctrl-C or a shutdown in one thread must not freeze or end the others.", worlds=(THREADS,))
async def leader_interrupted(w: World) -> None:
    """a leader is interrupted in its load: the others get the value, from one more load"""
    for interruption in (KeyboardInterrupt, SystemExit):

        def script(
            number: int, key: Any, extra: Any, kind: type[BaseException] = interruption
        ) -> Any:
            if number == 1:
                raise kind
            return f"{key}/{number}"

        load, _, leader, followers = await loading(w, script)
        load.open()
        await w.finish([leader, *followers])
        assert isinstance(leader.error, interruption), f"the leader got {leader.error!r}"
        errors = [repr(c.error) for c in followers if c.error]
        assert not errors, f"{len(errors)} of the others got {errors[0]}"
        values = {c.value for c in followers}
        assert values == {"k/2"} and load.count == 2, f"{load.count - 1} more loads, for {values}"


@case(5, "A client that hangs up must not fail the others' requests.", worlds=(ASYNCIO,))
async def leader_cancelled(w: World) -> None:
    """the first caller is cancelled: the load goes on and the rest get its value"""
    load, _, leader, followers = await loading(w)
    leader.cancel()
    await w.settle()
    load.open()
    values = await w.values(followers)
    assert load.count == 1, f"{load.count} loads"
    assert set(values) == {"k/1"}, f"they got {set(values)}"
    await w.finish([leader])
    assert isinstance(leader.error, asyncio.CancelledError)


@case(5, "A client that hangs up must not fail the others' requests.", worlds=(ASYNCIO,))
async def follower_cancelled(w: World) -> None:
    """a follower is cancelled: the load goes on and the rest get its value"""
    load, _, leader, followers = await loading(w)
    followers[0].cancel()
    await w.settle()
    assert followers[0].ended, "its cancellation waits for the load"
    load.open()
    values = await w.values([leader, *followers[1:]])
    assert load.count == 1, f"{load.count} loads"
    assert set(values) == {"k/1"}, f"they got {set(values)}"


@case(5, "A loader that gives up must not look like a cancelled request.", worlds=(ASYNCIO,))
async def loader_gives_up(w: World) -> None:
    """a CancelledError raised by the loader: the others are answered, and not cancelled"""

    def script(number: int, key: Any, extra: Any) -> Any:
        if number == 1:
            raise asyncio.CancelledError
        return f"{key}/{number}"

    load, _, leader, followers = await loading(w, script)
    load.open()
    await w.finish([leader, *followers])
    errors = [repr(c.error) for c in followers if c.error]
    assert not errors, f"{len(errors)} of the others got {errors[0]}"


@case(6, "A query that nobody waits for any more keeps the database busy.", worlds=(ASYNCIO,))
async def everyone_left(w: World) -> None:
    """everyone is cancelled: the load is cancelled"""
    load, _, leader, followers = await loading(w)
    for caller in (leader, *followers):
        caller.cancel()
    await w.settle()
    assert load.cancelled == 1, "the load goes on"


@case(6, "A retry that joins a dying load fails with it.", worlds=(ASYNCIO,))
async def newcomer(w: World) -> None:
    """everyone is cancelled: a newcomer is answered"""
    load, f, leader, followers = await loading(w)
    for caller in (leader, *followers):
        caller.cancel()
    late = [w.start(f.call, "k")]  # before the load could notice
    await w.settle()
    late.append(w.start(f.call, "k"))  # after it did
    await w.settle()
    load.open()
    await w.values(late)


def in_thread(function: Callable[[], Any]) -> Caller:
    """Run something that has event loops of its own, in a thread of its own."""
    caller = Caller()

    def run() -> None:
        try:
            caller.value = function()
        except BaseException as error:
            caller.error = error
        caller.ended = True

    threading.Thread(target=run, daemon=True).start()
    return caller


@case(11, "A test suite or a notebook calls asyncio.run more than once.", worlds=(ASYNCIO,))
async def loop_after_loop(w: World) -> None:
    """it works in one event loop after another"""

    async def load(key: str) -> str:
        await asyncio.sleep(0)
        return key

    f = w.make(load)

    async def main(*keys: str) -> list[Any]:
        return await asyncio.gather(*(w.do(f.call, key) for key in keys))

    first, second = ("a", "a", "b", "b"), ("a", "a", "c", "c")
    caller = in_thread(lambda: (asyncio.run(main(*first)), asyncio.run(main(*second))))
    assert await w.values([caller]) == [(list(first), list(second))]


@case(11, "One run that was cut short must not break the next.", worlds=(ASYNCIO,))
async def loop_ended(w: World) -> None:
    """an event loop ends in mid-load: the next one is answered"""
    number = 0

    async def load(key: str) -> int:
        nonlocal number
        number += 1
        if number == 1:
            await asyncio.sleep(1000)
        return number

    f = w.make(load)

    async def cut_short() -> None:
        caller = asyncio.ensure_future(w.do(f.call, "k"))
        while number == 0:
            await asyncio.sleep(0)
        caller.cancel()

    async def next_run() -> Any:
        return await asyncio.wait_for(w.do(f.call, "k"), PATIENCE / 2)

    def run() -> Any:
        asyncio.run(cut_short())
        return asyncio.run(next_run())

    caller = in_thread(run)
    await w.finish([caller])
    if isinstance(caller.error, asyncio.TimeoutError):
        raise Hang("the next run hangs")
    assert await w.values([caller]) == [2]


@case(11, "A thread pool of event loops shares one cache.", "loops", worlds=(ASYNCIO,))
async def loops_at_once(w: World) -> None:
    """callers in two event loops in two threads ask for one key: both are answered"""
    arrived, opened = threading.Event(), threading.Event()

    async def load(key: str) -> str:
        arrived.set()
        while not opened.is_set():
            await asyncio.sleep(0.001)
        return key

    f = w.make(load)

    async def main() -> Any:
        return await w.do(f.call, "k")

    first = in_thread(lambda: asyncio.run(main()))
    await w.until(arrived.is_set)
    second = in_thread(lambda: asyncio.run(main()))
    await w.pause(0.2)  # until it waits: nobody can see that from another loop
    opened.set()
    assert await w.values([first, second]) == ["k", "k"]


@case(14, "A pre-forking server whose workers hang from birth.", worlds=(THREADS,))
async def fork(w: World) -> None:
    """a fork during a load: the child can load"""
    load, f = w.cached(held=[1])
    w.start(f.call, "k")
    await w.until(lambda: load.count == 1)
    with warnings.catch_warnings():
        # Python 3.12+ warns of forking with threads; that is the very case here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        caller = w.start(f.call, "k")
        deadline = time.monotonic() + PATIENCE / 2
        while not caller.ended and time.monotonic() < deadline:
            time.sleep(0.001)
        os._exit(3 if not caller.ended else 0 if caller.value == "k/2" else 1)
    load.open()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 3:
        raise Hang("the child hangs")
    assert status == 0, "the child got something else than its own load"
