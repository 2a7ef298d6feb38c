"""An entry, its deadline, and options checked. Pure: the time is always an argument."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from inspect import iscoroutinefunction
from math import inf, isnan
from numbers import Real
from typing import Any, TypeGuard, TypeVar

from ._outcome import GIL, Value

V = TypeVar("V")


class Entry(Value[V]):
    """A cached value with its deadline.

    ``value`` is what the loader returned, ``fresh_until`` the time, on the function's ``timer``,
    at which it expires (``math.inf``: never). The cache holds entries, ``peek()`` returns one.
    """

    __slots__ = ("__weakref__", "fresh_until")

    def __init__(self, value: V, fresh_until: float) -> None:
        self.value = value
        self.fresh_until = fresh_until

    def is_fresh(self, now: float) -> bool:
        """Whether it has not expired at a time on the function's ``timer``."""
        return now < self.fresh_until

    def __repr__(self) -> str:
        return f"Entry(value={self.value!r}, fresh_until={self.fresh_until!r})"


new_entry: Callable[[Any, float], Entry[Any]] = Entry
"""Makes an entry that ends as soon as nobody holds it, whichever thread lets it go."""

if not GIL:
    # Without the interpreter lock an object belongs to the thread that made it. When another one
    # lets it go, it ends as late as its owner next runs: the entry would be seen after the cache
    # has dropped it. An object that its finalizer has brought back belongs to nobody (CPython's
    # `_PyObject_ResurrectEnd`); that happens once. It is done in C, as an exception of a signal
    # handler would be lost in a finalizer.
    _back: list[Entry[Any]] = []

    class _Ending(Entry[Any]):
        __slots__ = ()
        __del__ = property(partial(partial, _back.append))

    def _new_entry(value: Any, fresh_until: float) -> Entry[Any]:
        while True:
            try:
                entry = _back.pop()
                break
            except IndexError:
                _Ending(None, 0.0)  # ends at once, and is back
        entry.__class__ = Entry
        entry.value = value
        entry.fresh_until = fresh_until
        return entry

    new_entry = _new_entry


def check_callable(option: object, what: str, kind: str = "a callable") -> None:
    """Refuse what is no plain callable; `what` names it in the error."""
    if not callable(option):
        raise TypeError(f"{what} must be {kind}, not {option!r}")
    if iscoroutinefunction(option):
        raise TypeError(f"{what} must be a plain function, not an async def: nobody awaits it")


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number: those of numpy are as well."""
    return isinstance(value, (int, float, Real)) and not isinstance(value, bool)


def seconds(duration: object, what: str) -> float:
    """The seconds of a number or a ``timedelta``; `what` names it in the error."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if not is_number(duration):
        raise TypeError(
            f"{what} must be seconds (int or float) or a timedelta, not {type(duration).__name__}"
        )
    if isnan(duration):
        raise ValueError(f"{what} must be a number of seconds, not nan")
    return duration


def lifetime(ttl: object, what: str) -> float:
    """The seconds of a ttl, in which ``None`` is a value: never expires."""
    return inf if ttl is None else seconds(ttl, what)
