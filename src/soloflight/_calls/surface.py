"""What a decorated function offers, bound or not; and the function without its looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Mapping, MutableMapping
from math import inf
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from .._entries.entry import Entry
from .._entries.index import Scoped
from .._entries.shelf import Shelf
from .._flights import fences
from .._flights.flight import FlightInfo
from .._flights.stats import CacheInfo, Stats
from .._flights.table import FlightTable
from .._locks import critical
from .._sources.for_one import refusal
from . import keys, loaders
from .instances import Instances
from .template import Face, Spec, generate, is_owner_alone

P = ParamSpec("P")
R = TypeVar("R", covariant=True)  # what a call returns: of an ``async def``, a coroutine
V = TypeVar("V")

NOT_FOR_FUNCTIONS = "per_instance is for methods of instances and classes; leave it out"

Loading = tuple[Callable[..., Any], Callable[..., Any]]
"""Of one loader: what a call does that has to load, and one that is served what is not calm."""
Bound = tuple[Hashable, tuple[Any, ...], Mapping[str, Any]]  # key, args, kwargs


class Core:
    """A decorated function without its looks."""

    def __init__(
        self,
        spec: Spec,
        table: FlightTable,
        loading: Callable[[Any], Loading],
        loader: Callable[..., Any],
        *,
        for_methods: bool,
        copy: Callable[[Any], Any] | None = None,
    ) -> None:
        self.spec = spec
        self.table = table
        self.loader = loader
        self._loading = loading
        self.load_with(loader)
        self.copy: Callable[[Any], Any] = copy or (lambda value: value)
        self.function: Any = None  # what stands for the loader
        self.for_methods = for_methods  # an option was given that has a meaning only there
        self._before: Stats | None = None  # what had been counted at the last `cache_clear`
        self.in_classmethod = False  # `classmethod` is outermost, and binds without asking us
        self._faces: dict[Face, tuple[Any, Callable[..., Bound]]] = {}
        self._names: dict[str, Any] = {"core": self}
        dead: deque[Any] = deque(maxlen=0)  # without a cache nothing is left behind
        shelf = table.shelf
        if shelf is not None:
            dead = shelf.dead
            self._names |= shelf.names() | {
                "stale": table.counts.stale.counter,
                "on_error": table.counts.stale_on_error.counter,
                "copy": copy,
            }
        self.instances = Instances(spec.name, dead)
        self._names |= {"looks": self.instances.looks, "enroll": self.instances.enroll}
        if shelf is not None:
            shelf.instances = self.instances.indexes

    @property
    def shelf(self) -> Shelf:
        shelf = self.table.shelf
        assert shelf is not None
        return shelf

    def load_with(self, loader: Any) -> None:
        """Have the next load, and all after it, call this loader."""
        self.miss, self.late = self._loading(loader)

    def stats(self) -> Stats:
        """What was counted since `count_anew`. Under the lock of the table."""
        total = self._total()
        return total if self._before is None else total.since(self._before)

    def count_anew(self) -> None:
        # The counters themselves go on: hits take no lock, and none may be lost.
        self._before = self._total()

    def _total(self) -> Stats:
        counts, shelf = self.table.counts, self.table.shelf
        return Stats(
            hits=0 if shelf is None else shelf.hits,
            misses=counts.led.total(),
            joined=counts.joined,
            errors=counts.errors,
            store_errors=0 if shelf is None else shelf.failures,
            refreshes=counts.refreshes.total(),
            early_refreshes=counts.early.total(),
            stale_hits=counts.stale.total(),
            stale_on_error=counts.stale_on_error.total(),
            negative_hits=counts.negative.total(),
            fenced=counts.fenced,
            abandoned=counts.abandoned,
            timeouts=counts.timeouts.total(),
            load_seconds=counts.seconds,
        )

    def mean_cost(self) -> float:
        """The seconds that a load took so far, on average; 0 where there was none."""
        counts = self.table.counts
        return counts.seconds / (counts.led.total() or 1)

    def clear_of(self, instance: object) -> None:
        """Clear what was called on an instance, or on those that share its keys."""
        per_instance = self.spec.per_instance
        if per_instance is True:
            index = self.instances.index(instance)
            if index is not None:  # or it was never called on

                def of_instance(key: Hashable) -> bool:
                    return isinstance(key, Scoped) and key.of is index

                fences.clear(self.table, of_instance, index)
        elif callable(per_instance):
            owner = per_instance(instance)
            try:
                owners = {owner}
            except TypeError as error:
                keys.explain(self.spec.name, error, {}, {"per_instance": owner})
            alone = is_owner_alone(self.spec)

            def belongs(key: Any) -> bool:
                short = key.key if self.spec.scoped or type(key) is Scoped else key
                return (short if alone else short[0]) in owners

            fences.clear(self.table, belongs)
        else:
            fences.clear(self.table)

    def face(self, face: Face) -> tuple[Any, Callable[..., Bound]]:
        """The generated wrapper and binder of one way of calling."""
        made = self._faces.get(face)
        if made is None:
            call, bind = generate(self.spec, face, self._names)
            for name in ("__module__", "__name__", "__qualname__", "__doc__"):
                shown = getattr(self.loader, name, None)
                if isinstance(shown, str):
                    setattr(call, name, shown)
                    setattr(bind, name, shown)
            made = self._faces[face] = call, bind
        return made

    def defined_in_class(self) -> bool:
        owner = self.spec.qualname.rpartition(".")[0]
        return bool(owner) and not owner.endswith("<locals>") and loaders.binds(self.loader)

    def faced(self, args: tuple[Any, ...]) -> Face:
        """Whether a call of the unbound function with `args` has an instance in front.

        It has where the loader was defined in a class body and `args` starts with an instance of
        that class, or the class itself: another decorator on top of ours calls like that.
        """
        if args and self.defined_in_class():
            owner, _, name = self.spec.qualname.rpartition(".")
            module = self.spec.module
            first = args[0] if isinstance(args[0], type) else type(args[0])
            for cls in first.__mro__:
                ours = cls.__qualname__ == owner and cls.__module__ == module
                found = vars(cls).get(name)
                if ours and not isinstance(found, staticmethod):
                    self.in_classmethod = isinstance(found, classmethod)
                    return "method"
        if self.for_methods:
            raise TypeError(f"{self.spec.name}: {NOT_FOR_FUNCTIONS}")
        return "plain"


class FlightSurface(Generic[P, R]):
    """What `@singleflight` gives a function or a bound method."""

    __slots__ = ()
    _core: Core

    def _bind(self, args: Any, kwargs: Any) -> Bound:
        raise NotImplementedError

    def forget(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Take the flight of this call off the table; returns whether there was one.

        No later call joins it, and its outcome is not stored; callers already aboard get it. An
        entry that is there already stays (see `invalidate`).
        """
        return self._core.table.forget(self._bind(args, kwargs)[0])

    def cache_key(self, /, *args: P.args, **kwargs: P.kwargs) -> Hashable:
        """The key of this call; ``f.cache`` has its entry under it."""
        return self._bind(args, kwargs)[0]

    def in_flight(self) -> tuple[FlightInfo, ...]:
        """The loads in progress: key, age in seconds, and the number of callers that wait."""
        return self._core.table.in_flight()

    def stats(self) -> Stats:
        """Counts since the decoration, or since the last ``cache_clear()``."""
        return critical(self._core.table.lock, self._core.stats)


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


