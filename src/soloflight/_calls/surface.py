"""What a decorated function offers, bound or not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, MutableMapping
from math import inf
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from .._entries.entry import Entry
from .._flights.flight import Call, FlightInfo
from .._flights.stats import CacheInfo, Stats
from .._locks import critical
from .._sources.for_one import refusal
from .core import Core
from .looks import Kind

P = ParamSpec("P")
R = TypeVar("R", covariant=True)  # what a call returns: of an ``async def``, a coroutine
V = TypeVar("V")


class FlightSurface(Generic[P, R]):
    """What `@singleflight` gives a function or a bound method."""

    __slots__ = ()
    _core: Core
    _bind: Callable[..., Call]  # generated, and in the class of each function

    def forget(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Take the flight of this call off the table; returns whether there was one.

        No later call joins it, and its outcome is not stored; callers already aboard get it. An
        entry that is there already stays (see `invalidate`).
        """
        return self._core.fences.forget(self._bind(*args, **kwargs).key)

    def cache_key(self, /, *args: P.args, **kwargs: P.kwargs) -> Hashable:
        """The key of this call; ``f.cache`` has its entry under it."""
        return self._bind(*args, **kwargs).key

    def in_flight(self) -> tuple[FlightInfo, ...]:
        """The loads in progress: key, age in seconds, and the number of callers that wait."""
        return self._core.table.in_flight()

    def stats(self) -> Stats:
        """Counts since the decoration, or since the last ``cache_clear()``."""
        return critical(self._core.table.lock, self._core.table.ledger.stats)


if TYPE_CHECKING:

    class _Put:
        """Settles the type of a value before the value is seen.

        As an argument beside `self` it would widen what the function returns, for some checkers.
        """

        def __init__(self, put: Callable[..., None]) -> None: ...
        @overload
        def __get__(
            self, instance: CachedSurface[P, Coroutine[Any, Any, V]], owner: type
        ) -> Callable[Concatenate[V, P], None]: ...
        @overload
        def __get__(
            self, instance: CachedSurface[P, V], owner: type
        ) -> Callable[Concatenate[V, P], None]: ...
        def __get__(self, instance: Any, owner: type) -> Any: ...
else:

    def _Put(put: Any) -> Any:
        return put


class Clearable(metaclass=Kind):
    """What has entries of its own to clear: a `@cached_singleflight` function, bound or not.

    For annotations (``caches: list[Clearable]``) and for `isinstance`.
    """

    __slots__ = ()

    def clear(self) -> None:
        """Drop the entries, and fence the flights that load them."""
        raise NotImplementedError

    def cache_clear(self) -> None:
        """As in `functools`: `clear`."""
        raise NotImplementedError


class CachedSurface(FlightSurface[P, R], Clearable):
    """What `@cached_singleflight` gives a function or a bound method besides."""

    __slots__ = ()

    def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Drop the entry of this call and fence its flight; returns whether there was either.

        A call that starts after this has returned neither sees nor joins a load that began before.
        Callers already aboard get their value; it is not stored.
        """
        return self._core.fences.invalidate(self._bind(*args, **kwargs).key)

    def clear(self) -> None:
        """`invalidate` for every key of the function, those of all instances included."""
        self._core.fences.clear()

    def cache_clear(self) -> None:
        """`clear`, and the counts of `stats` and `cache_info` begin anew, as in functools.

        What a load costs on average is remembered, for early refreshes. A load in progress counts
        where it ends.
        """
        self.clear()
        critical(self._core.table.lock, self._core.table.ledger.count_anew)

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Load now, or join a flight in progress, and return the new value.

        To be awaited where the loader is an ``async def``.
        """
        call = self._bind(*args, **kwargs)
        call.may_hit = False
        outcome = self._core.miss(call)
        try:
            return cast("R", self._core.copy(outcome.value))
        except BaseException as error:
            outcome.reset(error)
            raise
        finally:
            del call, outcome, args, kwargs  # breaks the ring (see Rings)

    @_Put
    def put(self, value: Any, /, *args: Any, **kwargs: Any) -> None:
        """Store a value as if it had been loaded just now, and fence the flight of this call."""
        core = self._core
        refused = refusal(value, core.spec.name)
        if refused is not None:
            raise refused
        key = self._bind(*args, **kwargs).key
        policy, now, cost = core.shelf.policy, core.shelf.timer(), core.table.ledger.mean_cost()
        core.shelf.now = now
        entry = policy.entry(core.copy(value), now, cost)
        if entry is not None and core.shelf.sized:
            entry = core.shelf.measured(entry)
        core.fences.put(key, entry)

    @overload
    def peek(
        self: CachedSurface[P, Coroutine[Any, Any, V]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Entry[V] | None: ...
    @overload
    def peek(
        self: CachedSurface[P, V], /, *args: P.args, **kwargs: P.kwargs
    ) -> Entry[V] | None: ...
    def peek(self, /, *args: Any, **kwargs: Any) -> Any:
        """The entry of this call, fresh or stale, or ``None``.

        Never loads, and does not count as a hit. What is returned is a copy.
        """
        entry = self._core.shelf.alive(self._bind(*args, **kwargs).key)
        return None if entry is None else entry.copy(self._core.copy)

    @property
    def cache(self) -> MutableMapping[Any, Any]:
        """The cache, which holds an `Entry` under each `cache_key`."""
        return self._core.shelf.cache

    def cache_info(self) -> CacheInfo:
        """``(hits, misses, maxsize, currsize)`` as `functools.lru_cache` has it."""
        return critical(self._core.table.lock, self._cache_info)

    def _cache_info(self) -> CacheInfo:
        stats, shelf = self._core.table.ledger.stats(), self._core.shelf
        maxsize = getattr(shelf.cache, "maxsize", None)
        unlimited = maxsize == inf  # functools says None
        return CacheInfo(stats.hits, stats.misses, None if unlimited else maxsize, shelf.size())


class AwaitedSurface:
    """What differs of the `CachedSurface` of an ``async def``."""

    __slots__ = ()
    _core: Core
    _bind: Callable[..., Call]

    # Schedulers and background tasks ask `inspect` whether what they are given is to be awaited.
    async def refresh(self, /, *args: Any, **kwargs: Any) -> Any:
        call = self._bind(*args, **kwargs)
        call.may_hit = False
        outcome = await self._core.miss(call)
        try:
            return self._core.copy(outcome.value)
        except BaseException as error:
            outcome.reset(error)
            raise
        finally:
            del call, outcome, args, kwargs  # breaks the ring (see Rings)

    refresh.__doc__ = CachedSurface.refresh.__doc__


def bases(core: Core, base: type) -> tuple[type, ...]:
    """Those of the class of one function."""
    return (AwaitedSurface, base) if core.spec.cached and core.spec.is_async else (base,)
