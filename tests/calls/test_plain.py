"""Law 18: a plain function that is decorated is a plain function."""

from __future__ import annotations

import asyncio
import copy
import doctest
import functools
import gc
import inspect
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Iterator
from functools import partial, singledispatch, wraps
from types import FunctionType, MethodType, ModuleType
from typing import Any, get_type_hints
from unittest.mock import create_autospec

import pytest

from soloflight import CachedFunction, Clearable, Function, cached_singleflight, singleflight

cached = cached_singleflight(ttl=60)
DECORATORS = [singleflight, cached]


def load(user_id: int, *, region: str = "eu") -> str:
    """Loads a user.

    >>> load(1)
    '1 of eu'
    """
    return f"{user_id} of {region}"


async def load_async(user_id: int, *, region: str = "eu") -> str:
    """Loads a user."""
    return f"{user_id} of {region}"


LOADERS = [load, load_async]
FLIGHTS = {"cache_key", "forget", "in_flight", "stats"}
CACHED = FLIGHTS | {
    "cache", "cache_clear", "cache_info", "clear", "invalidate", "peek", "put", "refresh"
}  # fmt: skip


def outcome(value: Any) -> Any:
    return asyncio.run(value) if inspect.iscoroutine(value) else value


class Repo:
    @cached
    def method(self) -> int:
        return 1

    @cached
    @classmethod
    def of_class(cls) -> int:
        return 1

    @cached
    @staticmethod
    def static() -> int:
        return 1

    @staticmethod
    @cached
    def static_outside() -> int:
        return 1


# What it is


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize("loader", LOADERS)
def test_it_is_a_function(decorate: Any, loader: Any) -> None:
    ours = decorate(loader)
    assert type(ours) is FunctionType
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(ours, name) == getattr(loader, name)
    assert ours.__wrapped__ is loader
    assert inspect.signature(ours) == inspect.signature(loader)
    assert inspect.iscoroutinefunction(ours) is inspect.iscoroutinefunction(loader)
    assert inspect.getsource(ours) == inspect.getsource(loader)
    assert get_type_hints(ours) == get_type_hints(loader)
    assert weakref.ref(ours)() is copy.copy(ours) is copy.deepcopy(ours) is ours
    assert ours.__globals__ is loader.__globals__
    assert ours.__defaults__ is None and ours.__kwdefaults__ == {"region": "eu"}


@pytest.mark.parametrize("loader", LOADERS)
def test_who_looks_at_its_own_parameters_finds_those_of_the_loader(loader: Any) -> None:
    """As Celery does, and what does not follow ``__wrapped__``."""
    assert inspect.getfullargspec(cached(loader)) == inspect.getfullargspec(loader)


@pytest.mark.parametrize(
    "loader",
    [partial(load, 1), len, str.upper, Repo().method, functools.lru_cache(load)],
)
def test_what_is_no_function_is_stood_for_by_an_object(loader: Any) -> None:
    assert type(cached(loader)) is not FunctionType
    assert isinstance(cached(loader), CachedFunction)


@pytest.mark.parametrize("name", ["method", "of_class", "static", "static_outside"])
def test_what_is_defined_in_a_class_is_an_object(name: str) -> None:
    ours = inspect.getattr_static(Repo, name)
    ours = getattr(ours, "__func__", ours)
    assert type(ours) is not FunctionType
    assert isinstance(ours, CachedFunction) and isinstance(ours, Clearable)


def test_an_option_for_methods_makes_it_an_object() -> None:
    ours = cached_singleflight(ttl=60, per_instance=True)(load)
    assert type(ours) is not FunctionType and isinstance(ours, CachedFunction)


# What it offers


def test_what_it_offers_are_attributes() -> None:
    assert {n for n in vars(singleflight(load)) if not n.startswith("_")} == FLIGHTS
    for loader in LOADERS:
        assert {n for n in vars(cached(loader)) if not n.startswith("_")} == CACHED
    assert set(dir(cached(load))) >= CACHED


@pytest.mark.parametrize("loader", LOADERS)
def test_others_that_take_its_face_offer_what_it_offers(loader: Any) -> None:
    ours = cached(loader)
    other: Any = wraps(ours)(lambda *args: ours(*args))
    assert outcome(other(1)) == "1 of eu"
    assert other.peek(1).value == "1 of eu"
    assert other.invalidate(1) and ours.peek(1) is None
    assert outcome(other.refresh(1)) == "1 of eu" and ours.stats().misses == 2


