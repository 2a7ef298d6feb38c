"""The caches on the board: one adapter each."""

from __future__ import annotations

from datetime import timedelta
from operator import attrgetter
from threading import Condition
from typing import Any

from adapters import MAXSIZE, SMALL, Library, text
from kit import Made, Options


class Cachetools(Library):
    distribution = "cachetools"
    usage = "@cached(TTLCache(…), condition=Condition())"
    threads = "cache ttl invalidate clear put weigh typed keys methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from cachetools import TTLCache, cached, keys

        size, weigh = (SMALL, len) if options.too_large else (MAXSIZE, None)
        cache: Any = TTLCache(size, options.ttl, getsizeof=weigh)
        key = keys.typedkey if options.typed else keys.hashkey
        f: Any = cached(cache, key=key, condition=Condition())(loader)

        def invalidate(*args: Any) -> None:
            with f.cache_condition:
                f.cache.pop(f.cache_key(*args), None)

        def put(value: Any, *args: Any) -> None:
            with f.cache_condition:
                f.cache[f.cache_key(*args)] = value

        return Made(f, invalidate, f.cache_clear, put)

    def repository(self, get: Any, world: str) -> Any:
        from cachetools import TTLCache, cachedmethod

        decorate = cachedmethod(attrgetter("cache"), condition=attrgetter("condition"))

        class Repository:
            def __init__(self, name: str) -> None:
                self.name = name
                self.cache: Any = TTLCache(MAXSIZE, 600)
                self.condition = Condition()

        cached: Any = decorate(get)
        return type("Repository", (Repository,), {"get": cached})


class Cachebox(Library):
    distribution = "cachebox"
    usage = "@cached(TTLCache(…))"
    threads = asyncio = "cache ttl invalidate clear put weigh typed keys methods loops"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from cachebox import TTLCache, cached, make_key, make_typed_key

        if options.too_large:
            cache: Any = TTLCache(SMALL, options.ttl, getsizeof=lambda _, value: len(value))
        else:
            cache = TTLCache(MAXSIZE, options.ttl)
        f: Any = cached(cache, key_maker=make_typed_key if options.typed else make_key)(loader)

        def invalidate(*args: Any) -> None:
            cache.pop(make_key(*args), None)

        def put(value: Any, *args: Any) -> None:
            cache[make_key(*args)] = value

        return Made(f, invalidate, f.cache_clear, put)

    def repository(self, get: Any, world: str) -> Any:
        from cachebox import TTLCache, cached

        class Repository:
            def __init__(self, name: str) -> None:
                self.name = name
                self.cache: Any = TTLCache(MAXSIZE, 600)

        by_instance: Any = cached(lambda self: self.cache)
        return type("Repository", (Repository,), {"get": by_instance(get)})


class Moka(Library):
    distribution = "moka-py"
    usage = "@cached(ttl=…, wait_concurrent=True)"
    threads = asyncio = "cache ttl clear weigh typed keys methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from moka_py import cached

        size: dict[str, Any] = {"maxsize": MAXSIZE}
        if options.too_large:
            size = {"maxsize": SMALL, "weigher": lambda _, value: len(value)}
        f = cached(typed=options.typed, ttl=options.ttl, wait_concurrent=True, **size)(loader)
        return Made(f, clear=f.cache_clear)


class Theine(Library):
    distribution = "theine"
    usage = "@Memoize(size, ttl)"
    threads = asyncio = "cache ttl typed keys methods loops"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from theine import Memoize

        ttl = timedelta(seconds=options.ttl)
        return Made(Memoize(MAXSIZE, ttl, typed=options.typed)(loader))


class Dogpile(Library):
    distribution = "dogpile.cache"
    usage = "@region.cache_on_arguments() of a memory region"
    threads = "cache ttl invalidate clear put keys"
    note = "its keys leave `self` out, as documented, so no methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from dogpile.cache import make_region
        from dogpile.cache.util import kwarg_function_key_generator

        region = make_region(function_key_generator=kwarg_function_key_generator)
        region.configure("dogpile.cache.memory", expiration_time=options.ttl)
        f = region.cache_on_arguments()(loader)
        return Made(f, f.invalidate, region.invalidate, f.set)


class AsyncLru(Library):
    distribution = "async-lru"
    usage = "@alru_cache(ttl=…)"
    asyncio = "cache ttl invalidate clear typed keys methods"
    declines = ("loop-after-loop", "loop-ended", "loops-at-once")
    note = "documented for one event loop per cache"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from async_lru import alru_cache

        f: Any = alru_cache(MAXSIZE, typed=options.typed, ttl=options.ttl)(loader)
        return Made(f, f.cache_invalidate, f.cache_clear)


