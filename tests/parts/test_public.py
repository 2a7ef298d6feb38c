"""Files of ours may move: nothing that a user can hold says in which one of them it is defined."""

from __future__ import annotations

import inspect
import pickle
import pickletools
import sys
import threading
import typing
from typing import Any

import cachetools
import pytest

import soloflight
from conftest import Caller, Clock
from soloflight import FlightDeadlock, Group, WaitTimeout, cached_singleflight, singleflight

PUBLIC = [getattr(soloflight, name) for name in soloflight.__all__]
PROXIES = [soloflight.Function, soloflight.CachedFunction]  # they answer as what they wrap


@cached_singleflight(ttl=60)
def load(n: int) -> int:
    return n


class Repo:
    @singleflight
    def get(self, n: int) -> int:
        return n


def held() -> dict[str, Any]:
    """What a user can hold and pickle."""
    clock = Clock()
    cache: Any = cachetools.LRUCache(50)

    def plain(n: int) -> int:
        return n

    def aging(n: int) -> int:
        if not n:
            raise KeyError(n)
        return n

    class Other:
        @cached_singleflight(cache=cache, ttl=60)
        def get(self, n: int) -> int:
            return n

    plain = cached_singleflight(cache=cache, ttl=60, timer=clock)(plain)
    aging = cached_singleflight(
        cache=cache, ttl=60, stale_if_error=60, error_ttl={KeyError: 60}, timer=clock
    )(aging)
    other = Other()
    assert (plain(1), aging(1), other.get(1)) == (1, 1, 1)
    with pytest.raises(KeyError):
        aging(0)
    return {
        "an entry": plain.peek(1),
        "an entry that ages": aging.peek(1),
        "an exception in place of a value": aging.peek(0),
        "a key": plain.cache_key(1),
        "a key of a method": other.get.cache_key(1),
        "the index in a key": other.get.cache_key(1).of,
        "a cache": cache,
        "counts": plain.stats(),
        "counts as in functools": plain.cache_info(),
        "a flight": a_flight(),
        "a caller's patience": WaitTimeout("key"),
        "a deadlock": FlightDeadlock("key"),
        "a function": load,
        "a method of a function": load.invalidate,
        "a bound method": Repo().get,
    }


def a_flight() -> Any:
    group, inside, leave = Group(), threading.Event(), threading.Event()

    def loader() -> None:
        inside.set()
        assert leave.wait(20)

    leader = Caller(group.do, "key", loader)
    assert inside.wait(20)
    (flight,) = group.in_flight()
    leave.set()
    leader.result()
    return flight


HELD = held()


@pytest.mark.parametrize("public", PUBLIC, ids=soloflight.__all__)
def test_what_is_public_is_of_the_root(public: Any) -> None:
    assert public.__module__ == "soloflight"


@pytest.mark.parametrize("thing", HELD.values(), ids=HELD)
def test_a_repr_names_no_file_of_ours(thing: Any) -> None:
    assert "soloflight._" not in repr(thing)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("thing", HELD.values(), ids=HELD)
def test_a_pickle_names_no_file_of_ours(thing: Any, protocol: int) -> None:
    text = pickle.dumps(thing, protocol)
    words = [str(word) for _, word, _ in pickletools.genops(text) if word is not None]
    assert not [word for word in words if word.startswith("soloflight.")]
    assert type(pickle.loads(text)) is type(thing)


@pytest.mark.parametrize("public", PUBLIC, ids=soloflight.__all__)
def test_what_is_public_has_type_hints(public: Any) -> None:
    if sys.version_info >= (3, 14) and public in PROXIES:
        pytest.skip("wrapt's proxies have no annotations that typing could read, from 3.14 on")
    hints = typing.get_type_hints(public)
    assert not [hint for hint in hints.values() if isinstance(hint, (str, typing.ForwardRef))]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="typing knows no overloads before 3.11")
def test_typing_knows_both_ways_of_singleflight() -> None:
    ways = typing.get_overloads(singleflight)
    assert [len(inspect.signature(way).parameters) for way in ways] == [1, 6]


@pytest.mark.parametrize("decorate", [singleflight, cached_singleflight])
def test_the_source_of_a_decorator_is_found(decorate: Any) -> None:
    assert inspect.getsource(decorate).partition("(")[0].endswith(f"def {decorate.__name__}")


@pytest.mark.parametrize("public", [p for p in PUBLIC if isinstance(p, type) and p not in PROXIES])
def test_the_source_of_a_class_is_not_found(public: Any) -> None:
    """By its name it would be in the root's file: nothing is better than another's lines."""
    with pytest.raises(OSError if sys.version_info >= (3, 13) else (OSError, TypeError)):
        inspect.getsource(public)
