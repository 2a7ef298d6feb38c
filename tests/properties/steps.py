"""What the steps of `test_properties` are made of: each does one thing, and checks it at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, NamedTuple

from hypothesis.stateful import RuleBasedStateMachine

from conftest import Clock
from properties.reference import UNSET, Arguments, Boom, Config, Entry, Flight
from properties.subjects import CACHES, Aim, Subject
from soloflight._outcome import SHARED


class Wish(NamedTuple):
    """Which call a step is about: one of the last few, or another one."""

    again: int | None
    which: int = 0  # of the functions that share a cache
    owner: int = 0
    arguments: Arguments = (1, 0, None)


class Steps(RuleBasedStateMachine):
    """A function or two with their models, in a world of threads or of tasks."""

    World: Any

    def __init__(self) -> None:
        super().__init__()
        self.world = self.World()
        self.clock = Clock()
        self.subjects: list[Subject] = []
        self.flying: list[Flight] = []
        self.lately: deque[tuple[Subject, int, Arguments]] = deque(maxlen=3)
        self.steps = 0
        self.loads = 0
        self.began: dict[int, int] = {}  # value -> the step in which its load began
        self.fences: dict[tuple[Subject, Hashable], int] = {}  # ... that invalidated it last
        self.last_used: tuple[Subject, Hashable] | None = None

    def decorate(self, config: Config) -> None:
        self.config = config
        cache = CACHES[config.cache](config.maxsize, self.clock) if config.cache in CACHES else None
        self.subjects = [Subject(config, self.world, self.clock, cache)]
        if config.shared:
            other = replace(config, kind="function", per_instance=UNSET)
            self.subjects.append(Subject(other, self.world, self.clock, cache))

    def aim(self, wish: Wish, style: str) -> Aim:
        self.steps += 1
        if wish.again is not None and self.lately:
            call = self.lately[wish.again % len(self.lately)]
        else:
            subject = self.subjects[wish.which % len(self.subjects)]
            call = subject, wish.owner % len(subject.owners), wish.arguments
        if call in self.lately:
            self.lately.remove(call)
        self.lately.appendleft(call)
        return Aim(*call, style)

    def value(self, drawn: int) -> int:
        """A number that was never there before."""
        self.loads += 1
        return 210 * self.loads + drawn

    def start(self, at: Aim, refresh: bool = False) -> Flight | None:
        """Make a call; returns the flight that it follows or leads."""
        subject, key = at.subject, at.key
        found = subject.model.claim(key, look=not refresh)
        call = self.world.call(at.target.refresh if refresh else at.target, *at.args, **at.kwargs)
        call.look = not refresh
        if isinstance(found, Entry):
            assert call.outcome() == found.value
            self.last_used = subject, key
            return None
        if found is None:
            self.world.until(lambda: self.world.arrivals or call.done())
            assert not call.done(), call.outcome()
            return self.lead(subject, key, at.owner, at.arguments, [call])
        aboard = self.waiting(found) + 1
        self.world.until(lambda: subject.waiters(key) == aboard or call.done())
        assert not call.done(), call.outcome()
        found.aboard.append(call)
        found.owners.add(at.owner)
        return found

    def lead(
        self, subject: Subject, key: Hashable, owner: int, arguments: Arguments, aboard: list[Any]
    ) -> Flight:
        """One of these callers leads, the others follow."""
        load = self.world.arrivals.popleft()
        leader = next(call for call in aboard if load.is_of(call))
        flight = Flight(subject, key, owner, arguments, load, leader, self.steps, aboard, {owner})
        subject.model.flights[key] = flight
        self.flying.append(flight)
        return flight

    def waiting(self, flight: Flight) -> int:
        return len(flight.aboard) - (not self.world.leader_waits)

    def at(self, flight: Flight, style: str = "short") -> Aim:
        return Aim(flight.subject, flight.owner, flight.arguments, style)

    def pick_flight(self, pick: int) -> Flight:
        self.steps += 1
        return self.flying[pick % len(self.flying)]

    def end(self, flight: Flight, ending: Any) -> None:
        """Everyone aboard gets the outcome, and it is one object where that can be."""
        self.flying.remove(flight)
        fenced = flight.subject.model.flights.get(flight.key) is not flight
        if not isinstance(ending, Boom):
            self.began[ending] = flight.began
        expected = flight.subject.model.land(flight, ending)
        flight.load.end(ending)
        outcomes = [call.outcome() for call in flight.aboard]
        if expected is Boom:
            assert all(type(outcome) is Boom for outcome in outcomes)
            assert not SHARED or len(set(map(id, outcomes))) <= 1
        else:
            assert outcomes == [expected] * len(outcomes)
        self.after_store(flight.subject, None if fenced or expected is Boom else flight.key)

    def after_store(self, subject: Subject, key: Hashable) -> None:
        """After what may have been a store: see what was evicted, and whether it had to be."""
        if self.config.cache is None:
            return
        stored = key in subject.model.entries
        for other in self.subjects:
            for kept, entry in list(other.model.entries.items()):
                held = other.held(kept)
                if held is not None and held.value == entry.value:
                    continue
                if other.model.fresh(kept) is not None:
                    assert stored, "evicted for nothing"
                    assert self.config.room < 100, "evicted though there is room"
                    assert (other, kept) != (subject, key), "it was not stored"
                    assert (other, kept) != self.last_used or not self.keeps_the_last_used()
                del other.model.entries[kept]
        if not stored:
            return
        self.last_used = subject, key
        for other in self.subjects:
            assert not any(map(other.held_as, other.graves)), "a dead instance's entry is kept"
            other.graves.clear()

    def keeps_the_last_used(self) -> bool:
        config = self.config
        by_age = config.cache in ("default", "TTLCache", "LRUCache", "TLRUCache")
        return by_age and config.room >= 2 and not (config.sized or config.shared)

    def only_what_is_in_flight_is_on_the_table(self) -> None:
        assert not self.world.arrivals, "a load that nobody needs"
        for subject in self.subjects:
            model, infos = subject.model, subject.function.in_flight()
            assert len(infos) == len(model.flights)
            assert {info.key: info.waiters for info in infos} == {
                subject.keys[key]: self.waiting(f) for key, f in model.flights.items()
            }

    def what_is_shown_is_what_should_be_there(self) -> None:
        for subject in self.subjects:
            assert {k: (e.value, e.fresh_until) for k, e in subject.shown().items()} == {
                subject.keys[key]: (entry.value, entry.fresh_until)
                for key, entry in subject.model.entries.items()
                if subject.model.fresh(key)
            }

    def only_what_the_cache_holds_is_shown(self) -> None:
        for subject in self.subjects:
            for key, entry in subject.shown().items():
                assert subject.held_as(key) is entry

    def what_the_cache_holds_is_shown(self) -> None:
        for subject in self.subjects:
            shown = subject.shown()
            for key in subject.keys.values():
                entry = subject.held_as(key)
                assert entry is None or not entry.is_fresh(self.clock.now) or key in shown

    def nothing_that_is_shown_began_before_it_was_invalidated(self) -> None:
        for subject in self.subjects:
            shown = subject.shown()
            for key, full in subject.keys.items():
                if full in shown:
                    began = self.began[shown[full].value]
                    assert began > self.fences.get((subject, key), -1)
