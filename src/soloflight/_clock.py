"""The clock of all that was given none, and the deadlines of callers. Tests may put in another.

(freezegun replaces attributes of modules. The real clock is none, so no wait goes by a frozen one.)
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from time import monotonic
from typing import Any


class Deadline:
    """Until when a caller has patience, from when it is made."""

    __slots__ = ("_at",)

    def __init__(self, patience: float) -> None:
        self._at = clock.real() + patience

    def left(self) -> float:
        """The seconds that are left: 0 or less, where it is over."""
        return self._at - clock.real()

    def pause(self, most: float) -> float:
        """The seconds to wait until it is asked again."""
        return min(self.left(), most)

    def ring(self, loop: AbstractEventLoop, call: Callable[..., Any], *args: Any) -> Any:
        """Have something called on a loop when it is over; what is returned has a ``cancel``."""
        return loop.call_later(max(0.0, self.left()), call, *args)


class Clock:
    """What time it is, in seconds."""

    def __init__(self) -> None:
        self.real: Callable[[], float] = monotonic
        self.now = self.real
        self.deadline: Callable[[float], Deadline] = Deadline
        self.was_moved = False  # ever: it need not be looked at before that


clock = Clock()
