"""One load that fails, and what is left of it (laws 4 and 8)."""

from __future__ import annotations

import asyncio
import gc
import logging
import tracemalloc
import weakref
from typing import Any

from kit import ASYNCIO, THREADS, Boom, case
from worlds import HERD, World


def boom(number: int, key: Any, extra: Any) -> Any:
    raise Boom(f"{key}/{number}")


@case(4, "A database that is down gets one query and not a thousand, one after the other.")
async def failure_shared(w: World) -> None:
    """a load that fails is shared by everyone aboard: one execution"""
    load, f = w.cached(boom, held=[1])
    callers = w.herd(f.call, "k")
    await w.settle()
    load.open()
    await w.finish(callers)
    unaware = sum(not isinstance(c.error, Boom) for c in callers)
    assert not unaware, f"{unaware} of {HERD} callers did not get the error"
    assert load.count == 1, f"{load.count} executions for {HERD} callers"


@case(4, "A hiccup must not last as long as the ttl.")
async def after_a_failure(w: World) -> None:
    """after a failure the next call loads again"""

    def once(number: int, key: Any, extra: Any) -> Any:
        return boom(number, key, extra) if number == 1 else f"{key}/{number}"

    _, f = w.cached(once)
    try:
        await w.do(f.call, "k")
    except Boom:
        pass
    else:
        raise AssertionError("the error was swallowed")
    (again,) = [w.start(f.call, "k")]
    assert await w.values([again]) == ["k/2"]


def depth(error: BaseException | None) -> int:
    frames, trace = 0, error and error.__traceback__
    while trace:
        frames, trace = frames + 1, trace.tb_next
    return frames


@case(4, "A log entry of a thousand lines for one error, and memory that grows with each caller.")
async def traceback(w: World) -> None:
    """a shared exception's traceback does not grow from caller to caller"""
    load, f = w.cached(boom, held=[2])
    lone = w.start(f.call, "lone")
    await w.finish([lone])
    callers = w.herd(f.call, "k")
    await w.settle()
    load.open()
    await w.finish(callers)
    assert isinstance(lone.error, Boom)
    deepest = max(depth(c.error) for c in callers)
    # A few more: a follower may well show where it waited.
    assert deepest <= depth(lone.error) + 5, f"{deepest} frames instead of {depth(lone.error)}"


@case(4, "next() in a loader ends its caller's loop early, or hangs it.", worlds=(THREADS,))
async def stop_iteration(w: World) -> None:
    """a StopIteration raised by the loader reaches everyone aboard"""

    def stop(number: int, key: Any, extra: Any) -> Any:
        raise StopIteration(key)

    load, f = w.cached(stop, held=[1])
    callers = w.herd(f.call, "k", size=3)
    await w.settle()
    load.open()
    await w.finish(callers)
    errors = [type(c.error).__name__ for c in callers]
    assert errors == ["StopIteration"] * 3, f"they got {errors}"


@case(4, "Alarms for an error that was handled.", worlds=(ASYNCIO,))
async def nothing_logged(w: World) -> None:
    """a handled error is not logged as never retrieved"""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("asyncio").addHandler(handler)
    asyncio.get_running_loop().set_exception_handler(lambda _, about: said.append(about["message"]))
    try:
        load, f = w.cached(boom, held=[2])
        await w.finish([w.start(f.call, "lone")])
        callers = w.herd(f.call, "k", size=3)
        await w.settle()
        load.open()
        await w.finish(callers)
        del callers
        await w.settle()
        gc.collect()
        await w.settle()
    finally:
        logging.getLogger("asyncio").removeHandler(handler)
    assert not said, said[0]


@case(8, "A service that sees new keys all day must not grow by a lock for each of them.")
async def nothing_left(w: World) -> None:
    """1,000 keys whose loads failed leave nothing behind"""
    _, f = w.cached(boom)

    async def fail(name: str, keys: int) -> int:
        for i in range(keys):
            try:
                await w.do(f.call, f"{name} {i}")
            except Boom:
                pass
        await w.settle()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = await fail("warm up", 300)
        per_key = (await fail("key", 1000) - before) / 1000
    finally:
        tracemalloc.stop()
    assert per_key < 32, f"{per_key:.0f} bytes per key"


@case(8, "Sessions and connections that stay open until the garbage collector comes by.")
async def no_cycle(w: World) -> None:
    """a failed call keeps its caller's objects alive no longer than the caller"""
    _, f = w.cached(boom)

    class Session:
        pass

    async def caller() -> Any:
        session = Session()
        try:
            await w.do(f.call, "k")
        except Boom:
            pass
        return weakref.ref(session)

    gc.collect()
    gc.disable()
    try:
        session = await caller()
        await w.settle()
        assert session() is None, "it is alive after the caller has returned"
    finally:
        gc.enable()
