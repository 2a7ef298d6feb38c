"""Whether it is worth asking a store that did not answer."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

FIRST, LONGEST = 0.2, 5.0
"""Seconds for which nobody asks it then: twice as many each time that it has not answered again."""
CHANCES = 2
"""Connections in a row that may break: it was restarted, perhaps, and others are fine."""


class Breaker:
    """Open, nobody asks the store but one *probe* now and then.

    It takes no lock: it may be asked anywhere, by signal handlers too. Where two ask at the very
    same time, there may be two probes.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = monotonic) -> None:
        self._patience, self._clock = patience, clock
        # Single operations only:
        self._until = 0.0  # 0: it is not open
        self._opened = 0.0
        self._pause = FIRST
        self._broken = 0

    @property
    def is_open(self) -> bool:
        return bool(self._until)

    def failed_since(self, asked: float) -> bool:
        """Whether it has opened since a time."""
        return self.is_open and asked < self._opened

    def lets(self) -> bool:
        """Whether the store may be asked."""
        until = self._until
        if not until:
            return True
        now = self._clock()
        if now < until:
            return False
        self._until = now + self._patience  # this is the probe; where it is lost, there is another
        return True

    def answered(self) -> None:
        self._until, self._broken, self._pause = 0.0, 0, FIRST

    def failed(self, asked: float, hangs: bool) -> None:
        """A question of a time has timed out (`hangs`), or its connection broke."""
        if asked < self._opened:
            return  # many have asked before the first one failed: that is one failure
        self._broken += 1
        if hangs or self._until or self._broken >= CHANCES:
            self._opened = now = self._clock()
            self._until = now + self._pause
            self._pause = min(2 * self._pause, LONGEST)
