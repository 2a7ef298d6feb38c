"""The thread of a process that renews leases, gives back what was left, and pays what is owed."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from math import inf
from sys import is_finalizing
from time import monotonic
from typing import Any

from .._locks import tell_all
from .leases import Lease
from .verbs import DOWN, FENCED

IDLE = 5.0
"""Seconds after which a keeper ends that has nothing to do."""
AT_ONCE = 100
"""Leases that are renewed with one message: where a loop is busy, each takes a thread long."""
ENDING = 2.0
"""Seconds that the end takes at most, for each of its two steps."""
AGAIN = 0.2
"""Seconds after which it asks a store again that was down."""


class Keeper:
    """What is to be done for a tier besides its callers. `step` does what is due."""

    def __init__(self, tier: Any) -> None:
        self._tier = tier
        # Single operations only:
        self._leases: dict[bytes, tuple[Lease, float, float]] = {}  # since when, renewed when
        self._left: deque[tuple[bytes, bytes, float]] = deque()  # since when
        self._wake = threading.Event()
        self._thread: Any = None
        self._starting = threading.Lock()
        self._ended = tier.closed
        self._until = inf  # no longer than that, as the process ends

    def keep(self, lease: Lease) -> None:
        now = monotonic()
        self._leases[lease.token] = lease, now, now
        self.begin()  # and no more: it looks often enough to find a lease before that is due

    def give_back(self, d: bytes, token: bytes) -> None:
        if not self._ended:
            self._left.append((d, token, monotonic()))
            self.wake()

    def wake(self) -> None:
        """Have it look at what there is to do."""
        self._wake.set()
        self.begin()

    def begin(self) -> None:
        """Have it run. It looks often enough for what is not urgent."""
        thread = self._thread
        if (thread is None or not thread.is_alive()) and not (self._ended or is_finalizing()):
            with self._starting:
                if self._thread is thread:
                    # At the end of the interpreter, and where there are too many, none can start.
                    with suppress(RuntimeError):
                        new = threading.Thread(
                            target=self._run, name="soloflight keeper", daemon=True
                        )
                        new.start()
                        self._thread = new

    def leases(self) -> int:
        """How many loads here have one."""
        return len(self.held())

    def held(self) -> list[Lease]:
        """Those whose loads go on."""
        return [lease for lease, *_ in list(self._leases.values()) if lease.goes_on()]

    def forked(self) -> None:
        """A child has none of its parent's leases."""
        self.__init__(self._tier)  # type: ignore[misc]

    def end(self) -> None:
        """Give back all that it renews, and end. What cannot be told then is not."""
        self._ended, self._until = True, monotonic() + ENDING
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(ENDING)
        for token, (lease, *_) in list(self._leases.items()):
            if not lease.over:
                lease.over = True
                self._left.append((lease.d, token, monotonic()))
        for debt in self._tier.debts():
            if debt.inherited:  # it was not trusted here, and others may have loaded since
                self._tier.owed.pop(debt.d, None)
        self.step()

    def _run(self) -> None:
        idle = monotonic()
        while not self._ended and monotonic() - idle < IDLE:
            self._wake.clear()
            try:
                busy = self.step()
            except Exception:
                busy = True  # whatever that was, leases have to be renewed
            if busy:
                idle = monotonic()
            tell_all()
            self._wake.wait(min(self._tier.lease / 3, AGAIN))
        self._thread = None
        # Who came in between has seen a thread that is alive. First that, then look.
        if (self._leases or self._left or self._tier.owed) and not self._ended:
            self.wake()

    def step(self) -> bool:
        """Do what is due; whether there is anything left to do."""
        tier, now = self._tier, monotonic()
        for debt in tier.debts():
            if tier.turns.is_taken(debt.d):
                continue  # somebody pays it: leases must not wait for that
            if monotonic() > self._until:
                return True
            if not (tier.is_ready(debt.f) or tier.ready(debt.f)) or not tier.pay(debt.d):
                return True  # it is down: the rest waits, as nobody trusts it before that is paid
        while self._left:
            try:
                item = self._left.popleft()
            except IndexError:  # two do this, at the end
                break
            d, token, since = item
            if now - since > tier.lease:
                continue  # it was down for so long that it has ended
            if monotonic() > self._until or tier.give(d, token) is DOWN:
                self._left.appendleft(item)
                return True
        self._renew(tier, now)
        return bool(self._leases or self._left or tier.owed)

    def _renew(self, tier: Any, now: float) -> None:
        due = []
        for token, (lease, since, renewed) in list(self._leases.items()):
            if lease.over or now - since > lease.most:
                self._leases.pop(token, None)
            elif not lease.goes_on():
                self._leases.pop(token, None)
                self._left.append((lease.d, token, now))
            elif now - renewed >= tier.lease / 3:
                due.append((lease, since))
        for first in range(0, len(due), AT_ONCE):
            some = due[first : first + AT_ONCE]
            found = tier.renew_all([lease for lease, _ in some])
            replies = [DOWN] * len(some) if found is DOWN else found
            for (lease, since), reply in zip(some, replies, strict=True):
                if reply.kind == FENCED:
                    self._leases.pop(lease.token, None)
                else:
                    self._leases[lease.token] = lease, since, now
