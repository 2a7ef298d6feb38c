"""What calls and loads did, in the order in which they did it, and whether that can be explained.

A history is *linearizable* (Herlihy and Wing, 1990) if each event can be given one moment between
its beginning and its end, such that a single thread that did these things at those moments, one by
one, would have seen the same. What that thread has, and what it can do when, is in `single`. So
every law about what a call may see is checked at once, that of the fence in particular.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar

from .single import Event, Life, explained

LATER = 1 << 60


class Call:
    """One operation of a caller; what it got is the number of a load or a put."""

    def __init__(self, name: str, key: str, began: int) -> None:
        self.name = name
        self.key = key
        self.began = began
        self.ended = LATER
        self.got: int | None = None
        self.led: Load | None = None
        self.leads = False  # it has started a load; where everyone left at once, that never began
        self.impatient = False  # it had waited for as long as it would
        self.cancelled = False  # it may lead all the same, if it was about to

    def __str__(self) -> str:
        got = "" if self.got is None else f" got {self.got}"
        return f"{self.began}-{self.ended} {self.name} {self.key}{got}"


class Load:
    """One execution of a loader; what it brings is its number."""

    def __init__(self, number: int, leader: Call, began: int) -> None:
        self.number = number
        self.key = leader.key
        self.leader = leader
        self.began = began
        self.ended = LATER
        self.failed = False
        self.stored = False  # whether it brought something to be stored: a value, or an answer
        self.landed = LATER  # at the latest
        self.foreground = False  # its leader waits for it: that gets what it brings, if anything

    def __str__(self) -> str:
        brought = "failed" * self.failed + "stored" * self.stored or "interrupted"
        return f"{self.began}-{self.ended} load {self.key}: {self.number} {brought}"


class History:
    """The calls and the loads, with the moments at which they began and ended."""

    def __init__(self, life: Life | None = None, *, refreshed: bool = False) -> None:
        self.life = life or Life()
        self.refreshed = refreshed  # nothing keeps a refresh from being started
        self.moment = 0
        self.numbers = 0
        self.calls: list[Call] = []
        self.loads: list[Load] = []
        self.passed: list[tuple[int, float]] = []  # when time has passed, and how much
        self._call: ContextVar[Call] = ContextVar("call")

    def now(self) -> int:
        self.moment += 1
        return self.moment

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def call(self, name: str, key: str) -> Call:
        call = Call(name, key, self.now())
        self._call.set(call)
        self.calls.append(call)
        return call

    def current(self) -> Call | None:
        """The call whose load this thread or task runs."""
        return self._call.get(None)

    def over(self, call: Call, before: Call | None) -> None:
        """A call has ended; the one `before` goes on, whose load has made it."""
        call.ended = self.now()
        if before is not None:
            self._call.set(before)

    def leads(self) -> None:
        """The call of this task leads, and has its load started."""
        self._call.get().leads = True

    def load(self) -> Load:
        """A load begins, of the call of this thread or task."""
        leader = self._call.get()
        # Interrupted by somebody else who ran it, perhaps.
        assert leader.led is None or leader.led.ended < LATER, f"{leader} loads twice"
        leader.led = load = Load(self.number(), leader, self.now())
        self.loads.append(load)
        return load

    def time(self, seconds: float) -> None:
        """Time has passed."""
        self.passed.append((self.now(), seconds))

    def check(self) -> None:
        """Raise `AssertionError` unless it can be explained."""
        for load in self.loads:
            got = load.leader.got
            if load.foreground and not (load.failed or load.leader.impatient or got is None):
                assert got == load.number, f"{load.leader} did not get what it loaded"
        for key in {call.key for call in self.calls} - {""}:
            assert explained(list(self._events(key)), self.life), f"this cannot be:\n{self}"

    def _events(self, key: str) -> Iterator[Event]:
        for moment, seconds in self.passed:
            yield Event("time", moment, moment, seconds=seconds)
        for call in self.calls:
            began, ended = call.began, call.ended
            if call.key not in (key, ""):
                continue
            if call.name in ("call", "refresh"):
                yield from self._events_of_a_call(call)
            elif call.name in ("put", "invalidate", "clear"):
                # Not one moment, to those without the lock: a flight may go, and another one come,
                # while the entry is there still; and a load may begin as there is none any more.
                # It is fenced in the end.
                n = -began if call.got is None else call.got
                yield Event("fence", began, ended, n)
                yield Event("invalidate", began, ended, n)
                if call.name == "put":
                    yield Event("stamp", began, ended, n)
                    yield Event("put", began, ended, n)
                yield Event("forget", began, ended, n)
            elif call.name != "expire":
                yield Event(call.name, began, ended, call.got)
        for load in self.loads:
            if load.key == key:
                yield from self._events_of(load)

    def _events_of_a_call(self, call: Call) -> Iterator[Event]:
        began, ended, got = call.began, call.ended, call.got
        refresh = call.name == "refresh"
        if call.impatient and not refresh:
            yield Event("patience", began, ended, got)
        elif got is not None and (call.led is None or got != call.led.number):
            name = "late" if self._follows_a_hit(call) else "see"
            yield Event(name, began, ended, got, refresh)
            if call.led is None and self.refreshed and self._is_alone(call):
                yield Event("behind", began, ended, got)
        elif call.leads and call.led is None:
            # Its flight was there, and has fenced an old one perhaps.
            yield Event("board", began, ended, -began)
            yield Event("look", began, ended, -began, refresh)
            yield Event("off", began, self._left(call), -began)

    def _left(self, leader: Call) -> int:
        """When the last one can have left of those aboard a load that never began."""
        last = leader.ended
        for call in self.calls:
            if call.key == leader.key and call.got is None and call.led is None:
                last = max(last, call.ended) if call.began < last else last
        return last

    def _is_alone(self, call: Call) -> bool:
        """Whether nobody else can have been about to load, and have found that needless."""
        return not any(
            other.began < call.ended and call.began < other.ended
            for other in self.calls
            if other is not call
        )

    def _follows_a_hit(self, call: Call) -> bool:
        """Whether it may have what another one, that began before it, has found in the cache.

        Who finds an entry after all, when it was about to load, shares that with its followers; the
        entry was fresh when it was found.
        """
        return call.name == "call" and any(
            other.got == call.got and other.led is None and other.began < call.began < other.ended
            for other in self.calls
        )

    def _events_of(self, load: Load) -> Iterator[Event]:
        n, leader = load.number, load.leader
        began = leader.began
        claimed = load.began if leader.cancelled else min(load.began, leader.ended)
        got = [c for c in self.calls if c.got == n and c.name in ("call", "refresh")]
        # A hit may come as soon as it is stored; those aboard go on when it is off the table.
        aboard = [c for c in got if c.led is load or c.name == "refresh" or not load.stored]
        served = None if leader.got == n else leader.got
        yield Event("board", began, claimed, n)
        yield Event("look", began, claimed, n, leader.name == "refresh", served)
        landed = min([load.landed, *(call.ended for call in got)])
        if load.stored:
            yield Event("stamp", load.ended, landed, n, load.failed)
            yield Event("store", load.ended, landed, n)
        elif load.failed:
            yield Event("fail", load.ended, landed, n)
        elif not load.foreground or any(call.impatient for call in self.calls):
            # Whoever runs out of patience leaves a refresh behind, perhaps of this load.
            yield Event("lost", load.ended, landed, n, load.foreground)
        yield Event("off", load.ended, min([load.landed, *(c.ended for c in aboard)]), n)

    def __str__(self) -> str:
        lines = [(item.began, str(item)) for item in (*self.calls, *self.loads)]
        lines += [(moment, f"{moment} {seconds} s pass") for moment, seconds in self.passed]
        return "\n".join(line for _, line in sorted(lines))
