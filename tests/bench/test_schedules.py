"""The laws for real threads, in thousands of schedules and histories; see `bench`.

Each seed makes a program (what a few threads do, one after the other) and the schedule in which it
runs. What the calls saw must be explained by a single thread that does one thing at a time.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from random import Random

import pytest

from bench.history import Call, Load
from bench.programs import MIXES, Failed, Mix, Operation, Program
from bench.replaced import Refused, each_seed, scheduled
from bench.schedule import Actor, Place, Scheduler
from soloflight import WaitTimeout
from soloflight._entries import given, shelf, sieve, store
from soloflight._flights import serving, table
from soloflight._sources import direct
from soloflight._worlds import pool, thread_loads, threads


class Threads(Program):
    """A program whose callers are threads."""

    def __init__(self, mix: Mix, scheduler: Scheduler) -> None:
        super().__init__(mix, scheduler)
        self.function = self.decorated(self.loader)
        self.in_progress: dict[Actor | None, Call] = {}  # by the thread that makes it
        self.ran: dict[Load, Call] = {}  # by a thread that makes a call

    def loader(self, key: str) -> int:
        load = self.history.load()
        actor = self.scheduler.current
        call = self.in_progress.get(actor)
        if call is not None:
            self.ran[load] = call
            load.foreground = call is load.leader
        else:
            assert actor is not None
            actor.afterwards.append(partial(self.landed, load))
        outcome = self.pick(self.mix.loads)
        for n in range(self.random.randint(1, 3)):
            self.scheduler.step(("the loader", n))
        if self.mix.wait_timeout:
            self.scheduler.sleep(self.duration())
        return self.bring(load, outcome, KeyboardInterrupt)

    def landed(self, load: Load) -> None:
        load.landed = self.history.now()

    def operation(self, name: str, key: str) -> None:
        self.in_progress[self.scheduler.current] = call = self.begin(name, key)
        began, timed_out, hanging = self.scheduler.now, False, False
        try:
            if name == "call":
                call.got = self.function(key)
            elif name == "refresh":
                call.got = self.function.refresh(key)
            else:
                self.change(call)
        except Failed as error:
            call.got = error.args[0]
        except Refused:
            pass
        except KeyboardInterrupt:
            assert call.led is not None or self.runs(call), "got the interruption of another one"
        except WaitTimeout as error:
            timed_out = call.impatient = True
            hanging = "max_abandoned" in str(error)
            assert not self.runs(call), "a thread that leads does not wait"
        finally:
            call.ended = self.history.now()
            for load in self.runs(call):
                load.landed = call.ended
            if not (self.runs(call) or hanging):
                self.waited(call, self.scheduler.now - began, timed_out)

    def runs(self, call: Call) -> list[Load]:
        return [load for load, by in self.ran.items() if by is call]

    def thread(self, operations: list[Operation]) -> None:
        for operation in operations:
            self.operation(*operation)

    def run(self, callers: list[list[Operation]]) -> None:
        self.begin_with_entries()
        self.scheduler.run(*(partial(self.thread, operations) for operations in callers))
        late = self.scheduler.now > 0 and not self.mix.wait_timeout
        assert not late, "somebody was not woken, and looked at last"
        self.left()
        self.history.check()


@pytest.mark.parametrize("mix", MIXES)
def test_what_the_threads_saw_can_be_explained(mix: str, request: pytest.FixtureRequest) -> None:
    def run(scheduler: Scheduler) -> None:
        program = Threads(MIXES[mix], scheduler)
        program.run(program.callers())

    each_seed(request, 150, 1000, run)


ROOMS = (table, threads, shelf, sieve, given, store, serving, direct, pool, thread_loads)
PROTOCOL = {*(room.__file__ for room in ROOMS), "the loader"}
PROGRAMS = {
    "order of landing": ("one flight", ["call call", "call call", "call"]),
    "errors": ("errors", ["call call", "call call"]),
    "interruptions": ("interruptions", ["call", "call", "call"]),
    "invalidate": ("fence", ["call", "call", "invalidate call"]),
    "put": ("fence", ["call", "call", "put call"]),
    "refresh": ("fence", ["call", "refresh", "call refresh"]),
    "stale": ("stale", ["call call", "call", "call"]),
    "stale, fenced": ("stale, fenced", ["call", "call", "invalidate call"]),
    "stale, put": ("stale, fenced", ["call", "call", "put call"]),
    "on error": ("stale on error", ["expire call", "call call", "call"]),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_whoever_is_held_up_wherever(program: str, kind: str, thorough: bool) -> None:
    """Pairs of lines of ours, at which those who come there first wait for all others."""
    mix, lines = PROGRAMS[program]
    callers = [[(name, "a") for name in line.split()] for line in lines]

    def run(holds: tuple[Place, ...]) -> set[Place]:
        # A load is slow; other than that nothing is.
        with scheduled(2 if kind == "given" else 0, (*holds, ("the loader", 0))) as scheduler:
            try:
                Threads(MIXES[mix], scheduler).run(callers)
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
    protocol = sorted(place for place in known if place[0] in PROTOCOL)
    pairs = list(combinations_with_replacement(protocol, 2))
    for holds in Random(program).sample(pairs, 1000 if thorough else 150):
        run(holds)
