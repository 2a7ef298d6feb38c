"""What users would pick instead: one adapter per rival, each as its own documentation has it.

Everybody gets the same `MAXSIZE` and `TTL` as far as there is a setting for it (functools.lru_cache
has no ttl, and the memory caches of aiocache and dogpile.cache no size). Where a rival has a faster
form without stampede protection, the hits and misses use that one, and only the herds the protected
one. What a rival cannot do is left out of its adapter, and so is the rival from that row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from operator import attrgetter
from threading import Condition, Lock
from typing import Any

MAXSIZE = 1024
TTL = 600  # seconds; nothing expires while it is measured
SHORT = 0.01  # seconds; but where it is to
SLOW = 0.01  # seconds that a load takes, where that matters

Decorate = Callable[[Any], Any]


@dataclass(frozen=True)
class Rival:
    name: str
    plain: Decorate | None = None
    """A function of two parameters, the second one with a default."""
    keyword: Decorate | None = None
    """The same where arguments are passed by keyword."""
    herd: Decorate | None = None
    """The same where concurrent callers share one load."""
    method: Callable[[], Any] | None = None
    """An instance whose ``get(x, y=0)`` is cached, apart from that of other instances."""
    coroutine: Decorate | None = None
    coroutine_herd: Decorate | None = None
    early: Decorate | None = None
    """A function of which one call refreshes before its value expires."""
    drawing: Decorate | None = None
    """The same while each hit draws, for a load that takes `SLOW`."""
    tier: Decorate | None = None
    """A function that shares its loads with other processes."""
    stale: Decorate | None = None
    """A function whose value is stale after `SHORT`, and served while one call reloads it."""


def repository(decorate: Decorate, **attributes: Any) -> Any:
    class Repository:
        @decorate
        def get(self, x: int, y: int = 0) -> int:
            return x

    instance = Repository()
    vars(instance).update(attributes)
    return instance


def soloflight() -> Rival:
    from soloflight import cached_singleflight
    from soloflight.testing import MemoryTier

    def decorate(loader: Any) -> Any:
        return cached_singleflight(ttl=TTL, maxsize=MAXSIZE)(loader)

    return Rival(
        "soloflight",
        plain=decorate,
        keyword=decorate,
        herd=decorate,
        method=lambda: repository(decorate),
        coroutine=decorate,
        coroutine_herd=decorate,
        early=cached_singleflight(ttl=TTL, maxsize=MAXSIZE, early_refresh=1.0),
        tier=cached_singleflight(ttl=TTL, maxsize=MAXSIZE, tier=MemoryTier(), codec="json"),
        # So that it draws from the beginning, and draws as much as that once in e ** 25 times.
        drawing=cached_singleflight(ttl=TTL, maxsize=MAXSIZE, early_refresh=TTL / SLOW / 25),
        stale=cached_singleflight(ttl=SHORT, maxsize=MAXSIZE, stale_while_revalidate=TTL),
    )


def soloflight_plain() -> Rival:
    """Our own plain hit, beside the hits that ask for more."""
    from soloflight import cached_singleflight

    decorate = cached_singleflight(ttl=TTL, maxsize=MAXSIZE)
    return Rival("our plain hit", early=decorate, drawing=decorate, stale=decorate, tier=decorate)


def functools() -> Rival:
    def decorate(loader: Any) -> Any:
        return lru_cache(MAXSIZE)(loader)

    name = "functools.lru_cache"
    return Rival(name, plain=decorate, keyword=decorate, method=lambda: repository(decorate))


def cachetools(guard: str, make: Callable[[], Any]) -> Rival:
    from cachetools import TTLCache, cached, cachedmethod

    def decorate(loader: Any) -> Any:
        return cached(TTLCache(MAXSIZE, TTL), **{guard: make()})(loader)

    def method() -> Any:
        return repository(by_instance, cache=TTLCache(MAXSIZE, TTL), **{guard: make()})

    by_instance = cachedmethod(attrgetter("cache"), **{guard: attrgetter(guard)})
    return Rival(f"cachetools {guard}=", plain=decorate, keyword=decorate, method=method)


def cachetools_lock() -> Rival:
    return cachetools("lock", Lock)


def cachetools_condition() -> Rival:
    rival = cachetools("condition", Condition)
    return replace(rival, herd=rival.plain)


def cachebox() -> Rival:
    from cachebox import TTLCache, cached

    def decorate(loader: Any) -> Any:  # protected by default, which costs a hit nothing
        return cached(TTLCache(MAXSIZE, TTL))(loader)

    by_instance = cached(lambda self: self.cache)
    return Rival(
        "cachebox",
        plain=decorate,
        keyword=decorate,
        herd=decorate,
        method=lambda: repository(by_instance, cache=TTLCache(MAXSIZE, TTL)),
        coroutine=decorate,
        coroutine_herd=decorate,
    )


def cachebox_uncopied() -> Rival:
    """It copies dicts, lists and sets by default; told not to, it returns what it was given."""
    from cachebox import TTLCache, cached

    def decorate(loader: Any) -> Any:
        return cached(TTLCache(MAXSIZE, TTL), postprocess=None)(loader)

    name = "cachebox postprocess=None"
    return Rival(name, plain=decorate, keyword=decorate, coroutine=decorate)


def moka() -> Rival:
    from moka_py import cached

    def decorate(loader: Any) -> Any:
        return cached(MAXSIZE, ttl=TTL)(loader)

    def protected(loader: Any) -> Any:
        return cached(MAXSIZE, ttl=TTL, wait_concurrent=True)(loader)

    return Rival(
        "moka-py",
        plain=decorate,
        keyword=decorate,
        herd=protected,
        method=lambda: repository(decorate),
        coroutine=decorate,
        coroutine_herd=protected,
    )


def moka_protected() -> Rival:
    """Its hits where one load is shared by concurrent callers, as ours always is."""
    from moka_py import cached

    def decorate(loader: Any) -> Any:
        return cached(MAXSIZE, ttl=TTL, wait_concurrent=True)(loader)

    name = "moka-py wait_concurrent=True"
    return Rival(name, plain=decorate, keyword=decorate, coroutine=decorate)


def theine() -> Rival:
    from theine import Memoize

    def decorate(loader: Any) -> Any:  # its own keys are faster here than a key function
        return Memoize(MAXSIZE, timedelta(seconds=TTL))(loader)

    return Rival(
        "theine",
        plain=decorate,
        keyword=decorate,
        herd=decorate,
        method=lambda: repository(decorate),
        coroutine=decorate,
        coroutine_herd=decorate,
    )


def warp_cache() -> Rival:
    """Its tasks share a load, its threads do not; and it binds no methods."""
    from warp_cache import cache

    decorate = cache(MAXSIZE, ttl=TTL)
    return Rival("warp-cache", decorate, decorate, coroutine=decorate, coroutine_herd=decorate)


def onecache() -> Rival:
    """It shares no load. Its functions are for several threads here, as everybody's are."""
    from onecache import AsyncCacheDecorator, CacheDecorator

    milliseconds = TTL * 1000

    def decorate(loader: Any) -> Any:
        return CacheDecorator(MAXSIZE, milliseconds, thread_safe=True)(loader)

    return Rival(
        "onecache",
        plain=decorate,
        keyword=decorate,
        method=lambda: repository(decorate),
        coroutine=lambda loader: AsyncCacheDecorator(MAXSIZE, milliseconds)(loader),
    )


