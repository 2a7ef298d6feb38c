"""How tasks lead and wait. The loop in `call` reads like those of threads and futures."""

from __future__ import annotations

import asyncio
from asyncio import Future, TimerHandle, current_task, get_running_loop
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import Any
from weakref import ref

from .. import _clock
from .._flights import serving
from .._flights.flight import Call, Flight, Waiters, ticket
from .._flights.landing import Outcome
from .._flights.table import FlightTable
from .._flights.waits import Edge, check_frozen
from .._runners import HELD, Held, Home, held_by, me
from .._sources.direct import AsyncSource, Loaded, direct_async
from ..exceptions import WaitTimeout
from .task_loads import TaskLoad, task_load
from .threads import POLL


class LoopWaiters:
    """The tasks of one event loop that wait for one flight, each on a future of its own.

    (A future that several tasks await is cancelled with any of them.)

    The loop holds the futures (see `Held`), this neither, so that a loop can be dropped.
    """

    __slots__ = ("callers", "loop", "poll")

    def __init__(self, loop: Home) -> None:
        self.loop = loop
        self.callers: dict[Flight, ref[Future[None]]] = {}
        self.poll: ref[TimerHandle] | None = None  # touched by the loop's own thread alone

    def aboard(self) -> int:
        return 0 if self.loop.is_gone() else len(self.callers)

    def wake(self) -> None:
        loop = self.loop()
        if loop is None:
            return
        if asyncio._get_running_loop() is loop:
            self._ring()
        else:
            try:  # one call for all of them
                loop.call_soon_threadsafe(self._ring)
            except RuntimeError:
                pass  # the loop was closed, and its tasks with it

    def _ring(self) -> None:
        poll = None if self.poll is None else self.poll()
        if poll is not None:
            poll.cancel()
        for signal_of in self.callers.values():  # `_ring` in line: there may be 10,000
            signal = signal_of()
            if signal is not None and not signal.done():
                signal.set_result(None)

    def watch(self, table: FlightTable, flight: Flight) -> None:
        """Look now and then whether `flight` is over unnoticed, or nothing runs its load."""
        self.poll = None
        loop = self.loop()
        if flight.over:
            self._ring()
        elif loop is not None and self.callers and not table.abandon_gone(flight):
            self.poll = ref(loop.call_later(POLL, self.watch, table, flight))


def _ring(signal: Future[None]) -> None:
    if not signal.done():
        signal.set_result(None)


def _board(here: Home, waiters: dict[Any, Waiters], mine: Flight) -> Future[None]:
    loop: Any = here()
    signal: Future[None] = loop.create_future()
    ours = waiters.get(here)
    if ours is None:
        ours = waiters[here] = LoopWaiters(here)
    ours.callers[mine] = ref(signal)
    return signal


