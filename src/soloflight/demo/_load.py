"""The load: N clients that read one hot key for a while, as threads or as tasks, and what each saw.

It promises the same load to every scheme: as many clients, thinking for the same times between two
reads, all starting at once, on a cache that is warm. It does not know what a scheme does behind
`read`.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ._origin import HOT_KEY
from ._settings import Settings


class TurnedAway(Exception):
    """Raised by a read that gets no answer now and may be tried again."""


@dataclass(frozen=True)
class Answer:
    """The origin's answer; no two calls get the same version."""

    body: str
    version: int


class Read(NamedTuple):
    """One answer: when the client wanted it, how long it took, all tries included, and which.

    The moment is one of `time.monotonic`, like those of the origin; the latency is measured with
    `time.perf_counter`, which is finer on Windows.
    """

    began: float
    latency: float
    version: int


class Failure(NamedTuple):
    """One read that failed: when the client began it, and when it ended, by `time.monotonic`."""

    began: float
    ended: float


@dataclass
class Tally:
    """What one client saw. Only that client writes it."""

    answers: list[Read] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    turned_away: int = 0


class Clients:
    """The clients of one scheme, from their common start until `stop()`."""

    def __init__(self, settings: Settings) -> None:
        self.tallies = [Tally() for _ in range(settings.clients)]
        self._settings = settings
        self.began = 0.0
        self._threads: list[threading.Thread] = []
        self._stopping = False

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    @property
    def answers(self) -> int:
        return sum(len(tally.answers) for tally in self.tallies)

    def start_threads(self, read: Callable[[str], Answer]) -> None:
        """A thread for each client; returns as soon as they are under way."""
        start = threading.Barrier(len(self.tallies) + 1, self._begin)

        def client(tally: Tally, thinking: Iterator[float]) -> None:
            start.wait()
            while not self._stopping:
                began, counter = time.monotonic(), time.perf_counter()
                while True:
                    try:
                        answer = read(HOT_KEY)
                        latency = time.perf_counter() - counter
                        tally.answers.append(Read(began, latency, answer.version))
                    except TurnedAway:
                        tally.turned_away += 1
                        time.sleep(self._settings.retry)
                        continue
                    except OSError:
                        tally.failures.append(Failure(began, time.monotonic()))
                    break
                time.sleep(next(thinking))

        for index, tally in enumerate(self.tallies):
            self._start(client, tally, self._thinking(index))
        try:
            read(HOT_KEY)
        except OSError:
            pass  # then they start on a cold cache
        start.wait()

    def start_tasks(self, read: Callable[[str], Awaitable[Answer]]) -> None:
        """A task for each client, on one event loop in a thread; returns as soon as they start."""

        async def client(tally: Tally, thinking: Iterator[float]) -> None:
            while not self._stopping:
                began, counter = time.monotonic(), time.perf_counter()
                while True:
                    try:
                        answer = await read(HOT_KEY)
                        latency = time.perf_counter() - counter
                        tally.answers.append(Read(began, latency, answer.version))
                    except TurnedAway:
                        tally.turned_away += 1
                        await asyncio.sleep(self._settings.retry)
                        continue
                    except OSError:
                        tally.failures.append(Failure(began, time.monotonic()))
                    break
                await asyncio.sleep(next(thinking))

        async def all_clients() -> None:
            clients = [client(tally, self._thinking(i)) for i, tally in enumerate(self.tallies)]
            try:
                await read(HOT_KEY)
            except OSError:
                pass
            start.wait()
            await asyncio.gather(*clients)

        start = threading.Barrier(2, self._begin)
        self._start(lambda: asyncio.run(all_clients()))
        start.wait()

    def stop(self) -> None:
        """Let every client get what it is waiting for, and no more; returns when all are done."""
        self._stopping = True
        for thread in self._threads:
            thread.join()

    def _begin(self) -> None:
        self.began = time.monotonic()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        # Daemons: a second Ctrl-C must not have to wait for them.
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _thinking(self, index: int) -> Iterator[float]:
        # Seeded by the client's number, so that every scheme gets the same load.
        rng = random.Random(index)
        while True:
            yield self._settings.think * rng.uniform(0.5, 1.5)
