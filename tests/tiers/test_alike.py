"""Whether a value came back as it was."""

from __future__ import annotations

import copy
import enum
import math
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloflight._tiers.alike import difference


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: Any


@dataclass
class Record:
    a: Any
    hidden: Any = field(default=0, compare=False)


class Plain:
    def __init__(self, a: Any) -> None:
        self.a = a


class Slotted:
    __slots__ = ("a",)


class Array:
    """As those of numpy: its ``==`` is no bool."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __eq__(self, other: object) -> Any:
        return [
            one == two for one, two in zip(self.items, getattr(other, "items", ()), strict=True)
        ]

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (1, 1.0, "it is of type int and comes back as float"),
        (1, True, "it is of type int and comes back as bool"),
        (Level.LOW, 1, "it is of type Level and comes back as int"),
        ([1], [2], "it[0] comes back as another int"),
        ([1], [1, 1], "it[1] was not there"),
        ([1, 1], [1], "it[1] does not come back"),
        ((1,), Point(1), "it is of type tuple and comes back as Point"),
        (Point([1]), Point([1.0]), "it[0][0] is of type int and comes back as float"),
        ({"a": 1}, OrderedDict(a=1), "it is of type dict and comes back as OrderedDict"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "it['a']['b'] comes back as another int"),
        ({"a": 1}, {}, "it's 'a' does not come back"),
        ({}, {"a": 1}, "it's 'a' was not there"),
        ({1: 1}, {True: 1}, "it's 1 is of type int and comes back as bool"),
        ({1}, {1.0}, "it's 1 is of type int and comes back as float"),
        (frozenset({(1,)}), frozenset({(2,)}), "it's (1,) does not come back"),
        (Record(1), Record(1.0), "it.a is of type int and comes back as float"),
        (Record(1, 2), Record(1), "it.hidden comes back as another int"),
        (Plain(1), Plain(2), "it.a comes back as another int"),
        (Plain(1), object.__new__(Plain), "it.a does not come back"),
        (math.nan, 1.0, "it comes back as another float"),
        (1.0, math.nan, "it comes back as another float"),
        ("a", "b", "it comes back as another str"),
    ],
)
def test_what_has_changed_is_found(one: Any, other: Any, found: str) -> None:
    assert difference(one, other) == found


def cycle() -> list[Any]:
    ring: list[Any] = [1]
    ring.append({"in": ring})
    return ring


@pytest.mark.parametrize(
    "value",
    [
        math.nan, [math.nan, {"a": math.nan}], None, Level.LOW, {1: {2, 3}}, Record(1, 2),
        Plain([1]), Slotted(), Array(1, math.nan), object, defaultdict(list, a=[1]), cycle(), b"a",
        {None: None},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_copy_is_no_difference(value: Any) -> None:
    other = float("nan") if value is math.nan else copy.deepcopy(value)
    assert difference(value, other) == ""


def test_the_order_of_a_dict_does_not_matter() -> None:
    assert difference({"a": 1, "b": 2}, {"b": 2, "a": 1}) == ""


def test_the_fields_of_structs_and_of_attrs_are_compared() -> None:
    attrs = pytest.importorskip("attrs")
    defined = attrs.make_class("Defined", ["a"], eq=False)
    assert difference(defined(1), defined(1)) == ""
    assert difference(defined(1), defined(1.0)) == "it.a is of type int and comes back as float"
    msgspec = pytest.importorskip("msgspec", reason="there is no wheel of msgspec for this Python")
    struct = msgspec.defstruct("Struct", ["a"], eq=False)
    assert difference(struct(1), struct(1)) == ""
    assert difference(struct(1), struct(1.0)) == "it.a is of type int and comes back as float"


trees: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([0, 1, 1.0, True, "a", "b", None, b"a"]),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.tuples(parts),
        st.builds(Point, parts),
        st.builds(Record, parts),
        st.dictionaries(st.sampled_from(["a", "b", 1, True]), parts, max_size=2),
    ),
    max_leaves=5,
)


def spelled(value: Any) -> Any:
    """The same with the type of everything in it."""
    if isinstance(value, dict):
        return dict, {(type(k), k): spelled(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [spelled(part) for part in value]
    if isinstance(value, Record):
        return Record, spelled(value.a)
    return type(value), value


@given(trees, trees)
def test_no_difference_is_the_same_value_of_the_same_types(one: Any, other: Any) -> None:
    assert (difference(one, other) == "") is (spelled(one) == spelled(other))
    assert difference(one, copy.deepcopy(one)) == ""
