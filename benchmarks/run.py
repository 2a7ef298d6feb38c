"""Compare soloflight with what users would pick instead.

    python benchmarks/run.py [--quick] [--rounds N] [--only CASE ...]
                             [--json FILE] [--markdown FILE] [--check]

Every case is measured in rounds. In a round each contestant runs one block of about 10 ms, in a
new shuffled order, and the round gives its own ratios, ours / theirs. What counts is the median of
these ratios: a machine that drifts slows down all the blocks of a round alike. The printed table
has their quartiles as well.

Everybody plays by the same rules. A block is a loop of direct calls of the decorated function, with
nothing of ours around it. The garbage collector has run before a block and does not run during it,
as in `timeit`. Caches have the same size and ttl (see `rivals`), keys come in the same order for
everyone. The contestants of asyncio each have one event loop for all of their rounds. A herd is
gated by events: its load ends when everybody is aboard, and not when a timer says so.

``--check`` exits with 1 where a target was missed; otherwise the exit code is 0.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

import footprint
import rivals
from blocks import Block
from cases import CASES, Case
from report import Figure, Result, as_json, duration, headline, markdown, show, surroundings
from rivals import Rival

ROUNDS = 31
QUICK = 5
WARM_UP = 2


def timed(block: Block, round: int) -> float:
    gc.collect()
    gc.disable()
    try:
        return block(round)
    finally:
        gc.enable()


def contestants() -> tuple[Rival, list[Rival]]:
    present = []
    for adapter in rivals.RIVALS:
        try:
            present.append(adapter())
        except ImportError as error:
            print(f"{adapter.__name__} does not take part: {error}", file=sys.stderr)
    return rivals.soloflight(), present


def measure(case: Case, ours: Rival, others: list[Rival], rounds: int) -> Result:
    seconds: dict[str, list[float]] = {}
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        blocks: dict[str, Block] = {}
        for rival in (ours, *others):
            try:
                block = case.enter(rival, stack)
                if block is None:
                    continue
                for i in range(WARM_UP):
                    timed(block, i)
            except Exception as error:
                if rival is ours:
                    raise
                absent[rival.name] = f"{type(error).__name__}: {error}"
            else:
                blocks[rival.name], seconds[rival.name] = block, []
        gc.collect()
        gc.freeze()  # what is there by now does not have to be looked at before every block
        order = list(blocks)
        for i in range(WARM_UP, WARM_UP + rounds):
            random.shuffle(order)
            for name in order:
                seconds[name].append(timed(blocks[name], i))
        blocks.clear()
        gc.unfreeze()
    mine = seconds[ours.name]
    figures = []
    for name, theirs in seconds.items():
        if name == ours.name:
            continue
        ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
        low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        figures.append(Figure(name, middle, case.targets.get(name), quartiles=(low, high)))
    nanoseconds = {name: [round(t * 1e9, 1) for t in times] for name, times in seconds.items()}
    return Result(case.name, case.title, duration(median(mine)), figures, nanoseconds, absent)


def memory(quick: bool) -> list[Result]:
    ours, bare = footprint.per_entry()
    figures = [Figure("over the bare TTLCache", ours - bare, 100, unit="B")]
    entry = Result("memory", "memory per entry", f"{ours:.0f} B", figures)
    slow = footprint.longest()
    limit = Figure("all but one in a thousand", slow * 1e6, 200, unit="µs")
    title = f"a miss in a cache of {footprint.MARKED:,}, all of which were hit"
    entries = [entry, Result("longest", title, duration(slow), [limit])]
    if quick:
        return entries
    grown = footprint.growth()
    title = f"memory left behind by {footprint.FLIGHTS:,} flights"
    figures = [Figure(f"per flight, {k}", v, 1, unit="B") for k, v in grown.items()]
    total = max(grown.values()) * footprint.FLIGHTS
    return [*entries, Result("growth", title, f"{max(total, 0):.0f} B", figures)]


def main() -> int:
    names = [case.name for case in CASES]
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} rounds: a rough idea")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"instead of {ROUNDS}")
    parser.add_argument("--only", nargs="+", choices=[*names, "memory"], metavar="CASE",
                        help=", ".join([*names, "memory"]))  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page")
    parser.add_argument("--check", action="store_true", help="exit with 1 on a missed target")
    options = parser.parse_args()
    rounds = options.rounds or (QUICK if options.quick else ROUNDS)
    about = surroundings()
    print(headline(about, rounds), end="\n\n")
    ours, others = contestants()
    results = []
    for case in CASES:
        if not options.only or case.name in options.only:
            results.append(measure(case, ours, others, rounds))
            show(results[-1])
    if not options.only or "memory" in options.only:
        for result in memory(options.quick):
            results.append(result)
            show(result)
    missed = [result.title for result in results if result.missed]
    print(f"\nmissed: {'; '.join(missed)}" if missed else "\nevery target reached")
    if options.json:
        text = json.dumps(as_json(results, about, rounds), indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(markdown(results, about, rounds), encoding="utf-8")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
