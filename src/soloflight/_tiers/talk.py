"""What a leader says to a store before and after its load.

Pure: no I/O, and no clock but the function's timer. A *talk* is a generator: it yields a verb and
what that takes, and is sent the reply (`drive`, `drive_async`). So threads and tasks say the same,
and a test can stop it between any two steps.

    ask ──> a landing   what another process has stored, or how its load has ended
        ├─> a Right     load, and then `tell`
        └─> None        load, and tell nobody: the store is down, or is not to be trusted now

Rules:

1. Whoever waits listens first and asks second: a wake-up in between is not lost.
2. A talk that breaks off gives back what it may have been given: an ask whose answer nobody saw may
   have been granted.
3. What is told is fenced by the lease, in the store, and by nothing else: news take time, so a
   flight may be struck by those of a fence from before its lease. While a fence is owed here, a
   leader pays that first, and gives its lease back second: who led in between would lose his.
4. Nobody waits for ever: each wait is as long as the lease has left, half a second at most, and its
   caller has patience. While the store is down it is asked for a second, if somebody is waited for.
5. A flight that is fenced while it waits for another process loads nothing: whoever is aboard
   begins anew, all of them in one flight.
6. Who holds a lease and asks for another key waits for three seconds at most: two processes may
   each wait for what the other one loads, and neither sees that. Then it loads, without a lease.
"""

from __future__ import annotations

from collections.abc import Generator
from math import inf
from random import random
from time import monotonic
from typing import Any, TypeVar

from .. import _clock
from .._flights.flight import Call, Flight
from .._flights.landing import Landing
from ..exceptions import WaitTimeout
from .envelope import token_of
from .function import Shared
from .landings import LATER
from .leases import Lease
from .verbs import BEHIND, DONE, DOWN, ENDED, FRESH, LEAD, LOOK, REFRESH, REFRESHED, STALE, Reply

R = TypeVar("R")
Talk = Generator[tuple[Any, ...], Any, R]

POLL = 0.5
"""Seconds after which who waits asks again, whatever it has heard."""
JITTER = 0.01
"""Seconds by which those who wait ask apart from each other, at random."""
AGAIN, RESTART = 0.05, 1.0
"""Seconds between two questions to a store that is down, and for how long, where one waits."""
NESTED = 3.0
"""Seconds that a load waits for another one that it needs."""


def ask(shared: Shared, flight: Flight, call: Call, d: bytes, nested: bool = False) -> Talk[Any]:
    """What a leader does before it loads: see above."""
    tier, timer = shared.tier, shared.table.timer
    d = yield from _trusted(shared, call, d)
    if not d:
        return None
    entry = shared.shelf.find(call.key)
    mode = BEHIND if flight.is_refresh else LOOK if call.may_hit else REFRESH
    found: Any = (yield from _read(shared, d)) if mode == LOOK and entry is None else None
    if found is not None:
        return found
    # A call has nothing fresh here: what the store has of the same version, held off say, will do.
    seen = getattr(entry, "version", b"") if mode == BEHIND else b""
    token, waited = tier.token(), b""
    unheard = False  # whether it may have been granted, and nobody knows
    patience = Patience(flight, call, nested)
    bell = yield "listen", d
    try:
        while True:
            asked, unheard = timer(), True
            reply = yield "ask", d, token, mode, waited, seen
            if reply.kind == LEAD:
                lease = shared.lead(flight, d, token, reply, asked)
                lease.mode = mode
                unheard = False
                return lease
            unheard = reply is DOWN
            if reply.kind == STALE and mode != LOOK:
                return shared.later(entry, reply.lease)
            if reply.kind in (FRESH, STALE):
                found = shared.received(reply, asked)
                seen = token_of(reply.body)  # it cannot be read here: as if it were not there
                waited = b""
            elif reply.kind == ENDED:
                found, waited = shared.ended(reply.body, mode), b""
            else:
                waited = reply.body or waited
                left = patience.left(reply, waited)
                if left is None:
                    # (One that was fenced need not load: others here may have what is newer.)
                    return LATER if flight.fenced or _is_left(flight) else None
                found = yield "wait", bell, left
            if found is not None:
                return found
            if flight.fenced:
                return LATER
    finally:
        bell.close()
        if unheard:
            tier.give_back(d, token)


def _trusted(shared: Shared, call: Call, d: bytes) -> Talk[bytes]:
    """The digest of a key, once the store may be asked for it; nothing where it may not."""
    if not shared.tier.is_ready(shared.f):
        if not (yield "ready", shared.f):
            return b""
        d = shared.known(call.key)  # its generation is known by now
    while shared.owes(d):
        if not ((yield "pay", shared.f) and (yield "pay", d)):
            return b""  # what the store has may be older than what was dropped here
        d = shared.known(call.key)  # after a `clear` it is another one
    return d


def _read(shared: Shared, d: bytes) -> Talk[Landing | None]:
    """What is fresh, with no more to do."""
    asked = shared.table.timer()
    return shared.fresh((yield "read", d), asked)


class Patience:
    """For how long a leader waits for another process before it asks again, or loads itself."""

    def __init__(self, flight: Flight, call: Call, nested: bool) -> None:
        self._flight = flight
        # On a thread of an executor it is for all who wait, each of whom has a patience of his own.
        own = flight.load.is_on_its_own()
        self._deadline = inf if own or call.deadline is None else call.deadline
        self._heard = monotonic()  # when the store last answered
        self._until = self._heard + NESTED if nested else inf

    def left(self, reply: Reply, waited: bytes) -> float | None:
        """The seconds until the next question; None: it waits no longer."""
        now = monotonic()
        if reply is DOWN:
            if not waited or now - self._heard > RESTART:
                return None
            left = AGAIN
        else:
            self._heard = now
            left = min(max(reply.lease, 0.0) + JITTER * random(), POLL)
        if now >= self._until or _is_left(self._flight):
            return None
        patience = self._deadline - _clock.now()
        if patience <= 0:
            raise WaitTimeout
        return min(left, self._until - now, patience)


def _is_left(flight: Flight) -> bool:
    """Whether everybody has who waited for a load on a thread or in a task of its own."""
    load = flight.load
    if not load.is_on_its_own() or flight.is_refresh or getattr(load, "starts", False):
        return False  # (the caller of a task boards after its first step)
    return not flight.aboard()


def tell(shared: Shared, flight: Flight, lease: Lease, landing: Landing) -> Talk[Landing]:
    """What a leader does after its load: returns what it lands with."""
    if shared.owes(lease.d):
        verb, what = "give", ()
        if (yield "pay", shared.f):
            yield "pay", lease.d
    else:
        landing, (verb, what) = shared.told(flight, lease, landing)
    reply = yield (verb, lease.d, lease.token, *what)
    lease.over = True
    if reply is DOWN:
        shared.tier.give_back(lease.d, lease.token)  # others need not wait for its end
    elif verb == "store" and lease.mode == REFRESH and reply.kind == DONE:
        yield "drop", REFRESHED, lease.d  # what other processes have of it is older
    return shared.heard(reply, verb, lease, landing)


def drive(talk: Talk[R], tier: Any) -> R:
    """Say it in this thread. What strikes in a verb ends the talk there."""
    try:
        reply = None
        while True:
            verb, *what = talk.send(reply)
            reply = getattr(tier, verb)(*what)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        talk.close()


async def drive_async(talk: Talk[R], tier: Any) -> R:
    """The same on an event loop."""
    try:
        reply = None
        while True:
            verb, *what = talk.send(reply)
            reply = await getattr(tier, verb)(*what)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        talk.close()
