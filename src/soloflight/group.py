"""`Group`: the pattern itself, for keys and functions known only at run time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from sys import is_finalizing
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar, cast
from weakref import ref

from ._flights.flight import FlightInfo, call_of
from ._flights.table import FlightTable
from ._shown import shown
from ._sources.direct import direct
from ._worlds.futures import SubmitFuture
from ._worlds.tasks import Tasks
from ._worlds.threads import Threads

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
        self._table.owner = ref(self)

    def do(self, key: Hashable, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``fn(*args, **kwargs)``, or join the flight of `key`; the value, or the exception.

        Raises `FlightDeadlock` where waiting would never end: `fn` asks for its own key, say. For
        a wait that ends, use ``submit(...).result(timeout)``.
        """
        _check(fn, "do")
        world = Threads(self._table, fn)
        outcome = world.call(call_of(key, args, kwargs))
        try:
            return cast("R", outcome.value)
        except BaseException as error:
            outcome.reset(error)
            raise
        finally:
            del outcome  # breaks the ring (see Rings)

    async def do_async(
        self, key: Hashable, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The same for a coroutine function, which runs in a task that no caller owns.

        A caller that is cancelled leaves; when the last one has left, the load is cancelled.
        """
        _check(fn, "do_async")
        world = Tasks(self._table, partial(_awaitable, fn))
        outcome = await world.call(call_of(key, args, kwargs))
        try:
            return cast("R", outcome.value)
        except BaseException as error:
            outcome.reset(error)
            raise
        finally:
            del outcome

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
        source = direct(self._table, copy_context().run)
        future: SubmitFuture[R] = SubmitFuture(
            self._table, source, call_of(key, (fn, *args), kwargs)
        )
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
        flights = len(list(self._table.flights.all()))
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
