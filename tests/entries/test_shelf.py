"""Entries in a cache, and what may be seen of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import cachetools
import pytest

from conftest import Clock, Gate
from soloflight import Entry, cached_singleflight
from soloflight._entries.entry import entry_of
from soloflight._entries.index import GONE, Index

CACHES = {
    "default": lambda: None,
    "dict": dict,
    "FIFOCache": lambda: cachetools.FIFOCache(3),
    "LFUCache": lambda: cachetools.LFUCache(3),
    "LRUCache": lambda: cachetools.LRUCache(3),
    "RRCache": lambda: cachetools.RRCache(3),
    "TTLCache": lambda: cachetools.TTLCache(3, 60),
    "TLRUCache": lambda: cachetools.TLRUCache(3, lambda key, entry, now: now + 60),
}


@pytest.fixture(params=CACHES)
def cache(request: pytest.FixtureRequest) -> Any:
    return CACHES[request.param]()


class Mapping(MutableMapping[Any, Any]):
    """A mapping of the user's."""

    def __init__(self) -> None:
        self.data: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        return self.data[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.data[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.data[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


def squares(cache: Any = None, cached: Any = cached_singleflight, **options: Any) -> Any:
    """A decorated loader, with the calls that it got."""
    if cache is None:
        options.setdefault("ttl", 60)
        options.setdefault("maxsize", 3)
    else:
        options["cache"] = cache

    @cached(**options)
    def square(n: int) -> int:
        loads.append(n)
        return n * n

    loads: list[int] = []
    square.loads = loads
    return square


# Any cache


def test_a_hit_finds_what_was_stored(cache: Any) -> None:
    square = squares(cache)
    assert [square(2), square(2), square(n=2)] == [4, 4, 4]
    assert square.loads == [2]


def test_the_cache_holds_the_entry_under_the_cache_key(cache: Any) -> None:
    square = squares(cache)
    square(2)
    entry = square.cache[square.cache_key(2)]
    assert isinstance(entry, Entry)
    assert entry.value == 4


def test_what_the_cache_evicts_is_no_longer_seen(cache: Any) -> None:
    if isinstance(cache, dict):
        cache = cachetools.LRUCache(3)
    square = squares(cache)
    for n in range(10):
        square(n)
    assert sum(square.peek(n) is not None for n in range(10)) == 3
    assert len(square._core.shelf.index) == 3


@pytest.mark.parametrize("how", ["del", "pop", "clear"])
def test_what_anybody_takes_out_of_the_cache_is_no_longer_seen(cache: Any, how: str) -> None:
    square = squares(cache)
    square(2)
    if how == "del":
        del square.cache[square.cache_key(2)]
    elif how == "pop":
        square.cache.pop(square.cache_key(2))
    else:
        square.cache.clear()
    assert square.peek(2) is None
    assert square(2) == 4
    assert square.loads == [2, 2]


def test_clear_and_invalidate_empty_the_cache(cache: Any) -> None:
    square = squares(cache)
    square(1)
    square(2)
    square.invalidate(1)
    assert len(square.cache) == 1
    square.clear()
    assert len(square.cache) == 0
    assert square.peek(2) is None


def test_functions_that_share_a_cache_do_not_see_each_other(cache: Any) -> None:
    if cache is None:
        cache = cachetools.LRUCache(100)
    square, cube = squares(cache), squares(cache)
    square(2)
    assert cube.peek(2) is None
    cube.put(8, 2)
    assert (square(2), cube(2)) == (4, 8)
    square.clear()
    assert square.peek(2) is None
    assert cube(2) == 8
    assert square._core.table.lock is cube._core.table.lock


# Deadlines


def test_a_cache_follows_the_timer(kind: str, cached: Any, clock: Clock) -> None:
    """What has expired is not seen; where we make the cache, it goes when something is stored."""
    square = squares(cached=cached, ttl=10, timer=clock)
    square(1)
    clock.advance(5)
    square(2)
    clock.advance(5)
    assert square.peek(1) is None
    assert square.peek(2) is not None
    assert square.cache_info().currsize == (1 if kind == "given" else 2)
    square(3)
    assert square.cache_info().currsize == 2
    assert set(square.cache) == {square.cache_key(2), square.cache_key(3)}


def test_ttl_none_never_expires() -> None:
    clock = Clock()
    square = squares(ttl=None, timer=clock)
    square(1)
    clock.advance(1e12)
    square(1)
    assert square.loads == [1]


def test_ttl_by_value() -> None:
    clock = Clock()
    square = squares(ttl=lambda value: None if value == 0 else value, timer=clock)
    for n in range(3):
        square(n)
    clock.advance(1)
    assert [square.peek(n) is not None for n in range(3)] == [True, False, True]
    clock.advance(3)
    assert [square.peek(n) is not None for n in range(3)] == [True, False, False]


def test_the_ttl_and_the_timer_of_a_given_cache_are_used() -> None:
    clock = Clock()
    square = squares(cachetools.TTLCache(10, 30, clock))
    square(1)
    clock.advance(29)
    assert square.peek(1) is not None
    clock.advance(1)
    assert square.peek(1) is None


def test_a_ttl_by_value_is_no_longer_than_that_of_a_given_cache() -> None:
    clock = Clock()
    square = squares(cachetools.TTLCache(10, 30, clock), ttl=lambda value: 100)
    square(1)
    clock.advance(30)
    assert square.peek(1) is None


def test_the_time_to_use_of_a_given_tlru_cache_is_kept() -> None:
    clock = Clock()
    cache = cachetools.TLRUCache(10, lambda key, entry, now: now + entry.value, clock)
    square = squares(cache)
    square(2)
    clock.advance(3.9)
    assert square.peek(2) is not None
    clock.advance(0.1)
    assert square.peek(2) is None


class ThatOf7(cachetools.TLRUCache):
    """As before cachetools 7.1: what is over is not stored, and replaces nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.timer() < self.ttu(key, value, self.timer()):
            super().__setitem__(key, value)


@pytest.mark.parametrize("kind", [cachetools.TLRUCache, ThatOf7])
def test_a_value_whose_time_to_use_is_over_takes_the_older_one_along(kind: Any) -> None:
    times = iter([60, 0])
    cache = kind(10, lambda key, entry, now: now + entry.value, Clock())

    @cached_singleflight(cache=cache)
    def load() -> int:
        return next(times)

    assert load() == 60
    assert load.refresh() == 0
    assert load.peek() is None
    assert len(cache) == 0


# Recency


def test_what_was_hit_lately_stays() -> None:
    square = squares(cachetools.LRUCache(3))
    for n in (1, 2, 3, 1, 1, 4):
        square(n)
    assert square.peek(1) is not None
    assert square.peek(2) is None


def test_what_was_hit_lately_stays_though_it_is_stale(clock: Clock, gate: Gate) -> None:
    @cached_singleflight(
        cache=cachetools.LRUCache(3), ttl=10, stale_while_revalidate=60, timer=clock
    )
    def square(n: int) -> int:
        if clock.now > 1000:
            gate()
        return n * n

    for n in (1, 2, 3):
        square(n)
    clock.advance(10)
    square(1)
    square.put(16, 4)
    assert square.peek(1) is not None
    assert square.peek(2) is None


def test_what_was_hit_lately_stays_though_it_is_an_exception() -> None:
    @cached_singleflight(cache=cachetools.LRUCache(3), ttl=10, error_ttl={LookupError: 10})
    def square(n: int) -> int:
        raise LookupError

    for n in (1, 2, 3, 1, 1):
        with pytest.raises(LookupError):
            square(n)
    square.put(16, 4)
    assert square.peek(1) is not None
    assert square.peek(2) is None


def test_what_was_hit_often_stays() -> None:
    square = squares(cachetools.LFUCache(2))
    for n in (1, 2, 2, 3):
        square(n)
    assert square.peek(2) is not None
    assert square.peek(1) is None


@pytest.mark.parametrize("first", [True, False], ids=["the-first-one", "the-second-one"])
def test_what_one_function_hit_lately_is_not_evicted_by_another_one(first: bool) -> None:
    cache: Any = cachetools.LRUCache(2)
    functions: list[Any] = [
        cached_singleflight(cache=cache, ttl=60, name=name)(lambda key: key) for name in "ab"
    ]
    hit, other = functions if first else reversed(functions)
    hit("k")
    other("old")
    hit("k")
    other("new")
    assert hit.peek("k") is not None
    assert other.peek("old") is None


def test_what_is_invalidated_is_not_kept_alive_by_its_last_hit(cached: Any) -> None:
    class Argument:
        pass

    @cached(ttl=60)
    def load(argument: Argument) -> int:
        return 1

    argument = Argument()
    seen = weakref.ref(argument)
    for _ in range(20):
        load(argument)
    load.invalidate(argument)
    del argument
    assert seen() is None


# Values that are not stored


def test_a_value_that_is_too_large_is_handed_over_without_a_word(
    cached: Any, caplog: pytest.LogCaptureFixture
) -> None:
    square = squares(cached=cached, maxsize=3, getsizeof=lambda value: value)
    assert [square(1), square(2), square(2)] == [1, 4, 4]
    assert square.loads == [1, 2, 2]
    assert square.peek(1) is not None
    assert not caplog.records


def test_a_store_that_fails_is_counted_and_warned_of_once(
    cached: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def getsizeof(value: int) -> int:
        if value > 1:
            raise RuntimeError("no size")
        return 1

    square = squares(cached=cached, getsizeof=getsizeof)
    with caplog.at_level(logging.WARNING, "soloflight"):
        assert [square(1), square(2), square(3)] == [1, 4, 9]
    assert square.stats().store_errors == 2
    assert len(caplog.records) == 1
    assert "square" in caplog.text and "no size" in caplog.text
    assert square.peek(1) is not None


def test_a_time_to_use_that_raises_is_a_store_that_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def ttu(key: Any, entry: Any, now: float) -> float:
        if entry.value > 1:
            raise RuntimeError("no time")
        return now + 60

    square = squares(cachetools.TLRUCache(10, ttu))
    assert [square(2), square(2), square(1), square(1)] == [4, 4, 1, 1]
    assert square.loads == [2, 2, 1]
    assert square.stats().store_errors == 2
    assert "no time" in caplog.text


def test_a_refresh_that_cannot_be_stored_does_not_leave_the_old_value() -> None:
    def ttu(key: Any, entry: Any, now: float) -> float:
        if len(loads) > 1:
            raise RuntimeError("no time")
        return now + 60

    @cached_singleflight(cache=cachetools.TLRUCache(10, ttu))
    def load() -> int:
        loads.append(1)
        return len(loads)

    loads: list[int] = []
    assert load() == 1
    assert load.refresh() == 2
    assert load() == 3


@pytest.mark.filterwarnings("ignore")
def test_a_key_that_cannot_be_compared_is_a_store_that_failed(
    cached: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if armed:
                raise RuntimeError("incomparable")
            return self is other

    armed: list[int] = []

    @cached(ttl=60)
    def load(key: Key) -> int:
        if loads:
            armed.append(1)
        loads.append(1)
        return len(loads)

    loads: list[int] = []
    keys = Key(), Key()
    assert [load(key) for key in keys] == [1, 2]
    armed.clear()
    assert load.stats().store_errors == 1
    assert load.peek(keys[1]) is None
    assert len(load.in_flight()) == 0


# User code inside the lock


def test_the_destructor_of_an_evicted_value_may_call_the_function(cached: Any) -> None:
    class Value:
        def __init__(self, n: int) -> None:
            self.n = n

        def __del__(self) -> None:
            if self.n < 10:
                seen.append(load(self.n + 10).n)

    seen: list[int] = []

    @cached(ttl=60, maxsize=2)
    def load(n: int) -> Value:
        return Value(n)

    for n in range(6):
        load(n)
    assert seen
    assert len(load.cache) == 2
    seen_by_us = [n for n in range(20) if load.peek(n)]
    assert set(map(load.cache_key, seen_by_us)) == set(load.cache)
    load.clear()


@pytest.mark.parametrize("call", ["invalidate", "clear", "put"])
def test_what_user_code_does_in_the_middle_of_a_store_wins(cached: Any, call: str) -> None:
    def getsizeof(value: str) -> int:
        if value == "old" and not called:
            called.append(1)
            if call == "invalidate":
                load.invalidate("k")
            elif call == "clear":
                load.clear()
            else:
                load.put("new", "k")
        return 1

    called: list[int] = []

    @cached(ttl=60, getsizeof=getsizeof)
    def load(key: str) -> str:
        return "old"

    assert load("k") == "old"
    entry = load.peek("k")
    assert (entry and entry.value) == ("new" if call == "put" else None)
    assert len(load.cache) == (1 if call == "put" else 0)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_a_cache_that_was_interrupted_in_mid_change_is_whole(
    cached: Any,
    interruption: type[BaseException],
) -> None:
    class Key:
        def __init__(self, n: int) -> None:
            self.n = n

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if armed:
                raise armed.pop()
            return self is other

    armed: list[type[BaseException]] = []

    def getsizeof(value: int) -> int:
        armed.extend([interruption] if value == 2 else [])
        return 1

    @cached(ttl=60, getsizeof=getsizeof)
    def load(key: Key) -> int:
        return key.n

    first, second, third = Key(1), Key(2), Key(3)
    load(first)
    if interruption is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            load(second)
    else:
        assert load(second) == 2
        assert load.stats().store_errors == 1
    assert not armed
    assert (load(first), load(third)) == (1, 3)
    assert (load(first), load(third)) == (1, 3)
    assert load.stats().hits == 3


def test_an_interruption_in_mid_change_of_what_we_cannot_mend_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Interrupted(Mapping):
        def __setitem__(self, key: Any, value: Any) -> None:
            if not isinstance(value.value, int):  # not yet: it is being looked at
                return super().__setitem__(key, value)
            raise KeyboardInterrupt

    square = squares(Interrupted(), ttl=60)
    with pytest.raises(KeyboardInterrupt):
        square(2)
    assert "may be broken" in caplog.text
    assert square.peek(2) is None
    assert not square.in_flight()


# Instances


def test_the_entries_of_a_dead_instance_go_at_the_next_store(cached: Any) -> None:
    class Repo:
        @cached(ttl=60)
        def get(self, n: int) -> int:
            return n

    dead, alive = Repo(), Repo()
    dead.get(1)
    dead.get(2)
    alive.get(1)
    assert len(Repo.get.cache) == 3
    seen = weakref.ref(dead)
    del dead
    gc.collect()
    assert seen() is None
    alive.get(2)
    assert len(Repo.get.cache) == 2


# Refusals


class Copies(Mapping):
    """Like shelve: it stores copies."""

    def __getitem__(self, key: Any) -> Any:
        entry = self.data[key]
        return entry_of(entry.value, entry.fresh_until)


def test_a_cache_that_stores_copies_is_refused() -> None:
    with pytest.raises(TypeError, match="must keep and return the object"):
        cached_singleflight(cache=Copies())


def test_a_ttl_longer_than_the_caches_own_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ttl=60 .* own ttl=30"):
        cached_singleflight(cache=cachetools.TTLCache(10, 30), ttl=60)


@pytest.mark.parametrize("size", [None, "1", -1])
def test_a_size_that_is_none_costs_nobody_elses_entry(size: Any, caplog: Any) -> None:
    @cached_singleflight(ttl=60, getsizeof=lambda value: size if value == 3 else 1)
    def load(n: int) -> int:
        return n

    assert [load(n) for n in (1, 2, 3)] == [1, 2, 3]
    assert load.cache_info().currsize == 2
    assert load.peek(1) and load.peek(2) and not load.peek(3)
    assert load.stats().store_errors == 1
    assert "getsizeof" in caplog.text


def test_a_value_may_end_with_any_number_of_changes(cached: Any) -> None:
    class Value:
        def __del__(self) -> None:
            for n in range(2000):
                square.invalidate(n)

    square = squares(cached=cached, maxsize=5000)
    for n in range(2000):
        square(n)
    square.put(Value(), -1)
    square.put(0, -1)
    square(-2)
    assert set(square.cache) == {square.cache_key(-1), square.cache_key(-2)}


def test_changes_asked_for_before_an_interruption_come_before_those_after_it() -> None:
    def getsizeof(entry: Any) -> int:
        if entry.value == 9 and armed:
            square.invalidate(1)
            raise KeyboardInterrupt
        return 1

    square = squares(cache=cachetools.LRUCache(10, getsizeof=getsizeof), ttl=60)
    armed = True
    square(1)
    with pytest.raises(KeyboardInterrupt):
        square(3)
    armed = False
    square(1)
    assert square.cache_key(1) in square.cache
    assert square.peek(1) is not None


def test_cache_info_in_the_middle_of_a_change(kind: str, cached: Any, clock: Clock) -> None:
    """Looking at the size of a TTLCache changes it. Our own changes when something is stored."""

    class Value:
        def __del__(self) -> None:
            infos.append(load.cache_info())

    infos: list[Any] = []

    @cached(ttl=10, timer=clock)
    def load(n: int) -> Value:
        return Value()

    for n in range(3):
        load(n)
    clock.advance(11)
    if kind == "default":
        load.clear()
    else:  # what has expired in one that is given goes in its own time
        assert load.cache_info().currsize == 0
    assert [info.currsize for info in infos] == [0, 0, 0]
    load(1)
    clock.advance(11)
    if kind == "default":
        load(2)
    assert load.cache_info().currsize == (1 if kind == "default" else 0)
    assert len(infos) == 4


@pytest.mark.parametrize("is_async", [False, True])
def test_a_newer_value_that_is_not_stored_displaces_the_older_one(
    cached: Any, is_async: bool
) -> None:
    ttls = iter([60, 0, 60])
    values = iter([1, 2, 3])

    def sync_load() -> int:
        return next(values)

    async def async_load() -> int:
        return next(values)

    load: Any = cached(ttl=lambda value: next(ttls))(async_load if is_async else sync_load)
    results = [load(), load.refresh(), load()]
    if is_async:

        async def main() -> list[int]:
            return [await result for result in results]

        results = asyncio.run(main())
    assert results == [1, 2, 3]


def test_the_index_does_not_grow_beyond_the_cache(cached: Any) -> None:
    """What is gone leaves the index at the next store."""

    @cached(ttl=60, maxsize=3)
    def load(n: int) -> int:
        return n

    for n in range(100):
        load(n)
    assert len(load._core.shelf.index) <= 4


def test_the_sweep_spares_what_was_stored_since() -> None:
    """The sweep of an entry that is gone spares its successor."""
    loads: list[str] = []

    @cached_singleflight(cache=cachetools.LRUCache(10), ttl=60)
    def load(key: str) -> str:
        loads.append(key)
        return key

    load("k")
    load("k")
    kept = load._core.shelf.index["k"]  # as a reader does that is about to look at it
    del load.cache[load.cache_key("k")]
    load("k")
    load("k")
    assert loads == ["k", "k"]
    assert kept() is None


def test_what_is_shown_while_everything_is_cleared_is_found_and_can_be_hidden() -> None:
    """In CPython 3.11 to 3.13 a plain dict would lose it."""

    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            index.clear()
            return self is other

    index = Index()
    first, second = Key(), Key()
    index[first] = GONE
    index[second] = GONE
    assert index.pop(second, None) is GONE
    assert not index


@pytest.mark.parametrize("given", [True, False])
def test_clear_hides_the_entries_of_all_instances(given: bool) -> None:
    """Clear() is for all instances, in a given cache, and for what somebody still holds."""
    options: Any = {"cache": {}} if given else {"ttl": 60}

    class Repo:
        @cached_singleflight(**options)
        def get(self, n: int) -> int:
            return n

    repo = Repo()
    repo.get(1)
    held = list(Repo.get.cache.values())
    Repo.get.clear()
    assert len(Repo.get.cache) == 0
    assert repo.get.peek(1) is None
    assert held


def test_what_is_cleared_is_not_kept_alive_by_its_last_hit(cached: Any) -> None:
    """What was cleared is not kept alive by its last hit."""

    class Argument:
        pass

    @cached(ttl=60)
    def load(argument: Argument) -> int:
        return 1

    argument = Argument()
    seen = weakref.ref(argument)
    for _ in range(20):
        load(argument)
    load.clear()
    del argument
    assert seen() is None


def test_what_was_evicted_is_not_kept_alive_by_an_old_hit(cached: Any) -> None:
    class Argument:
        pass

    @cached(ttl=60, maxsize=1)
    def load(argument: Any) -> int:
        return 1

    argument = Argument()
    seen = weakref.ref(argument)
    for _ in range(20):
        load(argument)
    load("other")
    load("another")
    del argument
    assert seen() is None


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
def test_an_entry_that_the_cache_refused_is_not_seen_while_somebody_holds_it(
    error: type[Exception],
) -> None:
    class Refuses(cachetools.LRUCache[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            held.append(value)
            raise error

    held: list[Any] = []

    @cached_singleflight(cache=Refuses(3))
    def load(key: str) -> str:
        return key

    load("k")
    assert held
    assert load.peek("k") is None


def test_a_refusal_spares_what_was_stored_since() -> None:
    class Refuses(cachetools.LRUCache[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            if value.value == "old":
                load.put("new", "k")
                raise ValueError("value too large")
            super().__setitem__(key, value)

    @cached_singleflight(cache=Refuses(3))
    def load(key: str) -> str:
        return "old"

    assert load("k") == "old"
    entry = load.peek("k")
    assert entry is not None and entry.value == "new"


@pytest.mark.parametrize("fence", ["invalidate", "clear"])
def test_what_is_being_removed_is_hidden_already(fence: str) -> None:
    """Hidden first, removed second."""

    class Looks(cachetools.LRUCache[Any, Any]):
        def pop(self, *args: Any) -> Any:
            seen.append(load.peek("k"))
            return super().pop(*args)

    seen: list[Any] = []

    @cached_singleflight(cache=Looks(3))
    def load(key: str) -> str:
        return key

    load("k")
    if fence == "clear":
        load.clear()
    else:
        load.invalidate("k")
    assert seen == [None]


def test_what_is_being_stored_is_seen_already() -> None:
    """Shown first, put into the cache second."""

    class Looks(cachetools.LRUCache[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            seen.append(load.peek("k"))
            super().__setitem__(key, value)

    seen: list[Any] = []

    @cached_singleflight(cache=Looks(3))
    def load(key: str) -> str:
        return key

    load("k")
    assert seen[0] is not None and seen[0].value == "k"


def test_a_ttl_is_no_longer_and_no_shorter_than_the_time_to_use() -> None:
    """Ttl= beside a TLRU cache's own "time to use": the shorter one."""
    clock = Clock()
    cache = cachetools.TLRUCache(10, lambda key, entry, now: now + entry.value, clock)

    @cached_singleflight(cache=cache, ttl=5)
    def load(n: int) -> int:
        return n

    load(3)
    load(30)
    clock.advance(4)
    assert load.peek(3) is None and load.peek(30) is not None
    clock.advance(1)
    assert load.peek(30) is None


def test_a_hit_that_expired_since_is_no_store_that_failed(cached: Any) -> None:
    """A hit that expired before the replay."""
    clock = Clock()

    @cached(ttl=10, timer=clock)
    def load(n: int) -> int:
        return n

    load(1)
    held = list(load.cache.values())
    load(1)
    clock.advance(10)
    load(2)
    assert load.stats().store_errors == 0
    assert load.peek(2) is not None
    assert held


def test_the_replay_asks_for_nothing_that_is_gone() -> None:
    """A ``__missing__`` of the user would run."""

    class Missing(cachetools.LRUCache[Any, Any]):
        def __missing__(self, key: Any) -> Any:
            asked.append(key)
            raise KeyError(key)

    asked: list[Any] = []

    @cached_singleflight(cache=Missing(10))
    def load(n: int) -> int:
        return n

    load(1)
    load(1)
    del load.cache[load.cache_key(1)]
    asked.clear()
    load(2)
    assert asked == []


def test_the_last_eight_hits_are_replayed() -> None:
    """All the hits that the ring has are replayed."""

    @cached_singleflight(ttl=60, maxsize=9)
    def load(n: int) -> int:
        return n

    for n in range(1, 10):
        load(n)
    for n in (1, 3, 4, 5, 6, 7, 8, 9):
        load(n)
    load(10)
    assert load.peek(1) is not None
    assert load.peek(2) is None


def test_a_value_that_is_over_at_once_is_not_put_into_the_cache() -> None:
    """What is over at once takes no place in a cache."""
    cache: dict[Any, Any] = {}

    @cached_singleflight(cache=cache, ttl=0)
    def load() -> int:
        return 1

    load()
    assert not cache


def test_a_call_heeds_the_time_to_use_of_a_given_cache() -> None:
    """An entry with a "time to use" expires for calls too."""
    clock = Clock()
    loads: list[int] = []
    cache = cachetools.TLRUCache(10, lambda key, entry, now: now + 5, clock)

    @cached_singleflight(cache=cache)
    def load() -> int:
        loads.append(1)
        return len(loads)

    assert load() == 1
    held = list(cache.values())
    clock.advance(5)
    assert load() == 2
    assert held


def test_who_reads_the_stats_does_not_change_what_was_hit_last() -> None:
    load = squares(cachetools.LRUCache(2))
    for n in (1, 2, 1, 2):
        load(n)
    for _ in range(7):
        load.stats()
    load(3)
    assert load.peek(2) is not None


def test_who_reads_the_counts_does_not_change_which_hits_were_the_last() -> None:
    cache: Any = cachetools.LRUCache(2)

    @cached_singleflight(cache=cache, ttl=None)
    def load(key: int) -> int:
        return key

    load(1)
    load(2)
    load(1)
    for _ in range(20):
        load.stats()
    load(3)
    assert load.peek(1)
    assert load.peek(2) is None


def test_peek_finds_what_has_replaced_an_entry_that_expires_meanwhile(cached: Any) -> None:
    now = 0.0
    meanwhile: list[Callable[[], None]] = []  # what others do while the time is read

    def timer() -> float:
        while meanwhile:
            meanwhile.pop()()
        return now

    @cached(ttl=10, timer=timer)
    def load(key: str) -> str:
        return "old"

    def replaced_and_expired() -> None:
        nonlocal now
        now = 9.0
        load.put("new", "a")
        now = 10.0

    load("a")
    meanwhile.append(replaced_and_expired)
    entry = load.peek("a")
    assert entry is not None and entry.value == "new"
