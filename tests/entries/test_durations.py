"""A duration becomes Python's own float at the door, wherever it comes from."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from numbers import Real
from typing import Any

import cachetools
import pytest

from both_worlds import World
from conftest import Boom, Clock
from soloflight import cached_singleflight, singleflight
from soloflight._durations import number, seconds, size

np = pytest.importorskip("numpy", reason="numpy is not installed")

START = 1_700_000_000.0
"""What a clock shows: a ``float32`` tells times there apart by 128 seconds."""

TWO = [
    *(kind(2) for kind in (np.float64, np.float32, np.float16, np.longdouble)),
    *(kind(2) for kind in (np.int8, np.uint8, np.int64)),
    2,
    2.0,
    Fraction(2),
    Decimal(2),
    timedelta(seconds=2),
]
NO_DURATIONS = [
    (True, TypeError, "not bool"),
    (np.True_, TypeError, "not bool"),
    ("2", TypeError, "not str"),
    (2j, TypeError, "not complex"),
    (np.array(2.0), TypeError, "not ndarray"),
    (np.timedelta64(2, "s"), TypeError, "not timedelta64 (give .astype('timedelta64[us]').item())"),
    (np.timedelta64(2_000_000_000, "ns"), TypeError, "not timedelta64"),
    (np.datetime64(2, "s"), TypeError, "not datetime64"),
    (nan, ValueError, "not nan"),
    (np.float32(nan), ValueError, "not nan"),
    (Decimal("nan"), ValueError, "not nan"),
    (Decimal("snan"), ValueError, "is a Decimal without a float"),
    (10**400, ValueError, "is too large for a float"),
    pytest.param(-(10**5000), ValueError, "is too large for a float", id="has-no-repr"),
    (Fraction(10**400), ValueError, "is too large for a float"),
    (Decimal("1e400"), ValueError, "is too large for a float"),
]


def named(value: object) -> str:
    return f"{type(value).__name__}-{str(value)[:9]}" if not isinstance(value, int) else "int"


@pytest.fixture
def late() -> Clock:
    clock = Clock()
    clock.now = START
    return clock


def lasts_two_seconds(world: World, load: Any, clock: Clock) -> None:
    assert world.call(load) == 1
    clock.advance(1.875)
    assert world.call(load) == 1
    clock.advance(0.25)
    assert world.call(load) == 2


@pytest.mark.parametrize("two", TWO, ids=named)
@pytest.mark.parametrize("way", ["constant", "callable", "cache"])
def test_an_entry_lives_for_exactly_so_long(world: World, late: Clock, two: Any, way: str) -> None:
    options: dict[str, Any] = {"ttl": two}
    if way == "callable":
        options = {"ttl": lambda value: two}
    elif way == "cache":
        cache = cachetools.LRUCache[Any, Any](9)
        cache.ttl = two  # type: ignore[attr-defined]
        options = {"cache": cache}
    load = world.cached(world.origin(), timer=late, **options)
    lasts_two_seconds(world, load, late)


@pytest.mark.parametrize("two", TWO, ids=named)
@pytest.mark.parametrize("way", ["constant", "callable"])
def test_an_error_is_cached_for_exactly_so_long(
    world: World, late: Clock, two: Any, way: str
) -> None:
    origin = world.origin()
    given = two if way == "constant" else lambda error: two
    load = world.cached(origin, ttl=9, error_ttl={Boom: given}, timer=late)
    origin.fail()
    for elapsed, loads in ((1.875, 1), (0.25, 1), (0, 2)):
        with pytest.raises(Boom):
            world.call(load)
        assert origin.loads == loads
        late.advance(elapsed)


@pytest.mark.parametrize("two", TWO, ids=named)
@pytest.mark.parametrize("option", ["stale_while_revalidate", "stale_if_error"])
def test_what_is_stale_is_kept_for_exactly_so_long(late: Clock, two: Any, option: str) -> None:
    options: Any = {option: two}
    load = cached_singleflight(ttl=2, timer=late, **options)(lambda: 1)
    load()
    entry = load.peek()
    assert entry is not None
    assert max(entry.stale_until, entry.error_until) == START + 4
    assert type(entry.stale_until) is type(entry.error_until) is float


def test_shares_factors_and_pauses_are_exact_as_well(late: Clock) -> None:
    load = cached_singleflight(
        ttl=np.float32(9),
        jitter=np.float16(0.5),
        early_refresh=np.float32(1),
        retry_after=(np.float16(1), Decimal(30)),  # type: ignore[arg-type]
        timer=late,
    )(lambda: 1)
    load()
    entry = load.peek()
    assert entry is not None
    assert type(entry.fresh_until) is float
    assert START + 4.5 <= entry.fresh_until <= START + 9


@pytest.mark.parametrize("kind", [np.float64, np.int64, int, Fraction, Decimal])
def test_a_ttu_of_a_given_cache_is_exact_as_well(late: Clock, kind: Callable[[Any], Any]) -> None:
    class Cache(dict[Any, Any]):
        def ttu(self, key: object, entry: object, now: float) -> Any:
            return kind(START + 2)

    load = cached_singleflight(ttl=9, cache=Cache(), timer=late)(lambda: 1)
    load()
    entry = load.peek()
    assert entry is not None
    assert (entry.fresh_until, type(entry.fresh_until)) == (START + 2, float)


@pytest.mark.parametrize(("wrong", "error", "words"), NO_DURATIONS)
@pytest.mark.parametrize(
    "option",
    ["ttl", "stale_while_revalidate", "stale_if_error", "max_flight_age", "wait_timeout"],
)
def test_what_is_no_duration_names_the_option(
    option: str, wrong: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=rf"^{option} .*{re.escape(words)}"):
        cached_singleflight(**{"ttl": 5, option: wrong})


@pytest.mark.parametrize(("wrong", "error", "words"), NO_DURATIONS)
def test_what_is_no_duration_names_the_callable(
    world: World, wrong: Any, error: type[Exception], words: str
) -> None:
    load = world.cached(world.origin(), ttl=lambda value: wrong)
    with pytest.raises(error, match=rf"^what ttl\(\) returns .*{re.escape(words)}"):
        world.call(load)


@pytest.mark.parametrize(("wrong", "error", "words"), NO_DURATIONS)
@pytest.mark.parametrize("part", [0, 1])
def test_what_is_no_duration_names_the_pair(
    part: int, wrong: Any, error: type[Exception], words: str
) -> None:
    pair: Any = [1, 30]
    pair[part] = wrong
    with pytest.raises(error, match=rf"^each of retry_after .*{re.escape(words)}"):
        cached_singleflight(ttl=5, stale_if_error=5, retry_after=tuple(pair))


@pytest.mark.parametrize("option", ["jitter", "early_refresh", "maxsize"])
@pytest.mark.parametrize(
    "wrong",
    [np.timedelta64(1, "s"), timedelta(1), np.True_, np.array(1), Decimal("1e400"), nan, -1],
    ids=repr,
)
def test_what_is_no_number_names_the_option(option: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{option} "):
        cached_singleflight(**{"ttl": 5, option: wrong})


@pytest.mark.parametrize("kind", [np.float32, np.float16, Decimal])
def test_a_clock_that_cannot_tell_seconds_is_refused(kind: Callable[[float], Any]) -> None:
    with pytest.raises(TypeError, match="timer must return seconds as a float or an int, not"):
        cached_singleflight(ttl=5, timer=lambda: kind(1))


@pytest.mark.parametrize("kind", [np.float64, np.int64, int, Fraction])
def test_a_clock_that_can_is_accepted(kind: Callable[[float], Any]) -> None:
    assert cached_singleflight(ttl=5, timer=lambda: kind(1))(lambda: 1)() == 1


def test_small_integers_of_numpy_add_up_to_the_size_of_the_cache() -> None:
    """Summed among themselves they would wrap round, and the cache would have no limit."""

    @cached_singleflight(ttl=60, maxsize=np.int16(350), getsizeof=lambda value: np.uint8(100))
    def load(n: int) -> int:
        return n

    for n in range(5):
        load(n)
    assert load.cache_info()[2:] == (350, 300)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.timedelta64(1, "s"), "what getsizeof() returns must be a number, not"),
        (True, "must be a number, not True"),
        ("1", "must be a number, not '1'"),
        (nan, "must not be negative, but is nan"),
        (-1, "must not be negative, but is -1"),
        (Decimal("1e400"), "is too large for a float"),
    ],
)
def test_a_size_that_is_none_says_so(
    wrong: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    load = cached_singleflight(ttl=60, getsizeof=lambda value: wrong)(lambda: 1)
    assert load() == 1
    assert load.stats().store_errors == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is not None
    assert words in str(record.exc_info[1])


def test_the_ttl_of_a_given_cache_is_not_negative() -> None:
    with pytest.raises(ValueError, match="the cache's ttl must not be negative, but is -5"):
        cached_singleflight(cache=cachetools.TTLCache(9, -5))


def test_a_number_without_a_float_says_so() -> None:
    class Odd:
        def __float__(self) -> float:
            raise LookupError("not to be had")

    Real.register(Odd)
    with pytest.raises(ValueError, match="wait_timeout is a Odd without a float: not to be had"):
        singleflight(wait_timeout=Odd())  # type: ignore[arg-type]


def test_a_subclass_of_a_number_becomes_a_plain_one() -> None:
    class Minutes(float):
        def __add__(self, other: object) -> Any:
            raise AssertionError("reckoned in it")

        __radd__ = __mul__ = __rmul__ = __add__

    assert type(seconds(Minutes(2), "ttl")) is type(number(Minutes(2), "jitter")) is float
    assert type(size(np.int8(2), "maxsize")) is int
    assert seconds(inf, "ttl") == inf
