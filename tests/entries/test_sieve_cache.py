"""`SieveCache` is a cache of cachetools': their contract for all of theirs, and what is our own.

The contract is that of cachetools' test-suite, in our words.
"""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from inspect import signature
from math import inf, nan
from typing import Any
from weakref import ref

import cachetools
import pytest
from cachetools import keys

from conftest import Boom, Caller
from soloflight import SieveCache, cached_singleflight


class BySize(SieveCache[Any, Any]):
    """One whose values say their size."""

    def getsizeof(self, value: Any) -> float:
        return float(value)


class OnDemand(SieveCache[Any, Any]):
    """One that makes what it does not have, and keeps it where there is room."""

    def __missing__(self, key: Any) -> Any:
        try:
            self[key] = key
        except ValueError:
            pass
        return key


def of_two() -> SieveCache[Any, Any]:
    cache: SieveCache[Any, Any] = SieveCache(2)
    cache.update({1: "one", 2: "two"})
    return cache


# As a mapping


def test_an_empty_cache() -> None:
    cache: SieveCache[Any, Any] = SieveCache(maxsize=1)
    assert isinstance(cache, cachetools.Cache)
    assert (len(cache), cache.currsize, cache.maxsize) == (0, 0, 1)
    assert [cache.getsizeof(value) for value in (None, "", 0)] == [1, 1, 1]
    assert repr(cache) == "SieveCache({}, maxsize=1, currsize=0)"
    assert not cache
    assert 1 not in cache
    assert list(cache) == []


def test_what_is_put_in_is_there() -> None:
    cache = of_two()
    assert (cache[1], cache[2]) == ("one", "two")
    assert dict(cache) == {1: "one", 2: "two"}
    assert (len(cache), cache.currsize) == (2, 2)
    assert repr(cache) == "SieveCache({1: 'one', 2: 'two'}, maxsize=2, currsize=2)"


def test_the_new_is_always_there_and_an_old_one_goes() -> None:
    cache = of_two()
    for key in range(3, 20):
        cache[key] = str(key)
        assert cache[key] == str(key)
        assert len(cache) == cache.currsize == 2
        assert len([other for other in range(1, key) if other in cache]) == 1


def test_what_is_there_is_replaced_and_nothing_goes() -> None:
    cache = of_two()
    cache.update({1: "eins", 2: "zwei"})
    cache[1] = "uno"
    assert dict(cache) == {1: "uno", 2: "zwei"}
    assert len(cache) == cache.currsize == 2


def test_an_unknown_key_is_a_key_error() -> None:
    cache = of_two()
    with pytest.raises(KeyError, match=r"^3$"):
        cache[3]
    with pytest.raises(KeyError, match=r"^3$"):
        del cache[3]
    with pytest.raises(KeyError, match=r"^3$"):
        cache.pop(3)
    assert len(cache) == 2


def test_del() -> None:
    cache = of_two()
    del cache[2]
    assert dict(cache) == {1: "one"}
    del cache[1]
    assert len(cache) == cache.currsize == 0
    with pytest.raises(KeyError):
        del cache[1]


def test_pop() -> None:
    cache = of_two()
    assert cache.pop(2) == "two"
    assert cache.pop(2, None) is None
    assert cache.pop(2, "default") == "default"
    assert cache.pop(1, "default") == "one"
    assert len(cache) == 0


def test_popitem_takes_all_of_them_one_by_one() -> None:
    cache = of_two()
    cache[1]
    assert cache.popitem() == (2, "two")
    assert cache.popitem() == (1, "one")
    with pytest.raises(KeyError, match="SieveCache is empty"):
        cache.popitem()


@pytest.mark.parametrize("asked", [(), (0,), (0, 1), (1, 2), (0, 1, 2), (0, 1, 2, 3)], ids=str)
def test_popitem_takes_the_oldest_that_was_not_asked_for(asked: tuple[int, ...]) -> None:
    cache: SieveCache[Any, Any] = SieveCache(4)
    cache.update({key: str(key) for key in range(4)})
    for key in asked:
        cache[key]
    oldest = min({0, 1, 2, 3} - {*asked}, default=0)
    assert cache.popitem() == (oldest, str(oldest))
    assert len(cache) == 3


