"""The laws for real threads, in thousands of schedules and histories; see `schedule`, `history`.

Each seed makes a program (what a few threads do, one after the other) and the schedule in which it
runs. What the calls saw must be explained by a single thread that does one thing at a time.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from history import History
from schedule import Place, Scheduler, scheduled
from soloflight import WaitTimeout, cached_singleflight


class Failed(Exception):
    """What a loader raises; its number is what it brought."""


class Mix(NamedTuple):
    """What the threads of a program do, and how often in proportion."""

    operations: dict[str, int]
    loads: dict[str, int] = {"value": 1}  # noqa: RUF012  # nobody changes it
    options: dict[str, Any] = {"ttl": None}  # noqa: RUF012
    keys: str = "a"
    pause: float = 0  # of a load


ALL = {"call": 6, "refresh": 2, "invalidate": 1, "put": 1, "clear": 1, "forget": 1, "peek": 1}
MIXES = {
    "one flight": Mix({"call": 1}),
    "order of landing": Mix({"call": 3, "peek": 1}, keys="ab"),
    "errors": Mix({"call": 1}, {"value": 1, "error": 2}),
    "interruptions": Mix({"call": 1}, {"value": 2, "interruption": 1}),
    "leaving": Mix(
        {"call": 1}, {"value": 3, "error": 1}, {"ttl": None, "wait_timeout": 1}, pause=1
    ),
    "fence": Mix(ALL),
    "fence, two keys": Mix(ALL, keys="ab"),
    "refresh": Mix({"call": 2, "refresh": 2, "invalidate": 1}, {"value": 2, "error": 1}),
    "expiry": Mix({"call": 4, "expire": 1, "peek": 1}, options={"ttl": 10}),
    "everything": Mix(
        {**ALL, "expire": 1}, {"value": 4, "error": 1, "interruption": 1}, {"ttl": 10}, keys="ab"
    ),
}


class Program:
    """A decorated function, and threads that use it as the seed says."""

    def __init__(self, mix: Mix, scheduler: Scheduler) -> None:
        self.mix = mix
        self.scheduler = scheduler
        self.random = Random(scheduler.random.random())
        self.history = History()
        self.time = 0.0
        self.function: Any = cached_singleflight(**mix.options, timer=lambda: self.time)(
            self.loader
        )

    def pick(self, weights: dict[str, int]) -> str:
        return self.random.choices(list(weights), list(weights.values()))[0]

    def loader(self, key: str) -> int:
        load = self.history.load()
        outcome = self.pick(self.mix.loads)
        for n in range(1 + self.random.randrange(3)):
            self.scheduler.step(("the loader", n))
        if self.mix.pause:
            self.scheduler.sleep(self.random.choice([0, 0, self.mix.pause]))
        load.ended = self.history.now()
        if outcome == "error":
            raise Failed(load.number)
        if outcome == "interruption":
            raise KeyboardInterrupt
        load.stored = True
        return load.number

    def operation(self, name: str, key: str) -> None:
        call = self.history.call(name, "" if name in ("clear", "expire") else key)
        f = self.function
        try:
            if name == "call":
                call.got = f(key)
            elif name == "refresh":
                call.got = f.refresh(key)
            elif name == "put":
                call.got = self.history.number()
                f.put(call.got, key)
            elif name == "peek":
                entry = f.peek(key)
                call.got = entry and entry.value
            elif name == "clear":
                f.clear()
            elif name == "expire":
                self.time += 10
            else:
                getattr(f, name)(key)
        except Failed as error:
            call.got = error.args[0]
        except KeyboardInterrupt:
            assert call.led is not None, "got the interruption of another one"
        except WaitTimeout:
            assert self.mix.pause, "waited for nothing"
            assert call.led is None, "the leader does not wait"
        finally:
            call.ended = self.history.now()
            if call.led is not None:
                call.led.landed = call.ended

    def thread(self, operations: list[tuple[str, str]]) -> None:
        for operation in operations:
            self.operation(*operation)

    def run(self, *threads: list[tuple[str, str]]) -> None:
        """Run what each thread does; by default, as the seed says."""
        threads = threads or self.threads()
        self.scheduler.run(*(lambda t=thread: self.thread(t) for thread in threads))
        assert self.mix.pause or self.scheduler.now == 0, (
            "somebody was not woken, and looked at last"
        )
        assert not self.function.in_flight(), "something is left on the table"
        self.history.check()

    def threads(self) -> tuple[list[tuple[str, str]], ...]:
        return tuple(
            [
                (self.pick(self.mix.operations), self.random.choice(self.mix.keys))
                for _ in range(self.random.randint(1, 3))
            ]
            for _ in range(self.random.randint(2, 4))
        )


@pytest.mark.parametrize("mix", MIXES)
def test_what_the_callers_saw_can_be_explained(
    mix: str, thorough: bool, request: pytest.FixtureRequest
) -> None:
    seed = request.config.getoption("--seed")
    for number in [seed] if seed is not None else range(3000 if thorough else 150):
        with scheduled(number) as scheduler:
            try:
                Program(MIXES[mix], scheduler).run()
            except BaseException as error:
                raise AssertionError(f"--seed {number} shows it again: {error!r}") from error


PROTOCOL = ("_table.py", "_threads.py", "_shelf.py", "the loader")
PROGRAMS = {
    "order of landing": ("one flight", ["call call", "call call", "call"]),
    "errors": ("errors", ["call call", "call call"]),
    "interruptions": ("interruptions", ["call", "call", "call"]),
    "invalidate": ("fence", ["call", "call", "invalidate call"]),
    "put": ("fence", ["call", "call", "put call"]),
    "refresh": ("fence", ["call", "refresh", "call refresh"]),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_whoever_is_held_up_wherever(program: str, thorough: bool) -> None:
    """Every two lines of ours, at which those who come there first wait for all others."""
    mix, lines = PROGRAMS[program]
    threads = [[(name, "a") for name in line.split()] for line in lines]

    def run(holds: tuple[Place, ...]) -> set[Place]:
        # A load is slow, other than that nothing is.
        with scheduled(0, (*holds, ("the loader", 0))) as scheduler:
            try:
                Program(MIXES[mix], scheduler).run(*threads)
            except BaseException as error:
                where = " and ".join(f"{Path(file).name}:{line}" for file, line in holds)
                raise AssertionError(f"held up at {where}: {error!r}") from error
            return set(scheduler.places)

    known: set[Place] = set()
    found = run(())
    while found - known:
        new, known = found - known, known | found
        for place in new:
            found |= run((place,))
    protocol = sorted(place for place in known if Path(place[0]).name in PROTOCOL)
    pairs = list(combinations_with_replacement(protocol, 2))
    for holds in pairs if thorough else Random(program).sample(pairs, 150):
        run(holds)
