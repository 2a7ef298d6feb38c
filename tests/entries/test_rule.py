"""Which entries stay: how many calls miss, on traces that are too large for the cache.

The bounds are what was reached when the rule was found, and a little more; they are far from those
of a queue alone, or of LRU. Nothing is drawn at random here: a trace is the same each time.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

import pytest

from soloflight import cached_singleflight

SLOTS = 50
CALLS = 20_000


def zipf(dice: random.Random, exponent: float, keys: int, calls: int = CALLS) -> list[int]:
    weights = list(accumulate(n**-exponent for n in range(1, keys + 1)))
    return dice.choices(range(keys), cum_weights=weights, k=calls)


def loop(dice: random.Random) -> Iterable[int]:
    """Of half as many keys again as there is room for."""
    return (n % (SLOTS * 3 // 2) for n in range(CALLS))


def long_loop(dice: random.Random) -> Iterable[int]:
    return (n % (SLOTS * 4) for n in range(CALLS))


def skewed(dice: random.Random) -> Iterable[int]:
    return zipf(dice, 1.0, 500)


def moving(dice: random.Random) -> Iterable[int]:
    """The same, and which are hot changes each 2,000 calls."""
    return (key * 7919 + n // 2000 * 1_000_003 for n, key in enumerate(zipf(dice, 1.0, 500)))


def scanned(dice: random.Random) -> Iterator[int]:
    """Hot keys, and now and then a walk through many others."""
    for n, key in enumerate(zipf(dice, 0.9, SLOTS)):
        yield key
        if n % 1000 == 999:
            yield from range(1000 + n, 1000 + n + 300)


def phases(dice: random.Random) -> Iterator[int]:
    """Now a loop, now hot keys."""
    for phase in range(8):
        if phase % 2:
            yield from zipf(dice, 1.0, 500, CALLS // 8)
        else:
            yield from (n % (SLOTS * 3 // 2) for n in range(CALLS // 8))


def mixed(dice: random.Random) -> Iterator[int]:
    for n, key in enumerate(zipf(dice, 0.9, 500, CALLS // 2)):
        yield key
        yield 10_000 + n % 40


def returning(dice: random.Random) -> Iterator[int]:
    """Each key again after some tens of others, and then never."""
    later: list[tuple[int, int]] = []
    for n in range(CALLS // 2):
        yield n
        later.append((n + dice.randrange(20, 60), n))
        while later and later[0][0] <= n:
            yield later.pop(0)[1]


def multiples(dice: random.Random) -> Iterable[int]:
    """The same by keys whose low bits are all alike."""
    return (n * 4096 for n in mixed(dice))


Trace = Callable[[random.Random], Iterable[int]]

MISSES: dict[Trace, float] = {
    loop: 36,
    long_loop: 77,
    skewed: 39,
    moving: 42,
    scanned: 24,
    phases: 39,
    mixed: 40.5,
    multiples: 40.5,
    returning: 98.5,
}
"""The most misses, in percent."""


def percent(trace: Trace) -> float:
    @cached_singleflight(ttl=None, maxsize=SLOTS)
    def load(key: int) -> int:
        return key

    calls = 0
    for key in trace(random.Random(1)):
        load(key)
        calls += 1
    return 100 * load.stats().misses / calls


def of_lru(trace: Trace) -> float:
    cache: OrderedDict[int, None] = OrderedDict()
    calls = misses = 0
    for key in trace(random.Random(1)):
        calls += 1
        misses += key not in cache
        cache[key] = None
        cache.move_to_end(key)
        if len(cache) > SLOTS:
            cache.popitem(last=False)
    return 100 * misses / calls


@pytest.mark.parametrize("trace", MISSES, ids=lambda trace: trace.__name__)
def test_of_a_trace_no_more_misses_than(trace: Trace) -> None:
    assert percent(trace) <= min(MISSES[trace], of_lru(trace))


@pytest.mark.parametrize("maxsize", [1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 1000, 1024])
def test_a_cache_that_is_full_goes_on_remembering_what_has_gone(maxsize: int) -> None:
    """There is room for all of that, once and for all."""

    @cached_singleflight(ttl=None, maxsize=maxsize)
    def load(key: int) -> int:
        return key

    for key in range(maxsize + 1):
        load(key)
    sieve = load.cache._sieve  # type: ignore[attr-defined]
    remembered = sieve.tags
    for key in range(maxsize + 1, 3 * maxsize):
        load(key)
    assert sieve.tags is remembered
    assert len(remembered) >= maxsize
