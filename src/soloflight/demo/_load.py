"""The load: N clients that read one hot key for a while, as threads or as tasks, and what each saw.

It promises the same load to every scheme: as many clients, thinking for the same times between two
reads, all starting at once. It does not know what a scheme does behind `read`.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from ._origin import HOT_KEY
from ._settings import Settings


class TurnedAway(Exception):
    """Raised by a read that gets no answer now and may be tried again."""


@dataclass(frozen=True)
class Answer:
    """The origin's answer; no two calls get the same version."""

    body: str
    version: int


@dataclass
class Tally:
    """What one client saw. Only that client writes it."""

    latencies: list[float] = field(default_factory=list)
    """Seconds from wanting the value to having it, all tries included; one for each answer."""
    turned_away: int = 0
    failed: int = 0
    versions: set[int] = field(default_factory=set)

    def answered(self, answer: Answer, began: float) -> None:
        self.latencies.append(time.perf_counter() - began)
        self.versions.add(answer.version)


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
        return sum(len(tally.latencies) for tally in self.tallies)

    def start_threads(self, read: Callable[[str], Answer]) -> None:
        """A thread for each client; returns as soon as they are under way."""
        start = threading.Barrier(len(self.tallies) + 1, self._begin)

        def client(tally: Tally, thinking: Iterator[float]) -> None:
            start.wait()
            while not self._stopping:
                began = time.perf_counter()
                while True:
                    try:
                        tally.answered(read(HOT_KEY), began)
                    except TurnedAway:
                        tally.turned_away += 1
                        time.sleep(self._settings.retry)
                        continue
                    except OSError:
                        tally.failed += 1
                    break
                time.sleep(next(thinking))

        for index, tally in enumerate(self.tallies):
            self._start(client, tally, self._thinking(index))
        start.wait()

    def start_tasks(self, read: Callable[[str], Awaitable[Answer]]) -> None:
        """A task for each client, on one event loop in a thread; returns as soon as they start."""

        async def client(tally: Tally, thinking: Iterator[float]) -> None:
            while not self._stopping:
                began = time.perf_counter()
                while True:
                    try:
                        tally.answered(await read(HOT_KEY), began)
                    except TurnedAway:
                        tally.turned_away += 1
                        await asyncio.sleep(self._settings.retry)
                        continue
                    except OSError:
                        tally.failed += 1
                    break
                await asyncio.sleep(next(thinking))

        async def all_clients() -> None:
            clients = [client(tally, self._thinking(i)) for i, tally in enumerate(self.tallies)]
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
