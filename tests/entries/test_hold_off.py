"""After a failed reload: how long the next attempt has to wait, and what is noted."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from conftest import HIGHEST, failure
from soloflight._entries.policy import Policy

NOW, COST = 1000.0, 2.0


def entry(value: object = "value", **options: Any) -> Any:
    """The entry of a value that was loaded just now: fresh for 10 s."""
    return Policy(ttl=10.0, **options).entry(value, NOW, COST)


def held_off(made: Any, now: float, times: int = 1, **options: Any) -> float:
    """Fail to reload so many times in a row; returns how long the next attempt has to wait."""
    policy = Policy(ttl=10.0, stale_if_error=inf, **options)
    for _ in range(times):
        policy.hold_off(made, failure(LookupError("down")), now, made.until)
    return float(made.calm_until - now)


@pytest.mark.parametrize(
    ("failures", "most"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (5000, 30)]
)
def test_each_failure_doubles_the_wait_up_to_a_limit(
    failures: int, most: float, die: Callable[[float], None]
) -> None:
    waits = []
    for number in (0.0, 0.25, 0.5, HIGHEST):
        die(number)
        made = entry(stale_if_error=inf)
        waits.append(held_off(made, NOW + 10, failures))
        assert made.failures == failures
    assert waits == pytest.approx([most / 2, most * 5 / 8, most * 3 / 4, most])


def test_waits_are_spread_between_half_and_all() -> None:
    random.seed(1)
    waits = [held_off(entry(stale_if_error=inf), NOW + 10) for _ in range(1000)]
    for tenth in range(10):
        there = sum(0.5 + tenth / 20 <= wait < 0.55 + tenth / 20 for wait in waits)
        assert 60 < there < 140, f"tenth {tenth}"


@pytest.mark.parametrize("retry_after", [(0.1, 0.25), (5.0, 5.0), (2.0, 1000.0)])
def test_the_wait_is_as_asked_for(
    retry_after: tuple[float, float], die: Callable[[float], None]
) -> None:
    die(HIGHEST)
    base, most = retry_after
    made = entry(stale_if_error=inf)
    assert held_off(made, NOW + 10, retry_after=retry_after) == pytest.approx(base)
    assert held_off(made, NOW + 10, 100, retry_after=retry_after) == pytest.approx(most)


def test_without_a_limit_any_number_of_failures_is_fine() -> None:
    wait = held_off(entry(stale_if_error=inf), NOW + 10, 5000, retry_after=(10.0, inf))
    assert 1e6 < wait < inf


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ({"stale_while_revalidate": 5.0}, 15),
        ({"stale_if_error": 20.0}, 30),
        ({"stale_while_revalidate": 20.0, "stale_if_error": 5.0}, 30),
        ({"early_refresh": 1.0}, 10),
    ],
)
def test_nobody_is_held_off_beyond_the_last_deadline(options: dict[str, Any], last: float) -> None:
    made = entry(**options)
    wait = held_off(made, NOW + last - 0.25, 10)
    assert wait == 0.25


def test_a_failure_is_noted_and_touches_nothing_else() -> None:
    made = entry(["value"], stale_while_revalidate=5.0, stale_if_error=20.0)
    value, deadlines = made.value, (made.fresh_until, made.stale_until, made.error_until)
    held_off(made, NOW + 12)
    error = failure(KeyError("again"))
    Policy(ttl=10.0, stale_if_error=20.0).hold_off(made, error, NOW + 14, made.until)
    assert made.value is value == ["value"]
    assert (made.fresh_until, made.stale_until, made.error_until) == deadlines
    assert made.cost == COST
    assert made.failures == 2
    assert repr(made.last_error) == "KeyError('again')"
    assert made.last_error is not error.exception
    assert made.last_error.__traceback__ is None, "it would keep the loader's frames alive"


def test_a_fresh_entry_stays_as_calm_as_it_was() -> None:
    """An explicit refresh may fail long before anybody would think of the next one."""
    made = entry(stale_if_error=20.0)
    held_off(made, NOW + 1)
    assert made.calm_until == made.fresh_until == NOW + 10
