"""One load, and its value for everyone aboard; loads within loads (laws 1, 3, 9, 15)."""

from __future__ import annotations

from typing import Any

from kit import THREADS, Hang, Made, case
from worlds import HERD, World

TTL = 0.25
"""Seconds; long enough for a call right after a load to find its value. Its multiples by
`Library.pace` are whole seconds."""


@case(1, "A thousand requests for a cold key must not all go to the database.")
async def herd(w: World) -> None:
    """a herd on a missing key loads once"""
    load, f = w.cached(held=[1])
    callers = w.herd(f.call, "k")
    await w.settle()
    load.open()
    values = await w.values(callers)
    assert load.count == 1, f"{load.count} loads for {HERD} callers"
    assert set(values) == {"k/1"}, f"they got {set(values)}"


@case(1, "Hot keys expire under load; that is when a stampede starts.", needs="ttl")
async def herd_expired(w: World) -> None:
    """a herd on an expired key loads once"""
    load, f = w.cached(held=[2], ttl=TTL)
    assert await w.do(f.call, "k") == "k/1"
    await w.pass_time(1.5 * TTL)
    callers = w.herd(f.call, "k")
    await w.settle()
    load.open()
    values = await w.values(callers)
    assert load.count == 2, f"{load.count - 1} loads for {HERD} callers"
    # Some serve the old value while one caller loads; that is a choice and not a stampede.
    assert set(values) <= {"k/1", "k/2"}, f"they got {set(values)}"


@case(1, "One slow query must not stop the whole service.")
async def other_keys(w: World) -> None:
    """callers of other keys do not wait for a slow load"""
    load, f = w.cached(held=[1])
    slow = w.start(f.call, "slow")
    await w.until(lambda: load.count == 1)
    other = w.start(f.call, "other")
    try:
        await w.until(lambda: other.ended)
    except Hang:
        raise AssertionError("another key waits until the slow load has ended") from None
    finally:
        load.open()
    assert await w.values([slow, other]) == ["slow/1", "other/2"]


@case(3, "“No such user” is an answer; asking for it each time is a stampede.", needs="cache")
async def none_is_cached(w: World) -> None:
    """None is cached"""
    load, f = w.cached(lambda number, key, extra: None)
    assert await w.do(f.call, "k") is None
    assert await w.do(f.call, "k") is None
    assert load.count == 1, "None was loaded again"


@case(3, "The report is too big to keep, but whoever waited for it wants it.", needs="weigh")
async def refused(w: World) -> None:
    """a value that the cache refuses is handed to everyone aboard"""
    load, f = w.cached(lambda number, key, extra: "x" * 100, held=[1], too_large=True)
    callers = w.herd(f.call, "k")
    await w.settle()
    load.open()
    values = await w.values(callers)
    assert all(value == "x" * 100 for value in values), f"{values.count(None)} got None"
    assert load.count == 1, f"{load.count} loads for {HERD} callers"


@case(3, "A query slower than its ttl would never be cached, and always be running.", needs="ttl")
async def ttl_from_the_end(w: World) -> None:
    """the ttl counts from the end of the load"""
    load, f = w.cached(held=[1], ttl=2 * TTL)
    slow = w.start(f.call, "k")
    await w.until(lambda: load.count == 1)
    await w.pass_time(2.5 * TTL)
    load.open()
    assert await w.values([slow]) == ["k/1"]
    assert await w.do(f.call, "k") == "k/1", "loaded again at once"


@case(9, "A service that stands still for ever, where an error would have named the culprit.")
async def own_key(w: World) -> None:
    """a loader that asks for its own key is told so"""

    async def itself(number: int, key: Any, extra: Any) -> Any:
        return "let in" if number > 20 else await w.do(f.call, key)

    load, f = w.cached(itself)
    caller = w.start(f.call, "k")
    await w.finish([caller])
    assert isinstance(caller.error, Exception), "it ran inside itself, and nobody said so"
    assert load.count == 1, f"it ran {load.count} times inside itself"


@case(9, "Two services, each sound alone, that stand still for ever once they meet.")
async def cycle(w: World) -> None:
    """two loaders that ask for each other's key are told so"""

    async def other(number: int, key: Any, extra: Any) -> Any:
        await w.until(lambda: load.count >= 2)
        return "let in" if number > 20 else await w.do(f.call, "b" if key == "a" else "a")

    load, f = w.cached(other)
    callers = [w.start(f.call, "a"), w.start(f.call, "b")]
    await w.finish(callers)
    assert any(isinstance(c.error, Exception) for c in callers), "nobody said so"
    assert load.count <= 4, f"{load.count} loads"


@case(9, "Recursion over other keys is sound, and must not be taken for a deadlock.", needs="cache")
async def recursion(w: World) -> None:
    """a cached recursive function works"""

    async def add(number: int, key: Any, extra: Any) -> Any:
        return key if key < 2 else await w.do(f.call, key - 1) + await w.do(f.call, key - 2)

    load, f = w.cached(add)
    caller = w.start(f.call, 25)
    assert await w.values([caller]) == [75025]
    assert load.count == 26, f"{load.count} loads"


async def generated(w: World, made: Made) -> Any:
    found = await w.do(made.call, "k")
    return list(found) if w.name == THREADS else [item async for item in found]


@case(15, "The second caller gets an empty list: the generator was used up.", needs="cache keys")
async def generators(w: World) -> None:
    """a generator function is refused, or works more than once"""

    def generator(key: str) -> Any:
        yield from (1, 2, 3)

    async def async_generator(key: str) -> Any:
        for item in (1, 2, 3):
            yield item

    try:
        made = w.make(generator if w.name == THREADS else async_generator)
        first = await generated(w, made)
    except Exception:
        return  # refused
    second = await generated(w, made)
    assert first == second == [1, 2, 3], f"{first}, then {second}"
