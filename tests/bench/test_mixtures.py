"""The laws for threads, event loops and futures that share flights, in thousands of schedules.

As `test_schedules` and `test_loops`, with a `Group`. Each caller is a thread of its own: one that
blocks, one that waits for futures, or one whose event loop runs a few tasks; any of them may find
that another one leads. Where loads ask for other keys in turn, nobody may wait for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import CancelledError as FutureCancelled
from contextlib import contextmanager
from functools import partial

import pytest

from bench.history import Call, Load
from bench.loops import Awaits, Loop
from bench.programs import Failed, Mix, Operation, Program
from bench.replaced import each_seed
from bench.schedule import Scheduler
from soloflight import FlightDeadlock, Group
from soloflight._worlds import task_loads

MIXES = {
    "values": Mix({"call": 5, "forget": 1}, keys="ab"),
    "errors": Mix({"call": 5, "forget": 1}, {"value": 1, "error": 1}),
    "interruptions": Mix({"call": 1}, {"value": 2, "interruption": 1}),
}
HANDED_ON = Mix({"call": 5, "forget": 2}, {"value": 1, "interruption": 2})
CYCLES = Mix({"call": 1}, {"value": 3, "error": 1, "interruption": 1}, keys="abc")


class Mixture(Program):
    """A program whose callers are threads of three kinds."""

    stores = False

    def __init__(self, mix: Mix, scheduler: Scheduler, *, nested: bool = False) -> None:
        super().__init__(mix, scheduler)
        self.nested = nested
        self.function = self.group = Group()
        self.kinds = [self.thread, self.futures, self.loop, self.loop]

    # Loads

    def plan(self) -> tuple[Load, str, str]:
        """A load, what it brings, and which key it asks for first."""
        asks = self.random.choice(["", *self.mix.keys]) if self.nested else ""
        return self.history.load(), self.pick(self.mix.loads), asks

    def loader(self) -> int:
        load, outcome, asks = self.plan()
        for n in range(self.random.randint(1, 3)):
            self.scheduler.step(("the loader", n))
        if asks:
            self.block("call", asks)
        return self.bring(load, outcome, KeyboardInterrupt)

    async def async_loader(self) -> int:
        load, outcome, asks = self.plan()
        try:
            for _ in range(self.random.randint(0, 2)):
                await asyncio.sleep(0)
            if asks:
                await self.wait("call", asks)
        except asyncio.CancelledError:
            load.ended = load.began  # it may have been off the table ever since
            raise
        return self.bring(load, outcome, asyncio.CancelledError)

    # What a caller asks for, from outside or in a load

    @contextmanager
    def asking(self, name: str, key: str) -> Iterator[Call]:
        before = self.history.current()
        call = self.begin(name, key)
        try:
            yield call
        except Failed as error:
            call.got = error.args[0]
            raise
        finally:
            self.history.over(call, before)

    def block(self, name: str, key: str) -> None:
        with self.asking(name, key) as call:
            if name == "forget":
                self.group.forget(key)
            else:
                call.got = self.group.do(key, self.loader)

    def submit(self, name: str, key: str) -> None:
        if name == "forget":
            self.block(name, key)
            return
        with self.asking(name, key) as call:
            future = self.group.submit(key, self.loader)
            if self.random.random() < 0.2:
                call.cancelled = future.cancel()
            self.scheduler.wait(future.done)
            call.got = future.result()

    async def wait(self, name: str, key: str) -> None:
        with self.asking(name, key) as call:
            if name == "forget":
                self.group.forget(key)
            else:
                call.got = await self.group.do_async(key, self.async_loader)

    # Callers

    @contextmanager
    def whatever_it_raises(self, *personal: type[BaseException]) -> Iterator[None]:
        """Its own interruption or an error, but nobody else's interruption."""
        try:
            yield
        except (Failed, *personal):
            pass
        except FlightDeadlock:
            assert self.nested, "accused of a cycle that there is not"

    def thread(self, operations: list[Operation]) -> None:
        for operation in operations:
            with self.whatever_it_raises(KeyboardInterrupt):
                self.block(*operation)

    def futures(self, operations: list[Operation]) -> None:
        for operation in operations:
            with self.whatever_it_raises(KeyboardInterrupt, FutureCancelled):
                self.submit(*operation)

    async def task(self, operation: Operation) -> None:
        cancel = self.random.randint(0, 3) if self.random.random() < 0.2 else None
        with self.whatever_it_raises(asyncio.CancelledError):
            await Awaits(self.wait(*operation), cancel)

    def loop(self, operations: list[Operation]) -> None:
        loop = Loop(self.scheduler)
        tasks = [loop.create_task(self.task(operation)) for operation in operations]
        loop.run_until_complete(asyncio.wait(tasks))
        loop.finish()
        loop.close()
        for task in tasks:
            task.result()
        assert not loop.errors, loop.errors

    def run(self) -> None:
        self.scheduler.run(
            *(partial(self.random.choice(self.kinds), operations) for operations in self.callers())
        )
        assert self.scheduler.now == 0, "somebody was not woken, and looked at last"
        assert not self.group.in_flight(), "something is left on the table"
        assert not task_loads.loads, "a load is still known of"


@pytest.mark.parametrize("mix", MIXES)
def test_what_they_saw_can_be_explained(mix: str, request: pytest.FixtureRequest) -> None:
    def run(scheduler: Scheduler) -> None:
        program = Mixture(MIXES[mix], scheduler)
        program.run()
        program.history.check()

    each_seed(request, 150, 1000, run)


def test_futures_that_are_handed_on_are_woken_once(request: pytest.FixtureRequest) -> None:
    """Most callers wait for futures, and most loads are interrupted."""

    def run(scheduler: Scheduler) -> None:
        program = Mixture(HANDED_ON, scheduler)
        program.kinds = [program.thread, program.futures, program.futures, program.futures]
        program.run()
        program.history.check()

    each_seed(request, 150, 1000, run)


def test_loads_that_ask_for_each_other_always_end(request: pytest.FixtureRequest) -> None:
    each_seed(request, 300, 1500, lambda scheduler: Mixture(CYCLES, scheduler, nested=True).run())
