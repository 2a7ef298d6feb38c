"""A process of a simulated fleet: the library itself, but for its threads, its loop and its wires.

Its table, its entries, its source, its talk, its breaker and its keeper are the real ones. What is
written anew is how callers lead and wait: `Process._call`, which reads like `threads.Threads.call`,
without followers. (Who follows gets what the leader gets, with no message more.) Nor are those
calls played that find an entry and leave everything as it was: which call is the next that does
not is drawn, as of callers that come independently of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from math import exp, inf, log
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fleet_network import BROKEN, SILENCE, TIMEOUT, Until, Walk, nap
from soloflight._entries import caches
from soloflight._entries.entry import Aging
from soloflight._flights import serving
from soloflight._flights.flight import Call, Flight, Waiters, call_of, ticket
from soloflight._flights.table import FlightTable
from soloflight._outcome import Error
from soloflight._runners import Load, Thread
from soloflight._sources import tiered
from soloflight._sources.direct import direct_async
from soloflight._tiers.bells import ForTasks
from soloflight._tiers.breaker import Breaker
from soloflight._tiers.function import Shared
from soloflight._tiers.keeper import AGAIN, Keeper
from soloflight._tiers.leases import Lease
from soloflight._tiers.tier import Bell, Tier
from soloflight._tiers.verbs import DONE, DOWN, Reply

if TYPE_CHECKING:
    from fleet_world import Fleet

VERBS = "read", "ask", "store", "fail", "give", "renew", "drop"
PAUSES = 0.2, 5.0
"""Seconds between two tries to listen: the first, doubled up to the last. As in `push`."""


class FleetBell(Bell):
    """What a walk waits on."""

    def __init__(self, tier: Tier, d: bytes) -> None:
        super().__init__(tier, d)
        self._wake: Callable[[Any], None] | None = None

    def ring(self) -> None:
        super().ring()
        if self._wake is not None:
            self._wake(None)

    async def hear(self, process: Process, left: float) -> None:
        def start(wake: Callable[[Any], None]) -> None:
            self._wake = wake
            process.events.after(0 if self._rung.is_set() else left, partial(wake, None))

        await Until(start)
        self._wake = None
        self._rung.clear()


class FleetKeeper(Keeper):
    """The real one, whose steps are events: each comes to the primary at once, and as a whole."""

    def __init__(self, tier: FleetTier) -> None:
        super().__init__(tier)
        self._process = tier.of
        self._due = inf

    def wake(self) -> None:
        self._look_in(self._process.fleet.primary.network.latency())

    def begin(self) -> None:
        self._look_in(AGAIN)

    def _look_in(self, seconds: float) -> None:
        due = self._process.events.now + seconds
        if due < self._due:
            self._due = due
            self._process.events.at(due, self._look)

    def _look(self) -> None:
        process, now = self._process, self._process.events.now
        if not process.alive or now < self._due:
            return  # there was another look since
        if now < process.stopped_until:
            self._due = process.stopped_until
            process.events.at(self._due, self._look)
            return
        self._due = inf
        wait = process.fleet.primary.queued()
        if wait:  # what was asked before comes first, as that may be what is to be given back
            self._look_in(wait)
        elif self.step():
            self._look_in(AGAIN)


class FleetTier(Tier):
    """What a process has of the store. Its own verbs are the keeper's; walks have `aio`."""

    def __init__(self, process: Process) -> None:
        fleet = process.fleet
        super().__init__(namespace="", lease=fleet.lease, retain=30.0, max_load=60.0)
        self.of = process
        self.process = process.number.to_bytes(8, "big")
        self.keeper = FleetKeeper(self)
        self.breaker = Breaker(2 * TIMEOUT, fleet.clock)
        self.aio: Any = ForTasks(self)
        self.aio.listen, self.aio.wait = self._listen, self._wait
        self.aio.sleep = partial(nap, fleet.events)
        memory, line = fleet.primary.memory, process
        for verb in VERBS:
            call = getattr(memory, verb)
            if verb in ("ask", "drop"):
                call = partial(call, line)
            setattr(self.aio, verb, partial(self._says, verb, call))
            setattr(self, verb, partial(self._at_once, verb, call))

    def generation(self, f: bytes) -> int:
        return 0

    async def _says(self, verb: str, call: Callable[..., Reply], *what: Any) -> Reply:
        fleet, asked, d = self.of.fleet, self.of.events.now, what[verb == "drop"]
        if not self.breaker.lets():
            return self._is_down(verb, d)
        question = partial(fleet.judge.at_store, verb, call, *what)
        reply: Reply = await Until(partial(fleet.primary.ask, verb, question))
        return self._heard(reply, asked, verb, d)

    def _at_once(self, verb: str, call: Callable[..., Reply], *what: Any) -> Reply:
        primary, now, d = self.of.fleet.primary, self.of.events.now, what[verb == "drop"]
        if not self.breaker.lets():
            return self._is_down(verb, d)
        if not primary.accepts:
            return self._heard(BROKEN, now, verb, d)
        if not primary.answers or primary.stands or primary.network.loses():
            return self._heard(SILENCE, now, verb, d)
        question = partial(self.of.fleet.judge.at_store, verb, call, *what)
        return self._heard(primary.at_once(verb, question), now, verb, d)

    def _heard(self, reply: Reply, asked: float, verb: str, d: bytes) -> Reply:
        if reply is SILENCE or reply is BROKEN:
            self.breaker.failed(asked, hangs=reply is SILENCE)
            self.of.fleet.failures += 1
            return self._is_down(verb, d)
        self.breaker.answered()
        return reply

    def _is_down(self, verb: str, d: bytes) -> Reply:
        self.of.fleet.judge.down(self.of, verb, d)
        return DOWN

    async def _listen(self, d: bytes) -> FleetBell:
        return FleetBell(self, d)

    async def _wait(self, bell: FleetBell, left: float) -> None:
        await bell.hear(self.of, left)