class Tasks:
    """The calls of a coroutine function."""

    __slots__ = ("around", "loader", "serve", "source", "table", "wait_timeout")

    def __init__(
        self,
        table: FlightTable,
        loader: Any,
        wait_timeout: float | None = None,
        around: Callable[[AsyncSource], AsyncSource] | None = None,
    ) -> None:
        self.table = table
        self.around = around
        self.load_with(loader)
        self.wait_timeout = wait_timeout
        self.serve = partial(serving.at_once, table, self._behind)

    def load_with(self, loader: Callable[..., Awaitable[Any]]) -> None:
        """Have the next load, and all after it, call this loader."""
        self.loader = loader
        source = direct_async(self.table, loader)
        self.source: AsyncSource = source if self.around is None else self.around(source)

    async def call(self, call: Call) -> Outcome:
        """Hit, lead or follow, until there is an outcome."""
        table, held = self.table, self._running_loop()
        here, may_hit = held.home, call.may_hit
        call.deadline = None  # its load runs in a task of its own, and that has patience
        deadline = None if self.wait_timeout is None else _clock.now() + self.wait_timeout
        load = task_load(here)
        mine = ticket(call.key, table.name, load)
        flight: Flight | None = mine
        outcome: Outcome | None = None
        signal: Any = None
        try:
            while True:  # abandoned flights: somebody leads anew
                outcome = table.claim(mine, held.board, may_hit=may_hit)
                if outcome is not None:
                    return outcome
                flight = mine.following
                if flight is None:
                    flight = mine
                    load.start(table, mine, self.source, call, held)
                    # Only now: many a load ends in its first step.
                    signal = table.board(mine, held.board)
                    load.starts = False
                else:
                    signal = table.signal_of(mine)  # none where it was over
                if not flight.over:
                    alone = me.local.thread.flight is None and current_task() not in held.tasks
                    held.signals.add(signal)
                    try:
                        if deadline is None and flight.load.runner is here and alone:
                            await signal
                        else:
                            await wait(table, flight, signal, held, deadline)
                    finally:
                        held.signals.discard(signal)
                if type(flight.landing) is Loaded:  # as in `Threads.call`
                    return flight.landing
                own = flight.load.runner is here
                outcome = serving.take(table, flight, call, own, self.serve)
                if outcome is not None:
                    return outcome
                if flight is mine:
                    serving.raise_interruption(mine)
                    load = task_load(here)
                    mine = ticket(call.key, table.name, load, following=mine)
        except WaitTimeout as late:
            try:
                return serving.out_of_patience(table, mine, may_hit, late, self.wait_timeout)
            finally:
                table.recover(mine, None)
        except BaseException:
            load.starts = False  # its caller boards no more
            table.recover(mine, None)
            raise
        finally:
            # Breaks the ring (see Rings).
            mine = flight = load = outcome = signal = None  # type: ignore[assignment]
            del call

    def _behind(self, call: Call) -> TaskLoad | None:
        """The load of a refresh; None: its event loop may not live that long."""
        table, here = self.table, self._running_loop().home
        if table.trust.is_hurt():
            ends_early = table.trust.may_end_early(here)
            # Only now: at the end of a program nobody needs to know.
            table.ledger.tell_once(
                "a refresh was abandoned, cancelled or ended with its event loop; where loops live "
                "no longer than a call, stale hits load in the foreground"
            )
            if ends_early:
                return None
        return task_load(here, (self.source, call))

    def _running_loop(self) -> Held:
        """What the event loop holds that runs here."""
        try:
            loop = get_running_loop()
        except RuntimeError:  # trio's, say, or none
            raise RuntimeError(
                f"{self.table.name}: an async function needs asyncio's event loop, and none is "
                "running here (under trio: decorate a plain function, and call it with "
                "trio.to_thread.run_sync)"
            ) from None
        held: Held = getattr(loop, HELD, None) or held_by(loop)  # in line: nearly always there
        if held.board is None:
            held.board = partial(_board, held.home)
        return held


async def wait(
    table: FlightTable,
    flight: Flight,
    signal: Future[None],
    held: Held,
    deadline: float | None,
) -> None:
    """Wait until `flight` is over, where that takes more than awaiting the signal."""
    loop, task = get_running_loop(), current_task()
    try:
        if deadline is not None and deadline <= _clock.now():
            raise WaitTimeout
        check_frozen(flight)
        here: Any = held.home
        runner = _runner(task, held)
        with nullcontext() if runner is None else Edge((runner,), flight):
            waiters = None if flight.load.runner is here else flight.waiters.get(here)
            if isinstance(waiters, LoopWaiters) and waiters.poll is None:
                waiters.watch(table, flight)
            timer = None if deadline is None else _clock.ring_at(loop, deadline, _ring, signal)
            try:
                await signal
            finally:
                if timer is not None:
                    timer.cancel()
        if not flight.over:
            raise WaitTimeout
    finally:
        # Breaks the ring (see Rings); a task holds its exception.
        del table, flight, signal, held, task


def _runner(task: Any, held: Held) -> ref[Flight] | None:
    """The flight that needs this task: the one that it loads.

    Or, of the main task of a loop, the one whose loader runs the loop. (Others may only have been
    started there.)
    """
    flight: Flight | None = held.tasks.get(task)
    if flight is not None:
        return ref(flight)
    outer = me.local.thread.flight
    if outer is None or outer.over:  # an interruption may have left it there
        return None
    ends = [getattr(done, "__qualname__", "") for done, *_ in task._callbacks or ()]
    return ref(outer) if any("run_until_complete" in end for end in ends) else None
