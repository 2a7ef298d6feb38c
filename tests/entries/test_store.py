"""Changes of a cache: what waits, what breaks, what is left behind."""

from __future__ import annotations

import weakref
from typing import Any

import cachetools
import pytest

from conftest import Caller, Gate, in_child, needs_fork
from soloflight import _locks, cached_singleflight


def test_nothing_is_left_of_a_dead_instance(cached: Any) -> None:
    class Repo:
        @cached(ttl=60)
        def get(self, n: int) -> int:
            return n

    dead, alive = Repo(), Repo()
    dead.get(1)
    index = weakref.ref(dead.get._core.instances.getters[id(dead)].__self__)
    del dead
    alive.get(1)
    assert index() is None
    assert len(Repo.get._core.instances.getters) == 1


def test_an_interruption_costs_nobody_elses_entry(cached: Any) -> None:
    def getsizeof(value: int) -> int:
        if value == 2:
            raise KeyboardInterrupt
        return 1

    @cached(ttl=60, getsizeof=getsizeof)
    def load(n: int) -> int:
        return n

    load(1)
    with pytest.raises(KeyboardInterrupt):
        load(2)
    assert load.peek(1) is not None
    assert load.peek(2) is None
    assert set(load.cache) == {load.cache_key(1)}


@needs_fork
def test_a_given_cache_in_mid_change_starts_empty_in_a_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A given cache that a fork caught in mid-change."""

    monkeypatch.setattr(_locks, "PATIENCE", 0.01)
    gate = Gate()

    class Slow(cachetools.LRUCache[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            if value.value == "slow":
                gate()
            super().__setitem__(key, value)

    @cached_singleflight(cache=Slow(10))
    def load(key: str) -> str:
        return key

    load("k")
    slow = Caller(load, "slow")
    gate.arrived()

    def check() -> bool:
        load.peek("slow")
        load("new")
        return set(load.cache) == {load.cache_key("new")} and not load._core.shelf._store.pending

    in_child(check)
    gate.open()
    slow.result()


def test_a_store_that_had_to_wait_is_made_after_an_interruption(cached: Any) -> None:
    def getsizeof(value: str) -> int:
        if value == "other":
            load.put("late", "k")
            raise KeyboardInterrupt
        return 1

    @cached(ttl=60, getsizeof=getsizeof)
    def load(key: str) -> str:
        return key

    with pytest.raises(KeyboardInterrupt):
        load("other")
    load("next")
    assert load.peek("k") is not None
    assert set(load.cache) == {load.cache_key("next"), load.cache_key("k")}


def test_the_destructor_of_what_a_dead_instance_left_behind_may_store(cached: Any) -> None:
    """The destructor of what a dead instance leaves behind may store, which sweeps."""

    class Value:
        def __init__(self, n: int) -> None:
            self.n = n

        def __del__(self) -> None:
            if self.n in (1, 2, 3):
                alive.get(self.n + 10)

    class Repo:
        @cached(ttl=60)
        def get(self, n: int) -> Value:
            return Value(n)

    dead, alive = Repo(), Repo()
    for n in (1, 2, 3):
        dead.get(n)
    del dead
    alive.get(5)
    assert Repo.get.stats().store_errors == 0
    assert alive.get.peek(5) is not None
    Repo.get.clear()


def test_all_the_changes_that_had_to_wait_are_made(cached: Any) -> None:
    """Every change that had to wait is made, also behind one that is out of date."""

    def getsizeof(value: str) -> int:
        if value == "other":
            load.put("a", "k")
            load.put("b", "k")
        return 1

    @cached(ttl=60, getsizeof=getsizeof)
    def load(key: str) -> str:
        return key

    load("other")
    assert set(load.cache) == {load.cache_key("other"), load.cache_key("k")}


@pytest.mark.parametrize("why", ["too large", "no size", "no time to use"])
def test_what_a_refused_value_was_to_replace_does_not_stay_in_the_cache(why: str) -> None:
    """It would be seen by nobody, and by no `invalidate` either."""
    values = iter([1, 5])

    def getsizeof(value: int) -> int:
        return value if why == "too large" or value == 1 else -1

    def ttu(_: object, entry: Any, now: float) -> float:
        return now + 60 if entry.value == 1 else float("nan") + "never"  # type: ignore[operator]

    options: dict[str, Any] = {"ttl": 60, "maxsize": 2, "getsizeof": getsizeof}
    if why == "no time to use":
        options = {"cache": cachetools.TLRUCache(2, ttu)}

    @cached_singleflight(**options)
    def load() -> int:
        return next(values)

    assert load() == 1
    assert load.refresh() == 5
    assert len(load.cache) == 0


def test_a_cache_that_fails_keeps_nothing_that_is_out_of_date() -> None:
    """Not a value that is too large, but a `getsizeof` of the user's that raises."""
    values: list[Any] = [1, "one"]
    cache: Any = cachetools.LRUCache(10, getsizeof=lambda entry: entry.value + 0)

    @cached_singleflight(cache=cache, ttl=None)
    def load() -> Any:
        return values.pop(0)

    assert load() == 1
    assert load.refresh() == "one"
    assert load.peek() is None
    assert not cache
