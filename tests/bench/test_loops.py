"""The laws for tasks, in thousands of schedules and histories; see `bench`.

Each seed makes a program (what a few tasks do, one after the other), the order in which the loop
runs what is ready, and which callers are cancelled at which await.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest

from bench.history import LATER, History, Load
from bench.loops import Awaits, Loop
from bench.programs import MIXES, Failed, Mix, Operation, Program
from bench.replaced import each_seed, scheduled, seeds
from bench.schedule import Scheduler
from bench.single import Life
from soloflight import WaitTimeout
from soloflight._worlds import task_loads

Place = tuple[int, int]
"""The number of a caller, and that of one of its operations."""


class Tasks(Program):
    """A program whose callers are tasks."""

    in_threads = False

    def __init__(self, mix: Mix, scheduler: Scheduler) -> None:
        super().__init__(mix, scheduler)
        self.function = self.decorated(self.loader)
        self.cancel: dict[Place, int] = {}  # at which of its awaits
        self.awaits: dict[Place, int] = {}  # how many it had

    async def loader(self, key: str) -> int:
        load = self.history.load()
        load.foreground = load.leader.ended == LATER  # who is served at once has ended
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: self.landed(load))
        outcome = self.pick(self.mix.loads)
        try:
            for _ in range(self.random.randint(0, 2)):
                await asyncio.sleep(0)
            if self.mix.wait_timeout:
                await asyncio.sleep(self.duration())
        except asyncio.CancelledError:
            load.ended = load.began  # it may have been off the table ever since
            raise
        return self.bring(load, outcome, asyncio.CancelledError)

    def landed(self, load: Load) -> None:
        load.landed = self.history.now()

    async def operation(self, name: str, key: str, place: Place) -> None:
        call = self.begin(name, key)
        began, timed_out, hanging = self.scheduler.now, False, False
        try:
            if name == "call":
                call.got = await self.function(key)
            elif name == "refresh":
                call.got = await self.function.refresh(key)
            else:
                self.change(call)
        except Failed as error:
            call.got = error.args[0]
        except asyncio.CancelledError:
            interrupted = call.led is not None and not call.led.stored
            assert place in self.cancel or interrupted, "cancelled with another one"
        except WaitTimeout as error:
            timed_out = call.impatient = True
            hanging = "max_abandoned" in str(error)
        finally:
            call.ended = self.history.now()
            if not hanging:
                self.waited(call, self.scheduler.now - began, timed_out)

    async def caller(self, number: int, operations: list[Operation]) -> None:
        for n, operation in enumerate(operations):
            place = number, n

            async def run(operation: Operation = operation, place: Place = place) -> None:
                awaits = Awaits(self.operation(*operation, place), self.cancel.get(place))
                await awaits
                self.awaits[place] = awaits.count

            task = asyncio.get_running_loop().create_task(run())
            if self.cancel.get(place) == -1:
                task.cancel()  # before its first step
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def all(self, callers: list[list[Operation]]) -> None:
        await asyncio.gather(*(self.caller(*each) for each in enumerate(callers)))

    def run(self, callers: list[list[Operation]]) -> None:
        self.begin_with_entries()
        loop = Loop(self.scheduler)
        loop.run_until_complete(self.all(callers))
        loop.finish()
        loop.close()
        assert not loop.errors, loop.errors
        self.left()
        assert not task_loads.loads, "a load is still known of"
        self.history.check()


@pytest.mark.parametrize("mix", MIXES)
def test_what_the_tasks_saw_can_be_explained(mix: str, request: pytest.FixtureRequest) -> None:
    def run(scheduler: Scheduler) -> None:
        program = Tasks(MIXES[mix], scheduler)
        callers = program.callers()
        for i, operations in enumerate(callers):
            for n in range(len(operations)):
                if program.random.random() < 0.3:
                    program.cancel[i, n] = program.random.randint(-1, 3)
        program.run(callers)

    each_seed(request, 250, 2500, run)


@pytest.mark.parametrize("mix", MIXES)
def test_any_caller_may_be_cancelled_at_any_await(mix: str, request: pytest.FixtureRequest) -> None:
    for seed in seeds(request, 10, 100):

        def run(cancel: dict[Place, int], seed: int = seed) -> dict[Place, int]:
            with scheduled(seed) as scheduler:
                program = Tasks(MIXES[mix], scheduler)
                program.cancel = cancel
                try:
                    program.run(program.callers())
                except BaseException as error:
                    raise AssertionError(
                        f"--seed {seed} shows it again, cancelled at {cancel}: {error!r}"
                    ) from error
                return program.awaits

        for place, awaits in run({}).items():
            for at in range(-1, awaits):
                run({place: at})


@pytest.mark.parametrize(
    ("leads", "age", "holds"), [(True, 10, True), (True, 5, False), (False, 10, False)]
)
def test_who_leads_has_fenced_an_old_flight_though_its_load_never_began(
    leads: bool, age: float, holds: bool
) -> None:
    """Of the explanation: before Python 3.12 a caller may be cancelled before the first step."""
    history = History(Life(max_age=9))

    def lands(load: Load) -> None:
        load.ended, load.stored = history.now(), True
        load.leader.got = load.number
        load.landed = load.leader.ended = history.now()

    history.call("call", "a")
    old = history.load()
    history.time(age)
    cancelled = history.call("call", "a")
    cancelled.leads = leads
    cancelled.ended = history.now()
    lands(old)
    history.call("call", "a")
    lands(history.load())  # so what the old one brought was not stored
    with nullcontext() if holds else pytest.raises(AssertionError, match="this cannot be"):
        history.check()