def test_get_and_setdefault() -> None:
    cache = of_two()
    assert cache.get(1) == "one"
    assert (cache.get(3), cache.get(3, "default")) == (None, "default")
    assert cache.setdefault(1, "default") == "one"
    assert 3 not in cache
    assert cache.setdefault(3, "three") == "three"
    assert cache[3] == "three"
    assert cache.setdefault(4) is None
    assert cache[4] is None


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("ask", ["get", "setdefault"])
def test_what_is_dropped_while_it_is_asked_for_is_there_or_not(ask: str, nth: int) -> None:
    """It is no KeyError: anybody may drop it at any time."""
    cache: SieveCache[Any, Any] = SieveCache(2)

    class Key:
        asked = 0

        def __hash__(self) -> int:
            self.asked += 1
            if self.asked == nth:
                cache.pop("k", None)
            return hash("k")

        def __eq__(self, other: object) -> bool:
            return other == "k" or other is self

    cache["k"] = "value"
    assert getattr(cache, ask)(Key(), "default") in ("value", "default")


def test_popitem_loses_nothing_that_was_put_in_meanwhile() -> None:
    cache: SieveCache[Any, Any] = SieveCache(2)

    class Key:
        replaced = False

        def __hash__(self) -> int:
            if self.replaced:
                self.replaced = False
                cache[self] = "newer"
            return 1

    key = Key()
    cache[key] = "older"
    key.replaced = True
    taken = [cache.popitem()[1] for _ in range(len(cache))]
    assert taken[-1] == "newer"
    assert not cache


def test_clear() -> None:
    cache = of_two()
    cache.clear()
    assert len(cache) == cache.currsize == 0
    cache[3] = 3
    assert dict(cache) == {3: 3}


def test_its_views_and_its_equality_are_those_of_any_mapping() -> None:
    cache = of_two()
    assert list(cache.keys()) == [1, 2]
    assert list(cache.values()) == ["one", "two"]
    assert list(cache.items()) == [(1, "one"), (2, "two")]
    assert cache == {1: "one", 2: "two"} == of_two()
    assert cache != {1: "one"}


def test_it_may_change_while_one_goes_through_it() -> None:
    cache = of_two()
    for key in cache:
        del cache[key]
        cache[key + 10] = key
    assert sorted(cache) == [11, 12]


def test_to_look_whether_a_key_is_there_asks_for_nothing() -> None:
    """Nor does it mark it: it goes before what was read."""
    cache = of_two()
    assert 1 in cache
    cache[2]
    cache[3] = 3
    assert sorted(cache) == [2, 3]


def test_what_is_read_stays() -> None:
    cache = of_two()
    assert cache.get(1) == "one"
    cache[3] = 3
    assert sorted(cache) == [1, 3]


def test_what_is_replaced_stays_as_long_as_if_it_were_the_old_one() -> None:
    cache = of_two()
    cache[1]
    cache[1] = "eins"
    cache[3] = 3
    assert sorted(cache) == [1, 3]


def test_it_is_a_mapping_of_keys_that_share_a_hash() -> None:
    cache: SieveCache[Any, Any] = SieveCache(10)
    same = [-1, -2, -(2**61) - 1]  # the hash of each of them is -2
    assert len(set(map(hash, same))) == 1
    cache.update({key: str(key) for key in same})
    del cache[-2]
    assert dict(cache) == {key: str(key) for key in same if key != -2}


# Subclasses


def test_missing_is_asked_by_brackets() -> None:
    cache = OnDemand(2)
    assert (cache[1], cache[2]) == (1, 2)
    assert sorted(cache) == [1, 2]
    assert cache[3] == 3
    assert len(cache) == 2
    assert 3 in cache


def test_missing_is_asked_by_nothing_else() -> None:
    cache = OnDemand(2)
    assert (cache.get(1), cache.get(1, "default")) == (None, "default")
    assert cache.pop(1, "default") == "default"
    with pytest.raises(KeyError):
        cache.pop(1)
    with pytest.raises(KeyError):
        del cache[1]
    assert cache.setdefault(1, "default") == "default"
    assert cache[1] == "default"
    assert dict(cache) == {1: "default"}


def test_missing_may_keep_nothing() -> None:
    cache = OnDemand(2, getsizeof=lambda value: value)
    assert [cache[key] for key in (1, 2, 3)] == [1, 2, 3]
    assert dict(cache) == {2: 2}


