"""What makes two calls the same: arguments, types, instances (laws 12 and 13)."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from kit import THREADS, case
from worlds import World


def arguments(number: int, key: Any, extra: Any) -> Any:
    return (key, extra)


class User:
    """Two of them are different people; printed they look alike."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return "User()"


async def at_once(w: World, *calls: tuple[tuple[Any, ...], dict[str, Any]]) -> tuple[int, Any]:
    """Make all these calls at once: how many loads there were, and what the calls got."""
    load, f = w.cached(arguments, held=range(1, 100))
    callers = [w.start(f.call, *args, **kwargs) for args, kwargs in calls]
    await w.settle()
    load.open()
    return load.count, await w.values(callers)


@case(12, "Half of the herd spells the call differently; invalidating drops one.", needs="keys")
async def spellings(w: World) -> None:
    """f(1), f(key=1), f(1, 0) and f(extra=0, key=1) are one key"""
    count, _ = await at_once(
        w, ((1,), {}), ((), {"key": 1}), ((1, 0), {}), ((), {"extra": 0, "key": 1})
    )
    assert count == 1, f"{count} loads"


@case(12, "Somebody gets somebody else's data.", needs="keys")
async def no_collision(w: World) -> None:
    """f(("extra", 1)) is not f(extra=1), and f("1") is not f(1)"""
    pair = ("extra", 1)
    _, values = await at_once(w, ((pair,), {}), ((), {"extra": 1}), ((1,), {}), (("1",), {}))
    assert values == [(pair, 0), ("k", 1), (1, 0), ("1", 0)], f"{values}"


@case(12, "Somebody gets somebody else's data.", needs="keys")
async def look_alikes(w: World) -> None:
    """arguments that are not equal but print alike are different keys"""
    first, second = User(1), User(2)
    _, values = await at_once(w, ((first,), {}), ((second,), {}))
    got = [value[0].number for value in values]
    assert got == [1, 2], f"the callers of users 1 and 2 got {got}"


@case(12, "1 and True are equal, but not the same answer.", needs="typed")
async def types(w: World) -> None:
    """where types are told apart, 1, 1.0 and True are three keys"""
    _, f = w.cached(lambda number, key, extra: type(key), typed=True)
    got = [await w.do(f.call, key) for key in (1, 1.0, True)]
    assert got == [int, float, bool], f"{got}"


def repository(w: World) -> Any:
    """A class with a cached method ``get(key)``."""

    class Methods:
        def get(self: Any, key: str) -> Any:
            return f"{self.name}: {key}"

        async def get_async(self: Any, key: str) -> Any:
            return f"{self.name}: {key}"

    return w.library.repository(Methods.get if w.name == THREADS else Methods.get_async, w.name)


@case(13, "Every request's repository, with its session, stays in memory.", needs="cache methods")
async def instance_released(w: World) -> None:
    """the cache of a method keeps no instance alive"""
    kind = repository(w)  # which holds the cache, and must not go with the instance
    instance = kind("alice")
    assert await w.do(instance.get, "k") == "alice: k"
    ref = weakref.ref(instance)
    del instance
    await w.settle()
    gc.collect()
    assert ref() is None, "the cache keeps the instance alive"


@case(13, "One tenant sees another tenant's data.", needs="cache methods")
async def instances_apart(w: World) -> None:
    """instances are not confused, also when an address is used again"""
    kind = repository(w)
    for i in range(200):
        instance = kind(f"tenant {i}")
        got = await w.do(instance.get, "k")
        assert got == f"tenant {i}: k", f"tenant {i} got “{got}”"
        del instance
