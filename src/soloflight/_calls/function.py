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

from .._shown import shown
from . import loaders
from . import looks as _looks
from .surface import (
    NOT_FOR_FUNCTIONS,
    AwaitedSurface,
    Bound,
    CachedSurface,
    Core,
    FlightSurface,
)
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

    def _bind(self, args: Any, kwargs: Any) -> Bound:
        return self._core.face(self._face)[1](self.__self__, *args, **kwargs)

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

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __copy__(self) -> Any:
        return self

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *dir(self.__func__)})

    def __repr__(self) -> str:
        return f"<bound {self.__func__!r} of {shown(self.__self__)}>"


class _Unbound(BaseObjectProxy):
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
        if name in _looks.OWN:
            own[name] = value
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
        if name in self._own and name not in _looks.UNBOUND:
            del self._own[name]
        else:
            super().__delattr__(name)

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
        if self._face is None:  # or it is a function from elsewhere: others call it as one
            _settle(type(self), "method")
        if name in ("__init_subclass__", "__class_getitem__"):  # as `type` does with functions
            type.__setattr__(owner, name, _class_method(self))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        cls: Any = type(self)
        if self._core.for_methods or loaders.binds(self._core.loader):
            if self._face is None:
                _settle(cls, "method")
            cls.__get__ = _binder(self)
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
    own = {"__wrapped__": core.loader}
    cls: Any = type(
        base.__name__, _bases(core, base), {**_looks.UNBOUND, "_core": core, "_own": own}
    )
    core.function = function = cls(core.loader)
    if kind is staticmethod:
        if core.for_methods:
            raise TypeError(f"{core.spec.name}: {NOT_FOR_FUNCTIONS}")
        _settle(cls, "plain")
        return _StaticMethod(function)
    if kind is classmethod:
        _settle(cls, "method")
        return _class_method(function)
    if not (core.for_methods or core.defined_in_class()):
        _settle(cls, "plain")
        return function

    def undecided(*args: Any, **kwargs: Any) -> Any:
        _settle(cls, core.faced(args))
        return cls.__call__(*args, **kwargs)

    cls.__call__ = staticmethod(undecided)
    return function


def _bases(core: Core, base: type) -> tuple[type, ...]:
    return (AwaitedSurface, base) if core.spec.cached and core.spec.is_async else (base,)


def _settle(cls: Any, face: Face) -> None:
    cls.__call__ = staticmethod(cls._core.face(face)[0])
    cls._face = face


class _StaticMethod(staticmethod):  # type: ignore[type-arg]
    """Ours above `@staticmethod`: what stands in the class is one, as everyone expects."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)


def _class_method(function: Any) -> Any:
    """The same for `@classmethod`, which from Python 3.13 on would not bind by our means."""
    bind: Any = _binder(function)
    type(function).__get__ = bind

    def __get__(self: Any, instance: Any, owner: type | None = None) -> Any:
        return bind(function, type(instance) if owner is None else owner)

    looks = {"__get__": __get__, "__getattr__": lambda self, name: getattr(function, name)}
    return type("classmethod", (classmethod,), looks)(function)


def _binder(function: Any) -> Callable[..., Any]:
    """The ``__get__`` of one function."""
    core: Core = function._core
    face: Face = function._face
    if face == "plain":  # a function from elsewhere: one call has one key
        call: Any = property(lambda bound: MethodType(function, bound.__self__))
    else:
        call = core.face("bound")[0]
    base: Any = BoundCachedFunction if core.spec.cached else BoundFunction
    looks = {**_looks.BOUND, "__slots__": (), "_core": core, "_face": face, "__call__": call}
    bound_class = type(base.__name__, _bases(core, base), looks)
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
