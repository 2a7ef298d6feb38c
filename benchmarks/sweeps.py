"""What grows in `scaling.py`, and what is measured meanwhile: a line in its tables and pictures.

Each function here takes how many there are (keys, threads, …) and makes a block, which returns what
one call, entry or function costs then.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from typing import Any

from cachetools import LRUCache

import blocks
import footprint
from blocks import Block
from cases import fresh, new_keys
from rivals import TTL
from soloflight import cached_singleflight

CALLS = 20_000
"""Calls in a block of hits: a few milliseconds."""
CHANGES = 2_000
"""Calls in a block of what costs microseconds."""
IN_A_THREAD = 40_000
"""Hits of one thread: more than the 5 ms after which the interpreter switches."""
LARGE = 10_000
"""Entries in a cache that several functions share."""

Enter = Callable[[int, ExitStack], Block]


@dataclass(frozen=True)
class Sweep:
    name: str
    enter: Enter
    bare: bool = False
    """Whether it is none of ours, and shows what the machine itself needs."""
    unit: str = "s"
    """Or bytes, which are counted once."""
    why: str = ""
    """Why it grows faster than what it is given, if it does."""


@dataclass(frozen=True)
class Panel:
    """What grows, and everything that is measured meanwhile."""

    of: str
    sizes: Sequence[int]
    sweeps: Sequence[Sweep]


def cached(maxsize: float | None = None, **options: Any) -> Any:
    return cached_singleflight(ttl=TTL, maxsize=maxsize, **options)


def alone(loader: Any) -> Any:
    """No decorator: what is left is what the machine needs."""
    return loader


def averaged(block: Block, times: int) -> Block:
    """Several blocks for one, where one is over too soon."""
    return lambda round: sum(block(round * times + i) for i in range(times)) / times


@lru_cache(maxsize=4)
def picks(round: int, n: int, calls: int) -> Sequence[int]:
    """So many of n, in any order."""
    return random.Random(round).choices(range(n), k=calls)


def some(round: int, n: int) -> Sequence[int]:
    """Some of n, in any order, none of them twice."""
    return random.Random(round).sample(range(n), min(n, CHANGES))


# Keys.


def full(n: int, maxsize: float | None = None, **options: Any) -> Any:
    """A function with n entries."""
    f = fresh(cached(maxsize, **options))
    for key in range(n):
        f(key)
    return f


def hit(n: int, stack: ExitStack) -> Block:
    return blocks.keyed("f(k)", full(n), lambda round: picks(round, n, CALLS))


def dict_hit(n: int, stack: ExitStack) -> Block:
    """The same keys, from a dict that is as large."""
    entries = {(key, 0): [key] for key in range(n)}
    return blocks.keyed("f[k, 0][0]", entries, lambda round: picks(round, n, CALLS))


def miss(n: int, stack: ExitStack) -> Block:
    """From an empty cache to a full one."""
    f, times = fresh(cached()), times_for(n)
    run = blocks.looped("f(k)", f)

    def block(round: int) -> float:
        f.clear()
        return run(range(n))

    return averaged(block, times)


def times_for(n: int, calls: int = CHANGES) -> int:
    """How many blocks of n calls will do."""
    return max(1, calls // n)


def evicting(n: int, stack: ExitStack) -> Block:
    return blocks.keyed("f(k)", full(n, maxsize=n), new_keys)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def expired(part: slice) -> Enter:
    """All entries have expired: loads of some of them."""

    def enter(n: int, stack: ExitStack) -> Block:
        clock = Clock()
        f = full(n, timer=clock)
        run, others = blocks.looped("f(k)", f), blocks.looped("f(k)", f)

        def block(round: int) -> float:
            clock.now += 2 * TTL
            keys = range(n)
            seconds = run(keys[part])
            others(keys)
            return seconds

        return averaged(block, times_for(n))

    return enter


def invalidate(n: int, stack: ExitStack) -> Block:
    f = full(n)
    run, load = blocks.looped("f.invalidate(k)", f), blocks.looped("f(k)", f)

    def block(round: int) -> float:
        keys = some(round, n)
        seconds = run(keys)
        load(keys)
        return seconds

    return averaged(block, times_for(n))


def clear(n: int, stack: ExitStack) -> Block:
    f = fresh(cached())
    run, load = blocks.looped("f.clear()", f), blocks.looped("f(k)", f)

    def block(round: int) -> float:
        load(range(n))
        return run((None,)) / n

    return averaged(block, times_for(n))


def entry_memory(n: int, stack: ExitStack) -> Block:
    return lambda round: footprint.filling(fresh(cached()), -1, range(1_000, 1_000 + n))


# Threads.


def threads_hitting(decorate: Any, keys: int | None = None) -> Enter:
    """`keys`: how many there are; None: one for each thread."""

    def enter(n: int, stack: ExitStack) -> Block:
        f = fresh(decorate)
        sequences = [[i % (keys or n)] * IN_A_THREAD for i in range(n)]
        for first, *_ in sequences:
            f(first)
        return blocks.threaded_keyed("f(k)", f, lambda round: sequences)

    return enter


def threads_missing(n: int, stack: ExitStack) -> Block:
    f = fresh(cached(1024))

    def keys(round: int) -> Sequence[Sequence[int]]:
        first = round * n
        return [range(i * CHANGES, (i + 1) * CHANGES) for i in range(first, first + n)]

    return blocks.threaded_keyed("f(k)", f, keys)


def threads_landing(decorate: Any, keys: int | None = None) -> Enter:
    def enter(n: int, stack: ExitStack) -> Block:
        herd = blocks.herd(decorate, size=n, keys=keys or n)
        return averaged(lambda round: herd(round) / n, times_for(n, 8))

    return enter


# Tasks.


def tasks(decorate: Any, keys: int | None = None, leaving: bool = False) -> Enter:
    def enter(n: int, stack: ExitStack) -> Block:
        herd = blocks.async_herd(decorate, stack, size=n, keys=keys or n, leaving=leaving)
        return averaged(lambda round: herd(round) / n, times_for(n))

    return enter


# Functions.


def loaders(n: int) -> list[Any]:
    """n functions that are told apart by nothing but themselves."""

    def loader() -> Any:
        def load(x: int, y: int = 0) -> int:
            return x

        return load

    return [loader() for _ in range(n)]


def shapes(n: int) -> list[Any]:
    """n functions with parameters of other names than any before."""

    def loader() -> Any:
        scope: dict[str, Any] = {}
        shapes.made += 1  # type: ignore[attr-defined]
        exec(f"def load(x{shapes.made}, y=0): pass", scope)  # type: ignore[attr-defined]
        return scope["load"]

    return [loader() for _ in range(n)]


shapes.made = 0  # type: ignore[attr-defined]


def decoration(decorate: Any, make: Callable[[int], list[Any]] = loaders) -> Enter:
    def enter(n: int, stack: ExitStack) -> Block:
        def block(round: int) -> float:
            made: list[Any] = []
            return blocks.looped("f(k)", lambda load: made.append(decorate(load)))(make(n))

        return averaged(block, times_for(n, 100))

    return enter


def decorate_cached(loader: Any) -> Any:
    return cached_singleflight(ttl=TTL)(loader)


def functions_hit(decorate: Any) -> Enter:
    def enter(n: int, stack: ExitStack) -> Block:
        functions = [decorate(load) for load in loaders(n)]
        run = blocks.looped("k(1)", None)
        for f in functions:
            run([f] * 20)  # until its code is specialised
        return lambda round: run([functions[i] for i in picks(round, n, CALLS)])

    return enter


def function_memory(make: Callable[[int], list[Any]]) -> Enter:
    def enter(n: int, stack: ExitStack) -> Block:
        def block(round: int) -> float:
            kept: list[Any] = []
            first, *others = make(n + 1)
            return footprint.filling(lambda load: kept.append(decorate_cached(load)), first, others)

        return block

    return enter


# Instances.


def repository(decorate: Any) -> Any:
    class Repository:
        @decorate
        def get(self, x: int) -> int:
            return x

    return Repository


def first_call(n: int, stack: ExitStack) -> Block:
    cls = repository(cached())
    run = blocks.looped("k.get(1)", None)
    return averaged(lambda round: run([cls() for _ in range(n)]), times_for(n))


def instances_hit(decorate: Any) -> Enter:
    def enter(n: int, stack: ExitStack) -> Block:
        cls = repository(decorate)
        instances = [cls() for _ in range(n)]
        run = blocks.looped("k.get(1)", None)
        run(instances)
        return lambda round: run([instances[i] for i in picks(round, n, CALLS)])

    return enter


def one_call_each(n: int, stack: ExitStack) -> Block:
    """Instances that are made for one call: the last ones of so many."""
    cls = repository(cached(1024))
    run = blocks.looped("f().get(1)", cls)
    run(range(n))
    return lambda round: run(range(CHANGES))


def deaths(n: int, stack: ExitStack) -> Block:
    """All instances die; what they leave goes later, with the calls of others."""
    cls = repository(cached())
    call, die = blocks.looped("k.get(1)", None), blocks.looped("k.clear()", None)

    def block(round: int) -> float:
        instances = [cls() for _ in range(n)]
        call(instances)
        return die([instances]) / n

    return averaged(block, times_for(n))


def instance_cleared(n: int, stack: ExitStack) -> Block:
    """`clear()` on some of n instances."""
    cls = repository(cached())
    instances = [cls() for _ in range(n)]
    call, run = blocks.looped("k.get(1)", None), blocks.looped("k.get.clear()", None)
    call(instances)

    def block(round: int) -> float:
        cleared = [instances[i] for i in some(round, n)]
        seconds = run(cleared)
        call(cleared)
        return seconds

    return averaged(block, times_for(n))


def instance_memory(n: int, stack: ExitStack) -> Block:
    def block(round: int) -> float:
        cls = repository(cached())
        first, *others = [cls() for _ in range(n + 1)]
        return footprint.filling(lambda instance: instance.get(1), first, others)

    return block


# Functions that share a cache.


def sharing(n: int) -> list[Any]:
    """n functions that share a full cache: as many entries each."""
    cache: Any = LRUCache(LARGE)
    functions = [cached_singleflight(ttl=TTL, cache=cache)(load) for load in loaders(n)]
    for key, f in enumerate(islice(cycle(functions), LARGE)):
        f(key // n)
    return functions


def shared_hit(n: int, stack: ExitStack) -> Block:
    functions, run = sharing(n), blocks.looped("k[0](k[1])", None)
    return lambda round: run([(functions[i % n], i // n) for i in picks(round, LARGE, CALLS)])


def shared_miss(n: int, stack: ExitStack) -> Block:
    functions, run = sharing(n), blocks.looped("k[0](k[1])", None)
    return lambda round: run([(functions[key % n], key) for key in new_keys(round)])


def shared_clear(n: int, stack: ExitStack) -> Block:
    """`clear()` of one after the other, by entry; then they are filled again."""
    functions = sharing(n)
    run, load = blocks.looped("k.clear()", None), blocks.looped("k[0](k[1])", None)
    everything = [(functions[i % n], i // n) for i in range(LARGE)]

    def block(round: int) -> float:
        seconds = run(functions)
        load(everything)
        return seconds * n / LARGE

    return block


def shared_info(n: int, stack: ExitStack) -> Block:
    functions, run = sharing(n), blocks.looped("k.cache_info()", None)
    return lambda round: run([functions[i] for i in picks(round, n, CHANGES)])


KEYS = (100, 1_000, 10_000, 100_000, 1_000_000)
THREADS = (1, 4, 16, 64, 256)
TASKS = (10, 100, 1_000, 10_000, 100_000)
FUNCTIONS = (1, 10, 100, 1_000, 10_000)
INSTANCES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
SHARING = (1, 10, 100, 1_000)

CACHES = "So does what is none of ours: more data, less of it in the processor's caches."
HITS = (
    "Each function has code and dicts of its own, and of many fewer are in the processor's caches. "
    "Where the same one is called several times in a row, only the first call is slow."
)
DROPPED = (
    "Each store drops two of those that have expired, however many have. This is a single call "
    "after so many others that nothing of it is in the processor's caches any more."
)
LOCKED = (
    "Each store takes the lock of the cache. Where Python takes the interpreter from the thread "
    "that has it, the others wait."
)

PANELS = (
    Panel(
        "keys",
        KEYS,
        (
            Sweep("hit, in any order", hit, why=CACHES),
            Sweep("a dict of that size", dict_hit, bare=True),
            Sweep("miss, nothing evicted", miss),
            Sweep("miss, eviction each time", evicting),
            Sweep("miss, each once all have expired", expired(slice(None))),
            Sweep("the first miss once all have expired", expired(slice(1)), why=DROPPED),
            Sweep("invalidate", invalidate, why=CACHES),
            Sweep("clear, per entry", clear),
            Sweep("memory per entry", entry_memory, unit="B"),
        ),
    ),
    Panel(
        "threads",
        THREADS,
        (
            Sweep("hit, one key", threads_hitting(cached(), keys=1)),
            Sweep("hit, a key each", threads_hitting(cached())),
            Sweep("the loader alone, called", threads_hitting(alone, keys=1), bare=True),
            Sweep("miss, new keys, evicting", threads_missing, why=LOCKED),
            Sweep("landing, one cold key", threads_landing(cached(), keys=1)),
            Sweep("landing, a cold key each", threads_landing(cached())),
            Sweep("the loader alone, landing", threads_landing(alone), bare=True),
        ),
    ),
    Panel(
        "tasks",
        TASKS,
        (
            Sweep("one cold key", tasks(cached(), keys=1)),
            Sweep("a cold key each", tasks(cached(1024))),
            Sweep("one cold key, all are cancelled", tasks(cached(), keys=1, leaving=True)),
            Sweep("a cold key each, all are cancelled", tasks(cached(1024), leaving=True)),
            Sweep("the loader alone", tasks(alone), bare=True),
        ),
    ),
    Panel(
        "functions",
        FUNCTIONS,
        (
            Sweep("decoration, a known shape", decoration(decorate_cached)),
            Sweep("decoration, a new shape", decoration(decorate_cached, shapes)),
            Sweep("decoration, functools.lru_cache", decoration(lru_cache), bare=True),
            Sweep("hit, of functions in any order", functions_hit(decorate_cached), why=HITS),
            Sweep("hit, functools.lru_cache", functions_hit(lru_cache), bare=True),
            Sweep("memory per function, a known shape", function_memory(loaders), unit="B"),
            Sweep("memory per function, a new shape", function_memory(shapes), unit="B"),
        ),
    ),
    Panel(
        "instances",
        INSTANCES,
        (
            Sweep("first call of each", first_call, why=CACHES),
            Sweep("hit, of instances in any order", instances_hit(cached()), why=CACHES),
            Sweep("the method alone", instances_hit(alone), bare=True),
            Sweep("an instance for each call", one_call_each),
            Sweep("death of each", deaths, why=CACHES),
            Sweep("clear() of one", instance_cleared, why=CACHES),
            Sweep("memory per instance, with one entry", instance_memory, unit="B"),
        ),
    ),
    Panel(
        "functions that share a cache",
        SHARING,
        (
            Sweep("hit, of functions in any order", shared_hit, why=HITS),
            Sweep("miss, eviction each time", shared_miss, why=HITS),
            Sweep("clear, per entry", shared_clear, why=HITS),
            Sweep("cache_info", shared_info, why=HITS),
        ),
    ),
)
