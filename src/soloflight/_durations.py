"""Durations: seconds or a `timedelta`, as people write them in options. Pure.

What comes in here is any real number; what goes out is Python's own ``float``. Times are reckoned
with it, and a small float of numpy would take the whole sum down to its own precision.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from math import inf
from numbers import Integral, Real
from operator import index
from typing import TypeGuard

from ._shown import shown


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number: those of numpy are as well, but for its durations."""
    return isinstance(value, (int, float, Real, Decimal)) and not (
        isinstance(value, bool) or type(value).__name__ == "timedelta64"
    )


def number(value: object, what: str, kind: str = "a number") -> float:
    """The float of a real number, nan included; `what` names it in the error."""
    if not is_number(value):
        raise TypeError(f"{what} must be {kind}, not {shown(value)}")
    try:
        found = float(value)
        if found in (inf, -inf) and found != value:  # a `Decimal` says nothing itself
            raise OverflowError
    except OverflowError:
        raise ValueError(f"{what} is too large for a float (without end: math.inf)") from None
    except Exception as error:
        raise ValueError(f"{what} is a {type(value).__name__} without a float: {error}") from error
    return found


def size(value: object, what: str, kind: str = "a number") -> float:
    """A number that is 0 or more. A whole one becomes an ``int``: those of numpy wrap round."""
    if is_number(value) and isinstance(value, Integral):
        found: float = index(value)
    else:
        found = number(value, what, kind)
    if not found >= 0:
        raise ValueError(f"{what} must not be negative, but is {shown(found)}")
    return found


def seconds(duration: object, what: str) -> float:
    """The seconds of a number or a ``timedelta``; `what` names it in the error."""
    if isinstance(duration, timedelta):
        duration = duration.total_seconds()
    if not is_number(duration):
        kind = type(duration).__name__
        hint = " (give .astype('timedelta64[us]').item())" if kind == "timedelta64" else ""
        raise TypeError(f"{what} must be seconds (int or float) or a timedelta, not {kind}{hint}")
    found = number(duration, what)
    if found != found:
        raise ValueError(f"{what} must be a number of seconds, not nan")
    return found


def lifetime(ttl: object, what: str) -> float:
    """The seconds of a ttl, in which ``None`` is a value: never expires."""
    return inf if ttl is None else seconds(ttl, what)


def integer(value: object, what: str) -> int:
    """A number of things; `what` names it in the error."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an int, not {shown(value)}")
    return value


def at_least_one(value: object, what: str) -> int:
    found = integer(value, what)
    if found < 1:
        raise ValueError(f"{what} must be at least 1, but is {found!r}")
    return found


def told(seconds: float) -> str:
    """Seconds as people write them."""
    return str(int(seconds) if seconds.is_integer() else seconds)
