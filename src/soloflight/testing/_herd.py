"""`stampede`: a herd, for those who want to see what their own loader does with one."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Generic, TypeVar, overload

from .._calls.bypasses import is_bypassing
from .._durations import at_least_one
from ._decorated import core_of

R = TypeVar("R")


@dataclass(repr=False)
class Stampede(Generic[R]):
    """What came of a herd. See `stampede`."""

    loads: int = 0
    """How often the loader was called meanwhile, by whomever."""
    answers: list[R] = field(default_factory=list)
    """What callers got, in no order."""
    errors: list[BaseException] = field(default_factory=list)
    """What the others got."""
    latencies: list[float] = field(default_factory=list)
    """The seconds that each caller waited, the shortest first."""

    def __repr__(self) -> str:
        errors = Counter(type(error).__name__ for error in self.errors)
        slowest = f"{self.latencies[-1]:.3g} s" if self.latencies else None
        return (
            f"Stampede(loads={self.loads}, answers={len(self.answers)}, errors={dict(errors)}, "
            f"slowest={slowest})"
        )


@overload
def stampede(
    function: Callable[..., Coroutine[Any, Any, R]],
    /,
    *args: Any,
    callers: int = 100,
    **kwargs: Any,
) -> Coroutine[Any, Any, Stampede[R]]: ...
@overload
def stampede(
    function: Callable[..., R], /, *args: Any, callers: int = 100, **kwargs: Any
) -> Stampede[R]: ...
def stampede(function: Any, /, *args: Any, callers: int = 100, **kwargs: Any) -> Any:
    """Call a decorated function from many callers at the same time, and say what came of it.

    `callers` threads meet at a barrier, and then all call ``function(*args, **kwargs)``, each in a
    copy of the context; of an ``async def``, so many tasks, and this is to be awaited. Nothing is
    cleared before: to see a herd that misses, ``invalidate`` first. Errors are not cached, so a
    caller that comes after a load has failed loads again; to have all of them aboard, see `hold`.

    >>> from soloflight import cached_singleflight, testing
    >>> @cached_singleflight(ttl=30)
    ... def load_user(user_id: int) -> str:
    ...     return f"user {user_id}"
    >>> herd = testing.stampede(load_user, 1, callers=20)
    >>> herd.loads, len(herd.answers), herd.errors
    (1, 20, [])
    """
    core = core_of(function)
    at_least_one(callers, "callers")
    function.cache_key(*args, **kwargs)  # a wrong call raises here, and once
    if core.spec.is_async:
        return _tasks(function, args, callers, kwargs)
    return _threads(function, args, callers, kwargs)


def _threads(function: Any, args: Any, callers: int, kwargs: Any) -> Stampede[Any]:
    herd, barrier = Stampede[Any](), threading.Barrier(callers)
    before = function.stats().loads

    def caller() -> None:
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            return  # not all of them could be started
        began = perf_counter()
        try:
            herd.answers.append(function(*args, **kwargs))
        except BaseException as error:
            herd.errors.append(error)
        herd.latencies.append(perf_counter() - began)

    threads = []
    try:
        for _ in range(callers):
            run = copy_context().run
            threads.append(threading.Thread(target=run, args=(caller,), daemon=True))
            threads[-1].start()
    except BaseException:
        barrier.abort()  # there are too many threads, say: those that are there need not wait
        raise
    for thread in threads:
        thread.join()
    return _counted(herd, function, before, callers)


async def _tasks(function: Any, args: Any, callers: int, kwargs: Any) -> Stampede[Any]:
    herd, before = Stampede[Any](), function.stats().loads

    async def caller() -> None:
        began = perf_counter()
        try:
            herd.answers.append(await function(*args, **kwargs))
        except Exception as error:
            herd.errors.append(error)
        herd.latencies.append(perf_counter() - began)

    await asyncio.gather(*[caller() for _ in range(callers)])
    return _counted(herd, function, before, callers)


def _counted(herd: Stampede[Any], function: Any, before: int, callers: int) -> Stampede[Any]:
    herd.loads = function.stats().loads - before
    if is_bypassing():  # then each has called the loader, and nothing was counted
        herd.loads += callers
    herd.latencies.sort()
    return herd
