"""Reloads that fail: who is told, and when the next attempt is made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from both_worlds import Threads, World, landed
from conftest import HIGHEST, Boom, Clock, until
from soloflight._flights.table import FlightTable

BEHIND = {"stale_while_revalidate": 1000}
INSTEAD = {"stale_if_error": 1000}
BOTH = pytest.mark.parametrize("options", [BEHIND, INSTEAD], ids=["behind", "instead"])


def told(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The exceptions that were logged, with the tracebacks."""
    records = [record for record in caplog.records if record.name == "soloflight"]
    caplog.clear()
    assert all(record.levelno == logging.WARNING for record in records)
    return [record.exc_info[1:] for record in records if record.exc_info]


@BOTH
def test_a_failed_reload_is_told_once_and_leaves_the_entry_as_it_is(
    world: World, clock: Clock, options: Any, caplog: pytest.LogCaptureFixture
) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, timer=clock, **options)
    assert world.call(load) == 1
    before = load.peek()
    assert (before.failures, before.last_error) == (0, None)

    clock.advance(10)
    origin.fail()
    for _ in range(5):
        assert world.call(load) == 1
        landed(load)

    until(lambda: caplog.records)  # it is told after the landing
    ((error, traceback),) = told(caplog)
    assert (type(error), error.args) == (Boom, (2,))
    assert traceback.tb_frame.f_code.co_name == "load"
    after = load.peek()
    assert after.value == 1
    assert (type(after.last_error), after.last_error.args) == (Boom, (2,))
    assert after.last_error.__traceback__ is None
    assert after.failures == 1
    for deadline in ("fresh_until", "stale_until", "error_until"):
        assert getattr(after, deadline) == getattr(before, deadline)
    stats = load.stats()
    assert (stats.errors, stats.misses, origin.loads) == (1, 2, 2)


@BOTH
def test_attempts_are_held_off_twice_as_long_each_time_up_to_the_most(
    world: World, clock: Clock, options: Any, die: Callable[[float], None]
) -> None:
    die(1)  # no jitter
    origin, load = world.aged(10, ttl=10, timer=clock, retry_after=(2, 20), **options)

    def attempts(waits: list[float]) -> None:
        world.call(load)
        landed(load)
        for wait in waits:
            loads = origin.loads
            clock.advance(wait - 0.125)
            world.call(load)
            assert origin.loads == loads
            clock.advance(0.125)
            world.call(load)
            landed(load)
            assert origin.loads == loads + 1

    origin.fail()
    attempts([2, 4, 8, 16, 20, 20])
    assert load.peek().failures == 7

    origin.recover()
    clock.advance(20)
    world.call(load)
    landed(load)
    entry = load.peek()
    assert (entry.value, entry.failures, entry.last_error) == (9, 0, None)

    origin.fail()
    clock.advance(10)
    attempts([2, 4])


@pytest.mark.parametrize(
    "options", [{"stale_while_revalidate": 5}, {"stale_if_error": 5}], ids=["behind", "instead"]
)
def test_held_off_or_not_a_value_ends_at_its_last_deadline(
    world: World, clock: Clock, options: Any, die: Callable[[float], None]
) -> None:
    die(1)
    origin = world.origin()
    load = world.cached(origin, ttl=10, timer=clock, retry_after=(60, 60), **options)
    world.call(load)
    origin.fail()
    clock.advance(10)
    world.call(load)
    landed(load)
    clock.advance(4.875)
    assert world.call(load) == 1
    assert origin.loads == 2
    clock.advance(0.125)
    for _ in range(2):
        with pytest.raises(Boom):
            world.call(load)
    assert origin.loads == 4


@BOTH
def test_refresh_raises_what_the_load_raised(world: World, clock: Clock, options: Any) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, timer=clock, **options)
    world.call(load)
    origin.fail()
    for age in (0, 10):
        clock.advance(age)
        with pytest.raises(Boom):
            world.call(load.refresh)
        assert world.call(load) == 1
        assert load.peek().last_error is not None


def test_an_early_refresh_that_fails_is_held_off_as_well(
    world: World, clock: Clock, die: Callable[[float], None]
) -> None:
    origin = world.origin()
    origin.answer = lambda number: clock.advance(1) or number
    load = world.cached(origin, ttl=10, early_refresh=1.0, timer=clock, retry_after=(2, 2))
    world.call(load)
    origin.fail()
    clock.advance(5)
    die(HIGHEST)  # whoever draws this, refreshes
    for attempts in (1, 2):
        for _ in range(5):
            assert world.call(load) == 1
            landed(load)
        assert load.stats().early_refreshes == attempts
        clock.advance(2)
    clock.advance(1)  # it has expired
    with pytest.raises(Boom):
        world.call(load)


@BOTH
def test_who_comes_too_late_for_an_attempt_that_failed_is_held_off_as_well(
    clock: Clock, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has seen that an attempt was due; when it claims the key, another one has failed."""
    world = Threads()
    origin, load = world.aged(10, ttl=10, timer=clock, **options)
    origin.fail()
    method = "claim_behind" if options is BEHIND else "claim"
    claim = getattr(FlightTable, method)

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(FlightTable, method, claim)
        assert load() == 1
        landed(load)
        return claim(*args, **kwargs)

    monkeypatch.setattr(FlightTable, method, late)
    assert load() == 1
    landed(load)
    assert origin.loads == 2
