"""The cache that a function has by default: what it counts, drops, and does not mix up."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from datetime import timedelta
from math import inf
from typing import Any

import pytest

from both_worlds import World, counted
from conftest import Boom, Clock
from soloflight import SieveCache, cached_singleflight


def size(function: Any) -> float:
    return function.cache_info().currsize  # type: ignore[no-any-return]


# Who goes


def test_it_holds_no_more_than_it_has_room_for(world: World) -> None:
    load = world.cached(world.origin(), ttl=None, maxsize=3)
    for key in range(20):
        world.call(load, key)
        assert size(load) == min(key + 1, 3)
    assert load.cache_info() == (0, 20, 3, 3)


def test_what_was_hit_stays(world: World) -> None:
    """The oldest, and the newest."""
    load = world.cached(world.origin(), ttl=None, maxsize=3)
    for key in "abcadde":
        world.call(load, key)
    assert [key for key in "abcde" if load.peek(key) is not None] == ["a", "d", "e"]


def test_what_is_peeked_at_does_not(world: World) -> None:
    load = world.cached(world.origin(), ttl=None, maxsize=2)
    for key in "ab":
        world.call(load, key)
    load.peek("a")
    world.call(load, "b")
    world.call(load, "c")
    assert load.peek("a") is None


def test_what_is_reloaded_stays_if_it_had_been_hit(world: World) -> None:
    load = world.cached(world.origin(), ttl=None, maxsize=2)
    for key in "aba":
        world.call(load, key)
    world.call(load.refresh, "a")
    world.call(load, "c")
    assert load.peek("a").value == 3
    assert load.peek("b") is None


def test_a_cache_without_limit(world: World) -> None:
    load = world.cached(world.origin(), ttl=None, maxsize=None)
    for key in range(2000):
        world.call(load, key)
    assert load.cache_info() == (0, 2000, None, 2000)


@pytest.mark.parametrize("maxsize", [0, 0.5])
def test_a_cache_without_room(world: World, maxsize: float) -> None:
    load = world.cached(world.origin(), ttl=None, maxsize=maxsize)
    assert [world.call(load), world.call(load)] == [1, 2]
    assert load.cache_info() == (0, 2, maxsize, 0)
    load.put("put")
    assert load.peek() is None
    assert counted(load).keys() == {"misses", "load_seconds"}


def test_a_value_for_which_there_is_no_room_displaces_the_older_one(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=None, maxsize=3, getsizeof=lambda value: value)
    assert world.call(load) == 1
    origin.answer = lambda number: 4
    assert world.call(load.refresh) == 4
    assert load.peek() is None
    assert size(load) == 0
    assert load.stats().store_errors == 0


@pytest.mark.parametrize("wrong", [-1, "one", None, float("nan")])
def test_a_size_that_is_none_is_told_and_its_value_handed_over(
    world: World, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = iter([1, wrong, wrong])
    load = world.cached(world.origin(), ttl=None, getsizeof=lambda value: next(sizes))
    assert world.call(load) == 1
    assert world.call(load.refresh) == 2
    assert load.peek() is None
    assert world.call(load) == 3
    assert load.stats().store_errors == 2
    (record,) = caplog.records
    assert "a value was loaded but could not be stored" in record.getMessage()
    assert record.exc_info is not None
    assert "what getsizeof() returns must" in str(record.exc_info[1])


def test_sizes_that_are_no_whole_numbers(world: World) -> None:
    load = world.cached(world.origin(), ttl=None, maxsize=1, getsizeof=lambda value: 0.1)
    for key in range(1000):
        world.call(load, key)
    assert load.cache_info().currsize == pytest.approx(0.9)
    load.clear()
    assert load.cache_info().currsize == 0


# What has expired


def test_what_has_expired_goes_where_something_is_stored(world: World, clock: Clock) -> None:
    load = world.cached(world.origin(), ttl=10, timer=clock)
    for key in range(5):
        world.call(load, key)
    clock.advance(10)
    assert size(load) == 5
    assert load.peek(0) is None
    world.call(load, "new")
    assert size(load) == 4  # two have gone, one has come
    for n in range(2):
        world.call(load, ("new", n))
    assert size(load) == 3
    assert load.stats().expired == 5


def test_an_expired_entry_of_a_key_is_replaced(world: World, clock: Clock) -> None:
    load = world.cached(world.origin(), ttl=10, timer=clock)
    world.call(load)
    clock.advance(10)
    assert world.call(load) == 2
    assert size(load) == 1


def test_one_that_lives_long_does_not_shelter_those_behind_it(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(
        origin, ttl=lambda number: None if number == 1 else 10, timer=clock, maxsize=None
    )
    for key in range(20):
        world.call(load, key)
    clock.advance(10)
    for key in range(100, 120):
        world.call(load, key)
    assert load.stats().expired == 19
    assert size(load) == 21
    assert world.call(load, 0) == 1


def test_what_is_stale_is_kept_until_it_is_of_no_use(world: World, clock: Clock) -> None:
    origin, load = world.aged(10, ttl=10, stale_if_error=10, timer=clock)
    world.call(load, "other")
    assert load.peek("k").value == 1
    assert size(load) == 2
    origin.fail()
    assert world.call(load) == 1
    origin.recover()
    clock.advance(10)
    world.call(load, "new")
    assert load.stats().expired == 1
    assert load.peek("k") is None


def test_what_never_expires_is_never_asked_for_the_time(world: World) -> None:
    asked: list[None] = []

    def timer() -> float:
        asked.append(None)
        return 0.0

    load = world.cached(world.origin(), ttl=None, timer=timer)
    world.call(load)
    before = len(asked)
    for _ in range(10):
        assert world.call(load) == 1
    assert len(asked) == before


def test_each_function_drops_its_own_by_its_own_clock(world: World) -> None:
    cache: SieveCache[Any, Any] = SieveCache(100)
    fast, slow = Clock(), Clock()
    of_fast = world.cached(world.origin(), cache=cache, ttl=10, timer=fast)
    of_slow = world.cached(world.origin(), cache=cache, ttl=10, timer=slow)
    for key in range(5):
        world.call(of_fast, key)
        world.call(of_slow, key)
    cache["by hand"] = 1
    fast.advance(1000)
    for key in range(10, 20):
        world.call(of_slow, key)
    assert len(cache) == 21
    for key in range(10, 30):
        world.call(of_fast, key)
    assert len(cache) == 21 + 20 - 5  # those of the one whose clock is ahead
    assert all(of_slow.peek(key) is not None for key in (*range(5), *range(10, 20)))
    assert cache["by hand"] == 1


@pytest.mark.parametrize("maxsize", [4, None])
def test_a_key_that_raises_when_it_has_expired_costs_no_other_entry(
    world: World, clock: Clock, maxsize: int | None
) -> None:
    class Key:
        broken = False

        def __hash__(self) -> int:
            if self.broken:
                raise Boom
            return 1

    load = world.cached(world.origin(), ttl=10, timer=clock, maxsize=maxsize)
    key = Key()
    world.call(load, key)
    key.broken = True
    for _ in range(20):
        clock.advance(10)
        world.call(load, "k")
        world.call(load, "k")
        world.call(load, "other")
    assert load.stats().hits == 20
    assert load.stats().store_errors == 0
    assert len(load.cache) <= 4


def test_a_default_cache_may_be_given_to_another_function(world: World) -> None:
    """Each has its own clock, and counts its own."""
    clock, other_clock = Clock(), Clock()
    load = world.cached(world.origin(), ttl=10, timer=clock)
    other = world.cached(world.origin(), ttl=10, timer=other_clock, cache=load.cache)
    world.call(load, "k")
    for late, caller in ((clock, load), (other_clock, other)):
        for _ in range(3):
            world.call(other, "k")
        late.advance(100)
        world.call(caller, "k")
        world.call(caller, "new")
    assert [f.stats().misses for f in (load, other)] == [3, 3]
    assert [f.stats().hits for f in (load, other)] == [0, 5]
    assert [f.stats().store_errors for f in (load, other)] == [0, 0]


def test_what_has_expired_is_seen_by_hand(clock: Clock) -> None:
    @cached_singleflight(ttl=10, timer=clock)
    def load() -> str:
        return "value"

    load()
    clock.advance(10)
    assert load.cache[load.cache_key()].value == "value"
    assert len(load.cache) == 1


# What is counted


def test_what_is_evicted_is_counted(world: World) -> None:
    load = world.cached(world.origin(), ttl=None, maxsize=2)
    for key in range(5):
        world.call(load, key)
    assert (load.stats().evictions, load.stats().expired) == (3, 0)
    load.invalidate(4)
    load.clear()
    world.call(load)
    assert (load.stats().evictions, load.stats().expired) == (3, 0)  # nor is what went by hand
    load.cache_clear()
    assert (load.stats().evictions, load.stats().expired) == (0, 0)


def test_hits_are_counted_exactly_whatever_comes_and_goes(world: World, clock: Clock) -> None:
    load = world.cached(world.origin(), ttl=10, timer=clock, maxsize=3)
    hits = 0
    for step in range(300):
        key = step * step % 7
        hits += load.peek(key) is not None
        world.call(load, key)
        if step % 11 == 0:
            world.call(load.refresh, key)
        if step % 13 == 0:
            load.put("put", key)
        if step % 17 == 0:
            load.invalidate(key)
        if step % 19 == 0:
            clock.advance(4)
    assert load.stats().hits == hits > 50
    assert load.stats().misses == 300 - hits + len(range(0, 300, 11))


def test_of_a_shared_cache_all_is_counted_that_leaves_it(world: World) -> None:
    """It cannot be told for whom room is made."""
    cache: SieveCache[Any, Any] = SieveCache(2)
    one, other = (world.cached(world.origin(), cache=cache, ttl=None) for _ in range(2))
    for key in range(5):
        world.call(one, key)
    assert one.stats().evictions == other.stats().evictions == 3


# Options


def test_a_ttl_from_the_value(world: World, clock: Clock) -> None:
    origin = world.origin()
    origin.answer = lambda number: {1: 10, 2: timedelta(seconds=20), 3: None, 4: 0, 5: inf}[number]
    load = world.cached(origin, ttl=lambda value: value, timer=clock)
    for key in range(1, 6):
        world.call(load, key)
    left = {key: entry.fresh_until - clock.now for key in range(1, 6) if (entry := load.peek(key))}
    assert left == {1: 10, 2: 20, 3: inf, 5: inf}
    assert size(load) == 4
    clock.advance(10)
    world.call(load, 2)
    assert load.stats().hits == 1


def test_a_ttl_of_nothing_displaces_the_older_one(world: World, clock: Clock) -> None:
    load = world.cached(world.origin(), ttl=lambda value: 10 if value == 1 else 0, timer=clock)
    world.call(load)
    assert world.call(load.refresh) == 2
    assert (load.peek(), size(load)) == (None, 0)


def test_an_exception_is_an_entry_of_size_one(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(
        origin, ttl=10, error_ttl={Boom: 5}, timer=clock, maxsize=4, getsizeof=lambda value: 2
    )
    origin.fail()
    for _ in range(2):
        with pytest.raises(Boom):
            world.call(load)
    assert origin.loads == 1
    assert size(load) == 1
    origin.recover()
    world.call(load, "other")
    assert size(load) == 3
    clock.advance(5)
    assert world.call(load) == 3
    assert size(load) == 4


def test_what_is_cached_of_exceptions_counts_as_hits(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, error_ttl={Boom: 5}, timer=clock)
    origin.fail()
    for _ in range(4):
        with pytest.raises(Boom):
            world.call(load)
    assert (load.stats().hits, load.stats().negative_hits, load.stats().misses) == (3, 3, 1)


# Instances


def test_instances_share_the_room(world: World) -> None:
    Repository = world.repository(world.origin(), ttl=None, maxsize=4)
    repositories = [Repository() for _ in range(10)]
    for repository in repositories:
        world.call(repository.get)
    assert size(Repository.get) == 4
    assert Repository.get.stats().evictions == 6


def test_instances_do_not_see_each_others_entries(world: World) -> None:
    Repository = world.repository(world.origin(), ttl=None)
    one, other = Repository(), Repository()
    assert [world.call(r.get) for r in (one, other, one, other)] == [1, 2, 1, 2]
    one.get.clear()
    assert world.call(other.get) == 2
    assert world.call(one.get) == 3
    Repository.get.clear()
    assert [world.call(r.get) for r in (one, other)] == [4, 5]


def test_what_a_dead_instance_left_goes_bit_by_bit(world: World) -> None:
    Repository = world.repository(world.origin(), ttl=None, maxsize=None)
    dying, other = Repository(), Repository()
    for key in range(100):
        world.call(dying.get, key)
    del dying
    gc.collect()
    assert size(Repository.get) == 100
    for key in range(1, 30):
        before = size(Repository.get)
        world.call(other.get, key)
        assert before - 8 <= size(Repository.get) - 1 <= before
    assert size(Repository.get) == 29


@pytest.mark.parametrize("way", ["invalidate", "clear", "put", "refuse"])
def test_it_goes_as_well_where_nothing_is_stored(world: World, way: str) -> None:
    Repository = world.repository(world.origin(), ttl=None, cache_if=lambda value: value <= 6)
    dying, other = Repository(), Repository()
    world.call(other.get)
    for key in range(5):
        world.call(dying.get, key)
    del dying
    gc.collect()
    assert size(Repository.get) == 6
    if way == "clear":
        other.get.clear()
    elif way == "refuse":
        assert world.call(other.get.refresh) == 7
    elif way == "put":
        other.get.put(7)
    else:
        other.get.invalidate()
    assert size(Repository.get) == 0


def test_many_instances_come_and_go(world: World) -> None:
    Repository = world.repository(world.origin(), ttl=None, maxsize=50)
    lasting = Repository()
    world.call(lasting.get)
    for _ in range(300):
        passing = Repository()
        for key in range(3):
            world.call(passing.get, key)
            world.call(passing.get, key)
        world.call(lasting.get)
        del passing
    gc.collect()
    assert size(Repository.get) <= 12
    assert world.call(lasting.get) == 1
    assert Repository.get.stats().hits == 300 * 4 + 1


# Instances of which nobody ever asks twice

ADVICE = "100 instances have died, one after the other, with entries that nobody had hit"


def made_for_each_request(
    world: World, number: int, use: Callable[[Any], None], **options: Any
) -> Any:
    """A class of which so many instances are made, used, and dropped."""
    Repository = world.repository(world.origin(), ttl=None, **options)
    for _ in range(number):
        repository = Repository()
        use(repository)
        del repository
    gc.collect()
    Repository.get.clear()  # what the last one has left
    return Repository


@pytest.mark.parametrize(("number", "told"), [(99, 0), (100, 1), (500, 1)])
def test_a_hundred_in_vain_are_told_of_once(
    world: World, number: int, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    made_for_each_request(world, number, lambda repository: world.call(repository.get))
    assert len(caplog.records) == told
    for record in caplog.records:
        assert (record.name, record.levelno) == ("soloflight", logging.WARNING)
        assert ADVICE in record.getMessage()
        assert "per_instance=False" in record.getMessage()
        assert "Repository.get" in record.getMessage()


def test_several_entries_each_are_in_vain_as_well(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def use(repository: Any) -> None:
        for key in range(20):
            world.call(repository.get, key)

    Repository = made_for_each_request(world, 300, use)
    for key in range(300):
        world.call(Repository().get, key)
    assert [ADVICE in record.getMessage() for record in caplog.records] == [True]


def test_nothing_is_told_where_they_were_hit(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def use(repository: Any) -> None:
        for key in (1, 2, 1):
            world.call(repository.get, key)

    made_for_each_request(world, 300, use)
    assert caplog.records == []


def test_nothing_is_told_where_some_were_hit(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = iter(range(1000))

    def use(repository: Any) -> None:
        world.call(repository.get)
        if next(numbers) % 50 == 0:
            world.call(repository.get)

    made_for_each_request(world, 500, use)
    assert caplog.records == []


def test_nothing_is_told_where_the_hand_has_passed_by_since_they_were_hit(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It unmarks what it passes by."""
    Repository = world.repository(world.origin(), ttl=None, maxsize=400)
    repositories = [Repository() for _ in range(400)]
    for repository in repositories:
        world.call(repository.get)
        world.call(repository.get)
    for key in range(20):  # the cache is full, and all of it marked: each time the hand unmarks 64
        world.call(repositories[-1].get, key)
        world.call(repositories[-1].get, key)
    lasting = repositories.pop()
    repositories.clear()
    repository = None
    gc.collect()
    for _ in range(200):
        world.call(lasting.get.refresh)
    assert size(Repository.get) < 50
    assert caplog.records == []


def test_those_of_another_function_do_not_matter(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    cache: SieveCache[Any, Any] = SieveCache(1000)
    One, Other = (world.repository(world.origin(), ttl=None, cache=cache) for _ in range(2))
    for _ in range(99):
        one, other = One(), Other()
        world.call(one.get)
        world.call(other.get)
        world.call(other.get)
        del one, other
    gc.collect()
    One.get.clear()
    assert caplog.records == []
    one = One()
    world.call(one.get)
    del one
    gc.collect()
    Other.get.clear()
    assert [ADVICE in record.getMessage() for record in caplog.records] == [True]
