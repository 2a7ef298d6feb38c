"""What the user holds: the decorated function, unbound and bound; the only user of wrapt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, MutableMapping
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from ._entry import Entry
from ._flight import FlightInfo, FlightTable
from ._instances import Instances
from ._shelf import Shelf
from ._stats import CacheInfo, Stats
from ._template import Face, Spec, generate

if TYPE_CHECKING:  # wrapt has no types

    class BaseObjectProxy:
        __wrapped__: Any

        def __init__(self, wrapped: Any) -> None: ...
else:
    from wrapt import BaseObjectProxy

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
V = TypeVar("V")
T = TypeVar("T")

Bound = tuple[Hashable, tuple[Any, ...], Mapping[str, Any]]  # key, args, kwargs


class Core:
    """A decorated function without its looks."""

    def __init__(
        self,
        spec: Spec,
        table: FlightTable,
        miss: Callable[..., Any],
        loader: Callable[..., Any],
        *,
        for_methods: bool,
    ) -> None:
        self.spec = spec
        self.table = table
        self.miss = miss
        self.loader = loader
        self.function: Any = None  # what stands for the loader
        self.for_methods = for_methods  # an option was given that has a meaning only there
        self._faces: dict[Face, tuple[Any, Callable[..., Bound]]] = {}
        self._names: dict[str, Any] = {"miss": miss}
        dead: deque[Any] = deque(maxlen=0)  # without a cache nothing is left behind
        shelf = table.shelf
        if isinstance(shelf, Shelf):
            dead = shelf.dead
            self._names |= shelf.names()
        instances = Instances(spec.name, dead)
        self._names |= {"looks": instances.looks, "enroll": instances.enroll}
        if isinstance(shelf, Shelf):
            shelf.instances = instances.indexes

    @property
    def shelf(self) -> Shelf:
        shelf = self.table.shelf
        assert isinstance(shelf, Shelf)
        return shelf

    def face(self, face: Face) -> tuple[Any, Callable[..., Bound]]:
        """The generated wrapper and binder of one way of calling."""
        made = self._faces.get(face)
        if made is None:
            call, bind = generate(self.spec, face, self._names)
            for name in ("__module__", "__name__", "__qualname__", "__doc__"):
                if hasattr(self.loader, name):
                    setattr(call, name, getattr(self.loader, name))
                    setattr(bind, name, getattr(self.loader, name))
            made = self._faces[face] = call, bind
        return made

    def defined_in_class(self) -> bool:
        owner = getattr(self.loader, "__qualname__", "").rpartition(".")[0]
        return bool(owner) and not owner.endswith("<locals>")

    def faced(self, args: tuple[Any, ...]) -> Face:
        """Whether a call of the unbound function with `args` has an instance in front.

        It has where the loader was defined in a class body and `args` starts with an instance of
        that class, or the class itself: another decorator on top of ours calls like that.
        """
        if args and self.defined_in_class():
            owner, _, name = self.loader.__qualname__.rpartition(".")
            module = self.loader.__module__
            first = args[0] if isinstance(args[0], type) else type(args[0])
            for cls in first.__mro__:
                ours = cls.__qualname__ == owner and cls.__module__ == module
                if ours and not isinstance(vars(cls).get(name), staticmethod):
                    return "method"
        if self.for_methods:
            raise TypeError(f"{self.spec.name}: per_instance is for methods; this is a function")
        return "plain"


class _Flights(Generic[P, R]):
    """What `@singleflight` gives a function or a bound method."""

    __slots__ = ()
    _core: Core

    def _bind(self, args: Any, kwargs: Any) -> Bound:
        raise NotImplementedError

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Take the flight of this call off the table: the next call starts one of its own.

        Callers already aboard get its outcome, which is not stored. Returns whether there was one.
        """
        return self._core.table.forget(self._bind(args, kwargs)[0])

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> Hashable:
        """The key of this call; ``f.cache`` has its entry under it."""
        return self._bind(args, kwargs)[0]

    def in_flight(self) -> tuple[FlightInfo, ...]:
        """The loads in progress: key, age in seconds, and the number of callers that wait."""
        return self._core.table.in_flight()

    def stats(self) -> Stats:
        """Counts since the decoration."""
        table = self._core.table
        shelf = table.shelf
        with table.lock:
            return Stats(
                hits=shelf.tally.total() if isinstance(shelf, Shelf) else 0,
                misses=table.led.total(),
                joined=table.joined,
                errors=table.errors,
                store_errors=shelf.failures if isinstance(shelf, Shelf) else 0,
            )


