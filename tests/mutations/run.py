"""Put one fault at a time into a copy of soloflight, and see which test notices.

    python tests/mutations/run.py [--check] [--list] [--fault NAME ...] [--workers N]

First each fault of `faults/` must still apply; ``--check`` ends there, in a blink, and needs Python
alone. The tests that are known to kill a fault must pass without one. Then each fault is applied to
a copy, and tests run until one fails: first the one that is known to kill it, then, should it pass,
all that could. Printed for each fault: the test that killed it, and after how many seconds. A test
that gives no answer for too long hangs: that kills a fault too, and is printed as such.

Where the test that a fault names passes, all of them run, which takes minutes. Such faults are
listed in the end. Either that test no longer asserts what it did: mend the test. Or another one
shows the fault better: name that one in `by`.

The exit code is 1 where a fault no longer applies, or survives. With ``--fault`` all that the tests
print is shown. Needs pytest 9.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from compileall import compile_dir
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from py_compile import PycInvalidationMode
from tempfile import TemporaryDirectory, mkdtemp
from typing import NamedTuple

from fault import Fault
from faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 6
"""More than there may be processors: most of the tests wait."""
PATIENCE = 5.0
"""Seconds that a test waits for what does not come: many a fault ends like that."""
SOON = 15
"""Seconds after which the test that is known to kill a fault hangs. It takes one or two."""
SILENCE = 120
"""Seconds after which any test hangs: some explore a lot."""
LIMIT = 600
"""Seconds for all the tests together, should the interpreter not end."""

HARMLESS = {
    "test_architecture.py",
    "test_demo.py",
    "test_demo_day.py",
    "test_demo_figures.py",
    "test_demo_fleet.py",
    "test_demo_origin.py",
    "test_develop.py",
    "test_frameworks.py",
    "test_mutations.py",
    "test_readme.py",
    "test_twins.py",
}
"""They look at other things than the protocol."""

STARTED = re.compile(r"^tests/\S+::\S+", re.MULTILINE)
ENDED = re.compile(r"^=+ .* in [\d.]+s.* =+$", re.MULTILINE)
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/\S+::.+?)(?: - .*)?$", re.MULTILINE)


class Run(NamedTuple):
    """What came of some tests: the one that did not pass, if any, and what it did instead."""

    killer: str
    how: str
    seconds: float
    output: str
    late: bool = False
    """Whether the test that is known to kill the fault had passed."""


def prepare(folder: Path) -> None:
    """What the copies are made of: tests that wait for less, and the source with its bytecode."""
    no_bytecode = shutil.ignore_patterns("__pycache__")
    for name in ("src", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=no_bytecode)
    shutil.copy(ROOT / "pyproject.toml", folder)
    meeting = folder / "tests/meeting.py"
    whole = meeting.read_text(encoding="utf-8")
    assert "PATIENCE = 20.0" in whole
    impatient = whole.replace("PATIENCE = 20.0", f"PATIENCE = {PATIENCE}")
    meeting.write_text(impatient, encoding="utf-8")
    # Bytecode goes by the text, as that of another fault may be of the same size and time.
    compile_dir(folder / "src", quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


class Copy:
    """The source in a folder of its own, beside the tests, which all copies share."""

    def __init__(self, folder: Path, prepared: Path) -> None:
        self.folder = folder
        shutil.copytree(prepared / "src", folder / "src")
        for name in ("tests", "benchmarks", "pyproject.toml"):  # pytest compiles a test once
            (folder / name).symlink_to(prepared / name)
        environment = os.environ | {
            "PYTHONPATH": str(folder / "src"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # they take longer than most of the tests
        }
        self.forks = subprocess.Popen(
            [sys.executable, "-W", "error", Path(__file__).with_name("forks.py")],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        path, faulty = fault.applied(self.folder)
        whole = path.read_text(encoding="utf-8")
        path.write_text(faulty, encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(whole, encoding="utf-8")

    def test(self, tests: Sequence[str], silence: int = SILENCE) -> Run:
        """Run tests until one fails."""
        arguments = ["-vx", "-rfE", "--tb=short", "-p", "no:cacheprovider"]
        arguments += ["-o", f"faulthandler_timeout={silence}"]
        arguments += ["-o", "faulthandler_exit_on_timeout=true", *tests]
        output = self.folder / "output"
        output.write_bytes(b"")
        start = time.monotonic()
        code = self.fork(arguments, output)
        text = output.read_text(encoding="utf-8", errors="replace")
        return Run(*verdict(code, text), time.monotonic() - start, text)

    def fork(self, arguments: Sequence[str], output: Path) -> int | None:
        """Run pytest; its exit code, or nothing where it took too long."""
        assert self.forks.stdin is not None
        assert self.forks.stdout is not None
        print(json.dumps([arguments, str(output)]), file=self.forks.stdin, flush=True)
        process = int(self.forks.stdout.readline())

        def end() -> None:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)

        timer = threading.Timer(LIMIT, end)
        timer.start()
        code = int(self.forks.stdout.readline())
        timer.cancel()
        end()  # what it has forked itself
        return None if code == -signal.SIGKILL else code

    def kill(self, fault: Fault, everything: Sequence[str]) -> Run:
        """See which test notices a fault."""
        with self.faulty(fault):
            first = self.test([fault.test(ROOT)], SOON)
            if first.how:
                return first
            run = self.test(everything)
            return run._replace(seconds=first.seconds + run.seconds, late=True)


def verdict(code: int | None, output: str) -> tuple[str, str]:
    """Which test did not pass, and what it did instead; nothing where all did."""
    if code == 0:
        return "", ""
    if failed := FAILED.search(output):
        return failed[1], "fails"
    if code is None and not ENDED.search(output):
        return "", f"the tests took more than {LIMIT} s"
    if started := STARTED.findall(output):
        return started[-1], "hangs" if code is None or "Timeout (" in output else "breaks off"
    return "", "no test ran"


def report(fault: Fault, run: Run) -> bool:
    """Print what became of a fault; whether it was killed by a test."""
    if not run.how:
        print(f"SURVIVES      {fault.name}: {fault.breaks}", flush=True)
    elif not run.killer:
        print(f"BROKEN        {fault.name}: {run.how}", flush=True)
    else:
        how = "" if run.how == "fails" else f" {run.how}"
        print(f"killed {run.seconds:4.1f} s {fault.name}: {run.killer}{how}", flush=True)
    return bool(run.killer)


def apply(faults: Sequence[Fault]) -> bool:
    """Whether all of them still do; else it is said what does not."""
    broken = [problem for fault in faults for problem in fault.problems(ROOT)]
    for problem in broken:
        print(f"no longer applies: {problem}")
    return not broken


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--check", action="store_true", help="see that each still applies, and end")
    parser.add_argument("--list", action="store_true", help="print the faults and end")
    parser.add_argument("--fault", nargs="+", choices=names, metavar="NAME", help="only these")
    parser.add_argument("--workers", type=int, default=WORKERS, metavar="N")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if not options.fault or fault.name in options.fault]
    if options.list:
        for fault in faults:
            print(f"{fault.name} ({fault.where})\n    {fault.breaks}")
        return 0
    if not apply(faults):
        return 1
    if options.check:
        print(f"{len(faults)} faults still apply")
        return 0
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    everything = [str(test.relative_to(ROOT)) for test in tests if test.name not in HARMLESS]
    start = time.monotonic()
    mine = threading.local()

    def equip(folder: str) -> None:
        mine.copy = Copy(Path(mkdtemp(dir=folder)), prepared)
        at_the_end.enter_context(mine.copy.forks)  # which end with their input

    with (
        TemporaryDirectory() as folder,
        ExitStack() as at_the_end,
        ThreadPoolExecutor(options.workers, initializer=equip, initargs=(folder,)) as pool,
    ):
        prepared = Path(folder, "prepared")
        prepare(prepared)
        first = sorted({fault.test(ROOT) for fault in faults})
        parts = [first[i :: options.workers] for i in range(options.workers)]
        for run in pool.map(lambda tests: mine.copy.test(tests), filter(None, parts)):
            if run.how:
                print(run.output, f"without a fault: {run.killer} {run.how}", sep="\n")
                return 1
        print(f"passes without a fault ({time.monotonic() - start:.0f} s)", flush=True)
        runs = pool.map(lambda fault: mine.copy.kill(fault, everything), faults)
        killed, late = [], []
        for fault, run in zip(faults, runs, strict=True):
            if options.fault:
                print(run.output)
            killed.append(report(fault, run))
            if run.late:
                late.append(f"{fault.name} ({run.seconds:.0f} s): not by {fault.by}, which passes")
    for line in late:
        print(f"NOT AS NAMED  {line}")
    print(f"{sum(killed)} of {len(faults)} killed in {time.monotonic() - start:.0f} s")
    return 0 if all(killed) else 1


if __name__ == "__main__":
    sys.exit(main())