@pytest.mark.parametrize(
    "make",
    [lambda: SieveCache(3, getsizeof=lambda value: value), lambda: BySize(3)],
    ids=["given", "overridden"],
)
def test_sizes(make: Callable[[], SieveCache[Any, Any]]) -> None:
    cache = make()
    assert [cache.getsizeof(value) for value in (1, 2, 3)] == [1, 2, 3]
    cache.update({1: 1, 2: 2})
    assert (len(cache), cache.currsize) == (2, 3)
    cache[1] = 2  # for which there is no room besides the other one
    assert (dict(cache), cache.currsize) == ({1: 2}, 2)
    cache.update({1: 1, 2: 2})
    assert (dict(cache), cache.currsize) == ({1: 1, 2: 2}, 3)
    cache[3] = 3
    assert (dict(cache), cache.currsize) == ({3: 3}, 3)
    for key in (3, 4):  # what is there stays
        with pytest.raises(ValueError, match="value too large"):
            cache[key] = 4
        assert (dict(cache), cache.currsize) == ({3: 3}, 3)
    del cache[3]
    assert (len(cache), cache.currsize) == (0, 0)


def test_what_has_no_size_is_not_counted_and_still_goes_by_its_turn() -> None:
    cache: SieveCache[Any, Any] = SieveCache(1, getsizeof=lambda value: value)
    cache.update(dict.fromkeys(range(5), 0))
    assert (len(cache), cache.currsize) == (5, 0)
    cache["large"] = 1
    assert (len(cache), cache.currsize) == (6, 1)
    cache["larger"] = 1.0
    assert "large" not in cache
    assert cache.currsize == 1


