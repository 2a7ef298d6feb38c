"""`Group`: the pattern itself, for keys and functions known only at run time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from threading import Thread, get_ident
from typing import ParamSpec, TypeVar, cast

from . import _tasks, _threads
from ._flight import Flight, FlightInfo, FlightTable, Outcome
from ._outcome import Error, Value

P = ParamSpec("P")
R = TypeVar("R")


class Group:
    """Runs functions, one execution at a time for each key, shared by whoever asks meanwhile.

    Threads, tasks and futures share: a task joins a thread's flight of its key, and the other way
    round. Nothing is cached; a key is free as soon as its flight has landed.

    >>> group = Group()
    >>> group.do("answer", lambda: 42)
    42

    After ``singleflight.Group`` of Go's ``golang.org/x/sync``.
    """

    def __init__(self, name: str = "Group") -> None:
        self._table = FlightTable(name)

    def do(self, key: Hashable, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``fn(*args, **kwargs)``, or join the flight of `key`; the value, or the exception.

        Raises `FlightDeadlock` where waiting would never end: `fn` asks for its own key, say.
        """
        # In no variable: an exception holds its traceback, that this frame.
        return cast("R", _threads.call(self._table, Value, fn, None, key, args, kwargs).value)

    async def do_async(
        self, key: Hashable, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The same for a coroutine function, which runs in a task that no caller owns.

        A caller that is cancelled leaves; when the last one has left, the load is cancelled.
        """
        table = self._table
        return cast("R", (await _tasks.call(table, Value, fn, None, key, args, kwargs)).value)

    def submit(
        self, key: Hashable, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]:
        """The same as `do` without blocking: a future of the caller's own.

        The load runs on a daemon thread, in a copy of the caller's context. ``cancel()`` on the
        future means leaving: the load and whoever else is aboard are not touched. Callbacks of the
        future run in the thread in which the flight lands.
        """
        future: _SubmitFuture[R] = _SubmitFuture(self._table, key, partial(fn, *args, **kwargs))
        future.claim()
        return future

    def forget(self, key: Hashable) -> bool:
        """Take the flight of `key` off the table: the next call starts one of its own.

        Callers already aboard get its outcome. Returns whether there was one.
        """
        return self._table.forget(key)

    def in_flight(self) -> tuple[FlightInfo, ...]:
        """The loads in progress: key, age in seconds, and the number of callers that wait."""
        return self._table.in_flight()

    def __len__(self) -> int:
        """The number of loads in progress."""
        return len(self._table.flights)


class _SubmitFuture(Future[R]):
    """One caller of `Group.submit`."""

    def __init__(self, table: FlightTable, key: Hashable, load: Callable[[], R]) -> None:
        super().__init__()
        self._table = table
        self._key = key
        self._load = load
        self._context = copy_context()
        self._mine: Flight

    def claim(self) -> None:
        """Follow, or lead on a thread of its own."""
        self._mine = mine = Flight(self._key, self._table.name)
        mine.thread = 0  # not this thread; nobody, until the load has one
        mine.signal = self
        try:
            self._table.claim(mine, _board, look=False, aboard=True)
            if mine.following is None:
                Thread(target=self._context.run, args=(self._lead,), daemon=True).start()
        except BaseException:  # no thread could be started, say
            self._table.leave(mine, mine)
            self._table.recover(mine, None)
            raise

    def _lead(self) -> None:
        mine = self._mine
        mine.thread = get_ident()
        outcome: Outcome | None = None
        try:
            outcome = _threads.load(Value, self._load, (), {})
            self._table.land(mine, outcome)
        except BaseException as interruption:  # SystemExit: it is this caller's alone
            if self.set_running_or_notify_cancel():
                self.set_exception(interruption)
            self._table.recover(mine, outcome)
        finally:
            del self, mine, outcome  # an exception holds its traceback, that this frame

    def landed(self, outcome: Outcome | None) -> None:
        if self.done():
            return
        if outcome is None:
            try:
                self.claim()  # abandoned: somebody leads anew
            except Exception as error:
                if self.set_running_or_notify_cancel():
                    self.set_exception(error)
        elif self.set_running_or_notify_cancel():
            if isinstance(outcome, Error):
                self.set_exception(outcome.exception)
            else:
                self.set_result(outcome.value)

    def cancel(self) -> bool:
        """Leave, unless the flight has landed already."""
        cancelled = super().cancel()
        if cancelled:
            self._table.leave(self._mine.following or self._mine, self._mine)
        return cancelled


class _FutureWaiters:
    """The callers of `Group.submit` that wait for one flight."""

    __slots__ = ("callers", "flight")

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self.callers: dict[Flight, _SubmitFuture[object]] = {}

    def wake(self) -> None:
        for future in self.callers.values():
            future.landed(self.flight.outcome)


def _board(flight: Flight, mine: Flight) -> None:
    waiters = flight.waiters.get(_FutureWaiters)
    if waiters is None:
        waiters = flight.waiters[_FutureWaiters] = _FutureWaiters(flight)
    waiters.callers[mine] = mine.signal
