"""What the steps of `test_properties` are made of: each does one thing, and checks it at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, NamedTuple
from weakref import ref

from hypothesis.stateful import RuleBasedStateMachine

from conftest import Clock
from properties.reference import (
    UNSET,
    Arguments,
    Boom,
    Config,
    Copy,
    Entry,
    Flight,
    Refused,
    Served,
)
from properties.subjects import CACHES, Aim, Subject, number
from soloflight import WaitTimeout
from soloflight._entries.store import BURIED
from soloflight._outcome import SHARED

FEW = 6
"""Refreshes at a time; the pool has a few threads more than that."""


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
        self.known: set[tuple[Subject, Hashable]] = set()  # what was ever hit, or had to go

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
        self.leave_a_thread_free()
        found = subject.model.claim(key, look=not refresh)
        call = self.world.call(at.target.refresh if refresh else at.target, *at.args, **at.kwargs)
        call.look = not refresh
        if isinstance(found, Served):
            self.served(at, call, found)
            return None
        if isinstance(found, Refused):
            self.refused(call, found)
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

    def leave_a_thread_free(self) -> None:
        """Refreshes run on a few threads. (That they wait for one is tested elsewhere.)"""
        behind = [flight for flight in self.flying if flight.leader is None]
        if len(behind) == FEW:
            self.end(behind[0], self.value(2))

    def served(self, at: Aim, call: Any, found: Served) -> None:
        """At once; and a refresh may start behind that."""
        self.used(at.subject, at.key)
        self.check(call, found.entry)
        if found.refresh:
            self.world.until(lambda: self.world.arrivals)
            self.lead(at.subject, at.key, at.owner, at.arguments, [])

    def used(self, subject: Subject, key: Hashable) -> None:
        self.last_used = subject, key
        entry = subject.model.entries.get(key)
        if entry is not None:
            entry.hit = True
        self.known.add(self.last_used)

    def refused(self, call: Any, found: Refused) -> None:
        if found.entry is None:
            assert isinstance(call.outcome(), WaitTimeout)
        else:
            self.check(call, found.entry)

    def check(self, call: Any, entry: Entry) -> None:
        """That a call got an entry."""
        outcome = call.outcome()
        if entry.raises:
            assert isinstance(outcome, Boom)
            assert outcome.args == (entry.value,)
        else:
            self.check_value(outcome, entry.value)

    def check_value(self, outcome: Any, value: int) -> None:
        assert outcome == value
        assert type(outcome) is (Copy if self.config.copied else int)

    def lead(
        self, subject: Subject, key: Hashable, owner: int, arguments: Arguments, aboard: list[Any]
    ) -> Flight:
        """One of these callers leads, the others follow; if there is none, it is a refresh."""
        load = self.world.arrivals.popleft()
        leader = next((call for call in aboard if load.is_of(call)), None)
        flight = Flight(
            subject,
            key,
            owner,
            arguments,
            load,
            leader,
            self.steps,
            self.clock.now,
            aboard,
            {owner},
            ref(subject.function._core.table.flights.of(subject.keys[key])),
        )
        subject.model.flights[key] = flight
        self.flying.append(flight)
        return flight

    def waiting(self, flight: Flight) -> int:
        leads_itself = flight.leader is not None and not self.world.leader_waits
        return len(flight.aboard) - leads_itself

    def at(self, flight: Flight, style: str = "short") -> Aim:
        return Aim(flight.subject, flight.owner, flight.arguments, style)

    def pick_flight(self, pick: int) -> Flight:
        self.steps += 1
        return self.flying[pick % len(self.flying)]

    def end(self, flight: Flight, ending: Any) -> None:
        """Everyone aboard gets the outcome, and it is one object where that can be."""
        self.flying.remove(flight)
        model = flight.subject.model
        fenced = model.flights.get(flight.key) is not flight
        before = model.entries.get(flight.key)
        brought = ending.args[0] if isinstance(ending, Boom) else ending
        self.began[brought] = flight.began
        landing = model.land(flight, ending)
        flight.load.end(ending)
        self.world.until(flight.is_over)
        errors = set()
        for call in flight.aboard:
            expected, outcome = landing.call if call.look else landing.refresh, call.outcome()
            if isinstance(expected, Boom):
                assert type(outcome) is Boom
                assert outcome.args == expected.args
                errors.add(id(outcome))
            else:
                self.check_value(outcome, expected)
                model.counts["stale_on_error"] += isinstance(landing.refresh, Boom)
        assert not SHARED or len(errors) <= 1
        stored = not fenced and model.entries.get(flight.key) is not before
        self.after_store(flight.subject, flight.key if stored else None, None if fenced else before)

    def after_store(self, subject: Subject, key: Hashable, old: Entry | None) -> None:
        """After what may have been a store: see what was evicted, and whether it had to be.

        `old`: what was there before. It may have gone before it was replaced.
        """
        if self.config.cache is None:
            return
        stored = key in subject.model.entries
        if old is not None and not self.clock.now < old.until:
            self.perhaps_gone(subject, "expired")
        if old is not None and self.config.sized:
            self.perhaps_gone(subject, "evictions")
        evicted: dict[tuple[Subject, Hashable], Entry] = {}
        for other in self.subjects:
            for kept, entry in list(other.model.entries.items()):
                held = other.held(kept)
                if held is not None and number(held) == entry.value:
                    continue
                if other.model.alive(kept) is not None:
                    assert stored, "evicted for nothing"
                    assert self.config.room < 100, "evicted though there is room"
                    assert (other, kept) != (subject, key), "it was not stored"
                    assert (other, kept) != self.last_used or not self.keeps_the_last_used()
                    evicted[other, kept] = entry
                    self.gone_for_sure(other, "evictions")
                else:
                    self.gone_for_sure(other, "evictions", "expired")
                del other.model.entries[kept]
        if not stored:
            return
        self.last_used = subject, key
        if self.config.ours:
            self.whose_turn_it_was(evicted, subject, key)
        dead = sum(len(other.graves) for other in self.subjects)
        for other in self.subjects:
            left = [*filter(other.held_as, other.graves)]
            for _ in range(len(other.graves) - len(left)):
                self.perhaps_gone(other, "evictions", "expired")
            other.graves = left
        left_of_all = sum(len(other.graves) for other in self.subjects)
        assert left_of_all <= max(0, dead - BURIED), "a dead instance's entry is kept"

    def counting(self, subject: Subject) -> list[Subject]:
        """Those whose counts tell of it: a cache of ours counts for all who share it."""
        return self.subjects if self.config.ours else [subject]

    def gone_for_sure(self, subject: Subject, *whys: str) -> None:
        """An entry has left the cache, counted as one of these; of a given one, late perhaps."""
        for counted in self.counting(subject):
            if len(whys) == 1 and self.config.ours:
                counted.model.counts[whys[0]] += 1
            else:
                counted.model.perhaps.update(whys)
            counted.model.gone += 1

    def perhaps_gone(self, subject: Subject, *whys: str) -> None:
        for counted in self.counting(subject):
            counted.model.perhaps.update(whys)

    def whose_turn_it_was(
        self,
        evicted: dict[tuple[Subject, Hashable], Entry],
        subject: Subject,
        key: Hashable,
    ) -> None:
        """What was asked for since something had to go does not, while others never were."""
        kept = {(other, kept) for other in self.subjects for kept in other.model.entries}
        others = kept - self.known - {(subject, key)}
        for victim in evicted.values():
            if not self.config.sized:  # or one may have to go after the other
                assert not (victim.hit and others), "it was asked for, and others were not"
        if evicted:
            self.known.update(evicted)  # they may be known when they come back
            for other, there in kept:
                other.model.entries[there].hit = False

    def keeps_the_last_used(self) -> bool:
        config = self.config
        by_age = config.cache in ("TTLCache", "LRUCache", "TLRUCache")
        return by_age and config.room >= 2 and not config.shared

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
            assert {k: self.told(e) for k, e in subject.shown().items()} == {
                subject.keys[key]: self.due(entry)
                for key, entry in subject.model.entries.items()
                if subject.model.alive(key)
            }

    def told(self, entry: Any) -> tuple[Any, ...]:
        """What an entry says of itself."""
        deadlines = entry.fresh_until, entry.stale_until, entry.error_until
        failure = type(entry.last_error) if entry.failures else None
        return number(entry), *deadlines, entry.failures, failure

    def due(self, entry: Entry) -> tuple[Any, ...]:
        """What it has to say."""
        deadlines = entry.fresh_until, entry.stale_until, entry.error_until
        return entry.value, *deadlines, entry.failures, entry.last_error

    def only_what_the_cache_holds_is_shown(self) -> None:
        for subject in self.subjects:
            for key, entry in subject.shown().items():
                assert subject.held_as(key) is entry

    def what_the_cache_holds_is_shown(self) -> None:
        for subject in self.subjects:
            shown = subject.shown()
            for key in subject.keys.values():
                entry = subject.held_as(key)
                assert entry is None or not self.clock.now < entry.until or key in shown

    def nothing_that_is_shown_began_before_it_was_invalidated(self) -> None:
        for subject in self.subjects:
            shown = subject.shown()
            for key, full in subject.keys.items():
                if full in shown:
                    began = self.began[number(shown[full])]
                    assert began > self.fences.get((subject, key), -1)
