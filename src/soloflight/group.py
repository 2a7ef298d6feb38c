"""`Group`: the pattern itself, for keys and functions known only at run time."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from sys import is_finalizing
from threading import Lock, Thread
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar, cast

from . import _locks
from ._flights.flight import Flight, FlightInfo, Outcome
from ._flights.table import FlightTable
from ._flights.waits import check_frozen
from ._locks import tell, tell_all
from ._outcome import Error, handed_over
from ._shown import shown
from ._worlds import tasks, threads

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
        """`name` is what errors call it."""
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, not {shown(name)}")
        self._table = FlightTable(str.__str__(name))  # not that of an enum, say

    def do(self, key: Hashable, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``fn(*args, **kwargs)``, or join the flight of `key`; the value, or the exception.

        Raises `FlightDeadlock` where waiting would never end: `fn` asks for its own key, say. For
        a wait that ends, use ``submit(...).result(timeout)``.
        """
        _check(fn, "do")
        outcome = threads.call(self._table, fn, None, None, key, args, kwargs)
        try:
            return cast("R", outcome.value)
        except BaseException as error:
            outcome.reset(error)
            raise
        finally:
            del outcome  # an exception holds its traceback, that this frame

    async def do_async(
        self, key: Hashable, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The same for a coroutine function, which runs in a task that no caller owns.

        A caller that is cancelled leaves; when the last one has left, the load is cancelled.
        """
        _check(fn, "do_async")
        load = partial(_awaitable, fn)
        outcome = await tasks.call(self._table, load, None, key, args, kwargs)
        try:
            return cast("R", outcome.value)
        except BaseException as error:
            outcome.reset(error)
            raise
        finally:
            del outcome, load

    def submit(
        self, key: Hashable, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]:
        """The same as `do` without blocking: a future of the caller's own.

        The load runs on a daemon thread, in a copy of the caller's context. ``cancel()`` on the
        future means leaving: the load and whoever else is aboard are not touched. Callbacks of the
        future run in a daemon thread, one for all the futures of a flight.

        >>> Group().submit("sum", sum, [1, 2, 3]).result()
        6
        """
        _check(fn, "submit")
        if is_finalizing():
            raise RuntimeError(f"{self._table.name}: the interpreter ends, and starts no thread")
        hash(key)  # refuse it before anything holds the arguments
        load = partial(copy_context().run, partial(fn, *args, **kwargs))
        future: _SubmitFuture[R] = _SubmitFuture(self._table, key, load)
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

    def __repr__(self) -> str:
        flights = len(list(self._table.flights))
        return f"<{type(self).__name__} {self._table.name!r}, {flights} in flight>"

    def __len__(self) -> int:
        """The number of loads in progress."""
        return len(self._table.in_flight())


def _check(fn: object, call: str) -> None:
    """Refuse what cannot be called: the coroutine of a call, say, instead of its function."""
    if callable(fn):
        return
    if isinstance(fn, Coroutine):
        fn.close()  # or it warns that nobody awaited it
        raise TypeError(
            f"{call} takes a function and its arguments, not the coroutine of a call: "
            f"do_async(key, {getattr(fn, '__name__', 'fn')}, ...)"
        )
    raise TypeError(f"{call}: fn must be callable, not {shown(fn)}")


def _awaitable(fn: Callable[..., Awaitable[R]], /, *args: Any, **kwargs: Any) -> Awaitable[R]:
    made = fn(*args, **kwargs)
    if type(made) is not CoroutineType and not isawaitable(made):
        raise TypeError(
            f"do_async takes a coroutine function, and {getattr(fn, '__name__', shown(fn))} is a "
            f"plain one: it returned a {type(made).__name__}, which cannot be awaited; use do, or "
            "submit, or asyncio.to_thread"
        )
    return made


class _Crew(threads.ThreadWaiters):
    """The futures that wait for one flight, and the one thread that waits for all of them."""

    __slots__ = ("manned",)
    callers: dict[Flight, _SubmitFuture[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.manned = Lock()  # taken, for good, by whoever starts the thread

    def start(self, name: str, flight: Flight, run: Callable[[], None]) -> None:
        Thread(target=self._attend, args=(flight, run), name=name, daemon=True).start()

    def _attend(self, flight: Flight, run: Callable[[], None]) -> None:
        try:
            run()
            self.deliver(flight.outcome)
        except BaseException as error:
            self.deliver(Error(error, error.__traceback__))
        finally:
            del self, flight, run  # an exception holds its traceback, that this frame

    def deliver(self, outcome: Outcome | None) -> None:
        """Hand everyone the outcome, once; nobody boards any more."""
        for mine in list(self.callers):
            future = self.callers.pop(mine, None)
            try:
                if future is not None:
                    future.landed(outcome)
            except BaseException as error:  # SystemExit: nobody else's business
                tell("a callback of a future of Group.submit raised", error=error)
        tell_all()


def _board(future: _SubmitFuture[Any], flight: Flight, mine: Flight) -> None:
    crew = flight.waiters.get(_Crew)
    if crew is None:
        crew = flight.waiters[_Crew] = _Crew()
    crew.callers[mine] = future
    mine.signal = crew


def _disband(flight: Flight, crew: _Crew) -> None:
    if flight.waiters.get(_Crew) is crew:  # not that of others, where this one has not boarded
        del flight.waiters[_Crew]


class _SubmitFuture(Future[R]):
    """One caller of `Group.submit`. It ends once, by `finish` or by `cancel`."""

    def __init__(self, table: FlightTable, key: Hashable, load: Callable[[], R]) -> None:
        super().__init__()
        self._table = table
        self._key = key
        self._ended = Lock()  # taken, for good, by whoever ends it
        # Until it ended:
        self._load: Callable[[], R] | None = load
        self._mine: Flight | None = None
        # Afterwards, unless it was cancelled:
        self._outcome: Outcome | None = None

    def claim(self, abandoned: Flight | None = None) -> None:
        """Follow, or lead on a thread of its own; take what landed in between."""
        table, load = self._table, self._load
        if load is None or self._ended.locked() or self.cancelled():
            return  # it has ended, or is about to
        if threading.local is not _locks.me.kind:
            _locks.me.adapt()
        self._mine = mine = Flight(self._key, table.name)
        if abandoned is not None:
            mine.following = abandoned.following or abandoned
        mine.thread = _locks.NOBODY  # until the load has a thread
        # Aboard and manned before it is on the table: whoever finds it there may rely on it.
        board = partial(_board, self)
        board(mine, mine)
        own: _Crew = mine.signal
        own.manned.acquire()
        try:
            table.claim(mine, board, look=False, aboard=False)
            flight = mine.following
            crew = mine.signal
            if flight is None:
                crew.start(table.name, mine, partial(_lead, table, mine, self, load))
            elif crew is own:
                self.landed(flight.outcome)  # it was over before this one could board
            elif crew.manned.acquire(False):
                crew.start(table.name, flight, partial(threads.wait, table, flight, crew, None))
        except BaseException:  # no thread could be started, say
            flight, crew = mine.following or mine, mine.signal
            table.leave(flight, mine)
            table.recover(mine, None)
            _locks.critical(table.lock, _disband, flight, crew)
            crew.wake()  # its thread, if it has one
            crew.callers.pop(mine, None)
            crew.deliver(flight.outcome)  # the others look for a thread of their own
            mine.signal = None  # it holds this ticket
            mine.waiters.clear()
            raise
        if flight is not None:
            mine.waiters.clear()
            own.callers.clear()  # the ticket may hold it
        if self._ended.locked():  # cancelled meanwhile
            table.leave(flight or mine, mine)

    def landed(self, outcome: Outcome | None) -> None:
        if outcome is not None:
            self.finish(handed_over(outcome, True))
            return
        try:
            self.claim(self._mine)  # abandoned: somebody leads anew
        except Exception as error:
            self.finish(Error(error, error.__traceback__))

    def finish(self, outcome: Outcome) -> None:
        if self._end() and self.set_running_or_notify_cancel():
            self._outcome = outcome
            if isinstance(outcome, Error):
                outcome.reset(outcome.exception)
                self.set_exception(outcome.exception)
            else:
                self.set_result(outcome.value)

    def cancel(self) -> bool:
        """Leave, unless the flight has landed already."""
        if not super().cancel():
            return False
        mine = self._mine
        if self._end():
            self.set_running_or_notify_cancel()  # for `concurrent.futures.wait`
            if mine is not None:
                self._table.leave(mine.following or mine, mine)
        return True

    def exception(self, timeout: float | None = None) -> BaseException | None:
        mine = self._mine
        if mine is not None and not self.done():
            check_frozen(mine.following or mine)
        return super().exception(timeout)

    def result(self, timeout: float | None = None) -> R:
        """As that of any future; an exception has the loader's traceback, and does not grow it."""
        try:
            self.exception(timeout)  # waits
            outcome = self._outcome
            assert outcome is not None
            try:
                return cast("R", outcome.value)
            except BaseException as error:
                outcome.reset(error)
                raise
        finally:
            outcome = None
            del self  # an exception holds its traceback, that this frame

    def _end(self) -> bool:
        """Whether this call ends it. What it needed for its load is released."""
        if not self._ended.acquire(False):
            return False
        self._load = self._mine = None
        return True


def _lead(
    table: FlightTable, mine: Flight, future: _SubmitFuture[Any], load: Callable[[], Any]
) -> None:
    mine.thread = _locks.me.local.thread
    outcome: Outcome | None = None
    try:
        outcome = threads.load(table, load, (), {}, mine)
    except BaseException as interruption:  # SystemExit: it is that of the caller who started it
        assert interruption.__traceback__ is not None
        future.finish(Error(interruption, interruption.__traceback__.tb_next))
    finally:
        table.land(mine, outcome)
        del mine, future, load, outcome  # an exception holds its traceback, that this frame
