"""What the aids are given: decorated functions, and numbers."""

from __future__ import annotations

from typing import Any

from .._calls.core import Core
from .._durations import seconds
from .._shown import shown


def core_of(function: object) -> Any:
    """The inside of a decorated function, bound or not."""
    core = getattr(function, "_core", None)
    if not isinstance(core, Core):
        raise TypeError(f"not a function that soloflight has decorated: {shown(function)}")
    return core


def duration(value: object, what: str) -> float:
    """Seconds of real time, that a test waits for."""
    found = seconds(value, what)
    if not found >= 0:
        raise ValueError(f"{what} must not be negative, but is {shown(value)}")
    return found
