"""The rows of the table: what each one measures, and what it must be."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Any

import blocks
from blocks import Block
from rivals import MAXSIZE, SHORT, SLOW, Rival

KEYS = 2_000  # calls in a block of the rows with a sequence of keys
HOT = 200


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    enter: Callable[[Rival, ExitStack], Block | None]
    """A contestant's block; ``None`` where the rival cannot do this."""
    targets: Mapping[str, float] = field(default_factory=dict)
    """By rival, the highest ratio ours / rival that will do."""


def fresh(decorate: Any, is_async: bool = False) -> Any:
    """A decorated loader of its own: dogpile.cache, for one, sets attributes on it."""

    def load(x: int, y: int = 0) -> int:
        return x

    async def load_async(x: int, y: int = 0) -> int:
        return x

    return decorate(load_async if is_async else load)


def hit(rival: Rival, stack: ExitStack) -> Block | None:
    return rival.plain and blocks.repeated("f(1)", fresh(rival.plain))


def hit_by_keyword(rival: Rival, stack: ExitStack) -> Block | None:
    return rival.keyword and blocks.repeated("f(1, y=2)", fresh(rival.keyword))


def hit_on_method(rival: Rival, stack: ExitStack) -> Block | None:
    return rival.method and blocks.repeated("f.get(1)", rival.method())


def hits_from_threads(rival: Rival, stack: ExitStack) -> Block | None:
    return rival.plain and blocks.threaded("f(1)", fresh(rival.plain))


def hit_early(rival: Rival, stack: ExitStack) -> Block | None:
    return rival.early and blocks.repeated("f(1)", fresh(rival.early))


def hit_with_tier(rival: Rival, stack: ExitStack) -> Block | None:
    return rival.tier and blocks.repeated("f(1)", fresh(rival.tier))


def hit_drawing(rival: Rival, stack: ExitStack) -> Block | None:
    def load(x: int, y: int = 0) -> int:
        time.sleep(SLOW)
        return x

    return rival.drawing and blocks.repeated("f(1)", rival.drawing(load))


def hit_stale(rival: Rival, stack: ExitStack) -> Block | None:
    """Hits while one reload is under way, until the row is over."""
    loads, end = count(), threading.Event()
    stack.callback(end.set)

    def load(x: int, y: int = 0) -> int:
        if next(loads):
            end.wait()
        return x

    if rival.stale is None:
        return None
    f = rival.stale(load)
    f(1)
    time.sleep(2 * SHORT)
    return blocks.repeated("f(1)", f)


def filled(decorate: Any) -> Any:
    """A function whose cache is full."""
    f = fresh(decorate)
    for key in (*range(-MAXSIZE, 0), *range(1, HOT + 1)):
        f(key)
    return f


@lru_cache(maxsize=4)
def new_keys(round: int) -> Sequence[int]:
    start = 1_000_000 + round * KEYS
    return list(range(start, start + KEYS))


@lru_cache(maxsize=4)
def mixed_keys(round: int, hits: float) -> Sequence[int]:
    """Hot keys in random order, and new ones between them."""
    dice = random.Random(round)
    return [dice.randint(1, HOT) if dice.random() < hits else key for key in new_keys(round)]


def miss(rival: Rival, stack: ExitStack) -> Block | None:
    return rival.plain and blocks.keyed("f(k)", filled(rival.plain), new_keys)


def mixed(hits: float) -> Callable[[Rival, ExitStack], Block | None]:
    def enter(rival: Rival, stack: ExitStack) -> Block | None:
        if rival.plain is None:
            return None
        return blocks.keyed("f(k)", filled(rival.plain), lambda round: mixed_keys(round, hits))

    return enter


def herd(rival: Rival, stack: ExitStack) -> Block | None:
    return rival.herd and blocks.herd(rival.herd)


def async_hit(rival: Rival, stack: ExitStack) -> Block | None:
    if rival.coroutine is None:
        return None
    return blocks.async_repeated("f(1)", fresh(rival.coroutine, is_async=True), stack)


def async_miss(rival: Rival, stack: ExitStack) -> Block | None:
    if rival.coroutine is None:
        return None
    return blocks.async_keyed("f(k)", fresh(rival.coroutine, is_async=True), new_keys, stack)


def async_herd(landing_only: bool) -> Callable[[Rival, ExitStack], Block | None]:
    def enter(rival: Rival, stack: ExitStack) -> Block | None:
        if rival.coroutine_herd is None:
            return None
        return blocks.async_herd(rival.coroutine_herd, stack, landing_only=landing_only)

    return enter


CASES = (
    Case(
        "hit",
        "hit, two parameters, one defaulted",
        hit,
        {"cachebox": 0.52, "moka-py": 0.55, "cachetools condition=": 0.25},
    ),
    Case("hit-keyword", "hit by keyword, f(1, y=2)", hit_by_keyword, {"cachebox": 0.32}),
    Case(
        "hit-method",
        "hit on a method (cachetools: cachedmethod)",
        hit_on_method,
        {"cachebox": 1.2 if sys.version_info < (3, 12) else 1.1, "cachetools lock=": 0.6},
    ),
    Case(
        "hit-threads",
        f"hits from {blocks.THREADS} threads",
        hits_from_threads,
        {"cachebox": 0.52, "moka-py": 0.55, "cachetools lock=": 0.15},
    ),
    Case("hit-early", "hit with early_refresh", hit_early, {"our plain hit": 1.15}),
    Case("hit-tier", "hit of a function with a tier", hit_with_tier, {"our plain hit": 1.03}),
    Case("hit-drawing", "the same while each hit draws", hit_drawing, {"our plain hit": 4.0}),
    Case(
        "hit-stale",
        "hit on a stale entry, while its refresh runs",
        hit_stale,
        {"our plain hit": 4.0, "dogpile.cache": 0.1},
    ),
    Case("miss", "miss, eviction each time", miss, {"cachetools condition=": 0.8, "cachebox": 1.8}),
    Case("mixed-90", "90 % hits over 200 hot keys", mixed(0.90), {"cachebox": 1.0}),
    Case("mixed-99", "99 % hits over 200 hot keys", mixed(0.99), {"cachebox": 0.7}),
    Case(
        "herd",
        f"{blocks.HERD} threads on one cold key, landing",
        herd,
        {"cachebox": 1.15},
    ),
    Case("async-hit", "hit, async", async_hit, {"cachebox": 0.65, "async-lru": 0.6}),
    Case(
        "async-miss",
        "miss, async",
        async_miss,
        {"async-lru": 1.1 if sys.version_info < (3, 12) else 0.7},
    ),
    Case(
        "async-herd",
        f"{blocks.ASYNC_HERD:,} tasks on one cold key, joining and landing",
        async_herd(landing_only=False),
        {"cachebox": 0.95, "async-lru": 0.8, "moka-py": 1.35},
    ),
    Case(
        "async-landing",
        f"{blocks.ASYNC_HERD:,} tasks on one cold key, landing alone",
        async_herd(landing_only=True),
    ),
)
