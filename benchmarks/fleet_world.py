"""A fleet in virtual time: its processes, its store, and what goes wrong."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import quantiles
from typing import Any

from fleet_laws import NEWS, Judge
from fleet_network import PUSH, Events, Network, Primary, nap
from fleet_process import Process
from soloflight._entries import policy as policies
from soloflight._entries.policy import Policy
from soloflight._tiers import fences, keeper, leases, owing, talk
from soloflight._tiers.memory import Memory

TIMED = fences, keeper, leases, owing, talk


@dataclass(frozen=True)
class Scenario:
    """What a fleet does, and what goes wrong. Durations are seconds, and `...s` of them a range."""

    name: str
    processes: int = 100
    keys: int = 1
    rate: float = 50.0
    """Calls a second of one key in one process."""
    ttl: float = 2.0
    stale: float = 0.0
    early: float = 0.0
    loads: tuple[float, float] = (0.1, 0.2)
    lease: float = 3.0
    seconds: float = 12.0
    # Parts of the loads:
    dies: float = 0.0
    stops: float = 0.0
    slow: float = 0.0
    """Take 3.2 leases."""
    # Parts of the questions:
    loss: float = 0.0
    # Seconds between two of them:
    invalidates: float = 0.0
    strays: float = 0.0
    """Any process dies, or stands still."""
    store: str = ""
    """What becomes of it: it restarts empty, it hangs, another one takes over. Every 3 seconds."""
    patience: float = 0.75
    """Seconds that a caller may lose."""


@dataclass(frozen=True)
class Outcome:
    scenario: Scenario
    seed: int
    loads: int
    expiries: int
    unleased: int
    calls: int
    wakes: tuple[float, float, float]
    """The middle, the 99th of 100, the last."""
    lost: float
    commands: int
    pushes: int
    busy: float
    queue: float
    failures: int
    lost_fences: int
    events: dict[str, int]
    breaches: list[str]


class Fleet:
    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario, self.seed = scenario, seed
        self.random = Random(f"{scenario} {seed}")  # everything is drawn from it
        self.events = Events()
        self.began = self.events.now
        self.until = self.began + scenario.seconds
        self.lease = scenario.lease
        self.policy = Policy(
            ttl=scenario.ttl, stale_while_revalidate=scenario.stale, early_refresh=scenario.early
        )
        self.judge = Judge(self)
        network = Network(self.random, scenario.loss)
        self.primary = Primary(self.events, network, Memory(self.lease, 30.0, self.clock))
        self.early = 0.0  # the probability of what is drawn next to be so small
        self.failures = 0  # questions that were not answered
        self.told_within = scenario.processes * PUSH
        self.keys = range(scenario.keys)
        self.processes: list[Process] = []
        self.key_of: dict[bytes, int] = {}

    def clock(self) -> float:
        return self.events.now

    def slack(self) -> float:
        """Seconds for which an entry may be served longer: the store got it so much later."""
        return 0.05 + self.primary.longest_queue

    def elapsed(self) -> float:
        return self.events.now - self.began

    def dice(self) -> float:
        drawn = self.random.random()
        if self.early:
            drawn, self.early = 1.0 - (1.0 - drawn) * self.early, 0.0
        return min(drawn, 1.0 - 2.0**-53)

    # Loads

    async def load(self, process: Process, key: int) -> int:
        lease, process.lease = process.lease, None
        load = self.judge.begins(process, key, lease)
        seconds = self._fate(process)
        await nap(self.events, seconds)
        load.ended = self.events.now
        return load.number

    def _fate(self, process: Process) -> float:
        scenario, random = self.scenario, self.random
        seconds, fate = random.uniform(*scenario.loads), random.random()
        if fate < scenario.dies:
            self.events.after(random.uniform(0, seconds), partial(self.kill, process))
        elif fate < scenario.dies + scenario.stops:
            standing = random.uniform(0.5, 3) * self.lease
            self.events.after(random.uniform(0, seconds), partial(self.stop, process, standing))
        elif fate < scenario.dies + scenario.stops + scenario.slow:
            seconds = 3.2 * self.lease
        return seconds

    # Faults

    def _concerns(self, process: Process, what: str) -> None:
        for flight in process.table.flights.all():
            self.judge.event(flight.key, what)  # type: ignore[arg-type]

    def kill(self, process: Process) -> None:
        if process.alive:
            self._concerns(process, "died")
            for load in self.judge.loads[-500:]:
                if load.by is process:
                    load.ended = min(load.ended, self.events.now)
            process.die()
            self.primary.memory.processes.remove(process)
            self.events.after(self.random.uniform(0.1, 1), self.start)

    def stop(self, process: Process, seconds: float) -> None:
        if process.alive:
            self._concerns(process, "stood still")
            process.stop(seconds)

    def stray(self) -> None:
        process = self.random.choice([process for process in self.processes if process.alive])
        if self.random.random() < 0.5:
            self.kill(process)
        else:
            self.stop(process, self.random.uniform(0.05, 2) * self.lease)

    def invalidate(self) -> None:
        process, key = self.random.choice(self.processes), self.random.choice(self.keys)
        if process.alive and self.events.now >= process.stopped_until:
            process.invalidate(key)
            self.judge.audit(key)
            self.events.after(2 * NEWS + self.told_within + 0.3, partial(self.judge.audit, key))

    def trouble(self) -> None:
        primary, random, kind = self.primary, self.random, self.scenario.store
        if primary.stands or not primary.answers:
            return
        length = random.uniform(0.1, 2.5)
        if kind == "hangs":
            primary.hang()
            self.events.after(length, primary.up)
            return
        state: Any = ({}, {})
        since, lag = self.began, random.uniform(0, 0.05)
        if kind == "fails over":
            state, since = primary.state(), self.events.now
        self.events.after(lag, partial(self._dies, kind, state, since, length))

    def _dies(self, kind: str, state: Any, since: float, length: float) -> None:
        over = kind == "fails over"
        self.primary.down(refuses=not over)
        for process in self.processes:
            if process.alive:
                # Nobody says that a host is gone.
                process.cut_off(self.random.uniform(0, 6) if over else 0.0)
        self.events.after(length, partial(self._comes_back, state, since))

    def _comes_back(self, state: Any, since: float) -> None:
        self.primary.become(state)
        self.judge.store_lost(since)
        self.primary.up()

    def _every(self, seconds: float, what: Any) -> None:
        """Something that happens at any time, so often."""
        if seconds:
            time = self.began + self.random.uniform(1, 2)
            while time < self.until:
                self.events.at(time, what)
                time += self.random.uniform(0.5, 1.5) * seconds

    # It all

    def start(self) -> None:
        if self.events.now >= self.until:
            return
        process = Process(self, len(self.processes))
        self.processes.append(process)
        self.primary.memory.processes.append(process)
        if not self.key_of:
            self.key_of = {process.shared.known(key): key for key in self.keys}
        for key in self.keys:
            process.begin(key, self.scenario.rate)

    def run(self) -> Outcome:
        scenario = self.scenario
        with self._in_its_time():
            for _ in range(scenario.processes):
                self.start()
            self._every(scenario.invalidates, self.invalidate)
            self._every(scenario.strays, self.stray)
            self._every(3.0 if scenario.store else 0.0, self.trouble)
            self.events.run(self.until)
            # Whatever is under way comes to its end.
            self.events.run(self.until + 10 * self.lease)
            self.judge.ends()
        return self._outcome()

    @contextmanager
    def _in_its_time(self) -> Iterator[None]:
        """The clocks and the dice of the library are ours."""
        patches: list[tuple[Any, str, Any]] = [
            *((module, "monotonic", self.clock) for module in TIMED),
            (talk, "random", self.random.random),
            (policies, "random", self.dice),
        ]
        before = [(module, name, getattr(module, name)) for module, name, _ in patches]
        for module, name, ours in patches:
            setattr(module, name, ours)
        collects = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            for module, name, theirs in before:
                setattr(module, name, theirs)
            if collects:
                gc.enable()

    def _outcome(self) -> Outcome:
        judge, primary = self.judge, self.primary
        wakes = sorted(judge.wakes) or [0.0, 0.0]
        cuts = quantiles(wakes, n=100, method="inclusive") if len(wakes) > 1 else wakes * 100
        return Outcome(
            self.scenario, self.seed, len(judge.loads), judge.expiries, judge.unleased,
            judge.calls, (cuts[49], cuts[98], wakes[-1]), judge.most_lost,
            sum(primary.commands.values()), primary.pushes, primary.busy, primary.longest_queue,
            self.failures, judge.lost_fences, dict(judge.events), judge.breaches,
        )  # fmt: skip