def dogpile() -> Rival:
    from dogpile.cache import make_region
    from dogpile.cache.util import kwarg_function_key_generator

    def decorate(loader: Any) -> Any:
        region = make_region().configure("dogpile.cache.memory", expiration_time=TTL)
        return region.cache_on_arguments()(loader)

    def by_keyword(loader: Any) -> Any:
        region = make_region(function_key_generator=kwarg_function_key_generator)
        region.configure("dogpile.cache.memory", expiration_time=TTL)
        return region.cache_on_arguments()(loader)

    def stale(loader: Any) -> Any:
        # Its reload never ends: whoever begins it has the lock for good.
        region = make_region(async_creation_runner=lambda *_: None)
        region.configure("dogpile.cache.memory", expiration_time=SHORT)
        return region.cache_on_arguments()(loader)

    # No method: its keys leave `self` out, so instances would share their entries.
    return Rival("dogpile.cache", plain=decorate, keyword=by_keyword, herd=decorate, stale=stale)


def async_lru() -> Rival:
    from async_lru import alru_cache

    def decorate(loader: Any) -> Any:
        return alru_cache(MAXSIZE, ttl=TTL)(loader)

    return Rival("async-lru", coroutine=decorate, coroutine_herd=decorate)


def aiocache() -> Rival:
    from aiocache import cached, cached_stampede

    def decorate(loader: Any) -> Any:
        return cached(ttl=TTL, timeout=0)(loader)

    def protected(loader: Any) -> Any:
        return cached_stampede(lease=TTL, ttl=TTL, timeout=0)(loader)

    return Rival("aiocache", coroutine=decorate, coroutine_herd=protected)


def cashews() -> Rival:
    from cashews import Cache

    def memory() -> Any:
        cache = Cache()
        cache.setup("mem://", size=MAXSIZE, check_interval=TTL)
        return cache

    return Rival(
        "cashews",
        coroutine=lambda loader: memory()(ttl=TTL, protected=False)(loader),
        coroutine_herd=lambda loader: memory()(ttl=TTL)(loader),
    )


RIVALS: tuple[Callable[[], Rival], ...] = (
    soloflight_plain,
    functools,
    cachetools_lock,
    cachetools_condition,
    cachebox,
    cachebox_uncopied,
    moka,
    moka_protected,
    theine,
    warp_cache,
    onecache,
    dogpile,
    async_lru,
    aiocache,
    cashews,
)
