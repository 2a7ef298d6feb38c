"""Keys as bytes: the same where keys are equal, and only there."""

from __future__ import annotations

import enum
import http
import math
import re
import subprocess
import sys
from collections import namedtuple
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from soloflight import cached_singleflight
from soloflight._tiers.digest import canonical, digest

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
EAST = timezone(timedelta(hours=1))


class Color(enum.Enum):
    RED = 1
    BLUE = 2
    CRIMSON = RED  # another name of the same


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(str, enum.Enum):
    ONE = "one"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Bits(enum.IntFlag):
    ONE = 1
    TWO = 2


class Name(str):
    """A subclass that compares as its base does."""

    def __str__(self) -> str:
        return "another"

    def encode(self, *args: Any) -> bytes:
        return b"another"


class Count(int):
    def __index__(self) -> int:
        return 7

    __int__ = __index__

    def __repr__(self) -> str:
        return "7"

    def __gt__(self, other: object) -> bool:
        raise AssertionError


class Loud(str):
    """A subclass that knows for itself what it is equal to."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


class Modular(int):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and int(self) % 10 == other % 10

    def __hash__(self) -> int:
        return int(self) % 10


class Hashed(int):
    def __hash__(self) -> int:
        return 1


class Both(NamedTuple):
    a: Any
    b: Any


Pair = namedtuple("Pair", "x y")  # noqa: PYI024


class Moment(datetime):
    """As the libraries that stop the clock have it."""


class Shifting(tzinfo):
    """A zone that is no `ZoneInfo`, and puts its clock back."""

    def utcoffset(self, moment: Any) -> timedelta | None:
        return None if moment is None else timedelta(hours=1 + moment.fold)

    def tzname(self, moment: Any) -> str:
        return "shifting"

    def dst(self, moment: Any) -> None:
        return None


class Floating(Shifting):
    """A zone that says nothing."""

    def utcoffset(self, moment: Any) -> None:
        return None


numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(10**64) + 1, 10**64 - 1),
    st.booleans(),
    st.sampled_from([*Level, *Bits, Count(1), Count(2)]),
    st.sampled_from([0.0, -0.0, 1.0, 0.5, 0.1, 1e22, math.inf, -math.inf, 2.0**-212]),
    st.floats(-1e60, 1e60, allow_nan=False).filter(lambda x: not x or abs(x) > 1e-40),
    st.sampled_from(["0.5", "1", "1.000", "0.1", "-0", "Infinity", "1E+22", "-Infinity"]).map(
        Decimal
    ),
    st.decimals(-1000, 1000, places=3),
    st.fractions(-5, 5, max_denominator=8),
    st.sampled_from([1 + 0j, 1j, complex(0.5, -0.0), complex(0.5, 1), complex(-0.0, 1)]),
)
zones = st.sampled_from([None, timezone.utc, EAST, BERLIN, NEW_YORK, ZoneInfo("UTC"), Floating()])
hours = st.sampled_from(
    [  # two changes of the clock in Berlin, and one in New York
        datetime(2026, 10, 25) + timedelta(minutes=30 * i) for i in range(-4, 8)
    ]
    + [datetime(2026, 3, 29) + timedelta(minutes=30 * i) for i in range(8)]
    + [datetime(2026, 11, 1) + timedelta(minutes=30 * i) for i in range(8)]
    + [datetime.min, datetime.max]
)
moments = st.builds(
    lambda moment, zone, fold, cls: cls.combine(moment.date(), moment.time()).replace(
        tzinfo=zone, fold=fold
    ),
    st.one_of(hours, st.datetimes()),
    zones,
    st.integers(0, 1),
    st.sampled_from([datetime, Moment]),
)
minutes = st.builds(
    lambda hour, zone, fold: time(hour, 30, tzinfo=zone, fold=fold),
    st.integers(0, 2),
    zones,
    st.integers(0, 1),
)
names = st.sampled_from(
    ["", "a", "b", "1", "one", "é", "e\u0301", "\udcff", "\ud83d\ude00", "😀", "s1:a"]
)
LEAVES = st.one_of(
    numbers,
    names,
    st.text(max_size=3),
    names.map(lambda name: Name(name)),
    st.sampled_from([b"", b"a", b"1", b"s1:a", b"one"]),
    st.none(),
    st.just(...),
    st.sampled_from([*Color, *Access, Access.READ | Access.WRITE, Access(0), *Word]),
    st.sampled_from([int, str, bool, type(None), Color, Both, date, datetime, Decimal, type]),
    st.sampled_from([UUID(int=1), UUID(int=2), UUID("00000000-0000-0000-0000-000000000001")]),
    moments,
    minutes,
    st.one_of(hours.map(datetime.date), st.dates()),
    st.sampled_from([timedelta(0), timedelta(1), timedelta(hours=24), timedelta(microseconds=-1)]),
)


@st.composite
def leaves(draw: st.DrawFn) -> Any:
    """One of them, in few words: all are shown with an example that fails."""
    return draw(LEAVES)


keys: st.SearchStrategy[Any] = st.recursive(
    leaves(),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3).map(tuple),
        st.builds(Both, parts, parts),
        st.builds(Pair, parts, parts),
        st.frozensets(parts, max_size=3),
        st.dictionaries(names, parts, max_size=2).map(lambda kwargs: frozenset(kwargs.items())),
    ),
    max_leaves=6,
)


def assert_alike(one: Any, other: Any) -> None:
    equal = one == other
    if equal:
        assert hash(one) == hash(other)
    assert (canonical(one) == canonical(other)) is equal


@settings(max_examples=200)
@given(keys, keys)
@example((1, (2,)), (1, 2))
@example(("a", "b"), ("ab",))
@example(((), ((),)), (((),), ()))
@example(frozenset({("a", 1)}), ("a", 1))
def test_keys_are_equal_where_their_bytes_are(one: Any, other: Any) -> None:
    assert_alike(one, other)


@settings(max_examples=100)
@given(st.lists(numbers, min_size=2, max_size=6))
def test_numbers_are_one_kind(some: list[Any]) -> None:
    for other in some[1:]:
        assert_alike(some[0], other)


@settings(max_examples=100)
@given(st.lists(st.one_of(moments, minutes), min_size=2, max_size=8))
def test_moments_are_equal_as_python_says(some: list[Any]) -> None:
    for other in some[1:]:
        assert_alike(some[0], other)


def twin(draw: st.DrawFn, key: Any) -> Any:
    """What is equal to a key, and may be of other types."""
    if isinstance(key, tuple):
        parts = [twin(draw, part) for part in key]
        kinds = [tuple, *([Both._make, Pair._make] if len(parts) == 2 else [])]
        return draw(st.sampled_from(kinds))(parts)
    if isinstance(key, frozenset):
        return frozenset(twin(draw, part) for part in key)
    if isinstance(key, datetime) and key.utcoffset() is not None:
        zone = draw(zones.filter(lambda zone: zone is not None and not isinstance(zone, Floating)))
        return draw(st.sampled_from([key.replace(fold=1 - key.fold), in_zone(key, zone)]))
    kinds = [lambda key: key]
    if isinstance(key, str):
        kinds += [Name]
    if isinstance(key, (int, float, complex, Decimal, Fraction)):
        kinds += [int, float, complex, Decimal, Fraction, Count, Level, Bits]
    return made(draw(st.sampled_from(kinds)), key)


def made(kind: Any, key: Any) -> Any:
    """A key as another type, where it can be."""
    try:
        return kind(key) if kind(key) == key else key
    except (TypeError, ValueError, ArithmeticError):
        return key


def in_zone(moment: datetime, zone: Any) -> datetime:
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment


@settings(max_examples=200)
@given(st.data())
def test_what_is_equal_has_the_same_bytes_whatever_its_types(data: st.DataObject) -> None:
    """(A moment may not be equal to itself in another zone: where the clock is put back.)"""
    key = data.draw(keys)
    assert_alike(key, twin(data.draw, key))


@settings(max_examples=100)
@given(st.lists(keys, min_size=2, max_size=4))
def test_no_key_is_the_beginning_of_another(some: list[Any]) -> None:
    for other in some[1:]:
        one, two = canonical(some[0]), canonical(other)
        assert one == two or not (one.startswith(two) or two.startswith(one))


@pytest.mark.parametrize(
    "alike",
    [
        [
            1,
            1.0,
            True,
            Decimal(1),
            Decimal("1.00"),
            Fraction(1),
            Level.LOW,
            Bits.ONE,
            Count(1),
            1 + 0j,
        ],
        [0, 0.0, -0.0, False, Decimal("-0"), Decimal("0E+999999"), Fraction(0), 0j],
        [0.5, Decimal("0.5"), Fraction(1, 2)],
        [2.0**-200, Decimal(2.0**-200), Fraction(1, 2**200)],
        [10**63, Decimal("1E+63"), Fraction(10**63)],
        [1, Decimal("1." + "0" * 5000)],
        [math.inf, Decimal("Infinity"), complex(math.inf, 0)],
        ["one", Word.ONE, Name("one")],
        [200, http.HTTPStatus.OK],
        [(1, 2), Both(1, 2), Pair(1.0, Level.HIGH), (True, Bits.TWO)],
        [frozenset({1, 2}), frozenset({2.0, True})],
        [Color.RED, Color.CRIMSON, Color(1)],
        [Access.READ | Access.WRITE, Access(3)],
        [timedelta(1), timedelta(hours=24)],
        [time(1, tzinfo=EAST), time(0, tzinfo=timezone.utc)],
        [time(1, tzinfo=BERLIN), time(1), time(1, fold=1)],  # it has an offset on a day only
        [datetime(2026, 1, 1, 12, tzinfo=BERLIN), datetime(2026, 1, 1, 11, tzinfo=timezone.utc)],
        [datetime(2026, 1, 1, fold=1), datetime(2026, 1, 1), Moment(2026, 1, 1)],
        [
            datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold)  # its clock shows that twice
            for fold in (0, 1)
        ],
    ],
    ids=lambda alike: str(alike[0]),
)
def test_what_is_equal_has_the_same_bytes(alike: list[Any]) -> None:
    assert all(one == alike[0] for one in alike)
    assert {canonical(one) for one in alike} == {canonical(alike[0])}


@pytest.mark.parametrize(
    "others",
    [
        ["1", b"1", 1, date(1, 1, 1), timedelta(microseconds=1), UUID(int=1), int],
        [date(2026, 1, 1), datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=timezone.utc)],
        [Color.RED, Access.READ, "RED", 1, Color],
        [None, type(None), "None", ..., type(...), (), frozenset(), ((),)],
        [("a", 1), frozenset({("a", 1)}), ("a", (1,)), (("a", 1),)],
        [(1, int), (1, bool), (1, float)],  # as with `typed=True`
        ["😀", "\ud83d\ude00"],
        [("a", "b"), ("ab",), ("asb",), ("as1:b",)],
        [(b"a", b"b"), (b"ab",), (b"abb",), (b"ab1:b",)],
        [(1, 2), (12,), (1, (2,)), ((1,), 2), ((1, 2),), (1, 2, ())],
        [0.1, Decimal("0.1")],
        [math.inf, -math.inf, "inf"],
        [1, 1 + 1j, (1, 1)],
        [
            datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),  # equal to nothing of another zone
            datetime(2026, 10, 25, 0, 30, tzinfo=timezone.utc),
            datetime(2026, 10, 25, 1, 30, tzinfo=timezone.utc),
            datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Paris")),
            datetime(2026, 10, 25, 2, 30),
        ],
    ],
    ids=lambda others: str(others[0]),
)
def test_what_is_not_equal_has_other_bytes(others: list[Any]) -> None:
    assert len({canonical(one) for one in others}) == len(others)


def local() -> type:
    class Local(enum.Enum):
        ONE = 1

    return Local


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (object(), "an object of class builtins.object"),
        (Loud("a"), "an object of class test_digest.Loud"),
        (Modular(1), "an object of class test_digest.Modular"),
        (Hashed(1), "an object of class test_digest.Hashed"),
        (memoryview(b"a"), "an object of class builtins.memoryview"),  # equal to b"a"
        (range(3), "an object of class builtins.range"),
        (re.compile("a"), "an object of class re.Pattern"),
        (math.nan, "nan, which is not equal to itself,"),
        (Decimal("nan"), "nan, which is not equal to itself,"),
        (complex(0, math.nan), "nan, which is not equal to itself,"),
        (10**64, "a number of more than 64 digits"),
        (-(10**64), "a number of more than 64 digits"),
        (1e300, "a number of more than 64 digits"),
        (1e-300, "a number of more than 64 digits"),
        (Decimal("1E+999999"), "a number of more than 64 digits"),
        (Decimal("1E-999999"), "a number of more than 64 digits"),
        (Decimal("1" * 65), "a number of more than 64 digits"),
        (Decimal("0." + "1" * 65), "a number of more than 64 digits"),
        (Fraction(1, 10**64), "a number of more than 64 digits"),
        (local(), "local.<locals>.Local, a class that test_digest does not have,"),
        (local().ONE, "local.<locals>.Local, a class that test_digest does not have,"),  # type: ignore[attr-defined]
        (list[int], "an object of class types.GenericAlias"),
        (datetime(2026, 1, 1, tzinfo=Shifting()), "a time at which the clock is changed"),
    ],
    ids=lambda part: str(part)[:40],
)
@pytest.mark.parametrize("within", [lambda key: key, lambda key: ("a", frozenset({("b", key)}))])
def test_what_does_not_travel_is_refused(key: Any, what: str, within: Any) -> None:
    hash(key)  # it could be a key, here
    with pytest.raises(TypeError) as caught:
        digest("app.load", "", 0, within(key))
    advice = "cannot be part of a key that processes share; give key= or ignore="
    assert str(caught.value) == f"app.load: {what} {advice}"


def test_a_number_with_many_places_is_refused_at_once() -> None:
    """And not once all of them have been written out."""
    for text in ("1E+999999999", "1E-999999999", "-3E+400000000"):
        with pytest.raises(TypeError):
            canonical(Decimal(text))


@pytest.mark.parametrize("typed", [False, True])
def test_calls_that_are_one_key_have_one_digest(typed: bool) -> None:
    @cached_singleflight(ttl=60, typed=typed)
    def load(a: Any, /, b: Any = 2, *args: Any, c: Any = 3, **kwargs: Any) -> None: ...

    def of(*args: Any, **kwargs: Any) -> bytes:
        return digest("load", "", 0, load.cache_key(*args, **kwargs))

    assert of(1) == of(1, 2) == of(1, b=2, c=3)
    assert of(1, x=1, y=2) == of(1, y=2, x=1)
    assert of(1, 2, 3) != of(1, 2, c=3)
    assert of(1, 2, "x", 1) != of(1, 2, x=1)
    assert (of(1) == of(True)) is (of(1, x=1) == of(1, x=1.0)) is not typed
    assert (of(1, 2, 3) == of(1, 2, 3.0)) is not typed
    assert of(None) != of("None")


def test_no_two_functions_share_a_digest() -> None:
    """Nor do two versions of one, nor what there was before and after a `clear()`."""
    every = list(
        product(["", "a", "ab", "a1", "b"], ["", "a", "b", "1", "10"], [0, 1, 10, 11], ["", "a", 1])
    )
    assert len({digest(*each) for each in every}) == len(every)


def test_a_digest_is_the_same_in_every_process_and_version() -> None:
    """Of what was stored before: whoever changes the format has to change `sf1` as well."""
    key = (1, "é", frozenset({("a", None), ("b", 0.5)}), Decimal("1.10"), datetime(2026, 1, 1))
    assert digest("app.load", "2", 3, key).hex() == "0d63cfcbaf2a120908aa88c4"
    program = (
        "from soloflight._tiers.digest import canonical\n"
        "print(canonical((frozenset({'a', 'b', 'c', (1, None)}), int)))"
    )
    run = [sys.executable, "-c", program]
    found = {
        subprocess.run(
            run, env={**env, "PYTHONPATH": path()}, capture_output=True, check=True
        ).stdout
        for env in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    }
    assert len(found) == 1


def path() -> str:
    return str(Path(sys.modules["soloflight"].__file__ or "").parents[1])
