"""Decorated functions that are bound to an instance or a class, and how they come to be."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from .._shown import shown
from . import looks
from .core import Core
from .surface import CachedSurface, FlightSurface, bases
from .template import Face

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class _BoundTo(Generic[P, R]):
    """A decorated function bound to an instance (or, a class method, to a class).

    Each function has a subclass of its own, with a generated ``__call__``.
    """

    __slots__ = ("__self__", "__weakref__")
    __self__: Any
    _core: Core
    _face: Face  # how the function itself would be called with the instance in front

    if TYPE_CHECKING:
        __name__: str
        __qualname__: str

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def __new__(cls, function: Any, instance: object) -> Any:  # for `weakref.WeakMethod`
        return function.__get__(instance)

    # For `inspect`: a method, of a coroutine function where it is one.
    __class__ = property(lambda self: MethodType)

    @property
    def __func__(self) -> Any:
        return self._core.function

    @property
    def __wrapped__(self) -> Any:
        return MethodType(self.__func__.__wrapped__, self.__self__)

    if not TYPE_CHECKING:  # checkers are to see a misspelt name

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__func__, name)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__self__ is cast("Any", other).__self__

    def __hash__(self) -> int:
        return hash((id(self.__self__), type(self)))

    def __reduce__(self) -> Any:
        return getattr, (self.__self__, self.__func__.__name__)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__func__.__get__(deepcopy(self.__self__, memo))

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *dir(self.__func__)})

    def __repr__(self) -> str:
        return f"<bound {self.__func__!r} of {shown(self.__self__)}>"


class BoundFunction(_BoundTo[P, R], FlightSurface[P, R]):
    """A `@singleflight` method of an instance."""

    __slots__ = ()


class BoundCachedFunction(_BoundTo[P, R], CachedSurface[P, R]):
    """A `@cached_singleflight` method of an instance."""

    __slots__ = ()

    def clear(self) -> None:
        """`invalidate` for every key of this instance (of all that share its ``per_instance``)."""
        if self._face == "plain":  # to a function from elsewhere the instance is one argument
            super().clear()
        else:
            self._core.clear_of(self.__self__)

    def cache_clear(self) -> None:
        """`clear`. The counts go on: they are those of the function, of all its instances."""
        self.clear()


def binder(function: Any) -> Callable[..., Any]:
    """The ``__get__`` of one function."""
    core: Core = function._core
    face: Face = function._face
    if face == "plain":  # a function from elsewhere: one call has one key
        call: Any = property(lambda bound: MethodType(function, bound.__self__))
        bind: Any = property(lambda bound: MethodType(function._bind, bound.__self__))
    else:
        call, bind = core.face("bound")
    base: Any = BoundCachedFunction if core.spec.cached else BoundFunction
    own = {"__slots__": (), "_core": core, "_face": face, "__call__": call, "_bind": bind}
    bound_class = type(base.__name__, bases(core, base), looks.BOUND | own)
    new = object.__new__

    def __get__(self: Any, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound: Any = new(bound_class)
        bound.__self__ = instance
        return bound

    # Code of its own: the interpreter specialises it for this function's class.
    __get__.__code__ = __get__.__code__.replace()
    return __get__


class StaticMethod(staticmethod):  # type: ignore[type-arg]
    """Ours above `@staticmethod`: what stands in the class is one, as everyone expects."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)


def class_method(function: Any) -> Any:
    """The same for `@classmethod`, which from Python 3.13 on would not bind by our means."""
    bind: Any = binder(function)
    type(function).__get__ = bind

    def __get__(self: Any, instance: Any, owner: type | None = None) -> Any:
        return bind(function, type(instance) if owner is None else owner)

    own = {"__get__": __get__, "__getattr__": lambda self, name: getattr(function, name)}
    return type("classmethod", (classmethod,), own)(function)
