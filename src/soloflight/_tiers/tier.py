"""What a process has of a tier, whatever the store: who listens, and what it holds.

The *keeper* is a thread that is there while there is something to do: it renews leases, gives back
what was left behind, and pays what an event loop owes, or what could not be paid at once.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from .. import _durations, _locks
from .._shown import shown
from .bells import Bell
from .function import Shared
from .keeper import Keeper
from .kinds import AnyTier
from .leases import Lease
from .owing import Owing
from .verbs import CLEARED, DOWN, Reply

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger("soloflight.tier")

SOON = 0.01
"""Seconds between two looks at whether all is paid."""


class Health(NamedTuple):
    """What a process knows of the store of its tier."""

    is_up: bool
    """Whether it answered when it was last asked; True before that."""
    error: str
    """Why it did not."""
    owed: int
    """Fences that it does not know of yet."""
    leases: int
    """Leases of loads here."""


class Tier(Owing, AnyTier):
    """What processes share. `soloflight.tiers` has those that one gives to functions.

    A subclass has the `verbs` of its store, and those for event loops as `aio`.
    """

    aio: Any
    read: Callable[..., Any]
    ask: Callable[..., Any]
    store: Callable[..., Any]
    fail: Callable[..., Any]
    give: Callable[..., Any]
    renew: Callable[..., Any]
    drop: Callable[..., Any]

    def __init__(self, *, namespace: str, lease: float, retain: float, max_load: float) -> None:
        if not isinstance(namespace, str):
            raise TypeError(f"namespace must be a string, not {shown(namespace)}")
        if "{" in namespace or "}" in namespace:
            raise ValueError(f"namespace must have no braces: {namespace!r}")
        self.namespace = namespace
        self.lease = positive(lease, "lease")
        self.retain = positive(retain, "retain")
        self.max_load = positive(max_load, "max_load")
        self.closing = False  # no lease is asked for any more: nobody would give it back
        self.closed = False
        self.trouble = ""  # why the store did not answer when it was last asked
        self.bells: dict[bytes, set[Bell]] = {}
        # Single operations only:
        self._functions: dict[bytes, ref[Shared]] = {}
        self._known: dict[bytes, tuple[ref[Shared], Hashable]] = {}
        self._numbers = count()
        self.process = os.urandom(8)
        """What begins each token of this process."""
        self.owes_nothing()
        self.keeper = Keeper(self)
        address = id(self)
        _tiers[address] = ref(self, lambda _: _tiers.pop(address, None))

    def generation(self, f: bytes) -> int:
        """How often a function was cleared, as far as is known here."""
        raise NotImplementedError

    def is_ready(self, f: bytes) -> bool:
        """Whether the store may be asked for a function's keys: see `ready`."""
        return True

    def ready(self, f: bytes) -> bool:
        """Hear of its news, and learn how often it was cleared; False: the store is down."""
        return True

    # Whom to tell

    def join(self, shared: Shared) -> None:
        """News of a function are for this one from now on."""
        self._functions[shared.f] = shared.me

    def know(self, d: bytes, shared: Shared, key: Hashable) -> None:
        """News of a key are for this function from now on."""
        known = self._known
        if d not in known and len(known) > 2 * self._many:
            self._forget()
        known[d] = shared.me, key

    _many = 512

    def _forget(self) -> None:
        """No longer know keys that nobody has an entry or a flight of."""
        for d, (shared, key) in list(self._known.items()):
            function = shared()
            if function is None or not function.has(key):
                self._known.pop(d, None)
        self._many = max(512, len(self._known))

    def ring(self, d: bytes) -> None:
        """A flight that some process has waited for is over, or has lost its lease."""
        for bell in list(self.bells.get(d, ())):
            bell.ring()

    def hear(self, kind: str, d: bytes) -> None:
        """Something was dropped elsewhere: fence what there is of it here."""
        known, function = self._known.get(d), None
        if kind == CLEARED and d in self._functions:
            function = self._functions[d]()
            if function is not None:
                function.table.clear()
        elif known is not None and (function := known[0]()) is not None:
            function.strike(kind, known[1])

    def cut_off(self) -> None:
        """News may have been missed: drop all that is here, and have all ask who wait."""
        for function in [function() for function in list(self._functions.values())]:
            if function is not None:
                function.table.clear()
        for d in list(self.bells):
            self.ring(d)

    # Forks

    def before_fork(self) -> None:
        """What a child must not inherit ends now."""

    def after_fork(self) -> None:
        """It may begin again, in the parent."""

    def forked(self) -> None:
        """A child is another process: it has no lease, waits for nobody and owes nothing."""
        self.bells = {}
        self._known.clear()
        self.owes_nothing()
        self._numbers, self.process = count(), os.urandom(8)
        self.keeper.forked()

    # What is known of the store

    def down(self, error: object) -> Reply:
        """The store did not answer. It is said once, until it does."""
        if self.closed:  # meanwhile: that is not an outage
            return DOWN
        said, self.trouble = self.trouble, str(error) or type(error).__name__
        if not said:
            _locks.log_later(
                partial(log.warning, "%s does not answer, so loads do without: %s", self, error)
            )
            _locks.tell_all()
        return DOWN

    def up(self) -> None:
        """It has answered."""
        if self.trouble:
            self.trouble = ""
            _locks.log_later(partial(log.warning, "%s answers again", self))
            _locks.tell_all()

    def health(self) -> Health:
        """What is known here of the store. It is not asked."""
        trouble = "it is closed" if self.closed else self.trouble
        return Health(not trouble, trouble, len(self.owed), self.keeper.leases())

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until nothing is owed any more, for some seconds at most; whether that is so."""
        until = deadline(timeout)
        while self.owed:
            if all(self.pay(debt.d) for debt in self.debts()):
                continue  # there may be new ones
            if time.monotonic() >= until:
                return False
            time.sleep(SOON)
        return True

    async def aflush(self, timeout: float | None = None) -> bool:
        """The same in a task."""
        until = deadline(timeout)
        while self.owed:
            self.keeper.wake()
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(SOON)
        return True

    def close(self) -> None:
        """Give back all leases, and end what listens. Functions go on, each process for itself."""
        if not self.closed:
            self.closing = True
            try:
                self.keeper.end()
            finally:
                self.closed = True
                self.owed.clear()

    async def aclose(self) -> None:
        """The same in a task."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # Waiting

    def listen(self, d: bytes) -> Bell:
        return Bell(self, d)

    def wait(self, bell: Bell, left: float) -> None:
        bell.wait(left)

    # Leases

    def token(self) -> bytes:
        """The name of a lease that nobody else asks for."""
        return self.process + next(self._numbers).to_bytes(8, "big")

    def keep(self, lease: Lease) -> None:
        """Renew a lease until its load has ended."""
        self.keeper.keep(lease)

    def renew_all(self, leases: list[Lease]) -> list[Reply] | Reply:
        """Renew several, with one message where the store can: what is replied to each, or DOWN."""
        return [self.renew(lease.d, lease.token) for lease in leases]

    def give_back(self, d: bytes, token: bytes) -> None:
        """Have a lease given back that its load has left, or may have been granted. At once."""
        self.keeper.give_back(d, token)


def positive(value: object, what: str) -> float:
    """The seconds of an option, more than none."""
    found = _durations.seconds(value, what)
    if not found > 0:
        raise ValueError(f"{what} must be more than 0, but is {shown(value)}")
    return found


def deadline(timeout: object) -> float:
    """Until when a wait lasts, as `monotonic` has it."""
    return inf if timeout is None else time.monotonic() + _durations.seconds(timeout, "timeout")


_tiers: dict[int, ref[Tier]] = {}
"""By id. Single dict operations only, as in `_locks`."""


def _each(step: str) -> None:
    for alive in list(_tiers.values()):
        if (tier := alive()) is not None:
            getattr(tier, step)()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=partial(_each, "before_fork"),
        after_in_parent=partial(_each, "after_fork"),
        after_in_child=partial(_each, "forked"),
    )


def _end() -> None:
    for alive in list(_tiers.values()):
        if (tier := alive()) is not None:
            with suppress(Exception):  # the others have something to give back as well
                tier.close()


# By then all threads have ended that are waited for. What loads were interrupted by may be the end
# itself, and the keeper may not have got round to what they left.
atexit.register(_end)
