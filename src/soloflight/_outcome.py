"""A result as a value, raised once at the edge.

A caller gets a `Value` or an `Error`; reading ``.value`` of either returns or raises. The idea is
that of python-trio's ``outcome``.

*Rings.* An exception holds its traceback, that each frame it passed through, and a frame what its
names refer to. Where one of these holds the exception in turn (an outcome, a flight, a future), all
of it stays until the collector runs, the user's instances and arguments too. So a function of ours
that exceptions pass through lets go of what it names: ``# breaks the ring (see Rings)``.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import MemberDescriptorType, TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from ._public import MAKERS, unpickled
from ._shown import shown

V = TypeVar("V")

GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether this Python has its interpreter lock."""

SHARED = GIL or sys.version_info >= (3, 14)
"""Whether all who are aboard may get one exception object.

CPython 3.13 without the interpreter lock crashes where two threads raise one object at a time, as
each sets its traceback (python/cpython#128421, mended in 3.14).
"""


class Value(Generic[V]):
    """What a loader returned."""

    # No `__init__`, here nor in what is made for every miss: of a class with slots, the interpreter
    # takes longer to call one than to set what it sets.
    __slots__ = ("value",)
    value: V

    def reset(self, error: BaseException) -> None:
        """A value raises nothing: the error is another one, an interruption say."""


_CHAIN = ("__cause__", "__context__", "__suppress_context__")


class Error:
    """What a loader raised, and the traceback that it had at the loader's edge."""

    __slots__ = ("chain", "exception", "traceback")

    def __init__(self, exception: BaseException, traceback: TracebackType | None) -> None:
        self.exception = exception
        self.traceback = traceback
        # Where it is copied while the leader raises it: what it is chained to now.
        self.chain = None if SHARED else {name: getattr(exception, name) for name in _CHAIN}

    def copy(self) -> Error:
        """The same with an exception of its own; with the same one where it cannot be copied."""
        copy = _copied(self.exception, _own, self.chain)
        return self if copy is None else Error(copy, self.traceback)

    def for_another(self) -> Error:
        """What another thread gets, that raises it as well."""
        return self if SHARED else self.copy()

    def __reduce__(self) -> Any:
        """Pickled as what is cached: without a traceback, and made as `copy` makes one."""
        cls = type(self.exception)
        args = base_of(cls).__reduce__(self.exception)[1]
        return unpickled, ("Error", cls, args, vars(self.exception))

    def bare(self, stand_in: bool = False) -> Error:
        """A copy to be kept: without a traceback, and so is what is linked to it.

        A traceback holds the loader's frames, and they those of its caller. What cannot be copied
        stays what it is, as callers will want to catch it; or another exception stands in for it.
        """
        bare = _Bare(stand_in)
        kept = bare.of(self.exception)
        handled = sys.exc_info()[1]  # by a caller, before the load began
        for copy in bare.made:  # which grows meanwhile
            chain = {name: getattr(copy, name) for name in _CHAIN}
            _chain(copy, {n: None if e is handled else bare.of(e) for n, e in chain.items()})
            attributes = vars(copy)
            attributes.update({name: bare.of(value) for name, value in attributes.items()})
            BaseException.args.__set__(copy, tuple(map(bare.of, copy.args)))  # type: ignore[attr-defined]
        return Error(kept, None)

    @property
    def value(self) -> NoReturn:
        """Raise the exception, its traceback reset to the loader's own.

        Without the reset one exception object that is raised in 30 threads would collect the frames
        of all of them. A bare ``raise`` adds no frame of its own (from Python 3.11 on).
        """
        try:
            raise self.exception.with_traceback(self.traceback)
        except BaseException as exception:
            exception.with_traceback(self.traceback)  # assigning might be refused: frozen dataclass
            raise
        finally:
            del self  # breaks the ring (see Rings)

    def reset(self, error: BaseException) -> None:
        """Take the frames of ours off the traceback of an error that ``.value`` raised.

        To be called at the edge, right before a bare ``raise``. It sets the loader's own traceback
        rather than that of this moment less a frame: another thread may be raising the same object.
        """
        if error is self.exception:
            error.with_traceback(self.traceback)
            if isinstance(error, AttributeError) and error.obj is self:
                error.name = error.obj = None  # the interpreter's own: it was `.value` that raised