class Aiocache(Library):
    distribution = "aiocache"
    usage = "@cached_stampede(lease=60, ttl=…)"
    asyncio = "cache ttl invalidate clear put keys methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from aiocache import cached_stampede

        decorator = cached_stampede(lease=60, ttl=options.ttl)
        f = decorator(loader)

        async def invalidate(*args: Any) -> None:
            await f.cache.delete(decorator.get_cache_key(loader, args, {}))

        async def put(value: Any, *args: Any) -> None:
            await f.cache.set(decorator.get_cache_key(loader, args, {}), value, ttl=options.ttl)

        return Made(f, invalidate, f.cache.clear, put)


class Cashews(Library):
    distribution = "cashews"
    usage = "@cache(ttl=…), protected by default, with mem://; @cache.early(…)"
    asyncio = "cache ttl stale invalidate clear put keys methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from cashews import Cache
        from cashews.key import get_cache_key, get_cache_key_template

        cache = Cache()
        cache.setup("mem://", size=MAXSIZE)
        decorate, template = cache(ttl=options.ttl), None
        if options.stale:
            decorate = cache.early(ttl=options.ttl + options.stale, early_ttl=options.ttl)
            template = get_cache_key_template(loader, prefix="early:v2")

        async def invalidate(*args: Any) -> None:
            await cache.delete(get_cache_key(loader, template, args))

        async def put(value: Any, *args: Any) -> None:
            await cache.set(get_cache_key(loader, None, args), value, expire=options.ttl)

        return Made(decorate(loader), invalidate, cache.clear, put)


class AsyncCache(Library):
    distribution = "async-cache"
    usage = "@AsyncTTL(time_to_live=…)"
    asyncio = "cache ttl invalidate clear keys methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from cache import AsyncTTL

        f: Any = AsyncTTL(time_to_live=options.ttl, maxsize=MAXSIZE)(loader)
        return Made(f, f.invalidate_cache, f.clear_cache)


class Cachier(Library):
    distribution = "cachier"
    usage = '@cachier(backend="memory", stale_after=…, allow_none=True)'
    threads = "cache ttl stale clear put weigh keys"
    declines = ("stale-end",)  # with next_time=True it serves what is stale for ever
    note = "its `async def` loads in parallel on purpose; it refuses methods by default"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from cachier import cachier

        f = cachier(
            backend="memory",
            stale_after=timedelta(seconds=options.ttl),
            next_time=options.stale > 0,
            allow_none=True,
            entry_size_limit=SMALL if options.too_large else None,
        )(loader)

        def put(value: Any, *args: Any) -> None:
            f.precache_value(*args, value_to_cache=value)

        return Made(f, clear=f.clear_cache, put=put)


class Inhouse(Library):
    distribution = "inhouse-cache"
    usage = "@inhouse_cache(ttl, store=MemoryStore())"
    threads = asyncio = "cache ttl invalidate clear put keys methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from inhouse import MemoryStore, inhouse_cache, make_cache_key

        store = MemoryStore(max_size=MAXSIZE)
        f: Any = inhouse_cache(options.ttl, store=store)(loader)

        def put(value: Any, *args: Any) -> None:
            store.set(make_cache_key(loader, args, {}), value, options.ttl)

        return Made(f, f.cache_invalidate, f.cache_clear, put)


class SingleflightCache(Library):
    distribution = "singleflight-cache"
    usage = "SingleFlightCache(ttl=…).get(key, loader, …)"
    threads = "cache ttl invalidate clear put"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from singleflight_cache import SingleFlightCache

        cache = SingleFlightCache(MAXSIZE, options.ttl)

        def call(*args: Any, **kwargs: Any) -> Any:
            return cache.get(text(*args, **kwargs), loader, *args, **kwargs)

        return Made(
            call,
            lambda *args: cache.invalidate(text(*args)),
            cache.clear,
            lambda value, *args: cache.set(text(*args), value),
        )


class Cachememo(Library):
    distribution = "cachememo"
    usage = "@memoize(ttl=…)"
    threads = asyncio = "cache ttl clear typed keys methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from cachememo import memoize

        f: Any = memoize(ttl=options.ttl, typed=options.typed)(loader)
        return Made(f, clear=f.cache_clear)


CACHES: tuple[type[Library], ...] = (
    Cachetools,
    Cachebox,
    Moka,
    Theine,
    Dogpile,
    AsyncLru,
    Aiocache,
    Cashews,
    AsyncCache,
    Cachier,
    Inhouse,
    SingleflightCache,
    Cachememo,
)
