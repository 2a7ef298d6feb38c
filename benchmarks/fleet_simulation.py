"""Fleets larger than any machine here: 10 to 15,000 processes in virtual time.

    python benchmarks/fleet_simulation.py [--processes N ...] [--seeds N] [--only NAME ...]
                                          [--seed N] [--quick] [--json FILE] [--out DIR]

What each process says to the store does no I/O, so it can be said here: by the real talk, table,
entries, breaker and keeper (`fleet_process`), over a network that delays and loses, to a primary
that does one thing at a time (`fleet_network`). Leaders die, stand still or are slow; the store
hangs, restarts empty, or another one takes over that lags behind it (`fleet_world`). All of that is
drawn from a seed: the same one does the same again. In every run the promises are checked
(`fleet_laws`), and a seed that breaks one is printed; then the exit code is 1.

``--out`` writes ``fleet-simulation.md``, and ``fleet-simulation.svg`` where matplotlib is
installed, into DIR.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from fleet_page import Group, summary, write
from fleet_world import Fleet, Outcome, Scenario
from soloflight._tiers import memory

PROCESSES = 10, 100, 200, 300, 1_000, 3_000, 10_000, 15_000
SEEDS = 20
SOME = 50
"""Processes where something goes wrong."""
LISTED = 64, 256, 1_024, 4_096
"""How many waiting processes the store might wake."""
LONG_QUEUE = 13_000
"""Processes of which some wait for longer than `fleet_network.TIMEOUT` where all ask at once."""

HOT = Scenario("plain ttl", ttl=5.0, seconds=16.0)
HOT_KEYS = (
    HOT,
    replace(HOT, name="stale_while_revalidate=1", stale=1.0),
    replace(HOT, name="early_refresh=1", early=1.0),
)
MANY_KEYS = replace(HOT, name="200 keys", keys=200, rate=2.0)
WRONG = Scenario("", processes=SOME, seconds=30.0)
ENDED = 3.0 + 0.6
"""Seconds that a caller loses where it waits for a lease that nobody has any more."""
STORE = 1.0 + 3 * 0.25
"""Where the store does not answer: as long as it is asked, and three timeouts."""
FAULTS = (
    replace(WRONG, name="leaders die", dies=0.3, patience=ENDED),
    replace(WRONG, name="leaders stand still", stops=0.3, patience=ENDED),
    replace(WRONG, name="loads of 3.2 leases", slow=0.3),
    replace(WRONG, name="any process dies or stands still", strays=0.5, patience=ENDED),
    replace(WRONG, name="invalidations", invalidates=0.3),
    replace(WRONG, name="1 of 100 questions or answers is lost", loss=0.01, patience=STORE),
    replace(WRONG, name="the store hangs", store="hangs", patience=STORE),
    replace(WRONG, name="the store restarts empty", store="restarts", patience=STORE),
    replace(WRONG, name="the store fails over", store="fails over", patience=ENDED + 0.25),
    replace(
        WRONG, name="all of it", dies=0.1, stops=0.1, slow=0.1, loss=0.01, invalidates=0.5,
        strays=1.0, store="fails over", patience=2 * ENDED,
    ),
)  # fmt: skip


def with_windows(scenario: Scenario) -> list[Scenario]:
    """What goes wrong there, for each way to serve."""
    return [scenario, replace(scenario, stale=1.0), replace(scenario, early=1.0)]


@contextmanager
def listing(number: int) -> Iterator[None]:
    before, memory.LISTED = memory.LISTED, number
    try:
        yield
    finally:
        memory.LISTED = before


def play(scenario: Scenario, seeds: Iterable[int]) -> list[Outcome]:
    return [Fleet(scenario, seed).run() for seed in seeds]


def grown(scenario: Scenario, processes: int) -> Scenario:
    """The same with so many processes, and what is promised of these."""
    # Who is not woken asks again after half a second; and they queue.
    few = scenario.keys == 1 and processes < 250
    patience = 0.1 if few else 0.75 + processes * 50e-6
    if processes >= LONG_QUEUE:
        patience = ENDED
    seconds = scenario.seconds if processes < 5_000 else 7.0
    return replace(scenario, processes=processes, patience=patience, seconds=seconds)


def small(scenario: Scenario) -> Scenario:
    return replace(scenario, processes=10, seconds=10.0)


def groups(
    processes: Sequence[int], seeds: Sequence[int], quick: bool, only: Sequence[str]
) -> Iterator[Group]:
    """All that is played. Of the large ones fewer seeds are."""
    for number in processes:
        few = seeds[: max(1, 1_000 // number)]
        for scenario in HOT_KEYS:
            if not only or scenario.name in only:
                yield Group("size", scenario.name, number, play(grown(scenario, number), few))
    if not only or MANY_KEYS.name in only:
        few = seeds[: 1 if quick else 5]
        number = 10 if quick else 100
        yield Group("size", MANY_KEYS.name, number, play(grown(MANY_KEYS, number), few))
    for fault in map(small, FAULTS) if quick else FAULTS:
        if not only or fault.name in only:
            played = [o for scenario in with_windows(fault) for o in play(scenario, seeds)]
            yield Group("fault", fault.name, fault.processes, played)
    number = 100 if quick else 1_000
    for listed in () if only else LISTED:
        with listing(listed):
            played = play(replace(grown(HOT, number), patience=0.8), seeds[:1])
            yield Group("listed", f"{listed:,}", number, played)


def main(arguments: Sequence[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, nargs="+", metavar="N",
                        help=f"instead of {', '.join(map(str, PROCESSES))}")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help="0 to N - 1")
    parser.add_argument("--seed", type=int, metavar="N", help="this one alone")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="some of them")
    parser.add_argument("--quick", action="store_true", help="small, and each twice: it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the page and the picture")
    options = parser.parse_args(arguments)
    processes = options.processes or (PROCESSES[:2] if options.quick else PROCESSES)
    seeds: Sequence[int] = range(2 if options.quick else options.seeds)
    if options.seed is not None:
        seeds = [options.seed]
    found, broken = [], 0
    for group in groups(processes, seeds, options.quick, options.only):
        found.append(group)
        print(summary(group), flush=True)
        for outcome in group.outcomes:
            for breach in outcome.breaches:
                broken += 1
                print(f"  --seed {outcome.seed} breaks {breach}\n  {outcome.scenario}", flush=True)
    if options.json:
        everything = [[*group[:3], [asdict(o) for o in group.outcomes]] for group in found]
        options.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    if options.out:
        write(found, options.out)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