class Clearable:
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
        return fences.invalidate(self._core.table, self._bind(args, kwargs)[0])

    def clear(self) -> None:
        """`invalidate` for every key of the function, those of all instances included."""
        fences.clear(self._core.table)

    def cache_clear(self) -> None:
        """`clear`, and the counts of `stats` and `cache_info` begin anew, as in functools.

        What a load costs on average is remembered, for early refreshes. A load in progress counts
        where it ends.
        """
        self.clear()
        critical(self._core.table.lock, self._core.count_anew)

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Load now, or join a flight in progress, and return the new value.

        To be awaited where the loader is an ``async def``.
        """
        outcome = self._core.miss(*self._bind(args, kwargs), look=False)
        try:
            return cast("R", self._core.copy(outcome.value))
        except BaseException as error:
            outcome.reset(error)
            raise
        finally:
            # An exception holds its traceback, that this frame.
            del outcome, args, kwargs

    @_Put
    def put(self, value: Any, /, *args: Any, **kwargs: Any) -> None:
        """Store a value as if it had been loaded just now, and fence the flight of this call."""
        core = self._core
        refused = refusal(value, core.spec.name)
        if refused is not None:
            raise refused
        key = self._bind(args, kwargs)[0]
        policy, now = core.shelf.policy, core.shelf.timer()
        fences.put(core.table, key, policy.entry(core.copy(value), now, core.mean_cost()))

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
        entry = self._core.shelf.alive(self._bind(args, kwargs)[0])
        return None if entry is None else entry.copy(self._core.copy)

    @property
    def cache(self) -> MutableMapping[Any, Any]:
        """The cache, which holds an `Entry` under each `cache_key`."""
        return self._core.shelf.cache

    def cache_info(self) -> CacheInfo:
        """``(hits, misses, maxsize, currsize)`` as `functools.lru_cache` has it."""
        return critical(self._core.table.lock, self._cache_info)

    def _cache_info(self) -> CacheInfo:
        stats, shelf = self._core.stats(), self._core.shelf
        maxsize = getattr(shelf.cache, "maxsize", None)
        unlimited = maxsize == inf  # functools says None
        return CacheInfo(stats.hits, stats.misses, None if unlimited else maxsize, shelf.size())


class AwaitedSurface:
    """What differs of the `CachedSurface` of an ``async def``."""

    __slots__ = ()
    _core: Core
    _bind: Callable[[Any, Any], Bound]

    # Schedulers and background tasks ask `inspect` whether what they are given is to be awaited.
    async def refresh(self, /, *args: Any, **kwargs: Any) -> Any:
        outcome = await self._core.miss(*self._bind(args, kwargs), look=False)
        try:
            return self._core.copy(outcome.value)
        except BaseException as error:
            outcome.reset(error)
            raise
        finally:
            del outcome, args, kwargs

    refresh.__doc__ = CachedSurface.refresh.__doc__
