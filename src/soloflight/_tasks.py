"""How a task leads and waits. Reads line by line like `_threads`."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future, TimerHandle, current_task, get_running_loop
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import nullcontext
from time import monotonic
from typing import Any

from . import _load, _serving
from ._entry import Aging
from ._flight import Flight, Outcome
from ._load import raise_interruption
from ._locks import me
from ._outcome import Error, handed_over
from ._table import FlightTable
from ._task_loads import loads, start
from ._threads import POLL
from ._waits import Edge, deadlock
from .exceptions import WaitTimeout


class LoopWaiters:
    """The tasks of one event loop that wait for one flight, each on a future of its own.

    (A future that several tasks await is cancelled with any of them.)
    """

    __slots__ = ("callers", "loop", "poll")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.callers: dict[Flight, Future[None]] = {}
        self.poll: TimerHandle | None = None  # touched by the loop's own thread alone

    def aboard(self) -> int:
        return 0 if self.loop.is_closed() else len(self.callers)

    def wake(self) -> None:
        if asyncio._get_running_loop() is self.loop:
            self._ring()
        else:
            try:  # one call for all of them
                self.loop.call_soon_threadsafe(self._ring)
            except RuntimeError:
                pass  # the loop was closed, and its tasks with it

    def _ring(self) -> None:
        if self.poll is not None:
            self.poll.cancel()
        for signal in self.callers.values():  # `_ring` in line: there may be 10,000
            if not signal.done():
                signal.set_result(None)

    def watch(self, table: FlightTable, flight: Flight) -> None:
        """Look now and then whether `flight` is over unnoticed, or its event loop is gone."""
        self.poll = None
        if flight.over:
            self._ring()
        elif self.callers and not table.abandon_gone(flight):
            self.poll = self.loop.call_later(POLL, self.watch, table, flight)


def _ring(signal: Future[None]) -> None:
    if not signal.done():
        signal.set_result(None)


def board(flight: Flight, mine: Flight) -> None:
    loop: Any = mine.loop
    mine.signal = signal = loop.create_future()
    waiters = flight.waiters.get(loop)
    if waiters is None:
        waiters = flight.waiters[loop] = LoopWaiters(loop)
    waiters.callers[mine] = signal


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
    loop = running_loop(table)
    mine = Flight(key, table.name, loop)
    flight: Flight | None = mine
    outcome: Outcome | None = None
    try:
        while outcome is None:  # abandoned flights: somebody leads anew
            if mine.over:
                mine = Flight(key, table.name, loop)
            outcome = table.claim(mine, board, look=look, aboard=True)
            if outcome is None:
                flight = mine.following
                if flight is None:
                    flight = mine
                    start(table, mine, loader, args, kwargs)
                if not flight.over:
                    if deadline is None and flight.loop is loop and current_task() not in loads:
                        await mine.signal
                    else:
                        await wait(table, flight, mine.signal, deadline)
                outcome = flight.outcome
                if flight.loop is not loop:
                    outcome = handed_over(outcome, look)
                if outcome is None and flight is mine:
                    raise_interruption(mine)
        return _serving.instead_of(table, outcome) if look and type(outcome) is Error else outcome
    except WaitTimeout as late:
        try:
            instead = _serving.out_of_patience(table, mine, look)
        finally:
            table.recover(mine, outcome)
        if instead is None:
            _serving.explain(late, mine, wait_timeout)
            raise
        return instead
    except BaseException:
        table.recover(mine, outcome)
        raise
    finally:
        # An exception holds its traceback, that the loader's frame, that this one: hold nothing.
        mine = flight = outcome = None  # type: ignore[assignment]


def running_loop(table: FlightTable) -> AbstractEventLoop:
    try:
        return get_running_loop()
    except RuntimeError:  # trio's, say, or none
        raise RuntimeError(
            f"{table.name}: an async function needs asyncio's event loop, and none is running here "
            "(under trio: decorate a plain function, and call it with trio.to_thread.run_sync)"
        ) from None


def behind(
    table: FlightTable,
    loader: Callable[..., Awaitable[Any]],
    served: Aging[Any],
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> bool:
    """Start a refresh behind an entry that is served, unless somebody else did."""
    mine = Flight(key, table.name, running_loop(table))
    mine.unattended = True
    try:
        try:
            if not table.claim_behind(mine, served):
                return False
            # Not at once: its first step may take long, and its caller need not wait for that.
            start(table, mine, loader, args, kwargs, eager=False)
            return True
        except Exception as error:
            table.recover(mine, None)
            _load.not_started(table, error)
        return False
    except BaseException:
        table.recover(mine, None)  # once more, if that was interrupted
        raise


async def wait(
    table: FlightTable, flight: Flight, signal: Future[None], deadline: float | None
) -> None:
    """Wait until `flight` is over, where that takes more than awaiting the signal."""
    loop, task = get_running_loop(), current_task()
    try:
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            raise WaitTimeout
        if flight.loop is None and flight.thread == me.thread:
            raise deadlock([flight])  # its loader runs this very loop
        # Only what runs a load can be part of a cycle.
        with Edge(task, flight) if task in loads else nullcontext():
            waiters = None if flight.loop is loop else flight.waiters.get(loop)
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
        del table, flight, signal, task
