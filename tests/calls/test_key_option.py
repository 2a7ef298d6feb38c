"""``key=`` has to take what it will be called with; that is seen at decoration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from operator import itemgetter
from typing import Any, NamedTuple

import pytest
from cachetools import keys
from cachetools.keys import hashkey, typedkey

from soloflight import cached_singleflight, singleflight

WORDS = r": key does not take what it is called with, .* without self, "


class Single(NamedTuple):
    a: int


class Pair(NamedTuple):
    a: int
    b: int


def one(a: int) -> None: ...
def two(a: int, b: int = 1) -> None: ...
async def searched(text: str, *, region: str) -> None: ...
def starred(a: int, *rest: int) -> None: ...
def named(a: int, **rest: int) -> None: ...


def from_elsewhere(function: Callable[..., Any]) -> Callable[..., Any]:
    """As decorators do that add an argument."""

    @wraps(function)
    def wrapper(*args: Any) -> Any:
        return function("tenant", *args)

    return wrapper


@pytest.mark.parametrize("decorator", [cached_singleflight(ttl=60, key=None), singleflight])
def test_without_a_key_nothing_is_asked(decorator: Any) -> None:
    decorator(two)


@pytest.mark.parametrize(
    ("loader", "key", "wrong"),
    [
        (two, lambda a: a, r"\(a, b\): too many positional arguments"),
        (two, lambda a, b, c: a, r"\(a, b\): missing a required argument: 'c'"),
        (two, lambda self, a, b: a, "missing a required argument: 'b'"),
        (two, lambda a, *, b: a, "too many positional arguments"),
        (two, lambda: 1, "too many positional arguments"),
        (searched, lambda text: text, "got an unexpected keyword argument 'region'"),
        (searched, lambda text, tenant, region: text, r"missing a required argument: 'tenant'"),
        (starred, lambda: 1, r"\(a, \*rest\): too many positional arguments"),
        (named, lambda: 1, "too many positional arguments"),
        (two, partial(lambda a, b, c: a, 1, 2), "too many positional arguments"),
        (two, Single, "too many positional arguments"),
    ],
)
@pytest.mark.parametrize("options", [None, {"ttl": 60}])
def test_what_never_fits_is_refused(loader: Any, key: Any, wrong: str, options: Any) -> None:
    decorate = singleflight(key=key) if options is None else cached_singleflight(key=key, **options)
    with pytest.raises(TypeError, match=f"{loader.__name__}{WORDS}.*{wrong}"):
        decorate(loader)


@pytest.mark.parametrize(
    ("loader", "key"),
    [
        (one, lambda a: a),
        (one, lambda a, b=2: a),
        (two, lambda a, b: a),
        (two, lambda *args: args),
        (two, lambda *args, **kwargs: args),
        (searched, lambda text, region: text),
        (searched, lambda text, **kwargs: text),
        (starred, lambda a: a),
        (starred, lambda a, b, c: a),
        (named, lambda a, b: a),
        (one, str),
        (one, str.lower),
        (one, repr),
        (two, max),
        (two, partial(lambda tenant, a, b: a, "acme")),
        (two, Pair),
        (two, hashkey),
        (two, typedkey),
        (one, itemgetter(0)),
        (one, from_elsewhere(lambda tenant, a: a)),
        (one, singleflight(one).cache_key),
    ],
)
def test_what_fits_some_call_is_accepted(loader: Any, key: Any) -> None:
    cached_singleflight(ttl=60, key=key)(loader)


def test_self_is_left_out() -> None:
    with pytest.raises(TypeError, match=rf"get{WORDS}\(user\): missing a required argument"):

        class Repository:
            @cached_singleflight(ttl=60, key=lambda self, user: user)
            def get(self, user: int) -> int:
                return user


def test_a_method_under_any_name_of_self_is_refused_by_its_first_call_at_the_latest() -> None:
    with pytest.raises((TypeError, RuntimeError)):

        class Repository:
            @cached_singleflight(ttl=60, key=lambda this, user: user)
            def get(this, user: int) -> int:
                return user


def test_cls_is_left_out() -> None:
    with pytest.raises(TypeError, match=rf"get{WORDS}\(user\): too many"):

        class Repository:
            @cached_singleflight(ttl=60, key=lambda: 1)
            @classmethod
            def get(cls, user: int) -> int:
                return user


def test_a_static_method_has_nothing_to_leave_out() -> None:
    class Repository:
        @cached_singleflight(ttl=60, key=lambda user, region: user)
        @staticmethod
        def get(user: int, region: str) -> int:
            return user

        @staticmethod
        @cached_singleflight(ttl=60, key=lambda user, region: user)
        def find(user: int, region: str) -> int:
            return user

    assert Repository.get(1, "eu") == Repository().find(1, "eu") == 1

    with pytest.raises(TypeError, match="key does not take"):
        cached_singleflight(ttl=60, key=lambda region: 1)(staticmethod(two))


def test_methods_whose_key_fits_work() -> None:
    class Repository:
        @cached_singleflight(ttl=60, key=lambda user: user % 2)
        def get(self, user: int) -> int:
            return user

        @classmethod
        @cached_singleflight(ttl=60, key=lambda user: user % 2)
        def of_class(cls, user: int) -> int:
            return user

    repository = Repository()
    assert [repository.get(1), repository.get(3)] == [1, 1]
    assert [Repository.of_class(1), Repository.of_class(3)] == [1, 1]


OF_METHODS = [
    # not there before cachetools 5.3
    (getattr(keys, "methodkey", None), "hashkey"),
    (getattr(keys, "typedmethodkey", None), "typedkey"),
]


@pytest.mark.parametrize(
    ("key", "instead"),
    [
        (wrap(key), instead)
        for key, instead in OF_METHODS
        if key is not None
        for wrap in (lambda key: key, lambda key: partial(partial(key, 1), 2))
    ],
)
@pytest.mark.parametrize("decorator", [singleflight, partial(cached_singleflight, ttl=60)])
def test_a_key_of_cachetools_that_drops_an_argument_is_refused(
    decorator: Any, key: Any, instead: str
) -> None:
    with pytest.raises(TypeError, match=rf"methodkey drops .* use cachetools\.keys\.{instead}$"):
        decorator(key=key)
