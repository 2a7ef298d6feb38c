"""The clock of all that was given none. `soloflight.testing.time` puts another in its place."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any

now: Callable[[], float] = monotonic
"""What it is now, in seconds. Read it as ``_clock.now()``: it is another one in tests."""

look_again = inf
"""Seconds of waiting after which a thread looks at it again."""


def ring_at(loop: AbstractEventLoop, deadline: float, ring: Callable[..., Any], *args: Any) -> Any:
    """Have something called on a loop at a time; what is returned has a ``cancel``."""
    handle: TimerHandle = loop.call_later(max(0.0, deadline - now()), ring, *args)
    return handle
