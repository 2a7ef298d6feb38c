"""Run every case against every library and write the scoreboard.

    python benchmarks/scoreboard/run.py [--library NAME ...] [--case NAME ...] [--out DIR]

Each case of each library runs in a process of its own with a time limit, so that a hang is a
result; two processes run at a time. What fails or hangs runs once more, and the second result
counts: a machine that was busy is no fault of anybody. Writes `scoreboard.md` and `scoreboard.svg`
into DIR, the latter where matplotlib is installed. Without DIR it writes into docs if everything
ran, and nothing if not.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import board
from adapters import Library, Soloflight
from board import Result
from caches import CACHES
from cases import CASES
from coalescers import COALESCERS
from kit import Case, Hang
from layers import LAYERS
from worlds import WORLDS, World

LIBRARIES: tuple[type[Library], ...] = (Soloflight, *CACHES, *LAYERS, *COALESCERS)

LIMIT = 60.0
"""Seconds for one case; one that is only slow takes a few, on a busy machine a few more."""
AT_A_TIME = 2
MARK = "conformance result: "


@dataclass(frozen=True)
class Job:
    library: str
    world: str
    case: Case


def judge(library: str, world: str, name: str) -> None:
    """In the child: run one case, say how it went, and leave without waiting for anybody."""
    found = next(kind for kind in LIBRARIES if kind.distribution == library)
    (case,) = [case for case in CASES if case.name == name]

    async def run(world: World) -> None:
        verdict, reason = "pass", ""
        try:
            await case.run(world)
        except Hang as error:
            verdict, reason = "hang", str(error)
        except AssertionError as error:
            verdict, reason = "fail", str(error)
        except BaseException as error:
            verdict, reason = "fail", f"{type(error).__name__}: {error}"
        print(f"\n{MARK}{json.dumps([verdict, plain(reason)])}", flush=True)
        os._exit(0)

    WORLDS[world](found()).run(replace(case, run=run))


def plain(reason: str) -> str:
    """Without what differs from run to run and from machine to machine: paths and addresses."""
    short = re.sub(r"(/[\w.-]+)+/| at 0x[0-9a-f]+", "", " ".join(reason.split()))
    return short if len(short) <= 120 else short[:120] + " …"


def once(job: Job) -> Result:
    # A warning is no verdict, whatever PYTHONWARNINGS says.
    python = [sys.executable, "-W", "ignore", __file__]
    command = [*python, "--judge", job.library, job.world, job.case.name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return Result("hang", f"the process had not ended after {LIMIT:.0f} s")
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(MARK):
            return Result(*json.loads(line.removeprefix(MARK)))
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return Result("fail", f"the process ended with {done.returncode}: {last[:150]}")


def twice(job: Job) -> Result:
    result = once(job)
    if result.verdict != "pass":
        result = once(job)
    line = f"{result.verdict:<5} {job.library:<18} {job.world:<8} {job.case.name:<19}"
    print(f"{line} {result.reason}".rstrip(), flush=True)
    return result


def write(scores: board.Scores, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "scoreboard.md").write_text(board.markdown(scores), encoding="utf-8")
    try:
        import picture
    except ImportError as error:
        print(f"no picture: {error}", file=sys.stderr)
    else:
        picture.draw(scores, out / "scoreboard.svg")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    libraries = [kind.distribution for kind in LIBRARIES]
    names = [case.name for case in CASES]
    parser.add_argument("--library", nargs="+", choices=libraries, metavar="NAME",
                        help=", ".join(libraries))  # fmt: skip
    parser.add_argument("--case", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--out", type=Path, metavar="DIR")
    parser.add_argument("--judge", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.judge:
        judge(*options.judge)
    kinds = [k for k in LIBRARIES if not options.library or k.distribution in options.library]
    cases = [c for c in CASES if not options.case or c.name in options.case]
    present, absent = board.installed(kinds)
    jobs = [
        Job(library.distribution, world, case)
        for library in present
        for world in WORLDS
        for case in cases
        if library.offers(case, world)
    ]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        results = dict(zip(jobs, pool.map(twice, jobs), strict=True))
    cells = {(j.library, j.world, j.case.name): r for j, r in results.items()}
    everything = not (options.library or options.case)
    if out := options.out or (board.DOCS if everything else None):
        write(board.Scores(present, absent, cases, cells), out)
    ours = [r for (library, *_), r in cells.items() if library == "soloflight"]
    return 1 if any(r.verdict != "pass" for r in ours) else 0


if __name__ == "__main__":
    sys.exit(main())