class Behind(Load):
    """A refresh."""

    def __init__(self, process: Process, call: Call) -> None:
        self.runner = process.thread
        self._process, self._call = process, call

    def is_on_its_own(self) -> bool:
        return True

    def start(self, table: FlightTable, flight: Flight) -> None:
        Walk(self._process, self._process.refresh(flight, self._call))


class Aboard:
    """Who waits for a flight of another call of its process."""

    def __init__(self) -> None:
        self.callers: dict[Flight, Callable[[Any], None] | None] = {}

    def aboard(self) -> int:
        return len(self.callers)

    def wake(self) -> None:
        for wake in list(self.callers.values()):
            if wake is not None:
                wake(None)


def board(waiters: dict[Hashable, Waiters], mine: Flight) -> Any:
    ours: Any = waiters.setdefault(Aboard, Aboard())
    ours.callers[mine] = None
    return ours


class Process:
    """One of the fleet, and its callers."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet, self.number, self.events = fleet, number, fleet.events
        self.alive, self.stopped_until = True, -inf
        self.listens_since = fleet.events.now
        self._subscription = 0  # the number of it
        self.walks: dict[Walk, None] = {}
        self._asleep: dict[Hashable, Callable[[Any], None]] = {}
        self.thread = Thread()
        self.tier = FleetTier(self)

        async def load(key: int) -> int:
            return await fleet.load(self, key)

        shelf = caches.shelf(
            "load", fleet.policy, cache=None, maxsize=4096, getsizeof=None, timer=fleet.clock
        )
        self.table = FlightTable("load", shelf)
        self.shelf = shelf
        options = SimpleNamespace(tier=self.tier, codec="json", version="")
        self.shared, around = tiered.shared(options, self.table, load, True)
        self.shared.lead = self._lead  # type: ignore[method-assign]
        self.source: Any = around(direct_async(self.table, load))
        self.lease: Lease | None = None  # of the load that begins next

    def __repr__(self) -> str:
        return f"process {self.number}"

    def _lead(self, *what: Any) -> Lease:
        self.lease = lease = Shared.lead(self.shared, *what)
        return lease

    # Calls

    def begin(self, key: int, rate: float) -> None:
        """Have it called for a key, so many times a second."""
        Walk(self, self._callers(key, rate))

    async def _callers(self, key: int, rate: float) -> None:
        fleet = self.fleet
        while self.events.now < fleet.until:
            due = self._next_call(key, rate)
            if not await self._sleep(key, min(due, fleet.until)) and self.events.now < fleet.until:
                Walk(self, self._call(key))

    def _next_call(self, key: int, rate: float) -> float:
        """When a call comes that does more than to find an entry, as things are."""
        now, draw = self.events.now, self.fleet.random.expovariate
        if self.table.flights.of(key) is not None:
            return inf  # it would follow, or be served
        entry = self.shelf.find(key)
        if entry is None:
            return now + draw(rate)
        fresh_until, mean = entry.fresh_until, self.fleet.policy.early_refresh * entry.cost
        if mean and now < fresh_until:
            # A call is early with the probability exp(-left / mean): which is the first?
            since = max(now, entry.calm_until)  # type: ignore[attr-defined]
            part = exp(-(fresh_until - since) / mean) + draw(1.0) / (rate * mean)
            if part < 1:
                return fresh_until + mean * log(part)
        return max(now, entry.calm_until if isinstance(entry, Aging) else fresh_until) + draw(rate)

    async def _sleep(self, key: int, until: float) -> bool:
        """Wait for a time; whether something has changed before."""

        def start(wake: Callable[[Any], None]) -> None:
            self._asleep[key] = wake
            if until < inf:
                self.events.at(until, partial(wake, False))

        changed: bool = await Until(start)
        self._asleep.pop(key, None)
        return changed

    def changed(self, key: Hashable) -> None:
        """The next call may be another one."""
        wake = self._asleep.get(key)
        if wake is not None:
            self.events.after(0, partial(wake, True))

    async def _call(self, key: int) -> None:
        judge, began = self.fleet.judge, self.events.now
        judge.called(self, key)
        call = call_of(key, (key,), {})
        call.deadline = None
        try:
            outcome = self._hit(key, call) or await self._miss(call)
            assert outcome is not None
            value = outcome.value
        except Exception as error:
            judge.failed(self, key, error)
        else:
            judge.served(self, key, value, began)
        finally:
            if self.alive:
                self.changed(key)

    def _hit(self, key: int, call: Call) -> Any:
        """What the wrapper does before it asks anybody (see `template`)."""
        entry, now = self.shelf.find(key), self.events.now
        if entry is None:
            return None
        if not isinstance(entry, Aging):
            return entry if now < entry.fresh_until else None
        if now < entry.calm_until:
            return entry
        mean = self.fleet.policy.early_refresh * entry.cost
        if mean and now < entry.fresh_until:  # this is one that draws an early refresh
            self.fleet.early = exp((now - entry.fresh_until) / mean)
        return self._serve(entry, now, call)

    def _serve(self, entry: Any, now: float, call: Call) -> Any:
        return serving.at_once(self.table, partial(Behind, self), entry, now, call)

    async def _miss(self, call: Call) -> Any:
        table, outcome = self.table, None
        mine = ticket(call.key, table.name, self.thread)
        while outcome is None:
            outcome = table.claim(mine, board, may_hit=True)
            if outcome is not None:
                return outcome
            flight = mine.following
            if flight is None:
                flight = mine
                table.land(mine, await self.source(mine, call))
            else:
                waiters = table.signal_of(mine)
                if not flight.over:
                    await Until(partial(waiters.callers.__setitem__, mine))
            outcome = serving.take(table, flight, call, flight is mine, self._serve)
            if flight is mine:
                mine = ticket(call.key, table.name, self.thread, following=mine)
        return outcome

    async def refresh(self, flight: Flight, call: Call) -> None:
        try:
            landing = await self.source(flight, call)
            self.table.land(flight, landing)
            if isinstance(landing.outcome, Error):
                self.fleet.judge.failed(self, call.key, landing.outcome.exception)
        finally:
            if self.alive:
                self.changed(call.key)

    def invalidate(self, key: int) -> None:
        self.fleet.judge.invalidates(self, key)
        self.shared.invalidate(key)
        self.changed(key)

    # News: what the primary has of it is `ring` and `hear`

    def ring(self, d: bytes) -> None:
        self._told(partial(self.tier.ring, d))

    def hear(self, kind: str, d: bytes) -> None:
        self._told(partial(self._hears, kind, d))

    def _told(self, call: Callable[[], object]) -> None:
        if self.listens_since < inf:
            self.fleet.primary.tell(partial(self._tell, self._subscription, call))

    def _tell(self, subscription: int, call: Callable[[], object]) -> None:
        if not self.alive or subscription != self._subscription:
            return
        if self.events.now < self.stopped_until:
            self.events.at(self.stopped_until, partial(self._tell, subscription, call))
        else:
            call()

    def _hears(self, kind: str, d: bytes) -> None:
        self.tier.hear(kind, d)
        self._look_again()

    def _look_again(self) -> None:
        for key in list(self._asleep):
            self.changed(key)

    def cut_off(self, after: float) -> None:
        """Its subscription has ended, which it notices after some seconds."""
        self.listens_since = inf
        self._tries(after, PAUSES[0])

    def _tries(self, after: float, pause: float) -> None:
        self._subscription += 1
        self.events.after(after, partial(self._listen, self._subscription, pause))

    def _listen(self, number: int, pause: float) -> None:
        """Connect anew, as `push` does."""
        if self.alive and number == self._subscription:
            heard = partial(self._heard, number, pause)
            self.fleet.primary.ask("listen", partial(Reply, DONE), heard)

    def _heard(self, number: int, pause: float, reply: Reply) -> None:
        if not self.alive or number != self._subscription:
            return
        if self.events.now < self.stopped_until:
            self.events.at(self.stopped_until, partial(self._heard, number, pause, reply))
        elif reply.kind != DONE:
            self._tries(pause, min(2 * pause, PAUSES[1]))
        else:
            self._subscription += 1
            self.listens_since = self.events.now
            self.tier.cut_off()
            self._look_again()

    # Faults

    def die(self) -> None:
        """Killed: nothing of it runs any more, and nothing is given back."""
        self.alive = False
        self._subscription += 1
        self.listens_since = inf
        for walk in list(self.walks):
            walk.end()
        self.walks.clear()

    def stop(self, seconds: float) -> None:
        """It stands still for some seconds, as a whole."""
        self.stopped_until = max(self.stopped_until, self.events.now + seconds)

    def left(self) -> list[str]:
        """What should be gone by now."""
        return [
            f"{self}: {what}"
            for what, is_there in (
                ("a flight is on the table", any(self.table.flights.all())),
                ("somebody waits", bool(self.tier.bells)),
                ("a lease is kept", self.tier.keeper.leases()),
                ("a fence is owed", bool(self.tier.owed)),
                ("a call has not ended", bool(self.walks)),
            )
            if is_there
        ]
