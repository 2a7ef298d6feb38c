"""How long caches keep what may be served stale, and those that would not keep it for so long."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from math import nextafter
from typing import Any

import cachetools
import pytest

from conftest import HIGHEST, Clock
from soloflight import cached_singleflight


class NotFound(Exception): ...


class Busy(Exception): ...


LATER = "{} s, {} s of that stale, but the cache's own ttl={}"


@pytest.mark.parametrize(
    ("own", "options", "words"),
    [
        # ttl is given
        (30, {"ttl": 20, "stale_while_revalidate": 11}, LATER.format(31, 11, 30)),
        (30, {"ttl": 20, "stale_if_error": 11}, LATER.format(31, 11, 30)),
        (30, {"ttl": 20, "stale_if_error": 3600, "stale_while_revalidate": 5}, "3620 s"),
        (30, {"ttl": timedelta(seconds=30), "stale_if_error": timedelta(hours=1)}, "3630 s"),
        (30, {"ttl": 40, "jitter": 0.5}, "ttl=40 is longer than the cache's own ttl=30"),
        (30, {"ttl": 40, "early_refresh": 1}, "ttl=40 is longer than the cache's own ttl=30"),
        (30, {"ttl": 20, "stale_if_error": float("inf")}, "inf s"),
        # left out: it is the cache's own
        (30, {"stale_while_revalidate": 60}, LATER.format(90, 60, 30)),
        (30, {"stale_if_error": 0.5}, LATER.format(30.5, 0.5, 30)),
        # a callable: it may be anything
        (30, {"ttl": len, "stale_while_revalidate": 31}, LATER.format(31, 31, 30)),
        (30, {"ttl": len, "stale_if_error": timedelta(minutes=1)}, LATER.format(60, 60, 30)),
        # error_ttl
        (30, {"error_ttl": {NotFound: 31}}, "error_ttl of NotFound is 31, longer than the cache's"),
        (30, {"ttl": 5, "error_ttl": {Busy: 1, NotFound: timedelta(minutes=1)}}, "NotFound is 60"),
        (30, {"ttl": len, "error_ttl": {NotFound: 31}}, "the cache's own ttl=30"),
        (2.5, {"error_ttl": {NotFound: 3}}, "the cache's own ttl=2.5"),
    ],
    ids=repr,
)
def test_a_cache_that_forgets_too_soon_is_refused(
    own: float, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        cached_singleflight(cache=cachetools.TTLCache(10, own), **options)
    assert f"own ttl={own}" in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 20, "stale_while_revalidate": 10, "stale_if_error": 5},
        {"ttl": timedelta(seconds=20), "stale_if_error": timedelta(seconds=10)},
        {"early_refresh": 1, "jitter": 0.1, "error_ttl": {NotFound: 30, Busy: lambda error: 99}},
        {"ttl": lambda value: None, "stale_if_error": 30},
    ],
    ids=repr,
)
def test_a_cache_that_just_suffices_is_accepted(options: dict[str, Any]) -> None:
    cached_singleflight(cache=cachetools.TTLCache(10, 30), **options)


@pytest.mark.parametrize("cache", [{}, cachetools.LRUCache(10), cachetools.LFUCache(10)])
def test_a_cache_without_a_ttl_of_its_own_keeps_anything(cache: Any) -> None:
    options: dict[str, Any] = {"stale_if_error": 3600, "error_ttl": {NotFound: 3600}}
    cached_singleflight(cache=cache, ttl=30, **options)
    cached_singleflight(cache=cache, ttl=lambda value: 30, **options)


@pytest.mark.parametrize(
    ("cache", "option"),
    [
        ({}, "stale_while_revalidate"),
        ({}, "stale_if_error"),
        (cachetools.LRUCache(10), "early_refresh"),
        (cachetools.TTLCache(10, 0), "early_refresh"),
    ],
)
def test_what_has_no_meaning_with_the_caches_own_ttl_is_refused(cache: Any, option: str) -> None:
    """Where the ttl is left out, it is the cache's own: for ever where that has none."""
    options: dict[str, Any] = {option: 1}
    with pytest.raises(ValueError, match="no meaning"):
        cached_singleflight(cache=cache, **options)


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ({"ttl": 10}, 10),
        ({"ttl": 10, "stale_while_revalidate": 5}, 15),
        ({"ttl": 10, "stale_if_error": 20}, 30),
        ({"ttl": 10, "stale_while_revalidate": 5, "stale_if_error": 20}, 30),
        ({"ttl": 10, "stale_while_revalidate": timedelta(minutes=1), "stale_if_error": 20}, 70),
        ({"ttl": 10, "early_refresh": 1}, 10),
        ({"ttl": lambda value: 10}, 10),
        ({"ttl": lambda value: 10, "stale_while_revalidate": 5}, 15),
        ({"ttl": lambda value: 10, "stale_while_revalidate": 5, "stale_if_error": 20}, 30),
        ({"ttl": 10, "stale_if_error": 20, "error_ttl": {NotFound: 99}}, 30),
    ],
    ids=repr,
)
@pytest.mark.parametrize("jitter", [0, 0.2])
def test_the_default_cache_keeps_entries_until_their_last_deadline(
    options: dict[str, Any], last: float, jitter: float, clock: Clock, die: Callable[[float], None]
) -> None:
    die(HIGHEST)

    @cached_singleflight(timer=clock, jitter=jitter, **options)
    def load(key: str) -> str:
        return "value"

    load("k")
    kept = load.peek("k")
    assert kept is not None
    assert kept.until == pytest.approx(clock.now + last - 10 * jitter)
    clock.now = nextafter(kept.until, 0)
    load("before")  # who stores has what has expired dropped
    assert load.peek("k")
    assert load.cache_info().currsize == 2
    assert load.stats().expired == 0
    clock.now = kept.until
    assert load.peek("k") is None
    load("after")
    assert set(load.cache) == {"before", "after"}
    assert load.cache_info().currsize == 2
    assert load.stats().expired == 1


