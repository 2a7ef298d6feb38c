"""Processes that share a store, and talk to it: what each may do next, and what must hold.

Tables, talks, keepers and what a function has of its tier are the real ones, and the store is
`memory.Memory`. What is played: who leads (as `_sources/tiered` does it, one verb a step), who
waits, and what strikes from outside. There is one clock, which goes on when nothing else does, or
as often as a world says.

A load brings its number, in the order in which they began. A *generation* begins with each fence.
The laws are the promises of a tier:

1. with nothing wrong there is exactly one load for all processes, refreshes included;
2. one more for each process that dies, stalls or is interrupted, and for each fence;
3. with the store down, at most one in each process, and no exception;
4. what began earlier never replaces what began later, nor is it stored after a fence that the store
   has taken;
5. who has returned from a fence is served nothing from before it, nor who has heard of it;
6. who waited for a flight gets its outcome, also one that is not stored.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from math import inf
from typing import Any, NamedTuple

from greenlet import greenlet

from conftest import Clock
from soloflight._entries import caches
from soloflight._entries.entry import Aging
from soloflight._entries.policy import Policy
from soloflight._flights import serving
from soloflight._flights.flight import Call, Flight, call_of, ticket
from soloflight._flights.landing import Landing
from soloflight._flights.table import FlightTable
from soloflight._given import UNSET
from soloflight._outcome import Error
from soloflight._runners import me
from soloflight._sources import direct
from soloflight._tiers.codec import Coder
from soloflight._tiers.function import Shared
from soloflight._tiers.memory import Memory, MemoryTier
from soloflight._tiers.talk import ask, tell
from soloflight._tiers.verbs import CLEARED, DOWN, FORGOTTEN, INVALIDATED, PUT, REFRESHED, Reply

from .actors import Action, BrokenLaw, pause

KEY = "k"
TTL = 10.0
LEASE = 0.3
"""Less than a talk waits at once, so that one wait may outlast it."""

CLOCK = Clock()
"""That of the world that is looked at: there is one at a time."""


def promise(number: int, holds: object, otherwise: str) -> None:
    if not holds:
        raise BrokenLaw(f"promise {number}: {otherwise}")


def loader(key: str) -> Any: ...


CODER = Coder("json", loader)


class Waiters:
    """Callers that look whether their flight is over after each landing."""

    def __init__(self) -> None:
        self.callers: dict[Flight, Any] = {}

    def aboard(self) -> int:
        return len(self.callers)

    def wake(self) -> None: ...


def board(waiters: dict[Any, Any], mine: Flight) -> None:
    waiters.setdefault("all", Waiters()).callers[mine] = None


class Table(FlightTable):
    """Within a fence others may go first."""

    __slots__ = ()

    def _strike(self, strike: Callable[[], Any]) -> Any:
        pause()
        struck = strike()
        pause()
        return struck

    def invalidate(self, key: Hashable) -> bool:
        return bool(self._strike(lambda: FlightTable.invalidate(self, key)))

    def forget(self, key: Hashable) -> bool:
        return bool(self._strike(lambda: FlightTable.forget(self, key)))

    def put(self, key: Hashable, entry: Any) -> None:
        self._strike(lambda: FlightTable.put(self, key, entry))

    def clear(self, *which: Any) -> None:
        self._strike(lambda: FlightTable.clear(self, *which))


class Tier(MemoryTier):
    """The store as one process sees it, which may be cut off from it."""

    def __init__(self, fleet: Fleet, process: Process) -> None:
        super().__init__(memory=fleet.memory, lease=LEASE)
        self.fleet, self.owner = fleet, process
        self.process = process.name * 8  # its tokens say whose they are
        self.keeper.begin = lambda: None  # type: ignore[method-assign]  # it is stepped by hand
        for verb in ("read", "ask", "store", "fail", "give", "renew", "drop"):
            setattr(self, verb, self.reaching(verb, getattr(self, verb)))

    def reaching(self, verb: str, call: Callable[..., Reply]) -> Callable[..., Reply]:
        fleet = self.fleet

        def reach(*what: Any) -> Reply:
            if fleet.down:
                return DOWN
            reply = call(*what)
            if verb == "drop" and what[0] != REFRESHED:  # which is no fence
                fleet.taken(what[0])
            if fleet.loses:
                fleet.loses = False
                return DOWN
            return reply

        return reach

    def hear(self, kind: str, d: bytes) -> None:
        self.owner.news.append((kind, d, len(self.fleet.loadings)))


class Refresh:
    """The load of a refresh: a leader of its own."""

    runner = me.local.thread

    def __init__(self, process: Process, call: Call) -> None:
        self.process, self.call = process, call

    def start(self, table: FlightTable, flight: Flight) -> None:
        self.process.lead(flight, self.call)

    def goes_on(self) -> bool:
        return True

    def is_on_its_own(self) -> bool:
        return True

    def withdraw(self) -> bool:
        return False

    def hurry(self) -> float:
        return 0.0

    def cancel(self) -> None: ...

    def interruption(self) -> None: ...


class Loading(NamedTuple):
    """A load, or what was put."""

    number: int
    generation: int
    token: bytes
    is_load: bool


class Caller:
    """One call of a process: idle, waits or done."""

    def __init__(self, refreshes: bool) -> None:
        self.refreshes = refreshes
        self.state = "idle"
        self.call = call_of(KEY, (), {})
        self.call.may_hit = not refreshes
        self.call.deadline = None
        self.mine: Any = None
        self.flight: Any = None
        self.since = 0  # the generation that it has to have
        self.got: Any = None

    def seen(self) -> Action:
        return self.state, self.refreshes, self.since, self.got


class Leader:
    """What `_sources/tiered` does, in steps."""

    def __init__(self, process: Process, flight: Flight, call: Call) -> None:
        self.process, self.flight = process, flight
        self.state = "asks"
        self.lease: Any = None
        self.landing: Any = None
        self.loading: Any = None
        self.until = inf
        self.pending: tuple[Any, ...] = ()
        shared = process.shared
        self.talk: Any = ask(shared, flight, call, shared.known(KEY))
        self.resume(None)

    def resume(self, reply: Any) -> None:
        self.pending, self.until = (), inf
        try:
            self.pending = self.talk.send(reply)
        except StopIteration as end:
            self.said(end.value)
        else:
            if self.pending[0] == "wait":
                self.until = CLOCK.now + self.pending[2]

    def said(self, what: Any) -> None:
        if self.state == "tells" or isinstance(what, Landing):
            self.state, self.landing = "lands", what
            return
        self.state, self.lease = "loads", what
        self.process.table.begin(self.flight)
        self.loading = self.process.fleet.begin(what)

    def steps(self) -> tuple[str, ...]:
        """What it may do next."""
        if self.state == "loads":
            return self.process.fleet.endings
        if self.state == "lands":
            return ("land",)
        return ("say",) if self.is_ready() else ()

    def is_ready(self) -> bool:
        if self.pending and self.pending[0] == "wait":
            return self.pending[1]._rung.is_set() or CLOCK.now >= self.until
        return True

    def say(self) -> Any:
        """Say what is next, and see the answer to it."""
        verb, *what = self.pending
        if verb == "wait":
            what[0]._rung.clear()
            return None
        return getattr(self.process.tier, verb)(*what)

    def loaded(self, ending: str) -> None:
        table, flight = self.process.table, self.flight
        number = self.loading.number
        if ending == "fails":
            error = Error(ValueError(number), None)
            landing: Landing = direct.landed(table, flight, None, error)
        else:
            landing = direct.landed(table, flight, number)
        if self.lease is None:
            self.state, self.landing = "lands", landing
            return
        self.state = "tells"
        self.talk = tell(self.process.shared, flight, self.lease, landing)
        self.resume(None)

    def close(self) -> None:
        """It was interrupted."""
        self.talk.close()
        if self.lease is not None and not self.lease.over:
            self.lease.give_back(self.process.tier)

    def seen(self, process: Process) -> Action:
        flight, pending, rung, known = self.flight, self.pending, False, ()
        if pending and pending[0] in ("listen", "wait"):
            rung = pending[0] == "wait" and pending[1]._rung.is_set()
            pending = (pending[0],)
        frame = getattr(self.talk, "gi_frame", None)
        if frame is not None and self.state == "asks":
            now, parts = CLOCK.now, frame.f_locals
            patience = parts.get("patience")
            heard = patience and round(now - patience._heard, 6)
            words = ("token", "waited", "seen", "unheard", "found")
            known = (heard, *map(parts.get, words))
        lease = self.lease and (self.lease.token, self.lease.over)
        left = round(self.until - CLOCK.now, 6)
        return (
            self.state, repr(pending), rung, known, left, lease, repr(self.loading),
            told(self.landing), flight.fenced, flight.over, flight.is_refresh,
            process.table.flights.has(flight),
        )  # fmt: skip


def told(landing: Landing | None) -> Hashable:
    if landing is None or landing.outcome is None:
        return type(landing).__name__
    return type(landing).__name__, brought(landing.outcome), aged(landing.entry)


def brought(outcome: Any) -> str:
    return repr(outcome.exception if type(outcome) is Error else outcome.value)


def aged(entry: Any) -> Hashable:
    """What of an entry decides on its future."""
    if entry is None:
        return ()
    ages = [round(max(entry.fresh_until - CLOCK.now, -99), 6)]
    if isinstance(entry, Aging):
        ages.append(round(max(entry.calm_until - CLOCK.now, -99), 6))
        ages.append(entry.failures)
    return brought(entry.handed()), getattr(entry, "version", b""), tuple(ages)


class Process:
    """One process: a function, and its callers."""

    def __init__(self, fleet: Fleet, number: int, policy: Policy) -> None:
        self.fleet, self.number = fleet, number
        self.name = b"ABCDEF"[number : number + 1]
        self.tier = Tier(fleet, self)
        self.shelf = caches.shelf(
            "f", policy, cache=None, maxsize=UNSET, getsizeof=None, timer=CLOCK
        )
        self.table = Table("f", self.shelf)
        self.shared = Shared(self.tier, self.table, CODER, "", fleet.on_loops)
        assert not self.shared.unfit()
        self.state = "runs"
        self.callers: list[Caller] = []
        self.leaders: list[Leader] = []
        self.news: list[tuple[str, bytes, int]] = []  # and how many loads had begun
        self.generation = 0  # the last fence that it has made, or heard of
        self.fence: greenlet | None = None

    # Callers

    def call(self, caller: Caller) -> None:
        caller.since, caller.state = self.generation, "waits"
        entry: Any = None if caller.refreshes else self.shelf.find(KEY)
        outcome: Any = None
        if entry is not None:
            now = CLOCK.now
            if now < (entry.calm_until if isinstance(entry, Aging) else entry.fresh_until):
                outcome = entry.handed()
            elif isinstance(entry, Aging):
                outcome = self.serve(entry, now, caller.call)
        if outcome is not None:
            self.done(caller, outcome)
            return
        caller.mine = ticket(KEY, "f", me.local.thread)
        self.claim(caller)

    def serve(self, entry: Any, now: float, call: Call) -> Any:
        return serving.at_once(self.table, lambda call: Refresh(self, call), entry, now, call)

    def claim(self, caller: Caller) -> None:
        mine = caller.mine
        outcome = self.table.claim(mine, board, may_hit=not caller.refreshes)
        if outcome is not None:
            self.done(caller, outcome)
            return
        caller.flight = mine.following or mine
        if mine.following is None:
            self.lead(mine, caller.call)
        elif caller.flight.over:
            self.take(caller)

    def lead(self, flight: Flight, call: Call) -> None:
        self.leaders.append(Leader(self, flight, call))

    def land(self, leader: Leader, landing: Landing | None) -> None:
        flight = leader.flight
        self.leaders.remove(leader)
        self.table.land(flight, landing)
        for caller in self.callers:
            if caller.state == "waits" and caller.flight is flight:
                self.take(caller)

    def take(self, caller: Caller) -> None:
        flight = caller.flight
        outcome = serving.take(self.table, flight, caller.call, flight is caller.mine, self.serve)
        if outcome is not None:
            self.done(caller, outcome)
            return
        if flight is caller.mine:
            if flight.landing is None:  # it was interrupted
                caller.state = "done"
                return
            caller.mine = ticket(KEY, "f", me.local.thread, following=caller.mine)
        self.claim(caller)

    def done(self, caller: Caller, outcome: Any) -> None:
        caller.state = "done"
        found = outcome.exception if type(outcome) is Error else outcome.value
        caller.got = found if isinstance(found, int) else repr(found)
        number = found if isinstance(found, int) else found.args[0]
        generation = self.fleet.loadings[number].generation
        promise(5, generation >= caller.since, "a call got what is older than a fence")

    # What strikes

    def strike(self, kind: str) -> None:
        self.fleet.fences += 1
        generation = self.fleet.fences

        def fence() -> None:
            if kind == PUT:
                value = self.fleet.begin(None, is_load=False).number
                self.shared.put(KEY, self.shelf.policy.entry(value, CLOCK.now, 0.0))
            else:
                names = {INVALIDATED: "invalidate", FORGOTTEN: "forget", CLEARED: "clear"}
                getattr(self.shared, names[kind])(KEY)
            if kind != FORGOTTEN:  # which leaves what is stored
                self.generation = generation

        self.fence = greenlet(fence)
        self.go_on()

    def go_on(self) -> None:
        assert self.fence is not None
        self.fence.switch()
        if self.fence.dead:
            self.fence = None

    def hear(self) -> None:
        kind, d, begun = self.news.pop(0)
        MemoryTier.hear(self.tier, kind, d)
        if kind != FORGOTTEN:
            self.generation = self.fleet.fences
        for leader in self.leaders:  # one that began after it is struck as well: news take time
            self.fleet.events += leader.loading is not None and leader.loading.number > begun

    def seen(self) -> Action:
        keeper = self.tier.keeper
        return (
            self.state, self.generation, repr(self.news), aged(self.shelf.find(KEY)),
            [caller.seen() for caller in self.callers],
            [leader.seen(self) for leader in self.leaders],
            repr([debt[:3] for debt in self.tier.debts()]), repr(keeper._left),
            [(token, round(CLOCK.now - at, 6)) for token, (_, _, at) in keeper._leases.items()],
            frame_of(self.fence),
        )  # fmt: skip


def frame_of(actor: greenlet | None) -> Hashable:
    """Where an actor has given way."""
    frame, where = actor and actor.gr_frame, []
    while frame is not None:
        where.append((frame.f_code.co_name, frame.f_lasti))
        frame = frame.f_back
    return tuple(where)


class Fleet:
    """Processes, their store, and what was promised so far.

    `calls`: those of each process, ``"l"`` for one that looks, ``"r"`` for a refresh. `endings`:
    how loads may end. `times`: how often the clock may go on though others could. `budget`: how
    often each thing may strike.
    """

    def __init__(
        self,
        *calls: str,
        policy: Policy,
        endings: tuple[str, ...] = ("ends",),
        times: int = 0,
        aged: str = "",
        on_loops: bool = False,
        **budget: int,
    ) -> None:
        CLOCK.now = 0.0
        self.memory = Memory(LEASE, 30.0, CLOCK)
        self.endings, self.times, self.on_loops = endings, times, on_loops
        self.budget = budget
        self.down = self.loses = self.wrong = False
        self.fences = self.fence_taken = 0
        self.forced = 0  # how often nothing but time could go on
        self.events = 0  # what each may cost one more load
        self.loadings: dict[int, Loading] = {}
        self.loads = 0
        self.newest = 0  # what has a lower number must not be stored any more
        self.stored_last: int | None = None
        self.processes = [Process(self, n, policy) for n in range(len(calls))]
        if aged:
            self.age(aged)
        for process, kinds in zip(self.processes, calls, strict=True):
            process.callers = [Caller(kind == "r") for kind in kinds]

    def age(self, where: str) -> None:
        """Have a value loaded, and get old. `where`: in which processes it is as well."""
        for number in map(int, where):
            process = self.processes[number]
            caller = Caller(False)
            process.callers = [caller]
            process.call(caller)
            while process.leaders:
                leader = process.leaders[0]
                if leader.state == "loads":
                    leader.loaded("ends")
                elif leader.state == "lands":
                    process.land(leader, leader.landing)
                else:
                    leader.resume(leader.say())
            process.tier.keeper.step()
        self.loads = 0
        CLOCK.now += TTL

    def begin(self, lease: Any, is_load: bool = True) -> Loading:
        number = len(self.loadings) + 1
        token = b"" if lease is None else lease.token
        self.loadings[number] = found = Loading(number, self.fences, token, is_load)
        self.loads += is_load
        return found

    def taken(self, kind: str) -> None:
        """The store has taken a fence: what began before is older."""
        self.fence_taken, self.newest = self.fences, len(self.loadings)
        if kind != FORGOTTEN:
            self.stored_last = None
        elif (stored := self.stored()) is not None:
            self.stored_last = stored.number

    # What may happen next

    def actions(self) -> Iterator[Action]:
        for process in self.processes:
            n = process.number
            if process.state != "runs":
                continue
            for i, leader in enumerate(process.leaders):
                yield from ((step, n, i) for step in leader.steps())
            for i, caller in enumerate(process.callers):
                if caller.state == "idle":
                    yield "call", n, i
                    break
            if process.news:
                yield "hear", n
            if process.fence is not None:
                yield "go_on", n
            if not self.down and (process.tier.owed or process.tier.keeper._left):
                yield "keep", n
        if self.times:
            yield "time", False

    def is_waiting(self) -> bool:
        """Whether somebody does, where nothing but time can go on."""
        return any(process.leaders for process in self.processes if process.state == "runs")

    def is_over(self) -> bool:
        return all(process.state != "stopped" for process in self.processes)

    def faults(self) -> Iterator[Action]:
        left = {name for name, times in self.budget.items() if times}
        for process in self.processes:
            n = process.number
            if process.state == "stopped":
                yield "goes_on", n
            elif process.state == "runs":
                yield from ((name, n) for name in ("dies", "stops") if name in left)
                if process.fence is None:
                    for kind in sorted(left & set("ipfc")):
                        yield "fence", n, kind
                if "interrupt" in left:
                    for i, leader in enumerate(process.leaders):
                        yield "interrupt", n, i, False
                        if leader.pending and leader.pending[0] != "wait":
                            yield "interrupt", n, i, True
        if "down" in left and not self.down:
            yield ("goes_down",)
        if self.down:
            yield ("comes_up",)
        if "loses" in left and not self.loses:
            yield ("loses_an_answer",)

    def do(self, action: Action) -> None:
        name, *args = action
        getattr(self, name)(*args)

    def call(self, n: int, i: int) -> None:
        self.processes[n].call(self.processes[n].callers[i])

    def say(self, n: int, i: int) -> None:
        leader = self.processes[n].leaders[i]
        leader.resume(leader.say())

    def ends(self, n: int, i: int, ending: str = "ends") -> None:
        self.processes[n].leaders[i].loaded(ending)

    def fails(self, n: int, i: int) -> None:
        self.ends(n, i, "fails")

    def land(self, n: int, i: int) -> None:
        leader = self.processes[n].leaders[i]
        self.processes[n].land(leader, leader.landing)

    def hear(self, n: int) -> None:
        self.processes[n].hear()

    def go_on(self, n: int) -> None:
        self.processes[n].go_on()

    def keep(self, n: int) -> None:
        self.processes[n].tier.keeper.step()

    def time(self, forced: bool) -> None:
        """The clock goes on to the end of the next wait; who lives renews its leases meanwhile."""
        if forced:
            self.forced += 1
        else:
            self.times -= 1
        leaders = [x for p in self.processes if p.state == "runs" for x in p.leaders]
        until = min((leader.until for leader in leaders), default=inf)
        until = CLOCK.now + LEASE if until == inf else until
        while CLOCK.now < until:
            CLOCK.now = min(until, CLOCK.now + LEASE / 3)
            for process in self.processes:
                if process.state == "runs":
                    process.tier.keeper.step()

    def dies(self, n: int) -> None:
        self.strikes("dies")
        process = self.processes[n]
        process.state = "dead"
        self.memory.processes.remove(process.tier)

    def stops(self, n: int) -> None:
        self.strikes("stops")
        self.processes[n].state = "stopped"

    def goes_on(self, n: int) -> None:
        self.processes[n].state = "runs"

    def interrupt(self, n: int, i: int, unseen: bool) -> None:
        """`unseen`: when what it said was heard, and before it has seen the answer."""
        self.strikes("interrupt")
        process = self.processes[n]
        leader = process.leaders[i]
        if unseen:
            leader.say()
        leader.close()
        process.land(leader, None)

    def fence(self, n: int, kind: str) -> None:
        self.strikes(kind)
        self.processes[n].strike(kind)

    def goes_down(self) -> None:
        self.budget["down"] -= 1
        self.down = self.wrong = True

    def comes_up(self) -> None:
        self.down = False

    def loses_an_answer(self) -> None:
        self.budget["loses"] -= 1
        self.loses = self.wrong = True

    def strikes(self, name: str) -> None:
        self.budget[name] -= 1
        self.events += 1

    # What holds in every state

    def check(self) -> None:
        stored = self.stored()
        number = None if stored is None else stored.number
        if stored is not None and number != self.stored_last and stored.is_load:
            promise(4, number >= self.newest, "what began earlier has replaced the newer")
            fence = stored.generation >= self.fence_taken
            promise(4, fence, "it is stored after a fence, and began before")
            self.newest = number
        self.stored_last = number
        if not (self.events or self.wrong):
            loads = [x for p in self.processes for x in p.leaders if x.state == "loads"]
            promise(1, len(loads) <= 1, "two loads at a time")

    def stored(self) -> Loading | None:
        """What the store has now."""
        for process in self.processes[:1]:
            d = process.shared.known(KEY)
            envelope, _ = self.memory._value(d, CLOCK.now)
            if envelope:
                value = process.shared._opened(envelope)
                assert value is not None
                payload = value.payload
                return self.loadings[process.shared.coder.decode(payload)]
        return None

    def check_end(self) -> None:
        alive = [process for process in self.processes if process.state == "runs"]
        for process in alive:
            states = [caller.state for caller in process.callers]
            promise(3, set(states) <= {"done"}, "a call is never answered")
            promise(2, not process.tier.bells, "a bell is left behind")
            promise(2, not process.table.flights, "a flight is left behind")
            if not self.down:
                promise(5, not process.tier.owed, "a debt is never paid")
                promise(2, not process.tier.keeper._left, "a lease is never given back")
        if len(alive) == len(self.processes) and not self.down:
            held = any(lease.token for lease in self.memory._leases.values())
            promise(2, not held, "a lease is left behind")

        stored = self.stored()
        refreshes = any(caller.refreshes for p in self.processes for caller in p.callers)
        keeps = refreshes or FORGOTTEN in self.budget  # what is here is left as it was
        if stored is not None and not (self.wrong or keeps):
            for process in alive:
                entry = process.shelf.find(KEY)
                fresh = entry is not None and entry.is_fresh(CLOCK.now)
                newest = not fresh or entry.value == stored.number
                promise(4, newest, "a process keeps what is older than what the store has")

    def got(self) -> list[Any]:
        return [caller.got for process in self.processes for caller in process.callers]

    def state(self) -> Hashable:
        """Worlds of one state have one future."""
        now = CLOCK.now
        leases = [
            (
                d, lease.token, round(max(lease.until - now, -9), 6),
                sorted(tier.process for tier in lease.waiting), lease.ended, lease.how,
                lease.failures, round(max(lease.kept - now, -9), 6),
            )
            for d, lease in sorted(self.memory._leases.items())
        ]  # fmt: skip
        values = [
            (d, envelope, round(until - now, 6))
            for d, (envelope, until) in sorted(self.memory._values.items())
        ]
        rest = repr((
            leases, values, self.times, sorted(self.budget.items()), self.down, self.loses,
            self.fences, self.fence_taken, self.loads, self.events, self.newest, self.stored_last,
            min(self.forced, 1),
        ))  # fmt: skip
        # Nor do the names of processes matter, which are in their tokens.
        names = [process.name.decode() * 8 for process in self.processes]
        views = [repr(process.seen()) for process in self.processes]

        def look(n: int) -> str:
            view = views[n].replace(names[n], "mine")
            for name in names:
                view = view.replace(name, "another")
            return view

        order = sorted(range(len(names)), key=look)
        text = "\n".join([rest, *(views[n] for n in order)])
        for place, n in enumerate(order):
            text = text.replace(names[n], f"<{place}>")
        return text

    def close(self) -> None:
        for process in self.processes:
            if process.fence is not None:
                process.fence.throw()
            for leader in process.leaders:
                leader.talk.close()
        vars(self).clear()
