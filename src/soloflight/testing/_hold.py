"""`hold`: loads that stay in the air for as long as a test needs them there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Condition
from time import monotonic, sleep
from typing import Any, overload

from .._flights.flight import Flight
from .._outcome import Error, Value, without_us

PATIENCE = 10.0
"""Seconds after which a test has forgotten somebody."""
PAUSE = 0.001
"""Seconds between two looks at who is aboard."""


class Hold:
    """The loads of one function, held. See `hold`."""

    def __init__(self, core: Any, patience: float) -> None:
        self._core = core
        self._patience = patience
        self._changed = Condition()  # guards what follows
        self._held = 0
        self._error: BaseException | None = None
        self._open = False

    @property
    def loads(self) -> int:
        """How many are held now: their loaders have been called, and have returned or raised."""
        return self._held

    def release(self) -> None:
        """Let them land, with what their loaders returned. Later loads are not held."""
        self._let_go(None)

    def fail(self, error: Exception) -> None:
        """Let them land with this error, as if their loaders had raised it; later ones are free."""
        if not isinstance(error, Exception):
            raise TypeError(f"fail takes an exception, as raised by a loader, not {error!r}")
        self._let_go(error)

    def wait_for_waiters(self, count: int, timeout: float = PATIENCE) -> None:
        """Wait until so many callers are aboard: those who lead, and those who follow.

        Raises `TimeoutError` after `timeout` seconds.
        """
        until = monotonic() + timeout
        while self._aboard() < count:
            if monotonic() >= until:
                raise TimeoutError(self._missing(count, timeout))
            sleep(PAUSE)

    def _missing(self, count: int, timeout: float) -> str:
        return (
            f"{self._core.spec.name}: {self._aboard()} callers are aboard after {timeout:g} s, "
            f"not {count}"
        )

    def _aboard(self) -> int:
        flights = [flight for flight in self._core.table.flights.all() if not flight.over]
        return sum(map(_callers, flights))

    def _let_go(self, error: Exception | None) -> None:
        with self._changed:
            if not self._open:
                self._error, self._open = error, True
            self._changed.notify_all()

    def _board(self) -> None:
        with self._changed:
            self._held += 1

    def _leave(self) -> None:
        with self._changed:
            self._held -= 1
        if self._error is not None:
            raise self._error

    def _forgotten(self) -> TimeoutError:
        return TimeoutError(
            f"{self._core.spec.name}: held for {self._patience:g} s, and nobody has released it "
            "(a call in the test's own thread waits for itself: call in a thread, or a task)"
        )

    def _around(self, loader: Callable[..., Any]) -> Callable[..., Any]:
        """A loader whose outcome is held. (Not an interruption: its caller is gone.)"""

        def held(*args: Any, **kwargs: Any) -> Any:
            outcome = _outcome(loader, args, kwargs)
            self._board()
            try:
                with self._changed:
                    if not self._changed.wait_for(lambda: self._open, self._patience):
                        raise self._forgotten()
            finally:
                self._leave()
            return outcome.value

        return held


class AsyncHold(Hold):
    """The same for an ``async def``: `wait_for_waiters` is awaited."""

    async def wait_for_waiters(self, count: int, timeout: float = PATIENCE) -> None:  # type: ignore[override]
        """Wait until so many callers are aboard. See `Hold.wait_for_waiters`."""
        until = monotonic() + timeout
        while self._aboard() < count:
            if monotonic() >= until:
                raise TimeoutError(self._missing(count, timeout))
            await asyncio.sleep(PAUSE)

    def _around(self, loader: Callable[..., Any]) -> Callable[..., Any]:
        async def held(*args: Any, **kwargs: Any) -> Any:
            outcome = await _outcome_later(loader, args, kwargs)
            until = monotonic() + self._patience
            self._board()
            try:
                # By looks: who releases it may be another thread, with a loop of its own.
                while not self._open:
                    if monotonic() >= until:
                        raise self._forgotten()
                    await asyncio.sleep(PAUSE)
            finally:
                self._leave()
            return outcome.value

        return held


def _outcome(loader: Callable[..., Any], args: Any, kwargs: Any) -> Value[Any] | Error:
    try:
        return _value(loader(*args, **kwargs))
    except Exception as error:
        return without_us(error)


async def _outcome_later(loader: Callable[..., Any], args: Any, kwargs: Any) -> Value[Any] | Error:
    try:
        return _value(await loader(*args, **kwargs))
    except Exception as error:
        return without_us(error)


def _value(value: Any) -> Value[Any]:
    made = Value[Any]()
    made.value = value
    return made


def _callers(flight: Flight) -> int:
    """Those who are aboard, with a thread that leads: it runs the load, and waits for nothing."""
    return flight.aboard() + (not flight.load.is_on_its_own())


@overload
def hold(
    function: Callable[..., Coroutine[Any, Any, Any]], *, patience: float = PATIENCE
) -> AbstractContextManager[AsyncHold]: ...
@overload
def hold(
    function: Callable[..., Any], *, patience: float = PATIENCE
) -> AbstractContextManager[Hold]: ...
@contextmanager
def hold(function: Any, *, patience: float = PATIENCE) -> Iterator[Any]:
    """Keep the loads of a function from landing, until they are released.

    So a test can say that callers are aboard of a load, with no sleeps: it starts them (in threads
    or tasks), waits with ``wait_for_waiters`` until they are, and then has the load land, with
    ``release()``, or fail, with ``fail(error)``. The loader is called as ever; it is its outcome
    that waits. What is still held when the block is left is released. A method is held for all its
    instances. A load that is held for `patience` seconds fails with `TimeoutError`.

    Of an ``async def``, ``wait_for_waiters`` is to be awaited.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from soloflight import cached_singleflight, testing
    >>> @cached_singleflight(ttl=30)
    ... def load_user(user_id: int) -> str:
    ...     return f"user {user_id}"
    >>> with ThreadPoolExecutor(3) as pool, testing.hold(load_user) as held:
    ...     calls = [pool.submit(load_user, 1) for _ in range(3)]
    ...     held.wait_for_waiters(3)
    ...     held.release()
    >>> [call.result() for call in calls], load_user.stats().loads
    (['user 1', 'user 1', 'user 1'], 1)
    """
    core = getattr(function, "_core", None)
    if core is None:
        raise TypeError(f"not a function that soloflight has decorated: {function!r}")
    held = (AsyncHold if core.spec.is_async else Hold)(core, patience)
    loader = core.world.loader
    core.load_with(held._around(loader))
    try:
        yield held
    finally:
        core.load_with(loader)
        held.release()
