"""What the options of freshness make of a load: an entry with its deadlines, or none."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from math import inf, nan
from typing import Any

import pytest

from conftest import HIGHEST, failure
from soloflight._entries.entry import Aging, Entry, Raising
from soloflight._entries.policy import LONGEST, Policy

NOW, COST = 1000.0, 2.0
DICE = (0.0, 0.25, 0.5, HIGHEST)


def entry(value: object = "value", **options: Any) -> Any:
    """The entry of a value that was loaded just now."""
    return Policy(**{"ttl": 10.0, **options}).entry(value, NOW, COST)


def error_entry(exception: Exception, error_ttl: Any, **options: Any) -> Any:
    """The entry of an exception that a load raised just now."""
    policy = Policy(ttl=10.0, error_ttl=error_ttl, **options)
    return policy.error_entry(failure(exception), NOW)


# Deadlines


def test_an_entry_of_a_function_without_options_of_freshness_does_not_age() -> None:
    made = entry()
    assert type(made) is Entry
    assert (made.value, made.fresh_until) == ("value", NOW + 10)


@pytest.mark.parametrize(
    ("options", "deadlines"),
    [
        ({"stale_while_revalidate": 5.0}, (10, 15, 10)),
        ({"stale_if_error": 20.0}, (10, 10, 30)),
        ({"stale_while_revalidate": 5.0, "stale_if_error": 20.0}, (10, 15, 30)),
        ({"stale_while_revalidate": 20.0, "stale_if_error": 5.0}, (10, 30, 15)),
        ({"early_refresh": 1.0}, (10, 10, 10)),
        ({"error_ttl": {KeyError: 5.0}}, (10, 10, 10)),
        ({"stale_if_error": inf}, (10, 10, inf)),
        ({"stale_if_error": 20.0, "ttl": lambda value: None}, (inf, inf, inf)),
        ({"stale_if_error": 20.0, "ttl": lambda value: 3}, (3, 3, 23)),
    ],
)
def test_deadlines_count_from_the_end_of_the_load(
    options: dict[str, Any], deadlines: tuple[float, ...]
) -> None:
    made = entry(**options)
    assert type(made) is Aging
    assert (made.fresh_until, made.stale_until, made.error_until) == tuple(
        NOW + deadline for deadline in deadlines
    )
    assert (made.value, made.cost, made.failures, made.last_error) == ("value", COST, 0, None)


@pytest.mark.parametrize("options", [{}, {"stale_if_error": 20.0}, {"early_refresh": 1.0}])
@pytest.mark.parametrize("value", [None, 0, Exception("a value like any other")])
def test_any_value_has_an_entry(value: object, options: dict[str, Any]) -> None:
    assert entry(value, **options).value is value


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("options", [{}, {"ttl": 0.1}, {"ttl": lambda value: None}])
def test_an_entry_is_calm_until_somebody_could_draw_so_much(
    beta: float, options: dict[str, Any], die: Callable[[float], None]
) -> None:
    made = entry(**options, early_refresh=beta, stale_while_revalidate=5.0)
    die(HIGHEST)
    longest = Policy(ttl=10.0, early_refresh=beta).draw(COST)
    assert made.calm_until == pytest.approx(made.fresh_until - longest)
    assert longest == pytest.approx(beta * COST * LONGEST)


# ttl, jitter, cache_if


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [(30, 30), (0.5, 0.5), (timedelta(minutes=1), 60), (None, inf), (inf, inf)],
)
@pytest.mark.parametrize("options", [{}, {"stale_if_error": 20.0}])
def test_a_ttl_from_the_value(ttl: Any, seconds: float, options: dict[str, Any]) -> None:
    assert entry(ttl, ttl=lambda value: value, **options).fresh_until == NOW + seconds


@pytest.mark.parametrize("ttl", [0, -1, -inf, timedelta(0), timedelta(seconds=-1)])
@pytest.mark.parametrize("options", [{}, {"stale_if_error": 20.0, "jitter": 0.5}])
def test_zero_or_less_is_handed_over_and_not_stored(ttl: Any, options: dict[str, Any]) -> None:
    made = entry("value", ttl=lambda value: ttl, **options)
    assert made is None


def test_a_fixed_ttl_of_zero_is_handed_over_and_not_stored() -> None:
    assert entry(ttl=0.0) is entry(ttl=0.0, error_ttl={KeyError: 5.0}) is None


@pytest.mark.parametrize(
    ("ttl", "error", "message"),
    [
        ("30", TypeError, r"what ttl\(\) returns must be seconds .* not str"),
        (True, TypeError, r"what ttl\(\) returns must be seconds .* not bool"),
        (nan, ValueError, r"what ttl\(\) returns must be a number of seconds, not nan"),
    ],
)
def test_a_ttl_that_is_no_duration_says_so(ttl: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        entry(ttl=lambda value: ttl)


@pytest.mark.parametrize("option", ["ttl", "cache_if"])
def test_what_an_option_raises_passes(option: str) -> None:
    with pytest.raises(ZeroDivisionError):
        entry(0, **{option: lambda value: 1 / value})


def test_cache_if_says_whether_to_store() -> None:
    options: dict[str, Any] = {"cache_if": lambda value: value is not None}
    assert type(entry("value", **options)) is Entry
    assert entry(None, **options) is None


def test_a_callable_that_is_false_itself_is_asked() -> None:
    class Nothing(list[Any]):
        def __call__(self, value: object) -> bool:
            return False

    assert entry(cache_if=Nothing()) is None


def test_what_is_not_stored_is_not_asked_for_its_ttl() -> None:
    made = entry(None, cache_if=lambda value: value is not None, ttl=lambda value: value.max_age)
    assert made is None


@pytest.mark.parametrize("ttl", [10.0, lambda value: 10])
@pytest.mark.parametrize("options", [{}, {"stale_while_revalidate": 5.0, "stale_if_error": 20.0}])
def test_jitter_shortens_within_its_share(
    ttl: Any, options: dict[str, Any], die: Callable[[float], None]
) -> None:
    found = []
    for number in DICE:
        die(number)
        made = entry(ttl=ttl, jitter=0.1, **options)
        found.append(made.fresh_until - NOW)
        for deadline, option in ("stale_until", "while_revalidate"), ("error_until", "if_error"):
            after = options.get(f"stale_{option}", 0)
            assert getattr(made, deadline) == pytest.approx(made.fresh_until + after)
    assert found == pytest.approx([10, 9.75, 9.5, 9])
    assert max(found) <= 10
    assert min(found) >= 9


def test_jitter_spreads() -> None:
    random.seed(1)
    found = [entry(jitter=0.1).fresh_until - NOW for _ in range(1000)]
    for tenth in range(10):
        there = sum(9 + tenth / 10 <= ttl < 9.1 + tenth / 10 for ttl in found)
        assert 60 < there < 140, f"tenth {tenth}"


@pytest.mark.parametrize("jitter", [0.1, 1.0])
def test_jitter_neither_ends_what_never_expires_nor_takes_a_whole_ttl(
    jitter: float, die: Callable[[float], None]
) -> None:
    die(HIGHEST)
    assert entry(jitter=jitter, ttl=lambda value: None).fresh_until == inf
    assert type(entry(jitter=jitter, ttl=1e-3)) is Entry


# error_ttl


class Refused(Exception):
    retry_after: Any = 5


class Busy(Refused): ...


class Full(Busy, ConnectionError): ...


@pytest.mark.parametrize(
    ("exception", "seconds"),
    [
        (Refused(), 1),
        (Busy(), 2),
        (Full(), 2),  # by its method resolution order: Full, Busy, Refused, ConnectionError
        (ConnectionResetError(), 3),
        (OSError(), None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_most_specific_class_wins(
    exception: Exception, seconds: float | None, backwards: bool
) -> None:
    items: list[Any] = [(Refused, 1), (ConnectionError, 3), (Busy, 2)]
    made = error_entry(exception, dict(reversed(items) if backwards else items))
    assert (made and made.fresh_until - NOW) == seconds


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(5, 5), (timedelta(minutes=1), 60), (inf, inf), (0.5, 0.5)]
)
def test_an_error_ttl_from_the_exception(retry_after: Any, seconds: float) -> None:
    error = Refused()
    error.retry_after = retry_after
    made = error_entry(error, {Refused: lambda error: error.retry_after})
    assert made.fresh_until == NOW + seconds


@pytest.mark.parametrize("ttl", [None, 0, -1, -inf, timedelta(0), timedelta(seconds=-1)])
def test_an_error_ttl_of_none_or_zero_is_not_stored(ttl: Any) -> None:
    """A callable's ``None`` is "it does not say": unlike a ttl's, which is for ever."""
    assert error_entry(Refused(), {Refused: lambda error: ttl, Exception: 9}) is None


def test_zero_makes_an_exception_of_a_class_that_is_stored() -> None:
    assert error_entry(Busy(), {Refused: 5, Busy: 0.0}) is None


@pytest.mark.parametrize(
    ("ttl", "error", "message"),
    [
        ("5", TypeError, "what a callable of error_ttl returns must be seconds .* not str"),
        (nan, ValueError, "what a callable of error_ttl returns must be a number .* not nan"),
    ],
)
def test_an_error_ttl_that_is_no_duration_says_so(ttl: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        error_entry(Refused(), {Refused: lambda error: ttl})


def test_what_a_callable_of_error_ttl_raises_passes() -> None:
    with pytest.raises(AttributeError, match="max_age"):
        error_entry(Refused(), {Refused: lambda error: error.max_age})


def test_an_exception_is_an_answer_that_is_never_served_stale() -> None:
    made = error_entry(
        Refused("no"), {Refused: 5}, stale_while_revalidate=60.0, stale_if_error=60.0
    )
    assert type(made) is Raising
    assert made.fresh_until == made.stale_until == made.error_until == NOW + 5
    assert made.calm_until == -inf, "whoever gets it raises a copy"
    assert (made.cost, made.failures, made.last_error) == (0.0, 0, None)
    with pytest.raises(Refused, match="no"):
        made.value  # noqa: B018


def test_jitter_shortens_an_error_ttl_too(die: Callable[[float], None]) -> None:
    die(0.5)
    assert error_entry(Refused(), {Refused: 10}, jitter=0.1).fresh_until == NOW + 9.5
    die(HIGHEST)
    assert error_entry(Refused(), {Refused: 10}, jitter=0.1).fresh_until >= NOW + 9