def test_the_default_cache_keeps_each_exception_as_long_as_it_is_an_answer(clock: Clock) -> None:
    @cached_singleflight(ttl=10, stale_if_error=20, error_ttl={NotFound: 5, Busy: 60}, timer=clock)
    def load(error: type[Exception]) -> None:
        raise error

    def after_a_store() -> float:
        load.put(None, OSError)
        return load.cache_info().currsize - 1  # that is of no interest

    for error in (NotFound, Busy):
        with pytest.raises(error):
            load(error)
    assert after_a_store() == 2
    clock.advance(5)
    assert (load.peek(NotFound), after_a_store()) == (None, 1)
    clock.advance(54.999)
    assert after_a_store() == 1
    assert load.peek(Busy) is not None
    clock.advance(0.001)
    assert (load.peek(Busy), after_a_store()) == (None, 0)


@pytest.mark.parametrize("store", ["a value", "an exception", "put"])
def test_whatever_is_stored_has_what_has_expired_dropped(store: str, clock: Clock) -> None:
    @cached_singleflight(ttl=10, error_ttl={Busy: 10}, timer=clock)
    def load(key: str) -> str:
        if key == "an exception":
            raise Busy
        return key

    load("k")
    clock.advance(10)
    if store == "put":
        load.put("value", store)
    elif store == "a value":
        load(store)
    else:
        with pytest.raises(Busy):
            load(store)
    assert set(load.cache) == {store}


def test_the_default_cache_keeps_what_never_expires(clock: Clock) -> None:
    """And what expires beside it no longer than that, once there were a few stores."""

    @cached_singleflight(ttl=lambda value: value, stale_if_error=20, timer=clock)
    def load(ttl: float | None) -> float | None:
        return ttl

    load(None)
    load(10)
    clock.advance(1e9)
    for _ in range(3):  # each looks at two of them
        load.put(None, 5)
    assert load.peek(None) is not None
    assert set(load.cache) == {None, 5}
    assert load.cache_info().currsize == 2


@pytest.mark.parametrize("number", range(2, 20))
def test_what_expires_behind_what_never_does_goes_within_a_round(number: int, clock: Clock) -> None:
    """Each store looks at the two oldest, and at two more on its way round."""

    @cached_singleflight(ttl=lambda value: value, timer=clock)
    def load(key: int) -> float | None:
        return 10 if key % 2 else None

    for key in range(number):
        load(key)
    clock.advance(10)
    for _ in range(number // 2 + 1):
        load.put(None, 0)
    assert set(load.cache) == set(range(0, number, 2))


@pytest.mark.parametrize("option", ["stale_while_revalidate", "stale_if_error"])
def test_a_given_cache_keeps_entries_until_their_last_deadline(option: str, clock: Clock) -> None:
    cache = cachetools.TTLCache(10, 30, clock)
    options: dict[str, Any] = {option: 10}

    @cached_singleflight(cache=cache, ttl=20, **options)
    def load() -> str:
        return "value"

    load()
    clock.advance(29.999)
    assert load.peek() is not None
    clock.advance(0.001)
    assert (load.peek(), len(cache)) == (None, 0)


def test_the_time_to_use_of_a_given_cache_is_the_limit_of_every_deadline(clock: Clock) -> None:
    cache = cachetools.TLRUCache(10, lambda key, entry, now: now + entry.value, clock)

    @cached_singleflight(cache=cache, ttl=20, stale_while_revalidate=10)
    def load(limit: int) -> int:
        return limit

    for limit in (15, 25, 35):
        load(limit)
    entries = [load.peek(limit) for limit in (15, 25, 35)]
    assert [(e.fresh_until - clock.now, e.stale_until - clock.now) for e in entries if e] == [
        (15, 15),
        (20, 25),
        (20, 30),
    ]
