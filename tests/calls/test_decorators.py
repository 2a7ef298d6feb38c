"""Law 15: what cannot work is refused, with a word on what to do."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from fractions import Fraction
from typing import Any, get_type_hints
from weakref import WeakValueDictionary

import pytest
from cachetools import TTLCache

from conftest import logged
from soloflight import Group, cached_singleflight, singleflight


async def awaited(value: object) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "ttl"),
        ({"ttl": -1}, ValueError, "negative"),
        ({"ttl": float("nan")}, ValueError, "nan"),
        ({"ttl": "30"}, TypeError, "ttl must be seconds"),
        ({"ttl": True}, TypeError, "ttl must be seconds"),
        ({"cache": [], "ttl": 1}, TypeError, "MutableMapping"),
        ({"cache": {}, "maxsize": 1}, ValueError, "default cache"),
        ({"ttl": 1, "maxsize": -1}, ValueError, "maxsize"),
        ({"ttl": 1, "maxsize": "1"}, TypeError, "maxsize"),
        ({"ttl": 1, "getsizeof": 1}, TypeError, "getsizeof"),
        ({"ttl": 1, "timer": 1}, TypeError, "timer must be a callable"),
        ({"ttl": 1, "timer": lambda now: now}, TypeError, "without arguments"),
        ({"ttl": 1, "timer": str}, TypeError, "timer must return seconds"),
        ({"ttl": None, "cache": TTLCache(1, 10)}, ValueError, r"None \(for ever\)"),
        ({"ttl": 1, "cache": WeakValueDictionary()}, TypeError, "keep and return"),
        ({"ttl": awaited}, TypeError, "ttl must be a plain function"),
        ({"ttl": 1, "key": awaited}, TypeError, "key must be a plain function"),
        ({"ttl": 1, "per_instance": awaited}, TypeError, "per_instance must be a plain function"),
        ({"ttl": 1, "getsizeof": awaited}, TypeError, "getsizeof must be a plain function"),
        ({"ttl": 1, "name": ""}, ValueError, "name must not be empty"),
        ({"ttl": 1, "key": 1}, TypeError, "key"),
        ({"ttl": 1, "ignore": "session"}, TypeError, "ignore"),
        ({"ttl": 1, "ignore": {"nobody"}}, ValueError, "'nobody'"),
        ({"ttl": 1, "key": str, "typed": True}, ValueError, "key replaces"),
        ({"ttl": 1, "typed": 1}, TypeError, "typed"),
        ({"ttl": 1, "per_instance": 1}, TypeError, "per_instance"),
        ({"ttl": 1, "wait_timeout": -1}, ValueError, "wait_timeout"),
        ({"ttl": 1, "wait_timeout": "1"}, TypeError, "wait_timeout"),
        ({"ttl": 1, "name": 1}, TypeError, "name"),
    ],
)
def test_options_that_cannot_work_are_refused_at_decoration(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):

        @cached_singleflight(**options)
        def load(session: object) -> int:
            return 1


def test_the_bare_cached_decorator_says_what_it_needs() -> None:
    with pytest.raises(TypeError, match=r"write @cached_singleflight\(ttl="):

        @cached_singleflight
        def load() -> int:
            return 1


def test_to_ignore_the_instance_is_refused() -> None:
    with pytest.raises((ValueError, RuntimeError)) as error:  # RuntimeError: before Python 3.12

        class Repo:
            @cached_singleflight(ttl=1, ignore={"self"})
            def get(self) -> int:
                return 1

    assert "per_instance=False" in str(error.value.__cause__ or error.value)


def test_generator_functions_are_refused() -> None:
    def items() -> Iterator[int]:
        yield 1

    async def async_items() -> AsyncIterator[int]:
        yield 1

    class Items:
        def __call__(self) -> Iterator[int]:
            yield 1

    for loader in (items, async_items, Items()):
        with pytest.raises(TypeError, match="generator"):
            singleflight(loader)


@pytest.mark.parametrize("make", [lambda: (i for i in ()), lambda: awaited(1)])
def test_what_only_one_caller_can_use_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match="which only one caller can use"):
        singleflight(make)()
    with pytest.raises(TypeError, match="which only one caller can use"):
        Group().do("k", make)


def test_an_object_that_is_awaited_when_called_is_a_coroutine_function() -> None:
    class Loader:
        async def __call__(self, key: str) -> str:
            return key

    assert asyncio.run(cached_singleflight(ttl=1)(Loader())("k")) == "k"


def test_any_real_number_is_a_duration() -> None:
    """Those of numpy are real numbers as well, and no floats."""
    now = Fraction(0)

    @cached_singleflight(ttl=Fraction(5), timer=lambda: now)  # type: ignore[arg-type, return-value]
    def load() -> object:
        return object()

    first = load()
    now += 4
    assert load() is first
    now += 1
    assert load() is not first


def test_a_method_of_a_builtin_type_is_a_function_like_any_other() -> None:
    upper = cached_singleflight(ttl=60)(str.upper)
    assert upper("a") == upper("a") == "A"


def test_maxsize_none_is_no_limit() -> None:
    @cached_singleflight(ttl=60, maxsize=None)
    def load(n: int) -> int:
        return n

    for n in range(1100):
        load(n)
    assert load.cache_info().currsize == 1100


def test_per_instance_on_a_plain_function_is_an_error_at_the_first_call() -> None:
    @cached_singleflight(ttl=1, per_instance=False)
    def load() -> int:
        return 1

    with pytest.raises(TypeError, match="per_instance is for methods"):
        load()


def test_singleflight_alone_has_no_cache() -> None:
    @singleflight
    def load() -> int:
        return 1

    for name in ("invalidate", "clear", "refresh", "put", "peek", "cache", "cache_info"):
        assert not hasattr(load, name)


@cached_singleflight(ttl=60)
async def module_level(a: int, *, b: int = 2) -> int:
    """Its own words."""
    return a


def test_the_loaders_own_face_is_seen() -> None:
    assert str(inspect.signature(module_level)) == "(a: 'int', *, b: 'int' = 2) -> 'int'"
    assert inspect.iscoroutinefunction(module_level)
    assert module_level.__name__ == "module_level"
    assert module_level.__module__ == __name__
    assert module_level.__doc__ == "Its own words."
    assert copy.deepcopy(module_level) is copy.copy(module_level) is module_level
    assert pickle.loads(pickle.dumps(module_level)) is module_level


def test_annotations_are_the_loaders_own() -> None:
    assert get_type_hints(module_level) == {"a": int, "b": int, "return": int}
    assert get_type_hints(Repo().get) == {"n": int, "return": tuple[int, int]}


def test_a_function_stays_a_function_where_a_class_has_it_as_an_attribute() -> None:
    @cached_singleflight(ttl=60)
    def load(n: int = 0) -> object:
        return object()

    before = load(1)

    class View:
        loader = load

    assert View.loader is load
    assert load(1) is before
    assert load() is load(0)
    assert load.peek(1) is not None


def test_per_instance_on_a_static_method_is_refused() -> None:
    with pytest.raises((TypeError, RuntimeError)) as error:  # RuntimeError: before Python 3.12

        class View:
            @cached_singleflight(ttl=60, per_instance=False)
            @staticmethod
            def load() -> int:
                return 1

    assert "per_instance is for methods" in str(error.value.__cause__ or error.value)


def test_a_cache_without_a_usable_ttl_of_its_own_has_none() -> None:
    class Untimed(dict[Any, Any]):
        ttl = None

    class Asked(dict[Any, Any]):
        def ttl(self, key: object) -> int:
            raise AssertionError

    for cache in (Untimed(), Asked()):
        for ttl in (5, lambda value: 5):
            load = cached_singleflight(cache=cache, ttl=ttl)(lambda: object())
            assert load() is load()


# Law 13: methods


class Repo:
    loads = 0

    def __eq__(self, other: object) -> bool:
        return True  # equal, and yet never confused

    __hash__ = None  # type: ignore[assignment]

    @cached_singleflight(ttl=60)
    def get(self, n: int) -> tuple[int, int]:
        return id(self), n

    @logged
    @cached_singleflight(ttl=60)
    def logged_get(self, n: int) -> tuple[int, int]:
        return id(self), n

    @cached_singleflight(ttl=60, per_instance=False)
    def shared(self, n: int) -> object:
        return object()

    @cached_singleflight(ttl=60)
    @classmethod
    def inner_class(cls, n: int) -> tuple[type, int]:
        return cls, n

    @classmethod
    @cached_singleflight(ttl=60)
    def outer_class(cls, n: int) -> tuple[type, int]:
        return cls, n

    @cached_singleflight(ttl=60)
    @staticmethod
    def inner_static(n: int) -> object:
        return object()

    @staticmethod
    @cached_singleflight(ttl=60)
    def outer_static(n: int) -> object:
        return object()


class Sub(Repo):
    pass


def test_instances_are_told_apart_by_identity() -> None:
    one, two = Repo(), Repo()
    assert one.get(1) is one.get(1)
    assert one.get(1) != two.get(1)
    assert Repo.get(one, 1) is one.get(1)
    assert one.logged_get(1) != two.logged_get(1)
    assert one.get.invalidate(1) is True
    assert two.get.peek(1) is not None


def test_an_instance_is_not_kept_alive() -> None:
    repo = Repo()
    repo.get(1)
    repo.logged_get(1)
    seen = weakref.ref(repo)
    del repo
    assert seen() is None


def test_a_method_can_be_held_weakly() -> None:
    repo = Repo()
    held = weakref.WeakMethod(repo.get)
    assert held()(1) is repo.get(1)  # type: ignore[misc]
    del repo
    assert held() is None


def test_a_reused_address_is_another_instance() -> None:
    loads = []

    class Short:
        @cached_singleflight(ttl=60)
        def get(self) -> int:
            loads.append(1)
            return len(loads)

    assert [Short().get() for _ in range(100)] == list(range(1, 101))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="classmethod binds what it wraps")
def test_what_an_outermost_classmethod_hides_is_an_error() -> None:
    Repo.outer_class(5)
    with pytest.raises(TypeError, match="put it under this decorator, or pass the class first"):
        Repo.outer_class.invalidate(5)
    assert Repo.outer_class.invalidate(Repo, 5) is True


def test_what_is_offered_is_listed() -> None:
    assert {"invalidate", "__name__"} <= set(dir(module_level)) & set(dir(Repo().get))


def test_instances_may_share() -> None:
    assert Repo().shared(1) is Repo().shared(1)


def test_class_and_static_methods_work_in_either_order() -> None:
    assert Repo.inner_class(1) == Repo().inner_class(1) == (Repo, 1)
    assert Repo.outer_class(1) == Repo().outer_class(1) == (Repo, 1)
    assert Sub.inner_class(1) == Sub.outer_class(1) == (Sub, 1)
    assert Repo.inner_static(1) is Repo().inner_static(1)
    assert Repo.outer_static(1) is Repo().outer_static(1)


def test_slots_without_weakref_say_what_to_do() -> None:
    class Slotted:
        __slots__ = ()

        @cached_singleflight(ttl=60)
        def get(self) -> int:
            return 1

    with pytest.raises(TypeError, match=r"__weakref__.*per_instance"):
        Slotted().get()


def test_the_wrong_use_of_a_group_is_refused() -> None:
    with pytest.raises(TypeError):
        Group().do("k", 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fn must be callable"):
        Group().submit("k", 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name must be a str"):
        Group(1)  # type: ignore[arg-type]
