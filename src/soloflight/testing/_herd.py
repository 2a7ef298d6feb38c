"""`stampede`: a herd, for those who want to see what their own loader does with one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Generic, TypeVar, overload

R = TypeVar("R")


@dataclass
class Stampede(Generic[R]):
    """What came of a herd. See `stampede`."""

    loads: int = 0
    """How often the loader was called meanwhile, by whomever."""
    answers: list[R] = field(default_factory=list)
    """What callers got."""
    errors: list[BaseException] = field(default_factory=list)
    """What the others got."""
    latencies: list[float] = field(default_factory=list)
    """The seconds that each caller waited, the shortest first."""


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

    `callers` threads meet at a barrier, and then all call ``function(*args, **kwargs)``; of an
    ``async def``, so many tasks, and this is to be awaited. Nothing is cleared before: to see a
    herd that misses, ``invalidate`` first.

    >>> from soloflight import cached_singleflight, testing
    >>> @cached_singleflight(ttl=30)
    ... def load_user(user_id: int) -> str:
    ...     return f"user {user_id}"
    >>> herd = testing.stampede(load_user, 1, callers=20)
    >>> herd.loads, len(herd.answers), herd.errors
    (1, 20, [])
    """
    core = getattr(function, "_core", None)
    if core is None:
        raise TypeError(f"not a function that soloflight has decorated: {function!r}")
    if callers < 1:
        raise ValueError(f"callers must be at least 1, but is {callers!r}")
    if core.spec.is_async:
        return _tasks(function, args, callers, kwargs)
    return _threads(function, args, callers, kwargs)


def _threads(function: Any, args: Any, callers: int, kwargs: Any) -> Stampede[Any]:
    herd, barrier = Stampede[Any](), threading.Barrier(callers)
    before = function.stats().loads

    def caller() -> None:
        barrier.wait()
        began = perf_counter()
        try:
            herd.answers.append(function(*args, **kwargs))
        except BaseException as error:
            herd.errors.append(error)
        herd.latencies.append(perf_counter() - began)

    threads = [threading.Thread(target=caller, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _counted(herd, function, before)


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
    return _counted(herd, function, before)


def _counted(herd: Stampede[Any], function: Any, before: int) -> Stampede[Any]:
    herd.loads = function.stats().loads - before
    herd.latencies.sort()
    return herd
