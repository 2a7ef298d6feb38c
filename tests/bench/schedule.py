"""Real threads under a scheduler: one runs at a time, and the seed decides which.

Every line of ours is a point where another thread may go on (for one seed in ten, every bytecode),
and so is a lock, a wait and the clock: see `replaced`. Half of the seeds choose a thread at random
at each step; the other half give the threads priorities and change these at a few steps (PCT:
Burckhardt et al., ASPLOS 2010), which finds an error that needs d changes of order with a
probability of at least 1/(threads * steps^(d-1)). Instead of a seed there may be a few *holds*,
lines of ours: whoever is the first to come to one waits there until nobody else can go on.

Time stands still while any thread can go on. Then it jumps to when the next wait ends.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random, choice
from types import CodeType
from typing import Any
from weakref import ref

import soloflight
from soloflight import _locks
from soloflight._flights import waits
from soloflight._flights.flight import Flight
from soloflight._flights.table import FlightTable

OURS = str(Path(soloflight.__file__).parent)
Place = tuple[str, int]
"""A line of ours."""

STEPS = 100_000
"""After so many, the threads go round in circles."""


class Hang(AssertionError):
    """Nobody can go on, and no wait will end."""


class Dismissed(BaseException):
    """Ends a daemon that waits for work, when there will be none any more."""


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this thread, and those that it starts, on one core.

    One of them runs at a time: to hand on from core to core takes three times as long.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {choice(list(cores))})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


class Actor:
    """A thread that runs when it is handed the baton."""

    def __init__(self, scheduler: Scheduler, body: Callable[[], object], daemon: bool) -> None:
        self.scheduler = scheduler
        self.body: Callable[[], object] | None = body
        self.daemon = daemon
        self.afterwards: list[Callable[[], None]] = []  # to be called when its job is done
        self.error: BaseException | None = None
        self.over = False
        self.ready: Callable[[], object] | None = None  # what it waits for
        self.deadline: float | None = None
        self.priority = -len(scheduler.actors) / 100
        if scheduler.holds is None:
            self.priority = scheduler.random.random()
        self.baton = threading.Lock()
        self.baton.acquire()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        self.baton.acquire()
        sys.settrace(self.scheduler.trace)
        assert self.body is not None
        try:
            self.body()
        except Dismissed:
            pass
        except BaseException as error:
            self.error = error
        finally:
            sys.settrace(None)
            self.body = None
            self.is_done()
            self.over = True
            self.scheduler.hand_on()

    def is_done(self) -> None:
        while self.afterwards:
            self.afterwards.pop()()

    def can_go_on(self) -> bool:
        if self.over:
            return False
        if self.ready is None or self.ready():
            return True
        return self.deadline is not None and self.scheduler.now >= self.deadline


class Scheduler:
    """Runs threads, one at a time, in an order that follows from the seed, or from the holds."""

    def __init__(self, seed: int, holds: Iterable[Place] | None = None) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.holds = None if holds is None else list(holds)
        self.places: dict[Place, None] = {}  # that were come to
        self.now = 0.0
        self.steps = 0
        self.actors: list[Actor] = []
        self.current: Actor | None = None
        self.released = False  # others may be able to go on, or have to, since the last choice
        self.done = threading.Event()
        self.failure: BaseException | None = None
        self.changes: set[int] = set()
        self.switches = 0.0
        if holds is not None:
            pass
        elif self.random.random() < 0.5:
            self.switches = self.random.choice([0.01, 0.1, 0.4])
        else:
            length = int(2 ** self.random.uniform(3, 11))
            self.changes = {self.random.randrange(length) for _ in range(self.random.randrange(4))}
        self.flights: list[ref[Flight]] = []  # all that there were
        self.leads: Callable[[], None] = lambda: None  # told by a caller that starts a task's load
        self.opcodes = holds is None and self.random.random() < 0.1
        self._ours: dict[CodeType, bool] = {}

    def run(self, *bodies: Callable[[], object]) -> None:
        """Run all of them to their ends; the first of their errors is raised."""
        with on_one_core():
            for body in bodies:
                self.spawn(body)
            self.hand_on()
            if not self.done.wait(60):
                self.failure = Hang("a thread blocks outside of the scheduler")
        errors = [actor.error for actor in self.actors if actor.error is not None]
        if self.failure is None and errors:
            self.failure = errors[0]
        if self.failure is not None:
            # The threads that hang stay where they are; nothing of theirs is left to others.
            for table in _locks.tables():
                if isinstance(table, FlightTable):
                    table.flights.clear()
            waits._waiting.clear()
            raise self.failure

    def spawn(self, body: Callable[[], object], *, daemon: bool = False) -> None:
        self.actors.append(Actor(self, body, daemon))
        self.released = True

    def closes(self) -> bool:
        """Whether daemons that have nothing to do may go home."""
        return all(actor.over for actor in self.actors if not actor.daemon)

    def trace(self, frame: Any, event: str, arg: object) -> Any:
        ours = self._ours.get(frame.f_code)
        if ours is None:
            ours = frame.f_code.co_filename.startswith((OURS, "<soloflight"))
            self._ours[frame.f_code] = ours
        if not ours:
            return None
        frame.f_trace_opcodes = self.opcodes
        return self._line

    def _line(self, frame: Any, event: str, arg: object) -> Any:
        if event in ("line", "opcode"):
            self.step((frame.f_code.co_filename, frame.f_lineno))
        return self._line

    def step(self, place: Place) -> None:
        """A point where another thread may go on."""
        me = self.current
        assert me is not None
        self.steps += 1
        if self.holds is not None:
            self.places[place] = None
            if place in self.holds:
                self.holds.remove(place)
                self._hold(me)
        elif self.switches:
            self.released = self.random.random() < self.switches
        elif self.steps in self.changes:
            self._hold(me)
        if self.released:
            self.released = False
            self._switch(me, self._choose())

    def _hold(self, actor: Actor) -> None:
        actor.priority = -self.steps
        self.released = True

    def wait(self, ready: Callable[[], object], timeout: float | None = None) -> bool:
        """Wait until `ready`; whether it came true in time."""
        me = self.current
        assert me is not None
        me.deadline = None if timeout is None else self.now + timeout
        me.ready = ready
        self._switch(me, self._choose())
        me.ready = me.deadline = None
        return bool(ready())

    def sleep(self, seconds: float) -> None:
        self.wait(lambda: False, seconds)

    def hand_on(self) -> None:
        """Go on with another thread, as this one is over."""
        if all(actor.over for actor in self.actors):
            self.done.set()
        else:
            self._switch(None, self._choose())

    def _choose(self) -> Actor | None:
        able = [actor for actor in self.actors if actor.can_go_on()]
        if not able:
            deadlines = [a.deadline for a in self.actors if not a.over and a.deadline is not None]
            if deadlines:
                self.now = min(deadlines)
                able = [actor for actor in self.actors if actor.can_go_on()]
        if not able or self.steps > STEPS:
            self.failure = Hang("nobody can go on" if not able else "going round in circles")
            self.done.set()
            return None
        if self.switches:
            return self.random.choice(able)
        return max(able, key=lambda actor: actor.priority)

    def dice(self) -> float:
        """What is drawn at random: the ends of the range, and the middle."""
        return self.random.choice([0.0, 0.5, 1 - 2.0**-53])

    def _switch(self, me: Actor | None, to: Actor | None) -> None:
        if me is to:
            return
        self.current = to
        if to is not None:
            to.baton.release()
        if me is not None:
            me.baton.acquire()