class _Bare:
    """What stands for exceptions that are kept, each once."""

    def __init__(self, stand_in: bool) -> None:
        self.made: list[BaseException] = []
        self._stand_in = stand_in
        self._seen: dict[int, tuple[BaseException, BaseException]] = {}

    def of(self, thing: Any) -> Any:
        """What stands for an exception; anything else is left alone."""
        if not isinstance(thing, BaseException):
            return thing
        if id(thing) not in self._seen:
            made = _copied(thing, self.of)
            if made is None and self._stand_in:
                made = _stand_in(thing)
            self._seen[id(thing)] = thing, thing if made is None else made
            if made is not None:
                self.made.append(made)
        return self._seen[id(thing)][1]


def _own(exception: BaseException) -> BaseException:
    copy = _copied(exception, _own)
    return exception if copy is None else copy


def _copied(
    exception: BaseException,
    of_member: Callable[[BaseException], BaseException],
    chain: Mapping[str, Any] | None = None,
) -> BaseException | None:
    """A copy without a traceback, if there can be one."""
    cls: Any = type(exception)
    try:
        base = base_of(cls)
        args = base.__reduce__(exception)[1]
        if base.__name__ in ("ExceptionGroup", "BaseExceptionGroup"):
            args = args[0], [of_member(e) for e in args[1]]
        # Not the class's own `__init__`: whoever wrote it decided what it takes, and does.
        copy: BaseException = base.__new__(cls, *args)
        base.__init__(copy, *args)
        vars(copy).update(vars(exception))
        if "__notes__" in vars(copy):
            vars(copy)["__notes__"] = list(vars(copy)["__notes__"])
        for member in (m for c in cls.__mro__ for m in vars(c).values()):
            if isinstance(member, MemberDescriptorType):
                with suppress(AttributeError, TypeError):  # not set; read-only
                    if (value := member.__get__(exception)) is not None:
                        member.__set__(copy, value)
        _chain(copy, chain or {name: getattr(exception, name) for name in _CHAIN})
    except Exception:
        return None
    return copy


def _stand_in(exception: BaseException) -> BaseException:
    """An exception of Python's own in place of one that cannot be copied. It says whose."""
    cls = type(exception)
    try:
        base: Any = next(c for c in cls.__mro__ if c.__module__ == "builtins")
        made: BaseException = base(*BaseException.args.__get__(exception))  # type: ignore[attr-defined]
    except Exception:
        made = Exception(shown(exception))
    vars(made)["__notes__"] = [f"in place of a {cls.__module__}.{cls.__qualname__}"]
    _chain(made, {name: getattr(exception, name, None) for name in _CHAIN})
    return made


def _chain(copy: BaseException, chain: Mapping[str, Any]) -> None:
    for name, value in chain.items():
        object.__setattr__(copy, name, value)  # plain assigning might be refused


def base_of(cls: Any) -> Any:
    """The builtin exception whose layout a class of exceptions has."""
    while cls.__module__ != "builtins":
        cls = cls.__base__
    return cls


def _unpickled(cls: Any, args: tuple[Any, ...], state: dict[str, Any]) -> Error:
    base = base_of(cls)
    exception = base.__new__(cls, *args)
    base.__init__(exception, *args)
    vars(exception).update(state)
    return Error(exception, None)


MAKERS["Error"] = _unpickled


_TESTING = f"{__package__}.testing"


def _is_ours(traceback: TracebackType) -> bool:
    package = traceback.tb_frame.f_globals.get("__package__")
    return package == __package__ or str(package).startswith((f"{__package__}._", _TESTING))


def without_us(exception: Exception) -> Error:
    """The error of a loader, or of an option: its traceback starts where the user's code does."""
    traceback = exception.__traceback__
    while traceback is not None and _is_ours(traceback):
        traceback = traceback.tb_next
    return Error(exception, traceback)


def outcome_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Value[Any] | Error:
    """What a call returns or raises. An interruption passes through."""
    value = Value[Any]()
    try:
        value.value = call(*args, **kwargs)
        return value
    except Exception as error:
        return without_us(error)
    finally:
        del call, args, kwargs, value  # breaks the ring (see Rings)


async def outcome_of_async(
    call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
) -> Value[Any] | Error:
    """The same of a coroutine function."""
    value = Value[Any]()
    try:
        value.value = await call(*args, **kwargs)
        return value
    except Exception as error:
        return without_us(error)
    finally:
        del call, args, kwargs, value
