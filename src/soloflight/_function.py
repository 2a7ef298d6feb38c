"""What the user holds: the decorated function, unbound and bound; the only user of wrapt."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    NoReturn,
    ParamSpec,
    TypeVar,
    cast,
    overload,
)

from ._surface import NOT_FOR_FUNCTIONS, Bound, CachedSurface, Core, FlightSurface
from ._template import Face

if TYPE_CHECKING:  # wrapt has no types

    class BaseObjectProxy:
        __wrapped__: Any
        __name__: str
        __qualname__: str

        def __init__(self, wrapped: Any) -> None: ...
else:
    try:
        from wrapt import BaseObjectProxy
    except ImportError:  # before wrapt 2
        from wrapt import ObjectProxy

        class BaseObjectProxy(ObjectProxy):
            __iter__ = None  # no function is iterable, nor looks so


P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)
S = TypeVar("S")
T = TypeVar("T")


class _BoundTo(Generic[P, R]):
    """A decorated function bound to an instance (or, a class method, to a class).

    Each function has a subclass of its own, with a generated ``__call__``.
    """

    __slots__ = ("__self__",)
    __self__: Any
    _core: Core

    if TYPE_CHECKING:
        __name__: str
        __qualname__: str

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def __new__(cls, function: Any, instance: object) -> Any:  # for `weakref.WeakMethod`
        return function.__get__(instance)

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

    if not TYPE_CHECKING:  # checkers are to see a misspelt name

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

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *dir(self._core.loader)})

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
        core = self._core
        face = self._face or core.faced(args)
        if core.in_classmethod and not (args and isinstance(args[0], type)):
            raise TypeError(
                f"{core.spec.name}: from Python 3.13 on @classmethod hides what it wraps; put it "
                "under this decorator, or pass the class first"
            )
        return core.face(face)[1](*args, **kwargs)

    def __set_name__(self, owner: type, name: str) -> None:
        if self._face is not None:
            return  # a function from elsewhere: others call it as one
        if self._kind is staticmethod and self._core.for_methods:
            raise TypeError(f"{self._core.spec.name}: {NOT_FOR_FUNCTIONS}")
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

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *dir(self.__wrapped__)})

    def __repr__(self) -> str:
        return f"<soloflight of {self.__wrapped__!r}>"


class BoundFunction(_BoundTo[P, R], FlightSurface[P, R]):
    """A `@singleflight` method of an instance."""

    __slots__ = ()


class BoundCachedFunction(_BoundTo[P, R], CachedSurface[P, R]):
    """A `@cached_singleflight` method of an instance."""

    __slots__ = ()


class Function(_Unbound, FlightSurface[P, R]):
    """A function decorated with `@singleflight`."""

    if TYPE_CHECKING:
        __wrapped__: Callable[P, R]

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        # In this order: a class method asked for on its class; a method or class method that
        # returns `Self`, which mypy has made a type variable of no class; what the class shows
        # otherwise; a method (twice: mypy loses type variables of the method's own in the second
        # one, other checkers see no match in the first); a class method; a static method.
        @overload
        def __get__(
            self: Callable[Concatenate[T, Q], S], instance: None, owner: T
        ) -> BoundFunction[Q, S]: ...
        @overload
        def __get__(  # type: ignore[misc]  # it is for few of those that are callable
            self: Callable[Concatenate[type[object], Q], NoReturn], instance: object, owner: type[T]
        ) -> BoundFunction[Q, T]: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> Function[P, R]: ...
        @overload
        def __get__(
            self: Function[Concatenate[T, Q], S], instance: T, owner: type | None = None
        ) -> BoundFunction[Q, S]: ...
        @overload
        def __get__(
            self: Callable[Concatenate[T, Q], S], instance: T, owner: type | None = None
        ) -> BoundFunction[Q, S]: ...
        @overload
        def __get__(
            self: Callable[Concatenate[T, Q], S], instance: object, owner: T
        ) -> BoundFunction[Q, S]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None) -> Function[P, R]: ...
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...


class CachedFunction(_Unbound, CachedSurface[P, R]):
    """A function decorated with `@cached_singleflight`."""

    if TYPE_CHECKING:
        __wrapped__: Callable[P, R]

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        # See `Function.__get__`.
        @overload
        def __get__(
            self: Callable[Concatenate[T, Q], S], instance: None, owner: T
        ) -> BoundCachedFunction[Q, S]: ...
        @overload
        def __get__(  # type: ignore[misc]  # it is for few of those that are callable
            self: Callable[Concatenate[type[object], Q], NoReturn], instance: object, owner: type[T]
        ) -> BoundCachedFunction[Q, T]: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> CachedFunction[P, R]: ...
        @overload
        def __get__(
            self: CachedFunction[Concatenate[T, Q], S], instance: T, owner: type | None = None
        ) -> BoundCachedFunction[Q, S]: ...
        @overload
        def __get__(
            self: Callable[Concatenate[T, Q], S], instance: T, owner: type | None = None
        ) -> BoundCachedFunction[Q, S]: ...
        @overload
        def __get__(
            self: Callable[Concatenate[T, Q], S], instance: object, owner: T
        ) -> BoundCachedFunction[Q, S]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None) -> CachedFunction[P, R]: ...
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...


_annotations = property(lambda self: self.__wrapped__.__annotations__)


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
            # These are looked up on the class before the loader is asked.
            "__annotations__": _annotations,
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
            "__annotations__": _annotations,
            "__doc__": core.loader.__doc__,
            "__module__": getattr(core.loader, "__module__", None),
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
