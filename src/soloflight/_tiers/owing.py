"""What a process owes to the store of its tier.

A *fence* (``invalidate``, ``put``, ``clear``, ``forget``) is owed to the store before it is made
here, and paid as soon as the store takes it. The other way round, a call between the two would take
the old value from the store, and keep it. Until it is paid, the store is not trusted for that key:
who asks pays first, who lands tells nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from .leases import Debt
from .verbs import CLEARED, DOWN, FORGOTTEN, Reply

MOST_OWED = 10_000
"""Fences of single keys."""
PAUSE = 0.001
"""Seconds between two looks at whether somebody else has paid."""
PATIENCE = 1.0
"""Seconds for which one waits for him: his event loop may have been stopped in the middle."""


class Turn:
    """That of one caller."""

    def __init__(self) -> None:
        self.thread, self.since = threading.get_ident(), monotonic()


class Turns:
    """What the store is told a second time would end the lease of who began to load in between."""

    def __init__(self) -> None:
        self._taken: dict[bytes, Turn] = {}  # single operations only

    def take(self, d: bytes) -> Turn | None:
        """The turn for a key, to be given to `end`; None: it is somebody else's."""
        mine = Turn()
        return mine if self._taken.setdefault(d, mine) is mine else None

    def end(self, d: bytes, turn: Turn) -> None:
        if self._taken.get(d) is turn:  # else it took too long
            self._taken.pop(d, None)

    def is_of_this_thread(self, d: bytes) -> bool:
        """A destructor is in the middle of it, or a task of this loop: one would wait in vain."""
        turn = self._taken.get(d)
        return turn is not None and turn.thread == threading.get_ident()

    def is_taken(self, d: bytes) -> bool:
        """Whether it is somebody's still."""
        turn = self._taken.get(d)
        if turn is not None and monotonic() - turn.since >= PATIENCE:
            self.end(d, turn)
        return d in self._taken


class Owing:
    """What a tier has for it."""

    keeper: Any
    is_ready: Callable[[bytes], bool]
    drop: Callable[..., Reply]
    closed: bool
    trouble: str

    def owes_nothing(self) -> None:
        self.owed: dict[bytes, Debt] = {}  # single operations only
        self._paying = threading.RLock()  # guards that no newer debt is taken for one that is paid
        self.turns = Turns()

    def owe(self, debt: Debt) -> None:
        if self.closed:
            return  # nobody asks the store any more
        of = debt.of
        if of is None or len(self.owed) < MOST_OWED:
            with self._paying:
                older = self.owed.get(debt.d)
                if debt.kind == FORGOTTEN and older is not None:  # which leaves what is stored
                    debt = debt._replace(
                        kind=older.kind, envelope=older.envelope, until=older.until
                    )
                self.owed[debt.d] = debt
            return
        # So many are cheaper as one: all keys of the function are others from then on.
        self.owed[of.f] = Debt(CLEARED, of.f, of=of)  # first this: the store is never trusted
        of.table.clear()
        for other in self.debts():
            if other.of is of and other.kind != CLEARED:
                self.owed.pop(other.d, None)

    def debts(self) -> list[Debt]:
        return list(self.owed.values())

    def owes(self, d: bytes) -> bool:
        """Whether the store is not to be trusted for a key."""
        return d in self.owed

    def pay(self, d: bytes) -> bool:
        """Have the store take what is owed for a key; whether nothing is, any more.

        One caller does, and the others wait for him: see `Turns`.
        """
        while (debt := self.owed.get(d)) is not None:
            if debt.of is not None and not self.is_ready(debt.f):
                self.keeper.wake()  # its digest will be another one, once that is known
                return False
            if (turn := self.turns.take(d)) is not None:
                try:
                    if self.owed.get(d) is not debt:
                        continue  # somebody has paid it before this turn
                    return self.paid(debt, self.drop(*debt.terms()))
                finally:
                    self.turns.end(d, turn)
            if self.turns.is_of_this_thread(d):
                self.keeper.wake()
                return False
            while self.turns.is_taken(d):
                sleep(PAUSE)
            if self.trouble and self.owed.get(d) is debt:
                return False  # as he has found
        return True

    def paid(self, debt: Debt, reply: Reply) -> bool:
        if reply is DOWN:
            self.keeper.begin()  # not at once: it would do nothing else
            return False
        with self._paying:
            if self.owed.get(debt.d) is debt:  # or there is a newer one
                del self.owed[debt.d]
        return debt.d not in self.owed
