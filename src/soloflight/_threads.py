"""How a thread leads and waits. Reads line by line like `_tasks`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from threading import TIMEOUT_MAX, Lock, get_ident
from time import monotonic
from types import CoroutineType
from typing import Any

from ._flight import Flight, FlightTable, Outcome
from ._outcome import Error, Value
from ._waits import Edge
from .exceptions import WaitTimeout

POLL = 0.5
"""Seconds between two looks at whether the event loop of somebody else's load is still there."""


class ThreadWaiters:
    """The threads that wait for one flight, each on a lock of its own."""

    __slots__ = ("callers",)

    def __init__(self) -> None:
        self.callers: dict[Flight, Lock] = {}

    def wake(self) -> None:
        for signal in self.callers.values():
            try:
                signal.release()
            except RuntimeError:
                pass  # woken already, by a landing that was interrupted


def board(flight: Flight, mine: Flight) -> None:
    mine.signal = signal = Lock()
    signal.acquire()
    waiters = flight.waiters.get(ThreadWaiters)
    if waiters is None:
        waiters = flight.waiters[ThreadWaiters] = ThreadWaiters()
    waiters.callers[mine] = signal


def call(
    table: FlightTable,
    enter: Callable[[Any], Value[Any]],
    loader: Callable[..., Any],
    wait_timeout: float | None,
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    look: bool = True,
) -> Outcome:
    """Hit, lead or follow, until there is an outcome. `enter` makes the entry of a value."""
    deadline = None if wait_timeout is None else monotonic() + wait_timeout
    mine: Flight | None = None
    outcome: Outcome | None = None
    try:
        while outcome is None:  # abandoned flights: somebody leads anew
            mine = flight = Flight(key, table.name)
            outcome = table.claim(mine, board, look=look, aboard=False)
            if outcome is None:
                if mine.following is None:
                    outcome = load(enter, loader, args, kwargs)
                    table.land(mine, outcome)
                else:
                    flight = mine.following
                    wait(table, flight, mine, deadline)
                    outcome = flight.outcome
        return outcome
    except BaseException:
        if mine is not None:
            table.recover(mine, outcome)
        raise
    finally:
        # An exception holds its traceback, that the loader's frame, that this one: hold nothing.
        mine = flight = outcome = None  # type: ignore[assignment]


def load(
    enter: Callable[[Any], Value[Any]],
    loader: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Outcome:
    """What the loader returns or raises, as a value; interruptions pass through."""
    try:
        value = loader(*args, **kwargs)
        if type(value) is CoroutineType:
            value.close()
            raise TypeError(
                "a plain function returned a coroutine, which only one caller can await"
            )
        return enter(value)
    except Exception as error:
        # Without this frame: the traceback starts at the loader.
        assert error.__traceback__ is not None
        return Error(error, error.__traceback__.tb_next)


def wait(table: FlightTable, flight: Flight, mine: Flight, deadline: float | None) -> None:
    """Block until `flight` is over."""
    with Edge(get_ident(), flight):
        while not flight.over:
            left = -1.0 if deadline is None else deadline - monotonic()
            if deadline is not None and left <= 0:
                raise WaitTimeout(f"{flight}: no outcome within wait_timeout")
            if flight.loop is not None:
                if table.abandon_gone(flight):
                    return
                left = POLL if deadline is None else min(left, POLL)
            if mine.signal.acquire(True, min(left, TIMEOUT_MAX)):
                return
