"""`hold`: loads that stay in the air for as long as a test needs them there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from threading import Condition
from time import sleep
from typing import TYPE_CHECKING, Any, overload
from weakref import WeakSet

from .._clock import clock
from .._durations import at_least_one
from .._flights.flight import Flight
from .._outcome import Error, Value, outcome_of, outcome_of_async
from .._shown import shown
from .._sources.direct import direct, direct_async
from ._decorated import core_of, duration

if TYPE_CHECKING:
    from typing_extensions import Self

PATIENCE = 10.0
"""Seconds after which a test has forgotten somebody."""
PAUSE = 0.001
"""Seconds between two looks at who is aboard."""


class _Load:
    """One load that is held, from when its loader is called."""

    def __init__(self) -> None:
        self.is_free = False
        self.error: Exception | None = None

    def end(self) -> None:
        error, self.error = self.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # breaks the ring (see Rings)


class _Holds:
    """What stands round the loads of a function while it is held: all who hold it."""

    def __init__(self, core: Any) -> None:
        self._core, self.before = core, core.world.around
        self.holds: list[Hold] = []

    def __call__(self, source: object) -> Any:
        # What was put in the place of the loader, before or meanwhile, is held like it.
        core = self._core
        loader, direct_of = core.world.loader, direct_async if core.spec.is_async else direct
        for hold in list(self.holds):
            loader = hold._held(loader)
        made = direct_of(core.table, loader)
        return made if self.before is None else self.before(made)


class Hold:
    """The loads of one function, held. See `hold`."""

    def __init__(self, core: Any, patience: float) -> None:
        self._core = core
        self._patience = patience
        self._changed = Condition()  # guards what follows
        self._loads: list[_Load] = []
        self._holds = True  # those that begin from now on
        self._is_used = False
        self._earlier: WeakSet[Flight] = WeakSet()  # they are not held

    def __enter__(self) -> Self:
        if self._is_used:
            raise RuntimeError("a hold() is for one block: write `with hold(f) as held:` each time")
        self._is_used = True
        world = self._core.world
        self._earlier.update(self._core.table.flights.all())
        try:
            if not isinstance(world.around, _Holds):
                world.around = _Holds(self._core)
            world.around.holds.append(self)
            world.load_with(world.loader)
        except BaseException:  # an interruption
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        world = self._core.world
        around = world.around
        if isinstance(around, _Holds):
            if self in around.holds:
                around.holds.remove(self)
            if not around.holds:
                world.around = around.before
        world.load_with(world.loader)

    @property
    def loads(self) -> int:
        """How many are held now."""
        return len(self._loads)

    def release(self) -> None:
        """Let them land, with what their loaders return. Later loads are not held."""
        self._let_go(None)

    def fail(self, error: Exception) -> None:
        """Let them land with this error, as if their loaders had raised it; later ones are free.

        (Each load but the first one gets a copy.)
        """
        if not isinstance(error, Exception):
            raise TypeError(f"fail takes an exception, as raised by a loader, not {shown(error)}")
        self._let_go(error)

    def wait_for_waiters(self, count: int, timeout: float | timedelta = PATIENCE) -> None:
        """Wait until so many callers are aboard, and their loads are held.

        Those who lead count, and those who follow. Raises `TimeoutError` after `timeout` seconds.
        """
        __tracebackhide__ = True
        self._wait(self._has_callers(count), timeout)

    def wait_for_loads(self, count: int, timeout: float | timedelta = PATIENCE) -> None:
        """Wait until so many loads are held: a refresh is one, and has no callers."""
        __tracebackhide__ = True
        self._wait(self._has_loads(count), timeout)

    def _wait(self, is_so: Callable[[], str], timeout: object) -> None:
        seconds = duration(timeout, "timeout")
        until = clock.real() + seconds
        while why := is_so():
            if clock.real() >= until:
                raise TimeoutError(self._message(why, seconds))
            sleep(PAUSE)

    def _message(self, why: str, seconds: float) -> str:
        return f"{self._core.spec.name}: after {seconds:g} s {why}"

    def _has_callers(self, count: int) -> Callable[[], str]:
        """What is missing, when it is asked; nothing, once it is so."""
        at_least_one(count, "the number of callers")

        def missing() -> str:
            all_of_them = self._core.table.flights.all()
            flights = [f for f in all_of_them if not (f.over or f in self._earlier)]
            aboard = sum(map(_callers, flights))
            if aboard >= count and (not self._holds or len(self._loads) >= len(flights)):
                return ""
            return (
                f"{aboard} callers are aboard, not {count}; {len(self._loads)} loads are held"
                + (" (a refresh has no callers: wait_for_loads)" if self._loads else "")
            )

        return missing

    def _has_loads(self, count: int) -> Callable[[], str]:
        at_least_one(count, "the number of loads")
        return lambda: (
            "" if len(self._loads) >= count else f"{len(self._loads)} loads are held, not {count}"
        )

    def _let_go(self, error: Exception | None) -> None:
        with self._changed:
            self._holds = False
            for load in self._loads:
                if not load.is_free:
                    load.is_free, load.error = True, error
                    if error is not None:  # one object would have the frames of all who raise it
                        error = Error(error, None).copy().exception  # type: ignore[assignment]
            self._changed.notify_all()

    def _begin(self) -> _Load | None:
        with self._changed:
            if not self._holds:
                return None
            load = _Load()
            self._loads.append(load)
            return load

    def _wait_for(self, load: _Load) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: load.is_free, self._patience):
                raise self._forgotten()
        load.end()

    def _end(self, load: _Load) -> None:
        with self._changed:
            self._loads.remove(load)

    def _forgotten(self) -> TimeoutError:
        return TimeoutError(
            f"{self._core.spec.name}: held for {self._patience:g} s, and nobody has released it "
            "(a call in the test's own thread waits for itself: call in a thread, or a task)"
        )

    def _held(self, loader: Callable[..., Any]) -> Callable[..., Any]:
        """What calls a loader, and holds its outcome. (Not an interruption: its caller is gone.)"""

        def held(*args: Any, **kwargs: Any) -> Any:
            load = self._begin()
            outcome: Value[Any] | Error | None = None
            try:
                outcome = outcome_of(loader, *args, **kwargs)
                if load is not None:
                    self._wait_for(load)
                return outcome.value
            finally:
                if load is not None:
                    self._end(load)
                load = outcome = None  # breaks the ring (see Rings)
                del args, kwargs

        return held


class AsyncHold(Hold):
    """The same for an ``async def``: what waits is awaited."""

    async def wait_for_waiters(  # type: ignore[override]
        self, count: int, timeout: float | timedelta = PATIENCE
    ) -> None:
        """Wait until so many callers are aboard. See `Hold.wait_for_waiters`."""
        await self._wait_later(self._has_callers(count), timeout)

    async def wait_for_loads(  # type: ignore[override]
        self, count: int, timeout: float | timedelta = PATIENCE
    ) -> None:
        """Wait until so many loads are held. See `Hold.wait_for_loads`."""
        await self._wait_later(self._has_loads(count), timeout)

    async def _wait_later(self, is_so: Callable[[], str], timeout: object) -> None:
        seconds = duration(timeout, "timeout")
        until = clock.real() + seconds
        while why := is_so():
            if clock.real() >= until:
                raise TimeoutError(self._message(why, seconds))
            await asyncio.sleep(PAUSE)

    def _held(self, loader: Callable[..., Any]) -> Callable[..., Any]:
        async def held(*args: Any, **kwargs: Any) -> Any:
            load = self._begin()
            outcome: Value[Any] | Error | None = None
            try:
                outcome = await outcome_of_async(loader, *args, **kwargs)
                if load is not None:
                    until = clock.real() + self._patience
                    # By looks: who releases it may be another thread, with a loop of its own.
                    while not load.is_free:
                        if clock.real() >= until:
                            raise self._forgotten()
                        await asyncio.sleep(PAUSE)
                    load.end()
                return outcome.value
            finally:
                if load is not None:
                    self._end(load)
                load = outcome = None
                del args, kwargs

        return held


def _callers(flight: Flight) -> int:
    """Those who are aboard, with a thread that leads: it runs the load, and waits for nothing."""
    return flight.aboard() + (not flight.load.is_on_its_own())


@overload
def hold(
    function: Callable[..., Coroutine[Any, Any, Any]], *, patience: float | timedelta = PATIENCE
) -> AsyncHold: ...
@overload
def hold(function: Callable[..., Any], *, patience: float | timedelta = PATIENCE) -> Hold: ...
def hold(function: Any, *, patience: float | timedelta = PATIENCE) -> Any:
    """Keep the loads of a function from landing, until they are released.

    So a test can say that callers are aboard of a load, with no sleeps: it starts them (in threads
    or tasks), waits with ``wait_for_waiters`` until they are, and then has the load land, with
    ``release()``, or fail, with ``fail(error)``. The loader is called as ever; it is its outcome
    that waits. What is still held when the block is left is released. A method is held for all its
    instances. A load that is held for `patience` seconds fails with `TimeoutError`. (Not held are
    calls inside of `soloflight.bypass`, which share no load, and what a tier has.)

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
    core = core_of(function)
    return (AsyncHold if core.spec.is_async else Hold)(core, duration(patience, "patience"))
