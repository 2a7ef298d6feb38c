"""How a task leads and waits. Reads line by line like `_threads`."""

from __future__ import annotations

import asyncio
from asyncio import Future, TimerHandle, current_task, get_running_loop
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import nullcontext
from time import monotonic
from typing import Any
from weakref import ref

from .._entries.entry import Aging
from .._flights import serving
from .._flights.flight import Flight, Outcome
from .._flights.landing import raise_interruption
from .._flights.table import FlightTable
from .._flights.waits import Edge, check_frozen
from .._locks import me
from .._loops import Held, Home, held_by
from .._outcome import Error, handed_over
from ..exceptions import WaitTimeout
from .task_loads import start
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


def board(flight: Flight, mine: Flight) -> None:
    here: Any = mine.loop
    mine.signal = signal = here().create_future()  # until its caller has taken it
    waiters = flight.waiters.get(here)
    if waiters is None:
        waiters = flight.waiters[here] = LoopWaiters(here)
    waiters.callers[mine] = ref(signal)


async def call(
    table: FlightTable,
    loader: Callable[..., Awaitable[Any]],
    wait_timeout: float | None,
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    look: bool = True,
) -> Outcome:
    """Hit, lead or follow, until there is an outcome. `look`: whether an entry will do."""
    deadline = None if wait_timeout is None else monotonic() + wait_timeout
    held = running_loop(table)
    here = held.home
    mine = Flight(key, table.name, here)
    flight: Flight | None = mine
    outcome: Outcome | None = None
    signal: Future[None] | None = None
    try:
        while outcome is None:  # abandoned flights: somebody leads anew
            if mine.over:
                mine = mine.again()
            outcome = table.claim(mine, board, look=look, aboard=True)
            signal, mine.signal = mine.signal, None  # it holds the loop
            if outcome is None:
                flight = mine.following
                if flight is None:
                    flight = mine
                    start(table, mine, held, loader, args, kwargs)
                if not flight.over:
                    alone = me.local.thread.flight is None and current_task() not in held.tasks
                    try:
                        held.signals.add(signal)
                        if deadline is None and flight.loop is here and alone:
                            await signal
                        else:
                            await wait(table, flight, signal, held, deadline)
                    finally:
                        held.signals.discard(signal)
                outcome = flight.outcome
                if flight.loop is not here or not look:
                    outcome = handed_over(outcome, look)
                if outcome is None and flight is mine:
                    raise_interruption(mine)
        return serving.instead_of(table, outcome) if look and type(outcome) is Error else outcome
    except WaitTimeout as late:
        try:
            instead = serving.out_of_patience(table, mine, look)
        finally:
            table.recover(mine, outcome)
        if instead is None:
            serving.explain(late, mine, wait_timeout)
            raise
        return instead
    except BaseException:
        table.recover(mine, outcome)
        raise
    finally:
        # An exception holds its traceback, that the loader's frame, that this one: hold nothing.
        mine = flight = outcome = signal = None  # type: ignore[assignment]


def running_loop(table: FlightTable) -> Held:
    """What the event loop holds that runs here."""
    try:
        loop = get_running_loop()
    except RuntimeError:  # trio's, say, or none
        raise RuntimeError(
            f"{table.name}: an async function needs asyncio's event loop, and none is running here "
            "(under trio: decorate a plain function, and call it with trio.to_thread.run_sync)"
        ) from None
    return held_by(loop)


def behind(
    table: FlightTable,
    loader: Callable[..., Awaitable[Any]],
    served: Aging[Any],
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> bool | None:
    """Start a refresh behind an entry that is served, unless somebody else did.

    None: its event loop may not live that long, so the caller has to load itself.
    """
    held = running_loop(table)
    if table.short_lived is not None:
        ends_early = table.may_end_early(held.home)
        # Only now: at the end of a program nobody needs to know.
        table.tell_once(
            "a refresh was abandoned, cancelled or ended with its event loop; where loops live no "
            "longer than a call, stale hits load in the foreground"
        )
        if ends_early:
            return None
    mine = Flight(key, table.name, held.home)
    mine.unattended = True
    try:
        try:
            if not table.claim_behind(mine, served):
                return False
            # Not at once: its first step may take long, and its caller need not wait for that.
            start(table, mine, held, loader, args, kwargs, eager=False)
            return True
        except Exception as error:
            mine.unattended = False  # it has not failed: the next caller tries again
            table.recover(mine, None)
            table.tell_once("a refresh could not be started", error=error)
        return False
    except BaseException:
        table.recover(mine, None)  # once more, if that was interrupted
        raise


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
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            raise WaitTimeout
        check_frozen(flight)
        here: Any = held.home
        runner = _runner(task, held)
        with nullcontext() if runner is None else Edge((runner,), flight):
            waiters = None if flight.loop is here else flight.waiters.get(here)
            if isinstance(waiters, LoopWaiters) and waiters.poll is None:
                waiters.watch(table, flight)
            timer = None if left is None else loop.call_later(left, _ring, signal)
            try:
                await signal
            finally:
                if timer is not None:
                    timer.cancel()
        if not flight.over:
            raise WaitTimeout
    finally:
        # An exception holds its traceback, that this frame; a task holds its exception.
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