def test_others_that_take_its_face_are_not_it() -> None:
    other = wraps(cached(load))(lambda user_id: user_id)
    assert not isinstance(other, (CachedFunction, Clearable))


@pytest.mark.parametrize(
    ("decorate", "kinds"), [(cached, [CachedFunction, Clearable]), (singleflight, [Function])]
)
@pytest.mark.parametrize("loader", LOADERS)
def test_it_is_an_instance_of_its_class(decorate: Any, kinds: list[Any], loader: Any) -> None:
    ours = decorate(loader)
    assert [kind for kind in (CachedFunction, Function, Clearable) if isinstance(ours, kind)] == [
        kind for kind in (CachedFunction, Function, Clearable) if kind in kinds
    ]
    assert not isinstance(loader, tuple(kinds))
    assert not isinstance(ours, type(decorate(partial(loader))))


def test_it_is_an_instance_where_wrapt_has_no_part_in_c() -> None:
    """The classes of its proxies have a class of their own then."""
    program = """
from soloflight import CachedFunction, Clearable, cached_singleflight

@cached_singleflight(ttl=60)
def load(n): return n

class Repo:
    @cached_singleflight(ttl=60)
    def get(self, n): return n

assert load(1) == Repo().get(1) == 1
assert isinstance(load, CachedFunction) and isinstance(Repo.get, CachedFunction)
assert isinstance(load, Clearable) and isinstance(Repo().get, Clearable)
"""
    environment = {**os.environ, "WRAPT_DISABLE_EXTENSIONS": "1"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)


@pytest.mark.parametrize("ours", [cached(load), Repo.method])
def test_singledispatch_takes_it_for_a_function(ours: Any) -> None:
    """It asks for the ``__class__``, which is that of functions."""

    @singledispatch
    def kind(thing: object) -> str:
        return "?"

    kind.register(CachedFunction, lambda thing: "cached")
    kind.register(FunctionType, lambda thing: "function")
    assert kind(ours) == "function"


def test_attributes_of_the_loader_that_are_called_as_ours_give_way() -> None:
    def loader() -> int:
        return 1

    loader.clear = loader.stats = loader.mark = "the loader's"  # type: ignore[attr-defined]
    ours: Any = cached(loader)
    assert ours() == 1 and ours.stats().misses == 1
    ours.clear()
    assert ours.mark == "the loader's"
    assert singleflight(loader).clear == "the loader's"  # type: ignore[attr-defined]


def loud(function: Any) -> Any:
    """Another decorator."""
    return wraps(function)(lambda *args, **kwargs: function(*args, **kwargs) + "!")


@pytest.mark.parametrize("between", [lambda ours: ours, loud])
def test_what_one_beneath_offers_is_not_handed_on(between: Any) -> None:
    beneath = cached(load)
    ours: Any = singleflight(between(beneath))
    assert {n for n in vars(ours) if not n.startswith("_")} == FLIGHTS
    assert ours(1).startswith("1 of eu") and ours.stats().misses == 1
    assert ours.stats is not beneath.stats
    assert beneath.peek(1) is not None


def test_it_keeps_what_it_offers_where_it_takes_the_face_of_another_one() -> None:
    beneath: Any = cached(load)
    beneath.mark = 1

    @wraps(beneath)
    @cached
    def ours(user_id: int) -> str:
        return beneath(user_id) + "!"

    assert ours(1) == "1 of eu!" and ours.mark == 1
    assert ours.invalidate(1) and ours.peek(1) is None
    assert beneath.peek(1) is not None
    assert isinstance(ours, CachedFunction)


@pytest.mark.parametrize("decorate", DECORATORS)
def test_it_may_take_a_face_over_and_over(decorate: Any) -> None:
    ours = wraps(load)(decorate(loud(load)))
    assert ours(1) == "1 of eu!"


def test_a_loader_that_was_wrapped_can_be_laid_bare() -> None:
    """It looks like what it wraps: nobody has used `functools.wraps` on ours."""
    ours = cached(loud(load))
    assert ours(1) == "1 of eu!"
    ours.__wrapped__ = load
    assert ours(2) == "2 of eu"