def test_a_subclass_may_override_what_is_asked_by_hand() -> None:
    class Upper(SieveCache[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return super().__getitem__(key.upper())

        def __setitem__(self, key: str, value: Any) -> None:
            super().__setitem__(key.upper(), value)

    cache = Upper(2)
    cache["a"] = 1
    assert cache["A"] == cache["a"] == 1


def test_a_popitem_that_is_overridden_is_not_asked() -> None:
    class Asked(SieveCache[Any, Any]):
        def popitem(self) -> Any:
            raise Boom

    cache = Asked(2)
    cache.update({key: key for key in range(10)})
    assert len(cache) == 2


def test_none_of_the_methods_of_cachetools_are_left() -> None:
    """They would find the private dict empty that they read."""
    about_the_class = {"__dict__", "__doc__", "__module__", "__weakref__", "__abstractmethods__"}
    about_the_class |= {"_abc_impl", "__firstlineno__", "__static_attributes__"}
    theirs = {name for name in vars(cachetools.Cache) if not name.startswith("_Cache__")}
    assert theirs - about_the_class - set(vars(SieveCache)) == set()


# Sizes of all kinds


@pytest.mark.parametrize("maxsize", [0, 0.5])
def test_a_cache_without_room(maxsize: float) -> None:
    cache: SieveCache[Any, Any] = SieveCache(maxsize)
    with pytest.raises(ValueError, match="value too large"):
        cache["k"] = 1
    assert len(cache) == cache.currsize == 0
    assert cache.maxsize == maxsize


def test_a_cache_with_room_for_one() -> None:
    cache: SieveCache[Any, Any] = SieveCache(1)
    for key in range(5):
        cache[key] = key
        assert dict(cache) == {key: key}


@pytest.mark.parametrize("maxsize", [None, inf])
def test_a_cache_without_limit(maxsize: float | None) -> None:
    cache: SieveCache[Any, Any] = SieveCache(maxsize)
    cache.update({key: key for key in range(5000)})
    assert len(cache) == 5000
    assert cache.maxsize == inf


def test_a_cache_without_limit_has_sizes() -> None:
    cache: SieveCache[Any, Any] = SieveCache(None, getsizeof=len)
    cache.update({n: "x" * n for n in range(10)})
    assert cache.currsize == 45
    copied = copy.copy(cache)
    assert (copied.currsize, copied.maxsize) == (45, inf)


@pytest.mark.parametrize("size", [0.1, 1e-9, 1 / 3, Fraction(1, 3), Decimal("0.1")], ids=repr)
def test_sizes_that_are_no_whole_numbers_do_not_drift(size: Any) -> None:
    cache: SieveCache[Any, Any] = SieveCache(100, getsizeof=lambda value: value)
    for key in range(1000):
        cache[key % 7] = size if key % 3 else 1.5
    for key in range(7):
        cache[key] = size
    assert cache.currsize == pytest.approx(7 * float(size))
    for key in range(7):
        del cache[key]
    assert cache.currsize == 0
    assert type(cache.currsize) is int


def test_a_small_size_beside_a_large_one_is_not_lost() -> None:
    cache: SieveCache[Any, Any] = SieveCache(None, getsizeof=lambda value: value)
    cache["large"] = 1e300
    cache["small"] = 1e-9
    del cache["large"]
    assert cache.currsize == pytest.approx(1e-9)


@pytest.mark.parametrize(("maxsize", "fits"), [(1, 10), (0.95, 9), (1e-3, 0)])
def test_as_many_are_kept_as_weigh_what_there_is_room_for(maxsize: float, fits: int) -> None:
    """Ten tenths are one, though a sum of floats is less."""
    cache: SieveCache[Any, Any] = SieveCache(maxsize, getsizeof=lambda value: Fraction(1, 10))
    for key in range(100):
        try:
            cache[key] = key
        except ValueError:
            assert not fits
    assert len(cache) in (fits, fits - 1)  # a size is rounded to 2**-64


@pytest.mark.parametrize(
    ("maxsize", "error", "message"),
    [
        (-1, ValueError, "maxsize must not be negative, but is -1"),
        (-inf, ValueError, "maxsize must not be negative, but is -inf"),
        (nan, ValueError, "maxsize must not be negative, but is nan"),
        ("many", TypeError, "maxsize must be a number, or None for no limit, not 'many'"),
        (True, TypeError, "maxsize must be a number, or None for no limit, not True"),
    ],
)
def test_a_maxsize_that_is_none(maxsize: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        SieveCache(maxsize)


@pytest.mark.parametrize("getsizeof", [3, "len"])
def test_a_getsizeof_that_is_none(getsizeof: Any) -> None:
    with pytest.raises(TypeError, match=r"^getsizeof must be a callable, not "):
        SieveCache(3, getsizeof)


def test_a_getsizeof_that_nobody_awaits() -> None:
    async def getsizeof(value: object) -> int:
        return 1

    wrong: Any = getsizeof
    with pytest.raises(TypeError, match=r"^getsizeof must be a plain function, not an async def"):
        SieveCache(3, wrong)


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (-1, ValueError, "what getsizeof() returns must not be negative, but is -1"),
        (nan, ValueError, "what getsizeof() returns must not be negative, but is nan"),
        (None, TypeError, "what getsizeof() returns must be a number, not None"),
        ("3", TypeError, "what getsizeof() returns must be a number, not '3'"),
        (True, TypeError, "what getsizeof() returns must be a number, not True"),
        (inf, ValueError, "value too large"),
    ],
)
@pytest.mark.parametrize("maxsize", [3, None])
def test_a_size_that_is_none(
    size: Any, error: type[Exception], message: str, maxsize: float | None
) -> None:
    cache: SieveCache[Any, Any] = SieveCache(maxsize, getsizeof=lambda value: value)
    cache["k"] = 2
    for key in ("k", "other"):
        with pytest.raises(error) as raised:
            cache[key] = size
        assert str(raised.value) == message
    assert (dict(cache), cache.currsize) == ({"k": 2}, 2)


def test_a_getsizeof_that_raises_changes_nothing() -> None:
    cache: SieveCache[Any, Any] = SieveCache(3, getsizeof=len)
    cache["k"] = "ab"
    with pytest.raises(TypeError):
        cache["k"] = 3
    assert (dict(cache), cache.currsize) == ({"k": "ab"}, 2)


# Copies

WAYS: dict[str, Callable[[Any], Any]] = {
    f"protocol-{protocol}": lambda cache, protocol=protocol: pickle.loads(
        pickle.dumps(cache, protocol)
    )
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
} | {"copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.fixture(params=WAYS)
def copied(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """A way to copy a cache."""
    return WAYS[request.param]


def test_a_copy_has_the_same_and_goes_its_own_way(copied: Callable[[Any], Any]) -> None:
    cache = of_two()
    made = copied(cache)
    assert type(made) is SieveCache
    assert made == cache
    assert (list(made), made.currsize, made.maxsize) == ([1, 2], 2, 2)
    made[3] = 3
    assert len(made) == 2
    assert 3 in made
    del cache[2]
    assert dict(cache) == {1: "one"}
    assert len(made) == 2
    assert copied(made) == made


@pytest.mark.parametrize("n", [0, 1, 3000])
def test_a_copy_of_few_or_many(copied: Callable[[Any], Any], n: int) -> None:
    cache: SieveCache[Any, Any] = SieveCache(n)
    cache.update({key: key for key in range(n)})
    made = copied(cache)
    assert made == cache
    assert (len(made), made.maxsize) == (n, n)


@pytest.mark.parametrize("way", ["protocol-4", "deepcopy"])
def test_a_copy_of_very_many(way: str) -> None:
    """Neighbours in a queue, copied each inside of the other, would need a stack as long."""
    cache: SieveCache[Any, Any] = SieveCache(30_000)
    cache.update({key: key for key in range(30_000)})
    made = WAYS[way](cache)
    assert len(made) == 30_000
    assert list(made) == list(range(30_000))


def test_a_copy_knows_its_sizes(copied: Callable[[Any], Any]) -> None:
    cache: SieveCache[Any, Any] = SieveCache(3, getsizeof=abs)
    cache.update({1: 1, 2: 2})
    made = copied(cache)
    assert (dict(made), made.currsize, made.maxsize) == ({1: 1, 2: 2}, 3, 3)
    made[3] = -3
    assert (dict(made), made.currsize) == ({3: -3}, 3)


class Measured(SieveCache[Any, Any]):
    """A subclass with state of its own, and another signature; it counts what it measures."""

    def __init__(self, *, unit: int) -> None:
        super().__init__(maxsize=3 * unit)
        self.unit = unit
        self.asked: list[Any] = []

    def getsizeof(self, value: Any) -> float:
        self.asked.append(value)
        return value * self.unit  # type: ignore[no-any-return]


def test_a_copy_of_a_subclass(copied: Callable[[Any], Any]) -> None:
    cache = Measured(unit=10)
    cache.update({1: 1, 2: 2})
    made = copied(cache)
    assert type(made) is Measured
    assert (made.unit, dict(made), made.currsize, made.maxsize) == (10, {1: 1, 2: 2}, 30, 30)
    made[3] = 3
    assert (dict(made), made.currsize) == ({3: 3}, 30)


def test_to_copy_measures_nothing_anew(copied: Callable[[Any], Any]) -> None:
    cache = Measured(unit=10)
    cache.update({1: 1, 2: 2})
    assert copied(cache).asked == [1, 2]


def test_a_copy_is_marked_by_its_own_reads_alone() -> None:
    cache = of_two()
    made = copy.copy(cache)
    made[1]
    cache[2]
    made[3] = cache[3] = 3
    assert sorted(made) == [1, 3]
    assert sorted(cache) == [2, 3]


def test_values_are_copied_as_deeply_as_asked() -> None:
    cache: SieveCache[Any, Any] = SieveCache(3)
    cache["k"] = value = [1]
    assert copy.copy(cache)["k"] is value
    assert copy.deepcopy(cache)["k"] == value
    assert copy.deepcopy(cache)["k"] is not value


def test_a_value_may_hold_the_cache_that_holds_it(copied: Callable[[Any], Any]) -> None:
    cache: SieveCache[Any, Any] = SieveCache(3)
    cache["k"] = [cache]
    made = copied(cache)
    assert made["k"][0] is (cache if copied is copy.copy else made)


class Library:
    """What its getsizeof is bound to holds the cache."""

    def __init__(self) -> None:
        self.cache: SieveCache[Any, Any] = SieveCache(9, self.weight)
        self.unit = 2

    def weight(self, value: Any) -> float:
        return len(value) * self.unit


@pytest.mark.parametrize("way", [way for way in WAYS if way != "copy"])
def test_a_getsizeof_may_be_of_what_holds_the_cache(way: str) -> None:
    library = Library()
    library.cache["k"] = "abc"
    made = WAYS[way](library)
    assert made.cache.getsizeof("ab") == 4
    made.unit = 3
    assert made.cache.getsizeof("ab") == 6
    assert (dict(made.cache), made.cache.currsize) == ({"k": "abc"}, 6)
    via = WAYS[way](library.cache)
    assert (dict(via), via.currsize) == ({"k": "abc"}, 6)


def filled(**options: Any) -> tuple[Any, SieveCache[Any, Any]]:
    """A function and the cache that it has filled; and a method, and an exception, in there."""
    cache: SieveCache[Any, Any] = SieveCache(50, **options)

    @cached_singleflight(cache=cache, ttl=60)
    def load(text: str) -> str:
        return text

    @cached_singleflight(cache=cache, ttl=60, error_ttl={LookupError: 60})
    def fails() -> str:
        raise LookupError("no")

    class Repository:
        @cached_singleflight(cache=cache, ttl=60)
        def get(self, text: str) -> str:
            return text

    load("abc")
    load.keep = Repository()
    load.keep.get("de")
    with pytest.raises(LookupError):
        fails()
    cache["by hand"] = "f"
    return load, cache


@pytest.mark.parametrize("getsizeof", [None, len], ids=["", "sized"])
def test_a_copy_shares_nothing_with_the_functions_of_the_original(
    copied: Callable[[Any], Any], getsizeof: Any
) -> None:
    load, cache = filled(getsizeof=getsizeof)
    made = copied(cache)
    assert len(made) == len(cache) == 4
    assert made.currsize == cache.currsize
    assert made["by hand"] == "f"
    seen = [made[key] for key in made if key != "by hand"]
    assert sorted(entry.value for entry in seen if entry.error is None) == ["abc", "de"]
    assert [str(entry.error) for entry in seen if entry.error is not None] == ["no"]
    made.clear()
    assert (load("abc"), load.keep.get("de")) == ("abc", "de")
    assert load.stats().misses == load.keep.get.stats().misses == 1
    load.clear()
    assert len(made) == 0


def test_a_copy_can_be_given_again(copied: Callable[[Any], Any]) -> None:
    _, cache = filled()
    made = copied(cache)

    @cached_singleflight(cache=made, ttl=60)
    def load(text: str) -> str:
        return text * 2

    assert load("abc") == load("abc") == "abcabc"
    assert load.stats().misses == 1
    assert len(made) == 5


def test_the_cache_of_a_function_can_be_copied(copied: Callable[[Any], Any]) -> None:
    @cached_singleflight(ttl=None, getsizeof=len, maxsize=9)
    def load(text: str) -> str:
        return text

    load("abc")
    made = copied(load.cache)
    assert {key: entry.value for key, entry in made.items()} == {"abc": "abc"}
    assert (made.currsize, made.maxsize) == (3, 9)
    made.clear()
    assert load("abc") == "abc"
    assert load.stats().hits == 1


# In the decorators of cachetools


class Counted:
    """A context manager that counts its uses; a condition as well."""

    def __init__(self) -> None:
        self.entered = self.notified = 0

    def __enter__(self) -> None:
        self.entered += 1

    def __exit__(self, *raised: object) -> None: ...

    def wait_for(self, predicate: Callable[[], bool]) -> None: ...

    def notify_all(self) -> None:
        self.notified += 1


def numbered() -> Callable[..., int]:
    numbers = iter(range(100))
    return lambda *args, **kwargs: next(numbers)


def test_in_cached() -> None:
    cache: SieveCache[Any, Any] = SieveCache(2)
    load = cachetools.cached(cache)(numbered())
    assert [load(0), load(1), load(1), load(1.0)] == [0, 1, 1, 1]
    assert [keys.hashkey(key) in cache for key in (0, 1, 1.0, 2)] == [True, True, True, False]
    assert load(2) == 2
    assert len(cache) == 2


def test_in_cached_with_typed_keys() -> None:
    cache: SieveCache[Any, Any] = SieveCache(3)
    load = cachetools.cached(cache, key=keys.typedkey)(numbered())
    assert [load(0), load(1), load(1), load(1.0), load(1.0)] == [0, 1, 1, 2, 2]
    assert len(cache) == 3


def test_in_cached_with_a_lock() -> None:
    cache: SieveCache[Any, Any] = SieveCache(2)
    lock = Counted()
    load = cachetools.cached(cache, lock=lock)(numbered())
    assert [load(0), load(1), load(1)] == [0, 1, 1]
    assert lock.entered == 5  # two for a miss, one for a hit


needs_condition = pytest.mark.skipif(
    "condition" not in signature(cachetools.cached).parameters,
    reason="this version of cachetools has no condition",
)


@needs_condition
def test_in_cached_with_a_condition() -> None:
    cache: SieveCache[Any, Any] = SieveCache(2)
    condition = Counted()
    load = cachetools.cached(cache, condition=condition)(numbered())
    assert [load(0), load(1), load(1)] == [0, 1, 1]
    assert condition.notified == 2


@needs_condition
def test_in_cached_with_a_condition_one_load_serves_all() -> None:
    from threading import Barrier, Condition

    cache: SieveCache[Any, Any] = SieveCache(2)
    number, together = numbered(), Barrier(8)
    load = cachetools.cached(cache, condition=Condition())(number)

    def call() -> int:
        together.wait()
        return load("k")  # type: ignore[no-any-return]

    assert [caller.result() for caller in [Caller(call) for _ in range(8)]] == [0] * 8


@pytest.mark.skipif(
    "info" not in signature(cachetools.cached).parameters,
    reason="this version of cachetools has no info",
)
@pytest.mark.parametrize("maxsize", [2, 0])
def test_in_cached_with_info(maxsize: int) -> None:
    cache: SieveCache[Any, Any] = SieveCache(maxsize)
    load = cachetools.cached(cache, info=True)(numbered())
    assert load.cache_info() == (0, 0, maxsize, 0)
    assert [load(0), load(1)] == [0, 1]
    assert load.cache_info() == (0, 2, maxsize, maxsize)
    assert load(1) == (1 if maxsize else 2)
    assert load.cache_info() == ((1, 2, 2, 2) if maxsize else (0, 3, 0, 0))


def test_in_cached_without_room() -> None:
    cache: SieveCache[Any, Any] = SieveCache(0)
    load = cachetools.cached(cache)(numbered())
    assert [load(0), load(0)] == [0, 1]
    assert len(cache) == 0


def test_in_cached_of_many_threads() -> None:
    """It needs no lock of its caller's."""
    cache: SieveCache[Any, Any] = SieveCache(50)
    load = cachetools.cached(cache)(lambda key: key)

    def call(seed: int) -> bool:
        return all(load(key) == key for key in (seed * n % 97 for n in range(2000)))

    assert all(caller.result() for caller in [Caller(call, seed) for seed in range(1, 9)])
    assert len(cache) == cache.currsize == 50


class Shop:
    lock: Any = None

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.number = numbered()

    @cachetools.cachedmethod(lambda self: self.cache)
    def get(self, key: Any) -> int:
        return self.number()

    @cachetools.cachedmethod(lambda self: self.cache, lock=lambda self: self.lock)
    def get_locked(self, key: Any) -> int:
        return self.number()


def test_in_cachedmethod() -> None:
    shop = Shop(SieveCache(2))
    assert [shop.get(0), shop.get(1), shop.get(1), shop.get(1.0)] == [0, 1, 1, 1]
    shop.cache.clear()
    assert shop.get(1) == 2
    assert [shop.get(2), shop.get(3)] == [3, 4]
    assert len(shop.cache) == 2


def test_in_cachedmethod_with_a_lock() -> None:
    shop = Shop(SieveCache(2))
    shop.lock = Counted()
    assert [shop.get_locked(0), shop.get_locked(1), shop.get_locked(1)] == [0, 1, 1]
    assert shop.lock.entered == 5


@pytest.mark.skipif(
    "condition" not in signature(cachetools.cachedmethod).parameters,
    reason="this version of cachetools has no condition for methods",
)
def test_in_cachedmethod_with_a_condition() -> None:
    class Conditioned(Shop):
        @cachetools.cachedmethod(lambda self: self.cache, condition=lambda self: self.lock)
        def get(self, key: Any) -> int:
            return self.number()

    shop = Conditioned(SieveCache(2))
    shop.lock = Counted()
    assert [shop.get(0), shop.get(1), shop.get(1)] == [0, 1, 1]
    assert shop.lock.notified == 2


def test_in_cachedmethod_without_room() -> None:
    shop = Shop(SieveCache(0))
    assert [shop.get(0), shop.get(0)] == [0, 1]


# Shared by functions


@dataclass
class Shared:
    cache: SieveCache[Any, Any]
    one: Any
    other: Any


@pytest.fixture
def shared() -> Iterator[Shared]:
    """Two functions of one cache."""
    cache: SieveCache[Any, Any] = SieveCache(10)

    @cached_singleflight(cache=cache, ttl=60)
    def one(key: Any) -> tuple[str, Any]:
        return "one", key

    @cached_singleflight(cache=cache, ttl=60)
    def other(key: Any) -> tuple[str, Any]:
        return "other", key

    yield Shared(cache, one, other)


def test_the_keys_of_functions_are_apart(shared: Shared) -> None:
    for _ in range(2):
        assert shared.one("k") == ("one", "k")
        assert shared.other("k") == ("other", "k")
    assert len(shared.cache) == 2
    assert [f.stats().hits for f in (shared.one, shared.other)] == [1, 1]
    assert [f.stats().misses for f in (shared.one, shared.other)] == [1, 1]
    shared.one.clear()
    assert shared.other("k") == ("other", "k")
    assert shared.other.stats().misses == 1


def test_the_keys_of_a_function_of_cachetools_are_apart(shared: Shared) -> None:
    load = cachetools.cached(shared.cache)(lambda key: key * 2)
    assert (load("k"), shared.one("k"), load("k")) == ("kk", ("one", "k"), "kk")
    assert len(shared.cache) == 2


def test_what_is_put_in_by_hand_is_seen_by_hand(shared: Shared) -> None:
    key = shared.one.cache_key("k")
    shared.cache[key] = "by hand"
    assert shared.cache[key] == "by hand"
    assert shared.one.peek("k") is None
    assert shared.one("k") == ("one", "k")
    assert shared.cache[key].value == ("one", "k")
    assert shared.one.stats().misses == 1


def test_by_hand_one_sees_entries(shared: Shared) -> None:
    shared.one("k")
    key = shared.one.cache_key("k")
    assert key in shared.cache
    assert list(shared.cache) == [key]
    assert shared.cache[key].value == ("one", "k")
    assert shared.cache.get(key).value == ("one", "k")
    assert shared.cache.pop(key).value == ("one", "k")
    assert shared.one.peek("k") is None


@pytest.mark.parametrize("drop", ["del", "clear", "pop", "popitem"])
def test_to_drop_by_hand_fences_nothing(shared: Shared, drop: str) -> None:
    """A load that is under way stores what it brings; `invalidate` would not let it."""
    cache = shared.cache
    key = shared.one.cache_key("k")
    shared.one("k")
    seen = []

    @cached_singleflight(cache=cache, ttl=60)
    def load() -> int:
        cache["by hand"] = 1
        if drop == "del":
            del cache["by hand"]
        elif drop == "clear":
            cache.clear()
        elif drop == "pop":
            assert cache.pop("by hand") == 1
        else:
            cache.popitem()
        seen.append(len(cache))
        return 1

    load()
    assert load.peek().value == 1  # type: ignore[union-attr]
    assert load.stats().fenced == 0
    assert seen == [0 if drop == "clear" else 1]
    del cache[load.cache_key()]
    assert load.peek() is None
    assert (key in cache) is (drop in ("del", "pop"))


def test_a_key_of_a_function_is_any_key_in_another_cache(shared: Shared) -> None:
    shared.one("k")
    key = shared.one.cache_key("k")
    mine: SieveCache[Any, Any] = SieveCache(10)
    mine[key] = 1
    assert mine[key] == 1
    assert list(mine) == [key]
    assert key in mine
    assert shared.one("k") == ("one", "k")
    assert shared.one.stats().hits == 1
    assert dict(mine.items()) == {key: 1}
    assert repr(mine) == "SieveCache({'k': 1}, maxsize=10, currsize=1)"
    assert mine.popitem() == (key, 1)
    assert len(shared.cache) == 1
    mine[key] = 2
    del mine[key]
    assert key not in mine
    assert shared.one.peek("k") is not None


def test_an_argument_may_be_a_key_of_another_function(shared: Shared) -> None:
    key = shared.one.cache_key("k")

    @cached_singleflight(ttl=60)
    def load(key: Any) -> int:
        return 1

    assert [load(key), load(key)] == [1, 1]
    assert load.stats().hits == 1
    assert load.invalidate(key) is True
    assert load.peek(key) is None
    shared.one("k")
    assert shared.other(key) == ("other", key)
    assert len(shared.cache) == 2


def test_of_functions_that_share_a_cache_only_the_own_count(shared: Shared) -> None:
    for key in range(3):
        shared.one(key)
        shared.one(key)
    shared.other(0)
    assert [f.stats().hits for f in (shared.one, shared.other)] == [3, 0]
    assert [f.stats().misses for f in (shared.one, shared.other)] == [3, 1]


def test_the_cache_is_dropped_with_all_that_it_holds() -> None:
    class Thing:
        pass

    cache: SieveCache[Any, Any] = SieveCache(10)
    cache["a"], cache["b"] = Thing(), Thing()
    seen = [ref(cache["a"]), ref(cache["b"])]
    del cache
    assert [thing() for thing in seen] == [None, None]


def test_it_holds_no_more_than_it_may_where_a_key_replaces_its_old_value_by_another_one() -> None:
    class Key:
        def __init__(self, name: str) -> None:
            self.name = name

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if sys._getframe(1).f_code.co_name == "_make_room" and not replaced:
                replaced.append(True)
                cache["x"] = 1
                cache.pop(keys[0])
            return self is other

    cache: SieveCache[Any, int] = SieveCache(4, getsizeof=lambda value: value)
    keys = [Key(name) for name in "abcd"]
    replaced: list[bool] = []
    for key in keys:
        cache[key] = 1
    cache[keys[0]] = 2
    assert replaced
    assert cache.currsize <= 4
    assert cache.currsize == sum(cache[key] for key in cache)
