"""What an error in a change of a given cache costs the user: nothing that is the user's own."""

from __future__ import annotations

import signal
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import cachetools
import pytest

from conftest import Clock
from soloflight import cached_singleflight


def later(key: object, value: object, now: float) -> float:
    return now + 60


KINDS: dict[str, Callable[..., Any]] = {
    "Cache": cachetools.Cache,
    "FIFOCache": cachetools.FIFOCache,
    "LFUCache": cachetools.LFUCache,
    "LRUCache": cachetools.LRUCache,
    "RRCache": cachetools.RRCache,
    "TTLCache": lambda size, clock, **options: cachetools.TTLCache(size, 60, clock, **options),
    "TLRUCache": lambda size, clock, **options: cachetools.TLRUCache(size, later, clock, **options),
}


def made(kind: str, size: int, clock: Clock, **options: Any) -> Any:
    return KINDS[kind](size, *([clock] if kind.startswith("T") else []), **options)


class Limit(Exception):
    """A soft time limit, say."""


@pytest.fixture
def limited() -> Iterator[None]:
    def handler(number: int, frame: object) -> None:
        raise Limit

    before = signal.signal(signal.SIGINT, handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("limited")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("why", ["error", "interruption"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_value_that_has_no_size_costs_nothing(kind: str, why: str, clock: Clock) -> None:
    sized: list[Any] = []

    def getsizeof(value: Any) -> int:
        value = getattr(value, "value", value)
        sized.append(value)
        if value == "bad":
            if why == "interruption":
                signal.raise_signal(signal.SIGINT)
            raise RuntimeError
        return 1

    cache = made(kind, 9, clock, getsizeof=getsizeof)
    cache["a"] = cache["b"] = "mine"
    cache["a"]
    clock.now += 1
    load = cached_singleflight(cache=cache, ttl=50)(lambda key: key)
    load(1)
    before, parts = list(cache), {name: repr(part) for name, part in vars(cache).items()}
    sized.clear()
    try:
        assert load("bad") == "bad"
        assert why == "error"
    except Limit:
        assert why == "interruption"
    assert sized == ["bad"]
    assert list(cache) == before
    assert {name: repr(part) for name, part in vars(cache).items()} == parts
    assert load.peek(1)


class Odd:
    """A key whose comparisons raise, from the n-th on for once."""

    countdown = 0

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        Odd.countdown -= 1
        if Odd.countdown == 0:
            raise RuntimeError("cannot be compared")
        return self is other


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sizes", [{}, {"getsizeof": lambda value: 1}], ids=["one", "sizes"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Cache"])
def test_what_is_mended_keeps_the_users_own_in_its_order(
    kind: str, sizes: dict[str, Any], clock: Clock
) -> None:
    for at in range(1, 40):
        cache = made(kind, 9, clock, **sizes)
        for name in "abc":
            cache[name] = name
            clock.now += 10
        cache["a"], cache["a"], cache["b"]
        load = cached_singleflight(cache=cache, ttl=20)(lambda key: 1)
        keys = [Odd() for _ in range(4)]
        for key in keys[:3]:
            load(key)
        Odd.countdown = at
        try:
            load(keys[3])
        except RuntimeError:
            pass  # as it looked the key up
        Odd.countdown = 0
        assert [name for name in cache if isinstance(name, str)] == ["a", "b", "c"]
        clock.now += 31
        if kind.startswith("T"):  # the deadlines are those that they had
            assert [name in cache for name in "abc"] == [False, True, True]
        elif kind in ("LRUCache", "LFUCache", "FIFOCache"):
            first = {"LRUCache": "cab", "LFUCache": "cba", "FIFOCache": "abc"}[kind]
            gone = [cache.popitem()[0] for _ in range(len(cache))]
            assert "".join(name for name in gone if isinstance(name, str)) == first


class Queue(cachetools.TTLCache[Any, Any]):
    """Evicts in an order of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.order: OrderedDict[Any, None] = OrderedDict()

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.order[key] = None

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self.order.pop(key, None)

    def popitem(self) -> Any:
        key = next(iter(self.order))
        return key, self.pop(key)


@pytest.mark.filterwarnings("ignore")
def test_a_subclass_with_an_order_of_its_own_goes_on() -> None:
    cache = Queue(3, 600, getsizeof=lambda entry: len(getattr(entry, "value", "v")))
    cache["mine"] = "v"

    @cached_singleflight(cache=cache)
    def load(n: int) -> Any:
        return None if n == 0 else "v"

    load(1)
    load(0)
    assert list(cache.order) == ["mine", load.cache_key(1)]
    for n in range(10, 20):
        load(n)
        assert load.peek(n)
    assert load.stats().store_errors == 1


@pytest.mark.filterwarnings("ignore")
def test_that_a_subclass_may_be_broken_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    class Subclass(cachetools.TTLCache[Any, Any]):
        def popitem(self) -> Any:
            return super().popitem()

    for at in range(1, 40):
        load = cached_singleflight(cache=Subclass(4, 600))(lambda key: 1)
        for _ in range(3):
            load(Odd())
        for _ in range(3):
            caplog.clear()
            Odd.countdown = at
            try:
                load(Odd())
            except RuntimeError:
                pass
            Odd.countdown = 0
            if "may be broken" in caplog.text:
                break
        else:
            continue
        before = caplog.text.count("may be broken")
        Odd.countdown = at
        load(Odd())
        Odd.countdown = 0
        assert caplog.text.count("may be broken") == before == 1
        return
    pytest.fail("never broken")


@pytest.mark.filterwarnings("ignore")
def test_who_iterates_over_a_cache_does_not_stop_its_clock(clock: Clock) -> None:
    cache = cachetools.TTLCache[Any, Any](9, 60, clock, getsizeof=lambda v: v.value)
    load = cached_singleflight(cache=cache)(lambda key: key or None)
    load(1)
    for _ in cache:
        load(0)
    clock.now += 100
    assert len(cache) == 0
    assert cache.timer() == clock()
