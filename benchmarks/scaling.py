"""How cost grows: with keys, threads, tasks, functions, instances, and functions on one cache.

    python benchmarks/scaling.py [--quick] [--rounds N] [--only PANEL ...]
                                 [--markdown FILE] [--picture FILE]

Every figure is what *one* costs (a call, an entry, a function) where there are so many. So what
stays the same along a row grows no faster than what it is given, and is a flat line in the picture.

A row is measured in rounds. In a round each size runs one block, in a new shuffled order, and the
round gives its own ratio, the last size ÷ the first. What counts are the medians. The garbage
collector has run before a block and does not run during it. Bytes are counted by tracemalloc, once.

What is none of ours (a dict, the loader alone) shows how the cost of the machine itself grows: of
more data less is in the processor's caches, and threads have to be woken.
"""

from __future__ import annotations

import argparse
import gc
import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from curves import Line, draw, heads, markdown
from report import headline, surroundings
from run import timed
from sweeps import PANELS, Panel, Sweep

ROUNDS = 3
QUICK = 1
QUICK_SIZES = 2


def measure(sweep: Sweep, sizes: Sequence[int], rounds: int) -> Line:
    costs: dict[int, list[float]] = {size: [] for size in sizes}
    with ExitStack() as stack:
        made = {size: sweep.enter(size, stack) for size in sizes}
        if sweep.unit == "B":
            return Line(sweep, {size: [block(0)] for size, block in made.items()})
        gc.collect()
        gc.freeze()  # as in `run.measure`
        order = list(sizes)
        for i in range(rounds):
            random.shuffle(order)
            for size in order:
                costs[size].append(timed(made[size], i))
        made.clear()
        gc.unfreeze()
    return Line(sweep, costs)


def show(cells: Sequence[str]) -> None:
    title, *others = cells
    print(f"{title:<38}", *(f"{cell:>10}" for cell in others), flush=True)


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [panel.of for panel in PANELS]
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it runs at all")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"instead of {ROUNDS}")
    parser.add_argument("--only", nargs="+", choices=names, metavar="PANEL", help=", ".join(names))
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the picture, an SVG")
    options = parser.parse_args()
    rounds = options.rounds or (QUICK if options.quick else ROUNDS)
    about = surroundings()
    print(headline(about, rounds))
    lines: dict[Panel, list[Line]] = {}
    for panel in PANELS:
        if options.only and panel.of not in options.only:
            continue
        sizes = panel.sizes[:QUICK_SIZES] if options.quick else panel.sizes
        print()
        show(heads(panel, sizes))
        lines[panel] = []
        for sweep in panel.sweeps:
            line = measure(sweep, sizes, rounds)
            lines[panel].append(line)
            show(line.cells())
    if options.markdown:
        options.markdown.write_text(markdown(lines, headline(about, rounds)), encoding="utf-8")
    if options.picture:
        draw(lines, headline(about, rounds), options.picture)


if __name__ == "__main__":
    main()
