"""What a store does for the processes that share it: verbs, each of which is one step of it.

Between two verbs anything may happen. A verb never raises for the store's sake: where that cannot
be asked, or does not answer, it replies `DOWN`. Durations are seconds; times do not travel.

A *lease* is the right to load a key, for some time; its *token* is its name, and the version of
what is stored under it. `store` and `fail` are fenced by it: they do nothing once the lease is
another's, or was dropped. A key is *busy* while somebody has its lease, and, with nobody, while
loads are held off after one has failed.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, NamedTuple, Protocol


class Reply(NamedTuple):
    """What a store answers."""

    kind: str
    """One of those below."""
    body: bytes = b""
    """The envelope that it has, or what else the kind says."""
    left: float = 0.0
    """The seconds for which it keeps that."""
    lease: float = 0.0
    """The seconds for which the key stays busy."""
    failures: int = 0
    """How many loads have failed in a row."""


FRESH = "F"
"""A fresh envelope, or one that was stored by the flight that was waited for."""
STALE = "S"
"""A stale one, and somebody is at it (`lease` says for how long at least), or nobody is."""
LEAD = "L"
"""The lease is yours. With what is there, stale; `failures` says how often it was tried."""
WAIT = "W"
"""Somebody else's flight; the body is its token."""
ENDED = "O"
"""How the flight that was waited for has ended, with nothing that is kept. See `talk`."""
DONE = "D"
"""It is done. To `read`: there is nothing."""
FENCED = "X"
"""The lease is another's, or was dropped; with the envelope that is there."""
DOWN = Reply("down")

LOOK, BEHIND, REFRESH = "l", "b", "r"
"""Why somebody asks: a call has nothing here; it was served, and this is behind it; it wants a new
value whatever there is."""

INVALIDATED, PUT, FORGOTTEN, CLEARED = "i", "p", "f", "c"
"""What ends a lease from outside; all of a function's, at last."""
REFRESHED = "r"
"""What is only news: there is a value that somebody wanted new, so copies of the older one go."""

TOLD = 2.0
"""Seconds for which a store knows how a flight has ended that left nothing to be kept."""


class Verbs(Protocol):
    """The verbs. Their twins for event loops have the same names, and are awaited."""

    def read(self, d: bytes) -> Any:
        """What there is: `FRESH`, whether it is or not, or `DONE`."""

    def ask(self, d: bytes, token: bytes, mode: str, waited: bytes, seen: bytes) -> Any:
        """Ask for a key: for what is there, for the lease, or for whom to wait.

        `waited` is the token of the flight that was waited for so far; `seen` the version that is
        not wanted, as it is here or cannot be read.
        """

    def store(self, d: bytes, token: bytes, envelope: bytes, keep: float | None) -> Any:
        """Keep an envelope for some seconds. None: keep nothing, but tell it who waits."""

    def fail(self, d: bytes, token: bytes, text: bytes, hold: float) -> Any:
        """Tell who waits how it failed, and hold off the next attempt."""

    def give(self, d: bytes, token: bytes) -> Any:
        """Give a lease back."""

    def renew(self, d: bytes, token: bytes) -> Any:
        """Have a lease last as long as a new one."""

    def drop(self, kind: str, d: bytes, envelope: bytes = b"", keep: float = 0.0) -> Any:
        """End a lease, and what is stored where the kind says so; and have all processes told."""


Answer = Reply | Awaitable[Reply]
