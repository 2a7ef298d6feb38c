"""A stale value is served while it is loaded anew (laws 7 and 10)."""

from __future__ import annotations

from typing import Any

from kit import Boom, Hang, Made, case
from worlds import HERD, Caller, Loads, World

TTL = 0.25
"""Seconds; long enough for a call right after a load to find its value. Its multiples by
`Library.pace` are whole seconds."""
LONG = 60.0


async def stale(w: World, **options: Any) -> tuple[Loads, Made]:
    """What has a value that is stale, and may be served for a long time."""
    load, f = w.cached(ttl=TTL, stale=LONG, **options)
    assert await w.do(f.call, "k") == "k/1"
    await w.pass_time(1.5 * TTL)
    return load, f


async def at_once(w: World, load: Loads, callers: list[Caller]) -> list[Any]:
    """What they get while the reload is under way."""
    try:
        return await w.values(callers)
    except Hang:
        load.open()
        raise AssertionError("somebody waits until the reload has ended") from None


@case(10, "Once a minute, somebody waits for the database though there is an answer.", "stale")
async def stale_at_once(w: World) -> None:
    """a herd on a stale key is served the old value at once, and it is loaded once"""
    load, f = await stale(w, held=[2])
    values = await at_once(w, load, w.herd(f.call, "k"))
    assert set(values) == {"k/1"}, f"they got {set(values)}"
    await w.until(lambda: load.count > 1)
    await w.settle()
    assert load.count == 2, f"{load.count - 1} reloads for {HERD} callers"
    load.open()
    await w.settle()
    assert await w.do(f.call, "k") == "k/2", "what was loaded behind it was not stored"


@case(10, "The database is down for a minute, and so is everything that read from it.", "stale")
async def stale_failure(w: World) -> None:
    """a reload behind a stale value fails: the old value is served, and no error"""

    def fails(number: int, key: Any, extra: Any) -> Any:
        if number > 1:
            raise Boom
        return f"{key}/{number}"

    load, f = await stale(w, script=fails)
    for _ in range(3):
        caller = w.start(f.call, "k")
        assert await w.values([caller]) == ["k/1"]
        await w.settle()
    assert load.count > 1, "nobody loaded it anew"


@case(7, "You rename a user, invalidate, and the old name comes back.", "stale invalidate")
async def stale_fence(w: World) -> None:
    """invalidate while a stale value is reloaded: neither the old value nor that is served"""
    load, f = await stale(w, held=[2])
    await at_once(w, load, [w.start(f.call, "k")])
    await w.until(lambda: load.count == 2)
    await w.values([w.start(f.invalidate, "k")])
    late = w.start(f.call, "k")
    await w.settle()
    load.open()
    (got,) = await w.values([late])
    assert got == "k/3", f"a later call got {got}"
    await w.settle()
    got = await w.do(f.call, "k")
    assert got == "k/3", f"{got} was stored"


@case(10, "A page that nobody has read since May shows the prices of May.", "stale")
async def stale_end(w: World) -> None:
    """a value that has been stale for too long is not served"""
    load, f = w.cached(ttl=TTL, stale=TTL)
    assert await w.do(f.call, "k") == "k/1"
    await w.pass_time(2.5 * TTL)
    got = await w.do(f.call, "k")
    assert got == "k/2", "the old value was served"
    assert load.count == 2, f"{load.count} loads"
