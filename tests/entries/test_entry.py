"""The life of an entry: what it is good for at a time, a deadline itself included."""

from __future__ import annotations

import weakref
from copy import deepcopy
from math import inf, nextafter
from typing import Any

import pytest

from conftest import until
from soloflight._entries.entry import Aging, Entry, Raising, State, entry_of, state
from soloflight._entries.making import blank
from soloflight._outcome import Error

FRESH, EARLY, STALE = State.FRESH, State.EARLY, State.STALE
HELD_OFF, ON_ERROR, EXPIRED = State.HELD_OFF, State.ON_ERROR, State.EXPIRED


def before(time: float) -> float:
    """The last moment before a time."""
    return nextafter(time, -inf)


def after(time: float) -> float:
    return nextafter(time, inf)


def aging(
    stale_until: float = 10,
    error_until: float = 10,
    *,
    fresh_until: float = 10,
    calm_until: float | None = None,
    cls: Any = Aging,
) -> Any:
    """An entry that is fresh until 10 where nothing else is said."""
    entry = blank(cls)
    entry.value = ["value"]
    entry.fresh_until, entry.stale_until, entry.error_until = fresh_until, stale_until, error_until
    entry.calm_until = fresh_until if calm_until is None else calm_until
    entry.cost, entry.failures, entry.last_error, entry.version = 2.0, 0, None, b"1"
    return entry


def raising(**deadlines: Any) -> Any:
    try:
        raise LookupError("nobody")
    except LookupError as error:
        entry = aging(**deadlines, calm_until=-inf, cls=Raising)
        entry.kept = Error(error, None)
        return entry


@pytest.mark.parametrize(
    ("entry", "now", "expected"),
    [
        # no option that serves stale values
        (aging(), 0, FRESH),
        (aging(), before(10), FRESH),
        (aging(), 10, EXPIRED),
        # stale_while_revalidate alone
        (aging(30), before(10), FRESH),
        (aging(30), 10, STALE),
        (aging(30), before(30), STALE),
        (aging(30), 30, EXPIRED),
        # stale_if_error alone
        (aging(10, 30), before(10), FRESH),
        (aging(10, 30), 10, ON_ERROR),
        (aging(10, 30), before(30), ON_ERROR),
        (aging(10, 30), 30, EXPIRED),
        # stale_if_error is the longer one
        (aging(15, 30), 10, STALE),
        (aging(15, 30), before(15), STALE),
        (aging(15, 30), 15, ON_ERROR),
        (aging(15, 30), before(30), ON_ERROR),
        (aging(15, 30), 30, EXPIRED),
        (aging(15, 30), 1e300, EXPIRED),
        # stale_while_revalidate is the longer one
        (aging(30, 15), before(15), STALE),
        (aging(30, 15), 15, STALE),
        (aging(30, 15), before(30), STALE),
        (aging(30, 15), 30, EXPIRED),
        # they are equally long
        (aging(15, 15), before(15), STALE),
        (aging(15, 15), 15, EXPIRED),
        # for ever
        (aging(inf, inf, fresh_until=inf), 1e300, FRESH),
        (aging(inf, 15), 1e300, STALE),
        (aging(15, inf), 1e300, ON_ERROR),
    ],
)
def test_a_deadline_belongs_to_what_comes_after_it(entry: Any, now: float, expected: State) -> None:
    assert state(entry, now) is expected


@pytest.mark.parametrize(
    ("calm_until", "now", "expected"),
    [
        # held off until 12, while it is stale
        (12, before(10), FRESH),
        (12, 10, HELD_OFF),
        (12, before(12), HELD_OFF),
        (12, 12, STALE),
        # until a deadline
        (10, 10, STALE),
        (15, before(15), HELD_OFF),
        (15, 15, ON_ERROR),
        # beyond `stale_until`
        (20, 15, HELD_OFF),
        (20, before(20), HELD_OFF),
        (20, 20, ON_ERROR),
        # to its end
        (30, before(30), HELD_OFF),
        (30, 30, EXPIRED),
    ],
)
def test_after_a_failed_reload_the_next_attempt_has_to_wait(
    calm_until: float, now: float, expected: State
) -> None:
    assert state(aging(15, 30, calm_until=calm_until), now) is expected


@pytest.mark.parametrize(
    ("now", "draw", "expected"),
    [
        # 4 before the end of freshness
        (6, 0, FRESH),
        (6, before(4), FRESH),
        (6, 4, EARLY),
        (6, after(4), EARLY),
        (before(10), 0, FRESH),
        # not before it is no longer calm: that a draw is never so long, or a refresh has failed
        (before(2), inf, FRESH),
        (2, before(8), FRESH),
        (2, 8, EARLY),
        # nor when freshness has ended
        (10, inf, STALE),
        (15, inf, ON_ERROR),
        (30, inf, EXPIRED),
    ],
)
def test_a_caller_that_draws_as_much_as_is_left_refreshes_early(
    now: float, draw: float, expected: State
) -> None:
    assert state(aging(15, 30, calm_until=2), now, draw) is expected


