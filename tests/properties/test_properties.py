"""Stateful properties: any order of operations, over any combination of options.

Hypothesis draws a configuration and then steps: calls that stay in progress, loads that end in some
way, callers that are cancelled, and everything that a decorated function offers. After each step
what is there is compared with a sequential model (`reference`). The same machine runs on threads
and on tasks (`worlds`).

The steps are the same in each run, but Hypothesis also draws the constants of the modules that are
imported: what fails in a whole run fails again with ``pytest tests -k AgingThreads``, say, which
imports all of them, and perhaps not with this file alone.
"""

from __future__ import annotations

import gc
import logging
import sys
from dataclasses import asdict
from math import inf
from types import MethodType
from typing import Any
from weakref import ref

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import meeting
from properties.reference import Boom, Config, Refused, Served, dice, size
from properties.steps import Steps, Wish
from properties.subjects import Aim, configs
from properties.worlds import Repository, Tasks, Threads
from soloflight import CacheInfo
from soloflight._entries import policy

picks = st.integers(0, 5)
styles = st.sampled_from(["short", "long", "keywords"])
wishes = st.integers(0, 2).map(Wish) | st.builds(
    Wish,
    st.none(),
    st.integers(0, 1),
    st.integers(0, 2),
    st.sampled_from([(1, 0, None), (2, 0, None), (1.0, 0, None), (1, 1, None), (1, 0, "s")]),
)
values = st.integers(0, 209)
"""The options that depend on the value look at its remainder by 3, 5, 6 or 7."""


