"""What an entry costs beyond a bare TTLCache, whether flights leave anything behind, and for how
long one of them may hold up the others."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Sequence
from time import thread_time
from typing import Any

from cachetools import TTLCache

from rivals import MAXSIZE, TTL
from soloflight import cached_singleflight, singleflight

ENTRIES = 10_000
FLIGHTS = 100_000
WARM_UP = 10_000
MARKED = 100_000


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def filling(fill: Callable[[Any], object], first: Any, others: Sequence[Any]) -> float:
    """Bytes for each of the `others`. They exist before, so they do not count."""
    fill(first)
    tracemalloc.start()
    before = _allocated()
    for other in others:
        fill(other)
    used = _allocated() - before
    tracemalloc.stop()
    return used / len(others)


def per_entry() -> tuple[float, float]:
    """Bytes per entry: of a function with the default cache, and of the bare TTLCache."""
    bare: Any = TTLCache(ENTRIES + 1, TTL)

    @cached_singleflight(ttl=TTL, maxsize=ENTRIES)
    def load(x: int) -> int:
        return x

    keys = list(range(1_000, 1_000 + ENTRIES))
    ours = filling(load, 0, keys)  # one has to go: then it remembers what has gone
    return ours, filling(lambda key: bare.__setitem__(key, key), 0, keys)


def longest(share: float = 0.001) -> float:
    """Seconds that all but a share of the misses take in a large cache where all were hit.

    Of this thread alone: what else the machine does is not counted.
    """

    @cached_singleflight(ttl=TTL, maxsize=MARKED)
    def load(x: int) -> int:
        return x

    for key in (*range(MARKED), *range(MARKED)):
        load(key)
    seconds = []
    for key in range(MARKED, 2 * MARKED):
        start = thread_time()
        load(key)
        seconds.append(thread_time() - start)
    return sorted(seconds)[-round(share * MARKED)]


def _growth(fly: Callable[[int, int], None]) -> float:
    fly(0, WARM_UP)
    tracemalloc.start()
    fly(WARM_UP, 2 * WARM_UP)  # what fills up once, as buffers do, is no growth
    before = _allocated()
    fly(2 * WARM_UP, 2 * WARM_UP + FLIGHTS)
    grown = _allocated() - before
    tracemalloc.stop()
    return grown / FLIGHTS


def growth() -> dict[str, float]:
    """Bytes per flight that are still there after many flights, each with a key of its own."""

    def load(x: int) -> int:
        return x

    async def load_async(x: int) -> int:
        return x

    both: dict[str, Any] = {
        "@singleflight": singleflight,
        "@cached_singleflight, evicting": cached_singleflight(ttl=TTL, maxsize=MAXSIZE),
    }
    grown: dict[str, float] = {}
    loop = asyncio.new_event_loop()
    for name, decorate in both.items():
        f, g = decorate(load), decorate(load_async)

        def fly(start: int, end: int, f: Any = f) -> None:
            for key in range(start, end):
                f(key)

        async def flights(start: int, end: int, g: Any = g) -> None:
            for key in range(start, end):
                await g(key)

        def fly_async(start: int, end: int, flights: Any = flights) -> None:
            loop.run_until_complete(flights(start, end))

        grown[name] = _growth(fly)
        grown[f"{name}, async"] = _growth(fly_async)
    loop.close()
    return grown