def test_what_is_put_in_its_place_while_another_is_looked_at_is_called_from_then_on() -> None:
    """By another thread, say."""

    @cached_singleflight(ttl=60)
    def ours(key: str) -> str:
        return "loaded"

    class First:
        def __call__(self, key: str) -> str:
            return "first"

        def __getattr__(self, name: str) -> Any:
            ours.__wrapped__ = lambda key: "second"
            raise AttributeError(name)

    ours.__wrapped__ = First()  # type: ignore[assignment]
    assert ours("k") in ("first", "second")
    assert ours("other") == "second"


# In a class


@pytest.mark.parametrize("decorate", DECORATORS)
def test_a_class_that_gets_it_has_an_ordinary_method(decorate: Any) -> None:
    class Owner:
        pass

    def get(self: object) -> object:
        return self

    ours = decorate(get)
    Owner.get = ours  # type: ignore[attr-defined]
    one: Any = Owner()
    assert type(one.get) is MethodType and one.get() is one
    assert ours.cache_key(one) == Owner.get.cache_key(one)  # type: ignore[attr-defined]


# Who holds what


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize("source", ["def get(n): return n", "async def get(n): return n"])
def test_it_ends_without_the_collector(decorate: Any, source: str) -> None:
    scope: dict[str, Any] = {}
    exec(source, scope)
    ours = decorate(scope.pop("get"))
    assert outcome(ours(1)) == 1
    seen = weakref.ref(ours)
    del ours
    assert seen() is None


# What looks at modules


def module(source: str) -> ModuleType:
    made = ModuleType("a_module")
    vars(made).update(cached=cached, partial=partial)
    exec(source, vars(made))
    return made


def test_doctest_finds_the_examples_of_a_module() -> None:
    found = module("@cached\ndef load(n):\n    '''\n    >>> load(1)\n    1\n    '''\n    return n")
    (test,) = (test for test in doctest.DocTestFinder().find(found) if test.examples)
    assert test.name == "a_module.load"
    assert doctest.DocTestRunner(verbose=False).run(test) == (0, 1)


def test_names_of_the_module_are_none_of_ours() -> None:
    """Whatever it calls its own things: the wrapper shares its globals."""
    source = "next = hash = type = id = None\n@cached\ndef load(n, *, m=0): return n + m"
    found = module(source + "\nnames = [*globals()]")
    assert found.load(1) == found.load(n=1) == 1
    assert [name for name in vars(found) if name not in found.names] == ["names"]


@cached
def pickled(n: int) -> int:
    return n


def test_it_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(pickled)) is pickled
    assert pickle.loads(pickle.dumps(pickled.invalidate)) == pickled.invalidate
    assert copy.deepcopy(pickled.invalidate)(1) is copy.copy(pickled.invalidate)(1) is False


METHODS = {
    "a method": lambda: Repo.method,
    "a bound method": lambda: REPO.method,
    "a class method": lambda: Repo.of_class,
    "a static method": lambda: Repo.static,
    "a static method, outside": lambda: Repo.static_outside,
    "what a method offers": lambda: Repo.method.stats,
    "what a static method offers": lambda: Repo.static.stats,
}


class Pickled(Repo):
    def __reduce__(self) -> str:
        return "REPO"


REPO = Pickled()


@pytest.mark.parametrize("get", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize(
    "again", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy]
)
def test_so_are_methods(get: Any, again: Any) -> None:
    assert again(get()) == get()
    held = get()
    assert weakref.ref(held)() is held


# Mocks


@pytest.mark.parametrize("decorate", DECORATORS)
def test_a_mock_of_it_takes_the_arguments_of_the_loader(decorate: Any) -> None:
    mock = create_autospec(decorate(load))
    mock.return_value = "ada"
    assert mock(1, region="us") == "ada"
    mock.assert_called_once_with(1, region="us")
    with pytest.raises(TypeError, match="user_id"):
        mock()
    mock.stats.return_value = 1
    assert mock.stats() == 1


@pytest.mark.parametrize("decorate", DECORATORS)
def test_a_mock_of_it_is_async_where_the_loader_is(decorate: Any) -> None:
    mock = create_autospec(decorate(load_async), return_value="ada")
    assert asyncio.run(mock(1)) == "ada"


# Annotations


@pytest.mark.skipif(sys.version_info < (3, 14), reason="before, annotations are always evaluated")
def test_annotations_that_were_set_are_handed_on() -> None:
    def loader(n):  # type: ignore[no-untyped-def]
        return n

    loader.__annotations__ = {"n": int}
    assert cached(loader).__annotations__ == {"n": int}
    assert str(inspect.signature(cached(loader))) == "(n: int)"