def test_what_never_expires_is_never_refreshed_early() -> None:
    assert state(aging(inf, inf, fresh_until=inf, calm_until=0), 1e300, draw=1e300) is FRESH


@pytest.mark.parametrize(
    ("now", "draw", "expected"),
    [(0, 0, FRESH), (6, 4, EARLY), (before(10), 0, FRESH), (10, 0, EXPIRED)],
)
def test_an_exception_ages_like_a_value(now: float, draw: float, expected: State) -> None:
    assert state(raising(), now, draw) is expected


def test_an_entry_that_does_not_age_tells_what_others_tell() -> None:
    entry = entry_of("value", 10.0)
    assert (entry.value, entry.fresh_until) == ("value", 10.0)
    assert entry.stale_until == entry.error_until == entry.until == 10.0
    assert (entry.cost, entry.failures, entry.last_error) == (0.0, 0, None)
    assert repr(entry) == "Entry(value='value', fresh_until=10.0)"


@pytest.mark.parametrize("entry", [entry_of(["value"], 10), aging(15, 30), raising()])
def test_an_entry_is_fresh_before_its_deadline(entry: Any) -> None:
    assert entry.is_fresh(before(10))
    assert not entry.is_fresh(10)


@pytest.mark.parametrize(
    ("entry", "until"),
    [
        (aging(), 10),
        (aging(15, 30), 30),
        (aging(30, 15), 30),
        (aging(15, 30, calm_until=-inf), 30),
        (aging(15, inf), inf),
        (raising(), 10),
    ],
)
def test_an_entry_is_kept_until_its_last_deadline(entry: Any, until: float) -> None:
    assert entry.until == until


@pytest.mark.parametrize(
    ("until", "limited"),
    [
        (99, (10, 15, 30, 8)),
        (30, (10, 15, 30, 8)),
        (20, (10, 15, 20, 8)),
        (12, (10, 12, 12, 8)),
        (9, (9, 9, 9, 8)),
        (-inf, (-inf, -inf, -inf, -inf)),
    ],
)
def test_a_limit_shortens_whatever_is_longer(until: float, limited: tuple[float, ...]) -> None:
    entry = aging(15, 30, calm_until=8)
    entry.limit(until)
    deadlines = entry.fresh_until, entry.stale_until, entry.error_until, entry.calm_until
    assert deadlines == limited


@pytest.mark.parametrize(("until", "limited"), [(99, 10), (9, 9)])
def test_a_limit_of_an_entry_that_does_not_age(until: float, limited: float) -> None:
    entry = entry_of("value", 10.0)
    entry.limit(until)
    assert entry.until == entry.fresh_until == limited


def test_a_copy_has_a_value_and_deadlines_of_its_own() -> None:
    entry = entry_of(["value"], 10.0)
    copy = entry.copy(deepcopy)
    assert (copy.value, copy.fresh_until) == (["value"], 10.0)
    copy.value.append("more")
    copy.limit(5)
    assert (entry.value, entry.fresh_until) == (["value"], 10.0)


def test_a_copy_tells_everything() -> None:
    entry = aging(15, 30, calm_until=8)
    entry.cost, entry.failures, entry.last_error = 3.0, 2, LookupError("down")
    copy = entry.copy(deepcopy)
    assert type(copy) is Aging
    told = {name: getattr(entry, name) for name in ("value", "fresh_until", *Aging.__slots__)}
    assert {name: getattr(copy, name) for name in told} == told
    copy.value.append("more")
    copy.limit(5)
    copy.failures = 0
    assert {name: getattr(entry, name) for name in told} == told | {"value": ["value"]}
    assert repr(entry) == "Entry(value=['value'], fresh_until=10)"


def test_an_exception_is_raised_anew_by_each_who_reads_it() -> None:
    entry = raising()
    kept = entry.kept.exception
    traceback, seen = kept.__traceback__, [kept]
    for _ in range(2):
        with pytest.raises(LookupError, match="nobody") as caught:
            entry.value  # noqa: B018
        seen.append(caught.value)
    assert len(set(map(id, seen))) == 3
    assert kept.__traceback__ is traceback
    assert repr(entry) == "Entry(raises LookupError('nobody'), fresh_until=10)"


def test_a_copy_of_an_exception_asks_no_option() -> None:
    """``copy=`` is for values."""
    entry = raising()
    copy = entry.copy(lambda value: pytest.fail("asked"))
    assert type(copy) is Raising
    copy.limit(5)
    assert (copy.fresh_until, entry.fresh_until) == (5, 10)
    with pytest.raises(LookupError, match="nobody"):
        copy.value  # noqa: B018


@pytest.mark.parametrize("cls", [Entry, Aging, Raising])
def test_an_entry_ends_when_nobody_holds_it(cls: Any) -> None:
    entry = blank(cls)
    assert type(entry) is cls
    seen = weakref.ref(entry)
    del entry
    until(lambda: seen() is None)
