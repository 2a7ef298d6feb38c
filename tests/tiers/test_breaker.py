"""When a store that did not answer is asked again."""

from __future__ import annotations

import pytest

from conftest import Clock
from soloflight._tiers.breaker import Breaker


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(0.5, clock)


def fails(breaker: Breaker, clock: Clock, *, hangs: bool = False) -> None:
    clock.advance(0.01)
    breaker.failed(clock.now, hangs)


def test_the_first_timeout_opens_it(breaker: Breaker, clock: Clock) -> None:
    assert breaker.lets()
    fails(breaker, clock, hangs=True)
    assert not breaker.lets()


def test_one_broken_connection_is_no_outage(breaker: Breaker, clock: Clock) -> None:
    fails(breaker, clock)
    assert breaker.lets()
    breaker.answered()
    fails(breaker, clock)
    assert breaker.lets()
    fails(breaker, clock)
    assert not breaker.lets()


def test_then_there_is_one_probe(breaker: Breaker, clock: Clock) -> None:
    fails(breaker, clock, hangs=True)
    clock.advance(0.19)
    assert not breaker.lets()
    clock.advance(0.02)
    assert breaker.lets()
    assert not breaker.lets()


def test_a_probe_that_is_lost_is_not_the_last_one(breaker: Breaker, clock: Clock) -> None:
    """Its thread was interrupted, say."""
    fails(breaker, clock, hangs=True)
    clock.advance(0.21)
    assert breaker.lets()
    clock.advance(0.51)
    assert breaker.lets()


def test_pauses_grow_up_to_five_seconds(breaker: Breaker, clock: Clock) -> None:
    pauses = []
    for _ in range(8):
        fails(breaker, clock, hangs=True)
        start = clock.now
        while not breaker.lets():
            clock.advance(0.1)
        pauses.append(round(clock.now - start, 1))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    breaker.answered()
    fails(breaker, clock, hangs=True)
    clock.advance(0.21)
    assert breaker.lets()


def test_many_that_had_asked_before_it_opened_are_one_failure(
    breaker: Breaker, clock: Clock
) -> None:
    asked = clock.now
    clock.advance(0.25)
    for _ in range(64):
        breaker.failed(asked, True)
    clock.advance(0.21)
    assert breaker.lets()
    assert not breaker.failed_since(clock.now)
    assert breaker.failed_since(asked)