class Machine(Steps):
    """The steps. A subclass has a world."""

    @initialize(config=configs())
    def decorated(self, config: Config) -> None:
        dice.shows = 0
        self.decorate(config)

    # Calls

    @rule(wish=wishes, style=styles)
    def call(self, wish: Wish, style: str) -> None:
        """A call hits, or stays in progress: it follows or leads."""
        self.start(self.aim(wish, style))

    @precondition(lambda self: self.flying)
    @rule(pick=picks, style=styles)
    def call_like(self, pick: int, style: str) -> None:
        """A call of what is being loaded."""
        self.start(self.at(self.pick_flight(pick), style))

    @rule(wish=wishes, style=styles, drawn=values)
    def load(self, wish: Wish, style: str, drawn: int) -> None:
        """A call whose load, if it has one, ends at once."""
        flight = self.start(self.aim(wish, style))
        if flight is not None:
            self.end(flight, self.value(drawn))

    @precondition(lambda self: self.config.cache)
    @rule(numbers=st.lists(st.integers(0, 4), min_size=3, max_size=9), drawn=values)
    def load_many(self, numbers: list[int], drawn: int) -> None:
        """The same one after the other, of a few keys: many a cache has no room for all of them."""
        for number in numbers:
            self.load(Wish(None, arguments=(number, 0, None)), "short", drawn)
            self.clock.advance(number == 4)

    @precondition(lambda self: self.config.cache)
    @rule(wish=wishes, style=styles)
    def refresh(self, wish: Wish, style: str) -> None:
        self.start(self.aim(wish, style), refresh=True)

    # How loads end

    @precondition(lambda self: self.flying)
    @rule(pick=picks, drawn=values)
    def land(self, pick: int, drawn: int) -> None:
        self.end(self.pick_flight(pick), self.value(drawn))

    @precondition(lambda self: self.flying)
    @rule(pick=picks, drawn=values)
    def fail(self, pick: int, drawn: int) -> None:
        self.end(self.pick_flight(pick), Boom(self.value(drawn)))

    @precondition(lambda self: self.flying)
    @rule(pick=picks, drawn=st.none() | values)
    def interrupt(self, pick: int, drawn: int | None) -> None:
        """The loader is interrupted: its caller gets that, and one of the others leads anew.

        They hit instead where a value was put meanwhile.
        """
        flight = self.pick_flight(pick)
        if drawn is not None and self.config.cache:
            self.put(self.at(flight), drawn)
        self.flying.remove(flight)
        subject, key, model = flight.subject, flight.key, flight.subject.model
        model.abandon(flight)
        model.counts["abandoned"] += 1
        left = [call for call in flight.aboard if call is not flight.leader]
        there, refused = model.flights.get(key), False
        if there is not None and left and model.is_due(there):
            refused = not model.let_go(there)
            there = there if refused else None
        waited = 0 if there is None else self.waiting(there)
        flight.load.end(self.world.Interruption())
        if len(left) < len(flight.aboard):
            assert isinstance(flight.leader.outcome(), self.world.Interruption)

        def settled() -> bool:
            # In this order: whoever is done waits no longer.
            done = sum(call.done() for call in left)
            leads = bool(self.world.arrivals) and not self.world.leader_waits
            return done + leads + subject.waiters(key) - waited == len(left)

        self.world.until(lambda: flight.is_over() and settled())
        if refused:
            for call in left:
                self.refused(call, Refused(model.instead(key, call.look)))
            return
        if there is not None:
            there.aboard += left
            there.owners |= flight.owners
            return
        answered = [call for call in left if call.done()]
        left = [call for call in left if call not in answered]
        if answered:
            self.hit_after_all(subject, key, answered)
        if left:
            model.counts["misses"] += 1
            anew = self.lead(subject, key, flight.owner, flight.arguments, left)
            anew.owners |= flight.owners
            assert not (anew.leader.look and model.will_do(key))

    def hit_after_all(self, subject: Any, key: Any, answered: list[Any]) -> None:
        """Callers who were about to load; they may have shared one look at a value."""
        model = subject.model
        entry = model.will_do(key)
        assert entry is not None
        before = dict(model.counts)
        self.known.add((subject, key))
        for call in answered:
            assert call.look
            self.check(call, entry)
            model.count_hit(entry)
        if not entry.raises:
            for name, count in before.items():
                if model.counts[name] > count:
                    model.perhaps[name] += len(answered) - 1
                    model.counts[name] = count + 1

    # What a function offers

    @precondition(lambda self: self.config.cache)
    @rule(
        what=st.sampled_from(["peek", "invalidate", "put", "clear", "evict"]),
        wish=wishes,
        style=styles,
        drawn=values,
    )
    def ask(self, what: str, wish: Wish, style: str, drawn: int) -> None:
        getattr(self, what)(self.aim(wish, style), drawn)

    @precondition(lambda self: self.flying and self.config.cache)
    @rule(what=st.sampled_from(["invalidate", "put", "clear"]), pick=picks, drawn=values)
    def fence(self, what: str, pick: int, drawn: int) -> None:
        getattr(self, what)(self.at(self.pick_flight(pick)), drawn)

    def peek(self, at: Aim, _: int) -> None:
        entry, expected = at.ask("peek"), at.subject.model.alive(at.key)
        assert (entry and self.told(entry)) == (expected and self.due(expected))

    def invalidate(self, at: Aim, _: int) -> None:
        assert at.ask("invalidate") is at.subject.model.invalidate(at.key)
        self.fences[at.subject, at.key] = self.steps

    def put(self, at: Aim, drawn: int) -> None:
        value, before = self.value(drawn), at.subject.model.entries.get(at.key)
        try:
            at.subject.model.put(at.key, value)
        except Boom:
            with pytest.raises(Boom):
                at.ask("put", value)
            return
        at.ask("put", value)
        self.fences[at.subject, at.key] = self.steps
        self.steps += 1
        self.began[value] = self.steps
        self.after_store(at.subject, at.key, before)

    def clear(self, at: Aim, _: int) -> None:
        config = at.subject.model.config
        bound = isinstance(at.target, MethodType) and config.per_instance is not False
        keys = [key for key in at.subject.keys if not bound or key[0] == at.key[0]]
        at.target.clear()
        at.subject.model.clear(keys)
        for key in keys:
            self.fences[at.subject, key] = self.steps

    def evict(self, at: Aim, _: int) -> None:
        """Straight from the cache, by hand."""
        at.subject.function.cache.pop(at.subject.keys[at.key], None)
        at.subject.model.entries.pop(at.key, None)
        if not self.config.ours:  # one that was given tells nobody why something has gone
            self.perhaps_gone(at.subject, "evictions")

    @rule(wish=wishes, style=styles)
    def forget(self, wish: Wish, style: str) -> None:
        at = self.aim(wish, style)
        assert at.ask("forget") is at.subject.model.forget(at.key)

    @rule()
    def stats(self) -> None:
        for subject in self.subjects:
            model, stats = subject.model, asdict(subject.function.stats())
            for name, most in model.perhaps.items():
                beyond = stats[name] - model.counts[name]
                assert 0 <= beyond <= most
                model.counts[name] = stats[name]
                late = name == "evictions" and not self.config.ours  # at the next store
                model.perhaps[name] = most - beyond if late else 0
            if self.config.cache is None:  # it has no timer of ours
                model.counts["load_seconds"] = stats["load_seconds"]
            stats = {name: stats[name] for name in model.counts}  # those of tiers apart
            assert stats == model.counts
            if self.config.cache is not None:
                cache = subject.function.cache
                info = subject.function.cache_info()
                room = None if self.config.cache == "dict" else cache.maxsize
                room = None if room == inf else room
                currsize = getattr(cache, "currsize", len(cache))
                assert info == CacheInfo(stats["hits"], stats["misses"], room, currsize)
                if self.config.ours:
                    self.as_large_as_it_says(cache)
                    assert stats["evictions"] + stats["expired"] >= model.gone

    def as_large_as_it_says(self, cache: Any) -> None:
        """It has what was stored, also what has expired since; some of what is of the dead."""
        kept = sum(len(subject.model.entries) for subject in self.subjects)
        dead = sum(len(subject.graves) for subject in self.subjects)
        assert kept <= len(cache) <= kept + dead
        assert cache.currsize <= self.config.room
        if not self.config.sized:
            assert cache.currsize == len(cache)
        elif not dead:
            entries = [e for subject in self.subjects for e in subject.model.entries.values()]
            assert cache.currsize == sum(1 if e.raises else size(e.value) for e in entries)

    # What happens to it

    @rule(seconds=st.sampled_from([1, 4, 10]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.config.life.aging)
    @rule(
        wish=wishes,
        style=styles,
        cost=st.integers(0, 3),
        shows=st.sampled_from([0, 0.5, 0.75]),
        deadline=st.sampled_from(["fresh_until", "stale_until", "error_until", "held_until"]),
        before=st.sampled_from([0, 1]),
        ends=st.none() | st.booleans(),
        drawn=values,
    )
    def call_again(
        self,
        wish: Wish,
        style: str,
        cost: int,
        shows: float,
        deadline: str,
        before: int,
        ends: bool | None,
        drawn: int,
    ) -> None:
        """A call, and another one at a deadline of what that has stored, or a second before.

        The load of the second one, or behind it, may end at once.
        """
        dice.shows = shows
        at = self.aim(wish, style)
        flight = self.start(at)
        if flight is not None:
            self.clock.advance(cost)
            self.end(flight, self.value(drawn))
        entry = at.subject.model.entries.get(at.key)
        if entry is None:
            return
        until = getattr(entry, deadline) - before
        if self.clock.now < until < inf:
            self.clock.now = until
        self.steps += 1
        self.start(at)
        flight = at.subject.model.flights.get(at.key)
        if flight is not None and ends is not None:
            value = self.value(drawn)
            self.end(flight, value if ends else Boom(value))

    @precondition(lambda self: self.config.life.aging or self.config.life.jitter)
    @rule(shows=st.sampled_from([0, 0.5, 0.75]))
    def dice_are_thrown(self, shows: float) -> None:
        dice.shows = shows

    @precondition(lambda self: self.config.kind == "method")
    @rule(pick=st.integers(0, 2))
    def instance_dies(self, pick: int) -> None:
        """Nothing keeps it alive, and another one, perhaps at its address, knows nothing of it."""
        for flight in list(self.flying):
            if flight.subject is self.subjects[0] and pick in flight.owners:
                self.end(flight, self.value(0))
        flight = None  # it holds the calls
        self.subjects[0].replace(pick, self.world.leaves_rings)

    @invariant()
    def laws(self) -> None:
        self.only_what_is_in_flight_is_on_the_table()
        if self.subjects and self.config.cache is not None:
            self.what_is_shown_is_what_should_be_there()
            self.only_what_the_cache_holds_is_shown()
            self.what_the_cache_holds_is_shown()
            self.nothing_that_is_shown_began_before_it_was_invalidated()

    def teardown(self) -> None:
        """Everyone aboard is answered; nothing is left."""
        if sys.exc_info()[0] is not None:  # a step failed: only let everybody go
            for load in [*(flight.load for flight in self.flying), *self.world.arrivals]:
                load.end(0)
            self.world.give_up()
            return
        while self.flying:
            self.end(self.flying[0], self.value(0))
        self.stats()
        self.laws()
        self.world.close()


class ThreadMachine(Machine):
    World = Threads


class TaskMachine(Machine):
    World = Tasks

    @precondition(lambda self: self.flying)
    @rule(pick=picks, who=picks, newcomer=st.booleans())
    def cancel(self, pick: int, who: int, newcomer: bool) -> None:
        """Any caller. The load is cancelled with the last of them, and no newcomer joins it."""
        flight = self.pick_flight(pick)
        if not flight.aboard:
            return
        call = flight.aboard.pop(who % len(flight.aboard))
        call.task.cancel()
        ends = not flight.aboard and flight.leader is not None
        if ends:
            self.flying.remove(flight)
            flight.subject.model.off(flight)
            flight.subject.model.counts["abandoned"] += 1
        if newcomer:
            self.start(self.at(flight))  # its first step comes right after the leaving
        assert isinstance(call.outcome(), self.world.Interruption)
        assert flight.load.future.cancelled() is ends

    @rule(wish=wishes, style=styles, refresh=st.booleans(), rounds=st.integers(0, 2))
    def cancel_at_once(self, wish: Wish, style: str, refresh: bool, rounds: int) -> None:
        """Before the caller, or its load, has made a step."""
        at = self.aim(wish, style)
        refresh = refresh and self.config.cache is not None
        model = at.subject.model
        found = model.claim(at.key, look=not refresh) if rounds else self
        if isinstance(found, Served):
            self.used(at.subject, at.key)
        if found is None:
            model.counts["abandoned"] += 1
        call = self.world.call(at.target.refresh if refresh else at.target, *at.args, **at.kwargs)
        for _ in range(rounds):
            self.world.tick()
        call.task.cancel()
        call.outcome()
        if isinstance(found, Served) and found.refresh:
            self.world.until(lambda: self.world.arrivals)
            self.lead(at.subject, at.key, at.owner, at.arguments, [])
        for load in self.world.arrivals:
            assert load.future.cancelled()
        self.world.arrivals.clear()


class AgingThreads(ThreadMachine):
    @initialize(config=configs(aging=True))
    def decorated(self, config: Config) -> None:
        super().decorated(config)


class AgingTasks(TaskMachine):
    @initialize(config=configs(aging=True))
    def decorated(self, config: Config) -> None:
        super().decorated(config)


class OwnThreads(ThreadMachine):
    @initialize(config=configs(ours=True))
    def decorated(self, config: Config) -> None:
        super().decorated(config)


class OwnTasks(TaskMachine):
    @initialize(config=configs(ours=True))
    def decorated(self, config: Config) -> None:
        super().decorated(config)


MACHINES = [ThreadMachine, TaskMachine, AgingThreads, AgingTasks, OwnThreads, OwnTasks]


@pytest.mark.parametrize("World", [Threads, Tasks])
def test_what_a_call_has_raised_does_not_hold_its_arguments(World: Any) -> None:
    """Nor does what that was raised beside. (The function is not even decorated.)"""

    def load(owner: Repository) -> None:
        try:
            raise Boom("loader")
        except Boom:
            raise Boom("option")  # noqa: B904  # which is the case

    async def load_in_task(owner: Repository) -> None:
        load(owner)

    world, owner = World(), Repository()
    watch = ref(owner)
    call = world.call(load if World is Threads else load_in_task, owner)
    del owner
    assert call.outcome().args == ("option",)
    del call
    if world.leaves_rings:
        gc.collect()
    assert watch() is None
    world.close()


@pytest.mark.parametrize("machine", MACHINES)
def test_any_order_of_operations_with_any_options(
    machine: Any,
    thorough: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(meeting, "PATIENCE", 5.0)  # a failure would take long to shrink
    monkeypatch.setattr(policy, "random", dice)
    caplog.set_level(logging.ERROR, "soloflight")  # it warns of options that fail
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=1500 if thorough else 80 // meeting.share,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
        ),
    )
