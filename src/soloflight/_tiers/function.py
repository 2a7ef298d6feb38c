"""What one function has of a tier."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from math import inf
from typing import Any
from weakref import ref

from .._entries.entry import Aging, Entry, Raising
from .._entries.index import Scoped
from .._flights.flight import Flight
from .._flights.landing import Failed, Found, Landing
from .._flights.table import FlightTable
from .._interruptions import users_errors
from .._outcome import Error
from .._tally import Tally
from ..exceptions import FlightError, RemoteLoadError
from .codec import Coder, NotShared
from .digest import digest
from .envelope import Envelope, pack, token_of, unpack
from .errors import pack_error, unpack_error
from .fences import Fences
from .landings import LATER, Received, Told
from .leases import Lease
from .verbs import DONE, DOWN, REFRESH, Reply

LONGEST = 10 * 365 * 86400.0
"""Seconds for which something stale is kept: it may be for ever here."""
LEAST, MOST = 0.02, 0.5
"""Seconds for which nobody here asks again about a refresh that another process is at."""


class Shared(Fences):
    """What one function has of a tier: how its keys and values travel, and what came of it."""

    def __init__(
        self, tier: Any, table: FlightTable, coder: Coder, version: str, on_loops: bool
    ) -> None:
        assert table.shelf is not None
        name = table.name
        self.tier, self.table, self.shelf, self.coder = tier, table, table.shelf, coder
        self.policy = self.shelf.policy
        self.name, self.version, self.on_loops = name, version, on_loops
        self.named = (*self.policy.error_ttl, *self.policy.hidden)
        counts = [Tally() for _ in range(6)]
        self.hits, self.stale, self.remote_errors, self.lost, self.unleased, self.unreadable = (
            counts
        )
        ledger = table.ledger
        self.loads = ledger.loads = Tally()
        ledger.tier_hits, ledger.tier_stale, ledger.remote_errors = counts[:3]
        ledger.lost_leases, ledger.unleased, ledger.unreadable = counts[3:]
        self.me = ref(self)
        self.f = digest(name, version, -1, None)  # of all its keys together
        tier.join(self)

    def unfit(self) -> bool:
        """Whether no value of the function can be shared; that is said once."""
        why = self.coder.prepare()
        if why:
            self.table.ledger.tell_once("nothing is shared: %s", why)
        return bool(why)

    # Keys

    def known(self, key: Hashable) -> bytes:
        """The digest of a key, of which news is heard from now on."""
        d = self.digest(key, self.tier.generation(self.f))
        self.tier.know(d, self, key)
        return d

    def digest(self, key: Hashable, generation: int) -> bytes:
        """The digest of a key in a generation of the function."""
        # Whose cache it is in tells nobody; of an instance it says which, and is refused.
        own = type(key) is Scoped and key.of is self.shelf.index
        bare: Any = key.key if own else key  # type: ignore[attr-defined]
        return digest(self.name, self.version, generation, bare)

    def owes(self, d: bytes) -> bool:
        """Whether the store is not to be trusted for a key."""
        tier = self.tier
        return bool(tier.owed) and (tier.owes(d) or tier.owes(self.f))

    def has(self, key: Hashable) -> bool:
        """Whether there is anything of a key here."""
        with users_errors:
            return self.table.flights.of(key) is not None or self.shelf.find(key) is not None
        return True

    # What comes in

    def fresh(self, reply: Reply, asked: float) -> Landing | None:
        """What the store has, if it is fresh and can be read here."""
        if not reply.body:
            return None
        envelope = self._opened(reply.body)
        if envelope is None or not reply.left > max(envelope.swr, envelope.sie):
            return None
        return self._received(envelope, reply, asked)

    def received(self, reply: Reply, asked: float) -> Landing | None:
        """What the store has, stale as it may be; None: it cannot be read here."""
        envelope = self._opened(reply.body)
        return None if envelope is None else self._received(envelope, reply, asked)

    def _opened(self, data: bytes) -> Envelope | None:
        envelope = unpack(data, self.coder.code, self.coder.schema)
        if envelope is None:
            next(self.unreadable.counter)
        return envelope

    def _received(self, envelope: Envelope, reply: Reply, asked: float) -> Landing | None:
        now = self.table.timer()
        found = self._entry(envelope, asked + reply.left, now)
        if found is None:
            next(self.unreadable.counter)
            return None
        entry, landing = found
        # (Any other one may have ended on its way here; it is handed over all the same.)
        stale = isinstance(entry, Aging) and not now < entry.fresh_until
        if stale and isinstance(entry, Aging) and reply.lease > 0:
            entry.calm_until = now + min(reply.lease, MOST)  # somebody is at it
        if isinstance(landing, Failed):
            next(self.remote_errors.counter)
        else:
            next((self.stale if stale else self.hits).counter)
        if isinstance(landing, Received):
            landing.is_stale = stale and not reply.lease > 0
        return landing

    def _entry(
        self, envelope: Envelope, until: float, now: float
    ) -> tuple[Entry[Any], Landing] | None:
        """An entry that ends with that of the store, and what lands with it."""
        policy = self.policy
        if envelope.is_error:
            failure = unpack_error(envelope.payload, self.coder.untyped, self.named)
            if failure is None:
                return None
            error = Error(
                failure.exception or RemoteLoadError(failure.type_name, failure.says), None
            )
            raising = policy.received(
                Raising, until, envelope.swr, envelope.sie, envelope.cost, now
            )
            raising.kept = error.bare()
            return raising, Told(error, raising)
        try:
            value = self.coder.decode(envelope.payload)
        except Exception:
            return None
        cls = Aging if policy.aging else Entry
        entry: Any = policy.received(cls, until, envelope.swr, envelope.sie, envelope.cost, now)
        entry.value = value
        if type(entry) is Aging:
            entry.version = envelope.token
        stored = self.shelf.measured(entry) if self.shelf.sized else entry
        return entry, Received(value, stored)

    def ended(self, data: bytes, mode: str) -> Landing | None:
        """How another process' load has ended, with nothing that is kept; None: ask again.

        (Where its leader serves what is stale, so may we; who wants a new value gets the error.)
        """
        envelope = self._opened(data)
        if envelope is None:
            return None
        if not envelope.is_error:
            with suppress(Exception):
                return Received(self.coder.decode(envelope.payload), None)
            return None
        failure = unpack_error(envelope.payload, self.coder.untyped, self.named)
        if failure is None or (failure.hides and mode != REFRESH):
            return None
        next(self.remote_errors.counter)
        error = failure.exception or RemoteLoadError(failure.type_name, failure.says)
        return Told(Error(error, None))

    def later(self, entry: Entry[Any] | None, lease: float) -> Landing:
        """Another process refreshes what was served here: nobody asks again for a while."""
        if isinstance(entry, Aging):
            wait = max(LEAST, min(lease, entry.cost, MOST))
            entry.calm_until = max(entry.calm_until, self.table.timer() + wait)
        return LATER

    # What goes out

    def lead(self, flight: Flight, d: bytes, token: bytes, reply: Reply, asked: float) -> Lease:
        """A lease was granted, perhaps with what there is."""
        overdue = self.table.overdue
        most = self.tier.max_load if overdue is None else min(overdue.max_age, self.tier.max_load)
        lease = Lease(d, token, flight, token_of(reply.body), most)
        if reply.body and self.policy.aging:
            envelope = self._opened(reply.body)
            found = envelope and self._entry(envelope, asked + reply.left, self.table.timer())
            if found and type(found[0]) is Aging:
                lease.stale = found[0]
                lease.stale.failures = reply.failures  # of all processes, in a row
        own = self._own(flight)
        if own is not None:
            own.failures = reply.failures
        self.tier.keep(lease)
        return lease

    def told(
        self, flight: Flight, lease: Lease, landing: Landing
    ) -> tuple[Landing, tuple[str, tuple[Any, ...]]]:
        """What is landed with, and the verb that says so, with what it takes besides the lease."""
        if isinstance(landing, Failed):
            return self._told_failure(flight, lease, landing)
        entry: Any = landing.entry
        try:
            payload = self.coder.encode(landing.outcome.value)
        except NotShared as refused:
            if refused.first:
                self.table.ledger.tell_once("a value is not shared: %s", refused)
            return landing, ("give", ())
        if entry is None:
            envelope = Envelope(lease.token, 0.0, 0.0, landing.took, False, payload)
            return landing, ("store", (self._packed(envelope), None))
        return landing, ("store", self._kept_or_told(lease.token, entry, payload))

    def _told_failure(
        self, flight: Flight, lease: Lease, landing: Failed
    ) -> tuple[Landing, tuple[str, tuple[Any, ...]]]:
        error = landing.outcome.exception
        if isinstance(error, FlightError):
            return landing, ("give", ())  # it says something of a flight here
        if type(landing.entry) is Raising:
            payload = pack_error(error, self.coder.untyped)
            kept = self._kept_or_told(lease.token, landing.entry, payload, True)
            return landing, ("store", kept)
        now, held_off = self.table.timer(), self._own(flight)
        if landing.instead is None and lease.stale is not None and now < lease.stale.until:
            # As `direct.failed` does it with an entry of ours.
            stale = lease.stale
            until = self.policy.answers_until(stale, self.policy.hides(error))
            if now < until:
                self.policy.hold_off(stale, landing.outcome, now, until)
                landing = Failed(landing.outcome, stale, landing.took, Found(stale.value))
                held_off = stale
        hold = 0.0 if held_off is None else max(0.0, held_off.calm_until - now)
        text = pack_error(error, self.coder.untyped, hides=landing.instead is not None)
        envelope = Envelope(lease.token, 0.0, 0.0, landing.took, True, text)
        return landing, ("fail", (self._packed(envelope), hold))

    def _kept_or_told(
        self, token: bytes, entry: Any, payload: bytes, is_error: bool = False
    ) -> tuple[bytes, float | None]:
        """The same for a store, which only tells those who wait where nothing is left to keep."""
        envelope, keep = self.kept(token, entry, payload, is_error)
        return envelope, keep if keep > 0 else None

    def kept(
        self, token: bytes, entry: Any, payload: bytes, is_error: bool = False
    ) -> tuple[bytes, float]:
        """The envelope of an entry, and the seconds for which it is to be kept."""
        fresh, swr, sie, until = entry.fresh_until, 0.0, 0.0, entry.until
        if fresh < inf:
            # The store knows what is fresh by how long it is kept: that has to have an end.
            swr, sie = (min(end - fresh, LONGEST) for end in (entry.stale_until, entry.error_until))
            until = min(until, fresh + LONGEST)
        if isinstance(entry, Aging):
            entry.version = token
        envelope = Envelope(token, swr, sie, entry.cost, is_error, payload)
        return self._packed(envelope), until - self.table.timer()

    def _packed(self, envelope: Envelope) -> bytes:
        return pack(envelope, self.coder.code, self.coder.schema)

    def _own(self, flight: Flight) -> Aging[Any] | None:
        """The entry that is here, if it may be stale."""
        entry = None
        with users_errors:  # of a key's __eq__
            entry = self.shelf.find(flight.key)
        return entry if type(entry) is Aging else None

    def heard(self, reply: Reply, verb: str, lease: Lease, landing: Landing) -> Landing:
        """What is landed with once the store has answered."""
        if reply.kind == DONE or verb == "give":
            return landing
        if reply is DOWN:
            return landing  # it is kept here
        next(self.lost.counter)
        # The lease was another's by then: what that has stored, if it is fresh, or our own, bare.
        # (What was there before this load began is older than that.)
        if token_of(reply.body) != lease.seen:
            found = self.fresh(reply, self.table.timer())
            if found is not None:
                return found
        if isinstance(landing, Failed):
            return Failed(landing.outcome, None, landing.took)
        return Received(landing.outcome.value, None)
