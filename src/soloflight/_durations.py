"""Durations: seconds or a `timedelta`, as people write them in options. Pure."""

from __future__ import annotations

from datetime import timedelta
from math import inf, isnan
from numbers import Real
from typing import TypeGuard


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
