"""Sequences of keys: sixteen that are made here, each from a seed, and real ones from a folder.

What is made is what caching decorators see: a few keys that many ask for, and something besides
that does not fit.
"""

from __future__ import annotations

import lzma
import random
import sys
from array import array
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, count, cycle, islice
from pathlib import Path

CALLS = 200_000

Made = Callable[[random.Random], Iterator[int]]
TRACES: dict[str, Made] = {}
"""By title, the keys without an end."""


def trace(title: str) -> Callable[[Made], Made]:
    def add(made: Made) -> Made:
        TRACES[title] = made
        return made

    return add


def synthetic(calls: int = CALLS) -> dict[str, Sequence[int]]:
    return {
        title: list(islice(made(random.Random(seed)), calls))
        for seed, (title, made) in enumerate(TRACES.items(), start=1)
    }


def real(folder: Path, calls: int = CALLS) -> dict[str, Sequence[int]]:
    """What is there as ``NAME.bin.xz``: unsigned numbers of 32 bits, little-endian, one a call."""
    found: dict[str, Sequence[int]] = {}
    for path in sorted(folder.glob("*.bin.xz")):
        keys = array("I", lzma.decompress(path.read_bytes()))
        if sys.byteorder == "big":
            keys.byteswap()
        found[path.name.removesuffix(".bin.xz")] = list(keys[:calls])
    return found


def zipf(dice: random.Random, exponent: float, keys: int) -> Callable[[], int]:
    """Draws the keys from 0 on, the first one most often."""
    shares = list(accumulate(1 / k**exponent for k in range(1, keys + 1)))
    return lambda: bisect(shares, dice.random() * shares[-1], 0, keys - 1)


def drawn(dice: random.Random, exponent: float, keys: int) -> Iterator[int]:
    draw = zipf(dice, exponent, keys)
    while True:
        yield draw()


@trace("Zipf 1.0 of 2,000 keys")
def zipf_10(dice: random.Random) -> Iterator[int]:
    return drawn(dice, 1.0, 2_000)


@trace("Zipf 0.8 of 2,000 keys")
def zipf_08(dice: random.Random) -> Iterator[int]:
    return drawn(dice, 0.8, 2_000)


@trace("Zipf 1.2 of 20,000 keys")
def zipf_12(dice: random.Random) -> Iterator[int]:
    return drawn(dice, 1.2, 20_000)


@trace("150 hot keys, 20 % seen once")
def seen_once(dice: random.Random) -> Iterator[int]:
    new = count(150)
    while True:
        yield next(new) if dice.random() < 0.2 else dice.randrange(150)


@trace("150 hot keys, scans of 150")
def scans(dice: random.Random) -> Iterator[int]:
    new = count(150)
    while True:
        for _ in range(850):
            yield dice.randrange(150)
        yield from islice(new, 150)


@trace("loop of 300 keys")
def loop(dice: random.Random) -> Iterator[int]:
    return cycle(range(300))


@trace("Zipf 1.0, another hot set each 20,000")
def shifting(dice: random.Random) -> Iterator[int]:
    draw, keys = zipf(dice, 1.0, 2_000), list(range(2_000))
    while True:
        for _ in range(20_000):
            yield keys[draw()]
        dice.shuffle(keys)


@trace("news: a new one each 50, age by Zipf 0.9")
def news(dice: random.Random) -> Iterator[int]:
    draw = zipf(dice, 0.9, 2_000)
    for newest in count(2_000):
        for _ in range(50):
            yield newest - draw()


@trace("sessions: 8 calls within 400, then never")
def sessions(dice: random.Random) -> Iterator[int]:
    due: dict[int, list[int]] = {}
    key = 0
    for now in count():
        if now % 8 == 0:
            key += 1
            for _ in range(8):
                due.setdefault(now + dice.randrange(400), []).append(key)
        yield from due.pop(now, ())


@trace("half Zipf 0.9, half a loop of 150")
def half_loop(dice: random.Random) -> Iterator[int]:
    draw, around = zipf(dice, 0.9, 2_000), cycle(range(2_000, 2_150))
    while True:
        yield draw() if dice.random() < 0.5 else next(around)


@trace("10,000 of Zipf 1.0, 10,000 of a loop of 300")
def phases(dice: random.Random) -> Iterator[int]:
    draw, around = drawn(dice, 1.0, 2_000), cycle(range(2_000, 2_300))
    while True:
        yield from islice(draw, 10_000)
        yield from islice(around, 10_000)


@trace("by day Zipf 1.0, by night 1,200 keys in turn")
def day_and_night(dice: random.Random) -> Iterator[int]:
    """A batch at night reads each key twice, one after the other for three rounds."""
    day = drawn(dice, 1.0, 2_000)
    while True:
        yield from islice(day, 15_000)
        for _ in range(3):
            for key in range(2_000, 3_200):
                yield key
                yield key


@trace("bursts: 40 calls within 800, beside Zipf 0.8")
def bursts(dice: random.Random) -> Iterator[int]:
    """Somebody links to a page: half of the calls are for one of twenty of these at a time."""
    draw, new = zipf(dice, 0.8, 2_000), count(2_000)
    calls = [(next(new), dice.randrange(1, 41)) for _ in range(20)]
    while True:
        if dice.random() < 0.5:
            yield draw()
            continue
        at = dice.randrange(20)
        key, left = calls[at]
        yield key
        calls[at] = (key, left - 1) if left > 1 else (next(new), 40)


@trace("users of 5 keys who come back")
def users(dice: random.Random) -> Iterator[int]:
    """Thirty are there at a time, each for 20 calls; who is next is by Zipf 0.7 of 2,000."""
    draw = zipf(dice, 0.7, 2_000)
    there = [(draw(), dice.randrange(1, 21)) for _ in range(30)]
    while True:
        at = dice.randrange(30)
        user, left = there[at]
        yield user * 5 + dice.randrange(5)
        there[at] = (user, left - 1) if left > 1 else (draw(), 20)


@trace("each key twice, some tens of misses apart")
def twice(dice: random.Random) -> Iterator[int]:
    """As a ledger is written: what a transaction makes, one soon after it uses up."""
    due: dict[int, list[int]] = {}
    for key in count():
        yield key
        due.setdefault(key + dice.randrange(10, 70), []).append(key)
        yield from due.pop(key, ())


@trace("70 % Zipf 0.9, 30 % a crawler of 10,000")
def crawler(dice: random.Random) -> Iterator[int]:
    draw, around = zipf(dice, 0.9, 2_000), cycle(range(2_000, 12_000))
    while True:
        yield draw() if dice.random() < 0.7 else next(around)
