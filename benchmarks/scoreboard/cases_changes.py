"""Invalidate, clear and put while a load is under way (law 7)."""

from __future__ import annotations

from typing import Any

from kit import Boom, Made, case
from worlds import Caller, Loads, World


async def loading(w: World, *, followers: int = 0, **options: Any) -> tuple[Loads, Made, Any]:
    """A load that began with the old data, and those aboard."""
    load, f = w.cached(held=[1], **options)
    aboard = [w.start(f.call, "k")]
    await w.until(lambda: load.count == 1)
    aboard += w.herd(f.call, "k", size=followers)
    await w.settle()
    return load, f, aboard


async def changed(w: World, change: Any, *args: Any) -> None:
    """Make a change, which must not wait for the load."""
    await w.values([w.start(change, *args)])


async def late(w: World, load: Loads, f: Made) -> Any:
    """What a call gets that starts now, while the old load is still under way."""
    caller: Caller = w.start(f.call, "k")
    await w.settle()
    load.open()
    return (await w.values([caller]))[0]


@case(7, "You rename a user, invalidate, read again and see the old name.", needs="invalidate")
async def fence(w: World) -> None:
    """invalidate during a load: a later call does not get the old value"""
    load, f, _ = await loading(w)
    await changed(w, f.invalidate, "k")
    assert await late(w, load, f) == "k/2", "a later call got what was read before the change"


@case(7, "The old name stays cached for a whole ttl after the change.", needs="cache invalidate")
async def not_stored(w: World) -> None:
    """invalidate during a load: the old value is not stored"""
    load, f, aboard = await loading(w)
    await changed(w, f.invalidate, "k")
    load.open()
    await w.finish(aboard)
    assert await w.do(f.call, "k") == "k/2", "what was read before the change was stored"


@case(7, "A write of one user must not turn the reads of others into errors.", needs="invalidate")
async def aboard_answered(w: World) -> None:
    """invalidate during a load: those aboard are answered"""
    load, f, aboard = await loading(w, followers=3)
    await changed(w, f.invalidate, "k")
    load.open()
    values = await w.values(aboard)
    assert set(values) <= {"k/1", "k/2"}
    assert load.count <= 2, f"{load.count} loads"


@case(7, "An old query that times out throws away the new value.", needs="cache invalidate")
async def old_failure(w: World) -> None:
    """invalidate during a load: its failure does not drop the new value"""

    def old_fails(number: int, key: Any, extra: Any) -> Any:
        if number == 1:
            raise Boom
        return f"{key}/{number}"

    load, f, aboard = await loading(w, script=old_fails)
    await changed(w, f.invalidate, "k")
    newer = w.start(f.call, "k")
    await w.settle()
    load.open()
    await w.finish([*aboard, newer])
    await w.settle()
    assert await w.do(f.call, "k") == "k/2", "the new value is gone"


@case(7, "A deployment clears the cache, and old data comes back.", needs="cache clear")
async def cleared(w: World) -> None:
    """clear during a load: the old value is neither given to later calls nor stored"""
    load, f, aboard = await loading(w)
    await changed(w, f.clear)
    assert await late(w, load, f) == "k/2", "a later call got what was read before the clear"
    await w.finish(aboard)
    assert await w.do(f.call, "k") == "k/2", "what was read before the clear was stored"


@case(7, "You write a value through to the cache, and an older read replaces it.", needs="put")
async def put_wins(w: World) -> None:
    """put during a load wins"""
    load, f, aboard = await loading(w)
    await changed(w, f.put, "new", "k")
    assert await late(w, load, f) == "new", "a later call did not get what was put"
    await w.finish(aboard)
    assert await w.do(f.call, "k") == "new", "an older load replaced what was put"
