"""The caches on the board that are a layer of something larger: of a framework, or in front of a
store that several processes share. Here it is the layer within one process that counts.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from adapters import MAXSIZE, Library, text
from kit import ASYNCIO, Made, Options

WHOLE_SECONDS = 4
"""The ttls of the cases are multiples of a quarter of a second."""


class Anyio(Library):
    distribution = "anyio"
    usage = "@anyio.functools.lru_cache(ttl=…)"
    asyncio = "cache ttl clear typed keys methods loops"
    pace = WHOLE_SECONDS
    note = "one cache per event loop, as documented"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from anyio.functools import lru_cache

        ttl = int(options.ttl * self.pace)
        f: Any = lru_cache(maxsize=MAXSIZE, typed=options.typed, ttl=ttl)(loader)
        return Made(f, clear=f.cache_clear)


class Streamlit(Library):
    distribution = "streamlit"
    usage = '@cache_resource(ttl=…), stale: refresh_mode="background"'
    threads = "cache ttl stale invalidate clear keys"
    asyncio = "cache ttl invalidate clear keys loops"
    declines = ("look-alikes",)
    note = "objects need `hash_funcs`, and its keys leave `_self` out, as documented, so no methods"
    names = count()

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from streamlit import cache_resource
        from streamlit.config import set_option

        # It takes functions of one name and source for one function, also where they are local.
        loader.__qualname__ += f"_{next(self.names)}"
        more: dict[str, Any] = {}
        if options.stale:
            more["refresh_mode"] = "background"
            multiplier = 1 + options.stale / options.ttl
            set_option("runner.cacheBackgroundRefreshTTLMultiplier", multiplier)
        decorate = cache_resource(ttl=options.ttl, max_entries=MAXSIZE, show_spinner=False, **more)
        f: Any = decorate(loader)
        return Made(f, f.clear, f.clear)


class Cachekit(Library):
    distribution = "cachekit"
    usage = "@cache(backend=None, ttl=…)"
    threads = asyncio = "cache ttl stale invalidate clear keys loops"
    pace = WHOLE_SECONDS
    note = "calls with arguments of other than plain types, such as `self`, are not cached"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from cachekit import cache
        from cachekit.config.nested import L1CacheConfig

        # Its ttl is the end of what is stale; from a part of it on it loads anew behind the value.
        whole = options.ttl + options.stale
        l1 = L1CacheConfig(swr_enabled=options.stale > 0, swr_threshold_ratio=options.ttl / whole)
        f: Any = cache(backend=None, ttl=int(whole * self.pace), l1=l1)(loader)
        invalidate = f.ainvalidate_cache if world == ASYNCIO else f.invalidate_cache
        return Made(f, invalidate, f.cache_clear)


class Dialcache(Library):
    distribution = "dialcache"
    usage = '@DialCache().cached(id_arg=…, default_config=Policy(ttl_sec={"local": …}))'
    asyncio = "cache ttl keys"
    declines = ("loop-after-loop", "loop-ended", "loops-at-once")
    pace = WHOLE_SECONDS
    note = "documented for one event loop; its keys leave `self` out; invalidating needs Redis"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from dialcache import DialCache, Policy

        cache = DialCache(local_max_size=MAXSIZE)
        policy = Policy(ttl_sec={"local": int(options.ttl * self.pace)})
        f = cache.cached(key_type="load", id_arg="key", default_config=policy)(loader)

        async def call(*args: Any, **kwargs: Any) -> Any:
            async with cache.enable():  # a request: it caches nothing outside of one
                return await f(*args, **kwargs)

        return Made(call)


class Zoocache(Library):
    distribution = "zoocache"
    usage = "@cacheable(deps=…, ttl=…)"
    threads = asyncio = "cache ttl invalidate clear keys"
    declines = ("look-alikes", "failure-shared", "stop-iteration")
    pace = 3 * WHOLE_SECONDS  # its clock has whole seconds as well
    note = (
        "its keys are of plain types only, so no methods, and where a load fails the others aboard "
        "get a `RuntimeError` of its own, as documented"
    )
    names = count()

    def make(self, loader: Any, world: str, options: Options) -> Made:
        import zoocache

        def tag(*args: Any, **kwargs: Any) -> str:
            return text(*args, **kwargs).encode().hex()

        zoocache.configure(max_entries=MAXSIZE)
        f: Any = zoocache.cacheable(
            namespace=f"load {next(self.names)}",  # its cache is one for the whole process
            deps=lambda *args, **kwargs: [tag(*args, **kwargs)],
            ttl=int(options.ttl * self.pace),
        )(loader)
        drop, clear = zoocache.invalidate, zoocache.clear
        if world == ASYNCIO:
            drop, clear = zoocache.invalidate_async, zoocache.clear_async
        return Made(f, lambda *args: drop(tag(*args)), clear)


class WarpCache(Library):
    distribution = "warp-cache"
    usage = "@cache(max_size=…, ttl=…)"
    asyncio = "cache ttl clear keys"
    note = "shares the loads of `async def` alone; does not bind methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from warp_cache import cache

        f: Any = cache(MAXSIZE, ttl=options.ttl)(loader)
        return Made(f, clear=f.cache_clear)


LAYERS: tuple[type[Library], ...] = (Anyio, Streamlit, Cachekit, Dialcache, Zoocache, WarpCache)
