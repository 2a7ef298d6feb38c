"""How many calls miss: soloflight and what users would pick instead, on many sequences of keys.

    python benchmarks/hit_ratio.py [--traces FOLDER] [--slots N ...] [--quick]
                                   [--json FILE] [--out DIR] [--check]

Sixteen traces are made here, each from a seed of its own (see `traces`); FOLDER has real ones. A
decorated function is called with the keys of a trace, one after the other; what counts is how often
its loader runs. Some caches work in the background or draw, and do not do the same twice: of these
the median of three runs is taken.

All are compared at an equal number of values alive. Values say when they die, so those that there
are can be counted; who keeps more than its ``maxsize`` gets a smaller one, by which it keeps as
many as the others.

``--out`` writes ``hit-ratio.md``, and ``hit-ratio.svg`` where matplotlib is installed, into DIR.
``--check`` exits with 1 where a target was missed; otherwise the exit code is 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from statistics import fmean, median

import traces
from hit_page import OURS, Cell, Row, ratios, summary, write
from report import Figure, Result, show, surroundings
from rivals import TTL, Decorate

SLOTS = (50, 200, 1_000)
RUNS = 3
QUICK_CALLS = 2_000
SEARCH = 4  # runs at the most to find the maxsize by which a cache keeps as many as it should
MEAN, WORST = 1.04, 1.5
"""Our misses ÷ those of the best of the others, at the most: the geometric mean, and in any row."""

Make = Callable[[int], Decorate]
"""From a ``maxsize``, the decorator."""


def soloflight() -> Make:
    from soloflight import cached_singleflight

    return lambda slots: cached_singleflight(ttl=TTL, maxsize=slots)


def lru() -> Make:
    return lambda slots: lru_cache(slots)


def cachebox() -> Make:
    from cachebox import TTLCache, cached

    return lambda slots: cached(TTLCache(slots, TTL))


def moka() -> Make:
    from moka_py import cached

    return lambda slots: cached(slots, ttl=TTL)


def theine() -> Make:
    from theine import Memoize

    return lambda slots: Memoize(slots, timedelta(seconds=TTL))


def warp() -> Make:
    from warp_cache import cache

    return lambda slots: cache(max_size=slots, ttl=TTL)


NEVER_TWICE_THE_SAME = {"moka-py", "theine"}
CONTESTANTS: Mapping[str, Callable[[], Make]] = {
    OURS: soloflight,
    "LRU": lru,
    "cachebox": cachebox,
    "moka-py": moka,
    "theine": theine,
    "warp-cache": warp,
}


@dataclass(frozen=True)
class Run:
    misses: int
    alive: float
    """Values that there were, on average of the later half of the calls."""


def contestants() -> dict[str, Make]:
    present = {}
    for name, adapter in CONTESTANTS.items():
        try:
            present[name] = adapter()
        except ImportError as error:
            print(f"{name} does not take part: {error}", file=sys.stderr)
    return present


def play(decorate: Decorate, keys: Sequence[int]) -> Run:
    made: list[None] = []
    died: list[None] = []  # appended to in whatever thread: an `n += 1` might lose some

    class Value:
        def __del__(self) -> None:
            died.append(None)

    def load(key: int) -> Value:
        made.append(None)
        return Value()

    f, half = decorate(load), len(keys) // 2
    for key in keys[:half]:
        f(key)
    alive = []
    for key in keys[half:]:
        f(key)
        alive.append(len(made) - len(died))
    return Run(len(made), fmean(alive))


def measure(make: Make, keys: Sequence[int], slots: int, runs: int) -> Cell:
    size, tried = slots, {slots: play(make(slots), keys)}
    for _ in range(SEARCH):
        size = max(1, min(slots, size + round(slots - tried[size].alive)))
        if size in tried:
            break
        tried[size] = play(make(size), keys)
    size = min(tried, key=lambda size: abs(tried[size].alive - slots))
    again = [play(make(size), keys).misses for _ in range(runs - 1)]
    misses = median([tried[size].misses, *again])
    return Cell(misses, size, tried[size].alive / slots, tried[slots].alive / slots)


def main(arguments: Sequence[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, metavar="FOLDER", help="real ones: NAME.bin.xz")
    parser.add_argument("--slots", type=int, nargs="+", default=SLOTS, metavar="N",
                        help=f"instead of {', '.join(map(str, SLOTS))}")  # fmt: skip
    parser.add_argument("--quick", action="store_true",
                        help=f"{QUICK_CALLS:,} calls, and each once: a rough idea")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the page and the picture")
    parser.add_argument("--check", action="store_true", help="exit with 1 on a missed target")
    options = parser.parse_args(arguments)
    calls, runs = (QUICK_CALLS, 1) if options.quick else (traces.CALLS, RUNS)
    about, present = surroundings(), contestants()
    given = traces.synthetic(calls)
    if options.traces:
        given |= traces.real(options.traces, calls)
    rows = []
    for slots in options.slots:
        for title, keys in given.items():
            cells = {
                name: measure(make, keys, slots, runs if name in NEVER_TWICE_THE_SAME else 1)
                for name, make in present.items()
            }
            rows.append(Row(title, slots, len(keys), cells))
            print(f"{slots:>5} {title:<45} {rows[-1].ratio(OURS):.2f}", flush=True)
    names = list(present)
    print("", *summary(rows, names), "", sep="\n")
    mean, worst = ratios(rows, OURS)
    figures = [
        Figure("the best of the others, geometric mean", mean, MEAN),
        Figure("the best of the others, at the worst", worst.ratio(OURS), WORST),
    ]
    result = Result("hit-ratio", f"misses, {len(rows)} rows", f"{runs} runs", figures)
    show(result)
    if options.json:
        text = json.dumps({**about, "runs": runs, "rows": [asdict(row) for row in rows]}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.out:
        write(rows, names, about, options.out)
    return 1 if result.missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