class _Cached(_Flights[P, R], Generic[P, R, V]):
    """What `@cached_singleflight` gives a function or a bound method besides."""

    __slots__ = ()

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Drop the entry of this call and fence its flight; returns whether there was either.

        A call that starts after this has returned neither sees nor joins a load that began before.
        Callers already aboard get their value; it is not stored.
        """
        return self._core.table.invalidate(self._bind(args, kwargs)[0])

    def clear(self) -> None:
        """`invalidate` for every key of the function, those of all instances included."""
        self._core.table.clear()

    cache_clear = clear

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Load now, or join a flight in progress, and return the new value.

        To be awaited where the loader is an ``async def``.
        """
        outcome = self._core.miss(*self._bind(args, kwargs), look=False)
        return cast("R", _value(outcome) if self._core.spec.is_async else outcome.value)

    def put(self, value: V, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store a value as if it had been loaded just now, and fence the flight of this call."""
        key = self._bind(args, kwargs)[0]
        self._core.table.put(key, self._core.shelf.entry(value))

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> Entry[V] | None:
        """The entry of this call, or ``None``. Never loads, and does not count as a hit."""
        entry = self._core.shelf.fresh(self._bind(args, kwargs)[0])
        # A copy: an entry of the cache is seen for as long as anybody holds it.
        return None if entry is None else Entry(entry.value, entry.fresh_until)

    @property
    def cache(self) -> MutableMapping[Any, Any]:
        """The cache, which holds an `Entry` under each `cache_key`."""
        return self._core.shelf.cache

    def cache_info(self) -> CacheInfo:
        """``(hits, misses, maxsize, currsize)`` as `functools.lru_cache` has it."""
        stats = self.stats()
        with self._core.table.lock:
            cache = self.cache
            size = getattr(cache, "currsize", None)
            return CacheInfo(
                stats.hits,
                stats.misses,
                getattr(cache, "maxsize", None),
                len(cache) if size is None else size,
            )


async def _value(outcome: Any) -> Any:
    return (await outcome).value


class _BoundTo(Generic[P, R]):
    """A decorated function bound to an instance (or, a class method, to a class).

    Each function has a subclass of its own, with a generated ``__call__``.
    """

    __slots__ = ("__self__",)
    __self__: Any
    _core: Core

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def _bind(self, args: Any, kwargs: Any) -> Bound:
        return self._core.face("method")[1](self.__self__, *args, **kwargs)

    # For `inspect`: a method, of a coroutine function where it is one.
    __class__ = property(lambda self: MethodType)

    @property
    def __func__(self) -> Any:
        return self._core.function

    @property
    def __wrapped__(self) -> Any:
        return MethodType(self._core.loader, self.__self__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core.loader, name)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__self__ is cast("Any", other).__self__

    def __hash__(self) -> int:
        return hash((id(self.__self__), type(self)))

    def __reduce__(self) -> Any:
        return getattr, (self.__self__, self._core.loader.__name__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __copy__(self) -> Any:
        return self

    def __repr__(self) -> str:
        return f"<bound {self.__func__!r} of {self.__self__!r}>"


class _Unbound(BaseObjectProxy):
    """A transparent object with the loader's face, and calls and binding of its own.

    Each function has a subclass of its own, with a generated ``__call__`` and ``__get__``: the
    fastest call that an object can have.
    """

    _core: Core
    _face: Face | None = None  # None: the first call shows whether it is a method
    _kind: type | None  # `classmethod` or `staticmethod` where the loader came as one

    def _bind(self, args: Any, kwargs: Any) -> Bound:
        face = self._face or self._core.faced(args)
        return self._core.face(face)[1](*args, **kwargs)

    def __set_name__(self, owner: type, name: str) -> None:
        _settle(type(self), "plain" if self._kind is staticmethod else "method")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        cls: Any = type(self)
        cls.__get__ = _binder(self)
        return cls.__get__(self, instance, owner)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> Any:
        return self.__wrapped__.__qualname__

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __repr__(self) -> str:
        return f"<soloflight of {self.__wrapped__!r}>"


class BoundFunction(_BoundTo[P, R], _Flights[P, R]):
    """A `@singleflight` method of an instance."""

    __slots__ = ()


class BoundCachedFunction(_BoundTo[P, R], _Cached[P, R, V]):
    """A `@cached_singleflight` method of an instance."""

    __slots__ = ()


class Function(_Unbound, _Flights[P, R]):
    """A function decorated with `@singleflight`."""

    if TYPE_CHECKING:
        __wrapped__: Callable[P, R]

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> Function[P, R]: ...
        @overload
        def __get__(
            self: Function[Concatenate[T, Q], R], instance: object, owner: type | None = None
        ) -> BoundFunction[Q, R]: ...
        def __get__(self, instance: Any, owner: type | None = None) -> Any: ...


class CachedFunction(_Unbound, _Cached[P, R, V]):
    """A function decorated with `@cached_singleflight`."""

    if TYPE_CHECKING:
        __wrapped__: Callable[P, R]

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> CachedFunction[P, R, V]: ...
        @overload
        def __get__(
            self: CachedFunction[Concatenate[T, Q], R, V],
            instance: object,
            owner: type | None = None,
        ) -> BoundCachedFunction[Q, R, V]: ...
        def __get__(self, instance: Any, owner: type | None = None) -> Any: ...


def decorated(core: Core, kind: type | None) -> Any:
    """The object that stands for the loader from now on."""
    loader = core.loader
    face: Face | None = "plain"
    if core.for_methods or (core.defined_in_class() and kind is not staticmethod):
        face = None
    base: Any = CachedFunction if core.spec.cached else Function
    cls: Any = type(
        base.__name__,
        (base,),
        {
            "_core": core,
            "_kind": kind,
            # These two are looked up on the class before the loader is asked.
            "__doc__": loader.__doc__,
            "__module__": getattr(loader, "__module__", None),
        },
    )
    if face is not None:
        _settle(cls, face)
    else:

        def undecided(*args: Any, **kwargs: Any) -> Any:
            _settle(cls, core.faced(args))
            return cls.__call__(*args, **kwargs)

        cls.__call__ = staticmethod(undecided)
    core.function = cls(loader)
    return core.function


def _settle(cls: Any, face: Face) -> None:
    cls.__call__ = staticmethod(cls._core.face(face)[0])
    cls._face = face


def _binder(function: Any) -> Callable[..., Any]:
    """The ``__get__`` of one function."""
    core: Core = function._core
    if function._kind is staticmethod:
        return lambda self, instance, owner=None: self
    base: Any = BoundCachedFunction if core.spec.cached else BoundFunction
    bound_class = type(
        base.__name__,
        (base,),
        {
            "__slots__": (),
            "_core": core,
            "__doc__": core.loader.__doc__,
            "__module__": core.loader.__module__,
            "__call__": core.face("bound")[0],
        },
    )
    new = object.__new__

    def __get__(self: Any, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound: Any = new(bound_class)
        bound.__self__ = instance
        return bound

    def get_of_class(self: Any, instance: Any, owner: type | None = None) -> Any:
        return __get__(self, type(instance) if owner is None else owner)

    # Code of its own: the interpreter specialises it for this function's class.
    __get__.__code__ = __get__.__code__.replace()
    return get_of_class if function._kind is classmethod else __get__
