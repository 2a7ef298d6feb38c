"""What other processes of the host have dropped, and how often functions were cleared.

It stands in the file that all share, by number. Each conversation says the number of the last news:
where that is another one than was heard here, there is something to hear, or something was missed.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from . import rows
from .database import Database
from .verbs import CLEARED


class News:
    """Those of one tier."""

    def __init__(self, tier: Any, database: Database) -> None:
        self._tier, self._database = tier, database
        self._heard: int | None = None  # the number of the last; None: nothing is here as yet
        self._hearing = threading.Lock()
        self.generations: dict[bytes, int] = {}
        """How often functions were cleared, of those of which that is known."""

    def missed(self) -> None:
        """There is no asking: where none were heard before, all may have been missed."""
        if self._heard is None:
            self._heard = -1

    def compare(self, number: int) -> bool:
        """Hear what is new; whether anything was."""
        if number == self._heard or not self._hearing.acquire(False):  # or somebody is at it
            return False
        try:
            if self._heard is not None:
                self._hear(self._heard)
                return True
            self._heard = number
            return False
        finally:
            self._hearing.release()

    def _hear(self, heard: int) -> None:
        tier = self._tier
        number, news = self._database.do(rows.news, heard)
        if heard < 0 or number < heard or number - heard > len(news):
            self.generations.clear()
            tier.cut_off()
        for process, kind, d in news:
            if process != tier.process:
                if kind == CLEARED:
                    self.generations.pop(d, None)
                with suppress(Exception):  # of a key's __eq__
                    tier.hear(kind, d)
                tier.ring(d)
        self._heard = number
