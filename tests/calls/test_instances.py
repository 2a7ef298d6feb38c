"""Instances that take no weak references: the advice is what is possible there, and it works."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Any, NamedTuple

import pytest

from soloflight import cached_singleflight

BY_VALUE = "per_instance=lambda self: self"
BY_CALLABLE = "per_instance=<a callable"


def named_tuple(decorate: Any) -> Any:
    class Point(NamedTuple):
        n: Any
        get = decorate(lambda self: self.n)

    return Point


def of(base: type) -> Callable[[Any], Any]:
    """A subclass, whose values are sized or counted by a number."""

    def get(self: Any) -> int:
        return self if isinstance(self, int) else len(self)

    return lambda decorate: type("Sub", (base,), {"get": decorate(get)})


def pair(decorate: Any) -> Any:
    class Pair(tuple):  # type: ignore[type-arg]
        get = decorate(lambda self: self[0])

    return lambda n: Pair((n,))


def enum(decorate: Any) -> Any:
    class Number(IntEnum):
        ONE = 1
        TWO = 2

        @decorate
        def get(self) -> int:
            return int(self)

    return Number


def built_in(base: Callable[[int], Any]) -> Callable[[Any], Any]:
    """A function that is a method by an option, of what cannot be changed."""

    def make(decorate: Any) -> Any:
        get = decorate(lambda self: getattr(self, "day", self))
        return lambda n: _Borrower(get, base(n))

    return make


class _Borrower:
    def __init__(self, function: Any, instance: Any) -> None:
        self.get = lambda: int(function.__get__(instance, type(instance))())


@pytest.mark.parametrize(
    "make",
    [
        named_tuple,
        of(int),
        of(bytes),
        pair,
        enum,
        built_in(lambda n: date(2026, 1, n)),
        built_in(str),
    ],
    ids=["NamedTuple", "int", "bytes", "tuple", "IntEnum", "date", "str"],
)
def test_values_are_told_apart_by_value(make: Any) -> None:
    def decorate(loader: Any) -> Any:
        return cached_singleflight(ttl=60, per_instance=True)(loader)

    with pytest.raises(TypeError) as refused:
        make(decorate)(1).get()
    assert BY_VALUE in str(refused.value)
    assert "__slots__" not in str(refused.value) and "False" not in str(refused.value)
    assert "weakref" not in str(refused.value)

    def advised(loader: Any) -> Any:
        return cached_singleflight(ttl=60, per_instance=lambda self: self)(loader)

    cls = make(advised)
    assert [cls(n).get() for n in (1, 2, 1)] == [1, 2, 1]


def test_values_that_have_no_hash_need_a_callable() -> None:
    with pytest.raises(TypeError) as refused:
        named_tuple(cached_singleflight(ttl=60))([]).get()
    assert BY_CALLABLE in str(refused.value) and BY_VALUE not in str(refused.value)


def slotted(decorate: Any, **options: Any) -> Any:
    class Slotted:
        __slots__ = ("n", *options.get("slots", ()))

        def __init__(self, n: int) -> None:
            self.n = n

        @decorate
        def get(self) -> int:
            return self.n

    return Slotted


def slotted_string(decorate: Any, **options: Any) -> Any:
    class Slotted(str):
        __slots__ = options.get("slots", ())

        @decorate
        def get(self) -> int:
            return int(self)

    return lambda n: Slotted(str(n))


def data(decorate: Any, **options: Any) -> Any:
    class Base:
        __slots__ = options.pop("slots", ())

    @dataclass(slots=True, **options)
    class Data(Base):
        n: int

        @decorate
        def get(self) -> int:
            return self.n

    return Data


def attrs(decorate: Any, *, weakref_slot: bool = False) -> Any:
    define = pytest.importorskip("attrs").define

    @define(weakref_slot=weakref_slot)
    class Data:
        n: int

        @decorate
        def get(self) -> int:
            return self.n

    return Data


def struct(decorate: Any, **options: Any) -> Any:
    msgspec = pytest.importorskip("msgspec")
    return msgspec.defstruct(
        "Struct", [("n", int)], namespace={"get": decorate(lambda self: self.n)}, **options
    )


@pytest.mark.parametrize(
    ("make", "advice", "followed"),
    [
        (slotted, "add '__weakref__' to its __slots__", {"slots": ["__weakref__"]}),
        (slotted_string, "add '__weakref__' to its __slots__", {"slots": ["__weakref__"]}),
        (data, "weakref_slot=True", {"weakref_slot": True})
        if sys.version_info >= (3, 11)
        else (data, r"inherit from .* __slots__ = \('__weakref__',\)", {"slots": ["__weakref__"]}),
        (attrs, "weakref_slot=True", {"weakref_slot": True}),
        (struct, "define it with weakref=True", {"weakref": True}),
    ],
    ids=["slots", "str with slots", "dataclass", "attrs", "msgspec"],
)
def test_classes_that_can_be_changed_say_how(make: Any, advice: str, followed: Any) -> None:
    cached = cached_singleflight(ttl=60, per_instance=True)
    with pytest.raises(TypeError, match=advice):
        make(cached)(1).get()
    cls = make(cached, **followed)
    one, two = cls(1), cls(2)
    assert (one.get(), two.get(), one.get()) == (1, 2, 1)
