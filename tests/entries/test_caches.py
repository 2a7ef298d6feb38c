"""Caches that were given, and their clocks."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from collections.abc import Callable
from fractions import Fraction
from math import inf, nan
from typing import Any

import cachetools
import pytest

from conftest import Caller, Clock
from soloflight import cached_singleflight, singleflight


def test_the_timer_of_a_given_cache_does_not_stand_still_during_a_change() -> None:
    """The time of a given cache goes on while that is being changed."""
    clock = Clock()
    cache = cachetools.TTLCache(10, 30, clock)

    @cached_singleflight(cache=cache)
    def load(n: int) -> int:
        return n

    load(1)
    with cache.timer:  # as another thread does that changes the cache
        clock.advance(30)
        assert load.peek(1) is None


@pytest.mark.parametrize(
    "now",
    [10**400, -(10**5000), Fraction(10**400), inf, nan],
    ids=["large", "small", "fraction", "inf", "nan"],
)
@pytest.mark.parametrize("given", [{}, {"cache": {}}])
def test_a_timer_that_no_deadline_can_be_reckoned_with_is_refused(now: Any, given: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^timer must return seconds that make a finite float, not "
    ):
        cached_singleflight(ttl=1, timer=lambda: now, **given)


def test_a_timer_that_returns_no_number_is_refused() -> None:
    timer: Any = lambda: "now"  # noqa: E731
    with pytest.raises(TypeError, match="timer must return seconds"):
        cached_singleflight(cache={}, ttl=1, timer=timer)


def test_hits_are_told_to_a_subclass_of_dict() -> None:
    """A subclass of dict may have an order of its own."""

    class Lru(OrderedDict[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            self.move_to_end(key)
            return super().__getitem__(key)

        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, value)
            if len(self) > 2:
                del self[next(iter(self))]

    @cached_singleflight(cache=Lru(), ttl=60)
    def load(n: int) -> int:
        return n

    for n in (1, 2, 1, 3):
        load(n)
    assert load.peek(1) is not None
    assert load.peek(2) is None


def test_more_options() -> None:

    with pytest.raises(ValueError, match="maxsize"):
        cached_singleflight(ttl=1, maxsize=float("nan"))
    cache: Any = UserDict()
    cached_singleflight(cache=cache, ttl=1)
    assert not cache
    cached_singleflight(cache=cachetools.TTLCache(10, 30), ttl=30)
    wrong: Any = {1}
    with pytest.raises(TypeError, match="ignore must be"):
        cached_singleflight(ttl=1, ignore=wrong)
    with pytest.raises(TypeError, match="maxsize"):  # C4
        cached_singleflight(ttl=1, maxsize=True)
    with pytest.raises(TypeError, match="takes a function"):  # D9
        singleflight(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("act", ["load", "evicted", "invalidate", "clear", "put", "refresh"])
def test_an_eviction_hook_may_call_the_function(act: str) -> None:
    """A cache's own ``popitem`` runs inside of the lock, in the middle of a store."""
    hooked: list[str] = []

    class Hooked(cachetools.LRUCache[Any, Any]):
        def popitem(self) -> Any:
            item = super().popitem()
            hooked.append(act)
            if len(hooked) == 1:
                acts[act]()
            return item

    @cached_singleflight(cache=Hooked(2), ttl=60)
    def load(key: str) -> str:
        return key

    acts: dict[str, Callable[[], object]] = {
        "load": lambda: load("other"),
        "evicted": lambda: load("a"),
        "invalidate": lambda: load.invalidate("b"),
        "clear": load.clear,
        "put": lambda: load.put("put", "b"),
        "refresh": lambda: load.refresh("b"),
    }
    for key in "abc":
        assert Caller(load, key).result() == key
    assert hooked
    assert not load.in_flight()
    assert len(load.cache) <= 2
    load.invalidate("b")
    assert Caller(load, "b").result() == "b"
    assert Caller(load, "b").result() == "b"
