"""What the user holds: the decorated function, not bound yet; the only user of wrapt."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar, overload
from weakref import ref

from .._flights.flight import Call
from .._shown import shown
from . import loaders, looks
from .bound import BoundCachedFunction, BoundFunction, StaticMethod, binder, class_method
from .core import NOT_FOR_FUNCTIONS, Core
from .plain import plain
from .surface import CachedSurface, FlightSurface, bases
from .template import Face

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


class _Kind(looks.Kind, type(BaseObjectProxy)):  # type: ignore[misc]  # without its C part it has one
    pass


class _Unbound(BaseObjectProxy, metaclass=_Kind):
    """A transparent object with the loader's face, and calls and binding of its own.

    Each function has a subclass of its own, with a generated ``__call__`` and ``__get__``: the
    fastest call that an object can have.
    """

    # Always empty: without this slot wrapt would answer with the loader's name, not asking us.
    __slots__ = ("__qualname__",)
    _core: Core
    _own: dict[str, Any]  # what was set on this object, and not on its loader
    _face: Face | None = None  # None: the first call shows whether it is a method

    if TYPE_CHECKING:  # they are to see a misspelt name
        __name__: str

    else:

        def __getattr__(self, name: str) -> Any:
            own = self._own
            if name in own:
                return own[name]
            if name == "__annotations__" and "__annotate__" in own:  # Python 3.14
                return own["__annotate__"](1) if own["__annotate__"] else {}
            return getattr(self._core.loader, name)

    def __setattr__(self, name: str, value: object) -> None:
        own = self._own
        if name in looks.OWN:
            own[name] = value
        elif name in looks.UNBOUND and name != "__module__":
            # (Without its C part wrapt would set it on the loader.)
            looks.UNBOUND[name].__set__(self, value)
        elif any(name in vars(cls) for cls in type(self).__mro__):
            super().__setattr__(name, value)
        elif name not in own and hasattr(self._core.loader, name):
            super().__setattr__(name, value)  # the state of an object, say, or the answer of a mock
        else:
            own[name] = value
        if name == "__annotate__":
            own.pop("__annotations__", None)
        elif name == "__module__":
            own[name] = value  # that it was set: wrapt has set the loader's, and shows that

    def __delattr__(self, name: str) -> None:
        if name in looks.UNBOUND:
            looks.UNBOUND[name].__delete__(self)
        elif name in self._own:
            del self._own[name]
        else:
            super().__delattr__(name)

    def _bind(self, /, *args: Any, **kwargs: Any) -> Call:
        """The same as the generated one, where that is not known yet, or would not do."""
        core = self._core
        face = self._face or core.faced(args)
        if core.in_classmethod and not (args and isinstance(args[0], type)):
            raise TypeError(
                f"{core.spec.name}: from Python 3.13 on @classmethod hides what it wraps; put it "
                "under this decorator, or pass the class first"
            )
        return core.face(face)[1](*args, **kwargs)

    def __set_name__(self, owner: type, name: str) -> None:
        if self._face is None:  # or it is a function from elsewhere: others call it as one
            _settle(type(self), "method")
        if name in ("__init_subclass__", "__class_getitem__"):  # as `type` does with functions
            type.__setattr__(owner, name, class_method(self))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        cls: Any = type(self)
        if self._core.for_methods or loaders.binds(self._core.loader):
            if self._face is None:
                _settle(cls, "method")
            cls.__get__ = binder(self)
        else:  # a partial, say, which is no method either
            cls.__get__ = lambda self, instance, owner=None: self
        return cls.__get__(self, instance, owner)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> Any:
        return self.__qualname__

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *dir(self._core.loader), *self._own})

    def __repr__(self) -> str:
        return f"<soloflight of {shown(self.__wrapped__)}>"


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


def decorated(core: Core, kind: type | None) -> Any:
    """The object that stands for the loader from now on."""
    base: Any = CachedFunction if core.spec.cached else Function
    of_class = core.for_methods or core.defined_in_class()
    if kind is None and not of_class and type(core.loader) is FunctionType:
        return plain(core, base)
    own = {"__wrapped__": core.loader}
    cls: Any = type(base.__name__, bases(core, base), {**looks.UNBOUND, "_core": core, "_own": own})
    core.function = function = cls(core.loader)
    core.table.owner = ref(function)
    if kind is staticmethod:
        if core.for_methods:
            raise TypeError(f"{core.spec.name}: {NOT_FOR_FUNCTIONS}")
        _settle(cls, "plain")
        return StaticMethod(function)
    if kind is classmethod:
        _settle(cls, "method")
        return class_method(function)
    if not of_class:
        _settle(cls, "plain")
        return function

    def undecided(*args: Any, **kwargs: Any) -> Any:
        _settle(cls, core.faced(args))
        return cls.__call__(*args, **kwargs)

    cls.__call__ = staticmethod(undecided)
    return function


def _settle(cls: Any, face: Face) -> None:
    call, bind = cls._core.face(face)
    cls.__call__ = staticmethod(call)
    if not cls._core.in_classmethod:
        cls._bind = staticmethod(bind)
    cls._face = face
