"""Stateful properties: any order of operations, over any combination of options.

Hypothesis draws a configuration and then steps: calls that stay in progress, loads that end in some
way, callers that are cancelled, and everything that a decorated function offers. After each step
what is there is compared with a sequential model (`reference`). The same machine runs on threads
and on tasks (`worlds`).
"""

from __future__ import annotations

import logging
import sys
from typing import Any

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

import conftest
from properties.reference import Boom, Config, Entry
from properties.steps import Steps, Wish
from properties.subjects import Aim, configs
from properties.worlds import Tasks, Threads
from soloflight import CacheInfo

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
    @rule(wish=wishes, style=styles)
    def refresh(self, wish: Wish, style: str) -> None:
        self.start(self.aim(wish, style), refresh=True)

    # How loads end

    @precondition(lambda self: self.flying)
    @rule(pick=picks, drawn=values)
    def land(self, pick: int, drawn: int) -> None:
        self.end(self.pick_flight(pick), self.value(drawn))

    @precondition(lambda self: self.flying)
    @rule(pick=picks)
    def fail(self, pick: int) -> None:
        self.end(self.pick_flight(pick), Boom())

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
        subject, key = flight.subject, flight.key
        subject.model.off(flight)
        there = subject.model.flights.get(key)
        waited = 0 if there is None else self.waiting(there)
        flight.load.end(self.world.Interruption())
        if flight.leader in flight.aboard:
            assert isinstance(flight.leader.outcome(), self.world.Interruption)
            flight.aboard.remove(flight.leader)
        left = flight.aboard

        def settled() -> bool:
            # In this order: whoever is done waits no longer.
            done = sum(call.done() for call in left)
            leads = bool(self.world.arrivals) and not self.world.leader_waits
            return done + leads + subject.waiters(key) - waited == len(left)

        self.world.until(settled)
        if there is not None:
            there.aboard += left
            there.owners |= flight.owners
            return
        answered = [call for call in left if call.done()]
        left = [call for call in left if call not in answered]
        if answered:
            entry = subject.model.fresh(key)
            assert entry is not None
            assert all(call.look and call.outcome() == entry.value for call in answered)
            subject.model.hits += 1
            subject.model.perhaps += len(answered) - 1  # they may have shared one look
        if left:
            subject.model.misses += 1
            anew = self.lead(subject, key, flight.owner, flight.arguments, left)
            anew.owners |= flight.owners
            assert not (anew.leader.look and subject.model.fresh(key))

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
        entry, expected = at.ask("peek"), at.subject.model.fresh(at.key)
        assert (entry and (entry.value, entry.fresh_until)) == (
            expected and (expected.value, expected.fresh_until)
        )

    def invalidate(self, at: Aim, _: int) -> None:
        assert at.ask("invalidate") is at.subject.model.invalidate(at.key)
        self.fences[at.subject, at.key] = self.steps

    def put(self, at: Aim, drawn: int) -> None:
        value = self.value(drawn)
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
        self.after_store(at.subject, at.key)

    def clear(self, at: Aim, _: int) -> None:
        at.target.clear()
        at.subject.model.clear()
        for key in at.subject.keys:
            self.fences[at.subject, key] = self.steps

    def evict(self, at: Aim, _: int) -> None:
        """Straight from the cache, by hand."""
        at.subject.function.cache.pop(at.subject.keys[at.key], None)
        at.subject.model.entries.pop(at.key, None)

    @rule(wish=wishes, style=styles)
    def forget(self, wish: Wish, style: str) -> None:
        at = self.aim(wish, style)
        assert at.ask("forget") is at.subject.model.forget(at.key)

    @rule()
    def stats(self) -> None:
        for subject in self.subjects:
            model, stats = subject.model, subject.function.stats()
            assert model.hits <= stats.hits <= model.hits + model.perhaps
            model.hits, model.perhaps = stats.hits, 0
            told = (stats.hits, stats.misses, stats.joined, stats.errors, stats.store_errors)
            assert told == (
                model.hits,
                model.misses,
                model.joined,
                model.errors,
                model.store_errors,
            )
            if self.config.cache is not None:
                cache = subject.function.cache
                info = subject.function.cache_info()
                room = None if self.config.cache == "dict" else cache.maxsize
                size = getattr(cache, "currsize", len(cache))
                assert info == CacheInfo(model.hits, model.misses, room, size)

    # What happens to it

    @rule(seconds=st.sampled_from([1, 4, 10]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

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
        call = flight.aboard.pop(who % len(flight.aboard))
        call.task.cancel()
        if not flight.aboard:
            self.flying.remove(flight)
            flight.subject.model.off(flight)
        if newcomer:
            self.start(self.at(flight))  # its first step comes right after the leaving
        assert isinstance(call.outcome(), self.world.Interruption)
        assert flight.load.future.cancelled() is not bool(flight.aboard)

    @rule(wish=wishes, style=styles, refresh=st.booleans(), rounds=st.integers(0, 2))
    def cancel_at_once(self, wish: Wish, style: str, refresh: bool, rounds: int) -> None:
        """Before the caller, or its load, has made a step."""
        at = self.aim(wish, style)
        refresh = refresh and self.config.cache is not None
        model = at.subject.model
        if rounds and isinstance(model.claim(at.key, look=not refresh), Entry):
            self.last_used = at.subject, at.key
        call = self.world.call(at.target.refresh if refresh else at.target, *at.args, **at.kwargs)
        for _ in range(rounds):
            self.world.tick()
        call.task.cancel()
        call.outcome()
        for load in self.world.arrivals:
            assert load.future.cancelled()
        self.world.arrivals.clear()


@pytest.mark.parametrize("machine", [ThreadMachine, TaskMachine])
def test_any_order_of_operations_with_any_options(
    machine: Any,
    thorough: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conftest, "PATIENCE", 5.0)  # a failure would take long to shrink
    caplog.set_level(logging.ERROR, "soloflight")  # it warns of options that fail
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=1500 if thorough else 60,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
        ),
    )
