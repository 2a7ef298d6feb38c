"""Virtual time, and the wires between the processes of a fleet and their store.

There is a heap of events, and nothing runs but these. A coroutine walks through virtual time as a
`Walk`: what it awaits is a function that is told what to call when that is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from copy import copy
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Protocol

from soloflight._tiers.memory import Memory
from soloflight._tiers.verbs import Reply

SCRIPT, PUSH, CONNECT = 19e-6, 6e-6, 50e-6
"""Seconds that the primary is busy with a script, with each process that it tells something, and
with one that connects anew. Measured: Redis 7.0 on loopback, time on its processor."""
TIMEOUT = 0.25
"""Seconds after which a question has failed."""
PROMPT, USUAL = 0.1e-3, 0.15e-3
"""Seconds of a message on its way: at least, and besides that on average."""
LATE, VERY_LATE = 1e-3, 20e-3
"""The part of the messages that a switch holds up, and for how long at the most."""

BROKEN = Reply("broken")
"""The connection was refused, or broke."""
SILENCE = Reply("silence")
"""Nothing was heard in time."""


class Events:
    """What happens, in its order. What happens at the same time does so in the order given."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        self.at(self.now + seconds, call)

    def at(self, time: float, call: Callable[[], object]) -> None:
        heappush(self._heap, (max(time, self.now), next(self._numbers), call))

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, call = heappop(self._heap)
            call()
        self.now = until


Start = Callable[[Callable[[Any], None]], object]
"""Begins what is awaited, and is given what to call at its end, with what came of it."""


class Until:
    """What a walk awaits. Only the first end counts."""

    def __init__(self, start: Start) -> None:
        self._start = start

    def __await__(self) -> Generator[Start, Any, Any]:
        return (yield self._start)


class Place(Protocol):
    """Where a coroutine runs: a process."""

    events: Events
    alive: bool
    stopped_until: float
    walks: dict[Walk, None]


class Walk:
    """A coroutine of a process. It goes no further where that has died, or as long as it stands."""

    def __init__(self, place: Place, coroutine: Coroutine[Start, Any, object]) -> None:
        self._place, self._coroutine = place, coroutine
        self._context = copy_context()  # each has its own: the talk keeps something there
        self._turn = 0
        place.walks[self] = None
        self._go(0, None)

    def _go(self, turn: int, found: Any) -> None:
        place = self._place
        if turn != self._turn or not place.alive:
            return
        if place.events.now < place.stopped_until:
            place.events.at(place.stopped_until, partial(self._go, turn, found))
            return
        self._turn += 1
        try:
            start = self._context.run(self._coroutine.send, found)
        except StopIteration:
            place.walks.pop(self, None)
        else:
            start(partial(self._go, self._turn))

    def end(self) -> None:
        """Its process has died."""
        self._context.run(self._coroutine.close)


def nap(events: Events, seconds: float) -> Until:
    return Until(lambda wake: events.after(seconds, partial(wake, None)))


class Network:
    """How long messages take, and which are lost."""

    def __init__(self, random: Random, loss: float) -> None:
        self._random, self.loss = random, loss

    def latency(self) -> float:
        random = self._random
        held_up = random.random() < LATE
        usual = PROMPT + random.expovariate(1 / USUAL)
        return usual + random.uniform(0, VERY_LATE) if held_up else usual

    def loses(self) -> bool:
        return bool(self.loss) and self._random.random() < self.loss / 2


class Line(Protocol):
    """What the primary has of a process."""

    def ring(self, d: bytes) -> None: ...
    def hear(self, kind: str, d: bytes) -> None: ...


class Primary:
    """The one server that all of them ask: one script at a time, in the order they come."""

    def __init__(self, events: Events, network: Network, memory: Memory) -> None:
        self.events, self.network, self.memory = events, network, memory
        self.answers = self.accepts = True
        self.stands = False
        self.commands: dict[str, int] = {}
        self.pushes = 0
        self.busy = 0.0  # seconds
        self.longest_queue = 0.0  # seconds that a command has waited
        self._life = 0
        self._queue: deque[tuple[float, Callable[[], Reply], Callable[[Reply], None], str]] = (
            deque()
        )
        self._at_work = False
        self._told = 0  # by the script that runs

    def ask(self, verb: str, call: Callable[[], Reply], heard: Callable[[Reply], None]) -> None:
        """A message with a verb, and the way back. It is `heard` once, whatever becomes of it."""
        events, network = self.events, self.network
        events.after(TIMEOUT, partial(heard, SILENCE))
        if not self.accepts:
            events.after(2 * network.latency(), partial(heard, BROKEN))
        elif not network.loses():
            back = (lambda _: None) if network.loses() else self._back(heard)
            events.after(network.latency(), partial(self._arrives, verb, call, back))

    def _back(self, heard: Callable[[Reply], None]) -> Callable[[Reply], None]:
        return lambda reply: self.events.after(self.network.latency(), partial(heard, reply))

    def _arrives(self, verb: str, call: Callable[[], Reply], back: Callable[[Reply], None]) -> None:
        if not self.accepts:
            back(BROKEN)
        elif self.answers:
            self._queue.append((self.events.now, call, back, verb))
            if not self._at_work:
                self._next()

    def _next(self) -> None:
        self._at_work = bool(self._queue) and not self.stands
        if self._at_work:
            came, call, back, verb = self._queue.popleft()
            self.longest_queue = max(self.longest_queue, self.events.now - came)
            cost = CONNECT if verb == "listen" else SCRIPT
            self.events.after(cost, partial(self._runs, self._life, call, back, verb))

    def _runs(
        self, life: int, call: Callable[[], Reply], back: Callable[[Reply], None], verb: str
    ) -> None:
        if life == self._life:
            back(self.at_once(verb, call))
            self.events.after(self._told * PUSH, partial(self._goes_on, life))

    def _goes_on(self, life: int) -> None:
        if life == self._life:
            self._next()

    def at_once(self, verb: str, call: Callable[[], Reply]) -> Reply:
        """Run a script now."""
        self._told = 0
        reply = call()
        self.commands[verb] = self.commands.get(verb, 0) + 1
        self.pushes += self._told
        self.busy += (CONNECT if verb == "listen" else SCRIPT) + self._told * PUSH
        return reply

    def tell(self, call: Callable[[], object]) -> None:
        """A message of the script that runs, to one process: after those before it."""
        self._told += 1
        self.events.after(self._told * PUSH + self.network.latency(), call)

    def queued(self) -> float:
        """The seconds of what waits for its turn, if anything does."""
        return (len(self._queue) + self._at_work) * SCRIPT

    # Faults

    def down(self, *, refuses: bool) -> None:
        """It has died, and connections to it break; or nothing more is heard of it."""
        self._life += 1
        self.answers, self.accepts = False, not refuses
        for *_, back, _ in self._queue if refuses else ():
            back(BROKEN)
        self._queue.clear()
        self._at_work = False

    def hang(self) -> None:
        """It stands still. What comes meanwhile is done afterwards, whoever has left by then."""
        self.stands = True

    def up(self) -> None:
        self.answers = self.accepts = True
        self.stands = False
        if not self._at_work:
            self._next()

    def state(self) -> tuple[Any, Any]:
        """A copy of what it has, for a replica."""
        leases = {}
        for d, lease in self.memory._leases.items():
            leases[d] = copied = copy(lease)
            copied.waiting = dict(lease.waiting)
        return dict(self.memory._values), leases

    def become(self, state: tuple[Any, Any]) -> None:
        self.memory._values, self.memory._leases = state
