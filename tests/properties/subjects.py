"""Decorated functions of every kind and with all options, for `test_properties`."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Hashable
from datetime import timedelta
from typing import Any

from cachetools import Cache, FIFOCache, LFUCache, LRUCache, RRCache, TLRUCache, TTLCache
from hypothesis import strategies as st

from conftest import Clock, until
from properties import reference
from properties.reference import PLAIN, UNSET, Arguments, Boom, Config, Copy, Freshness, Model
from soloflight import SieveCache, cached_singleflight, singleflight
from soloflight._entries.entry import Raising
from soloflight._entries.index import Ref, Scoped
from soloflight._outcome import GIL

CACHES: dict[str, Any] = {
    "TTLCache": lambda room, clock: TTLCache(room, 10, clock),
    "LRUCache": lambda room, clock: LRUCache(room),
    "LFUCache": lambda room, clock: LFUCache(room),
    "FIFOCache": lambda room, clock: FIFOCache(room),
    "RRCache": lambda room, clock: RRCache(room),
    "TLRUCache": lambda room, clock: TLRUCache(room, reference.used_until, clock),
    "dict": lambda room, clock: {},
    "SieveCache": lambda room, clock: SieveCache(room),
}
KEYED: dict[str, dict[str, Any]] = {
    "plain": {},
    "ignore": {"ignore": {"session"}},
    "typed": {"typed": True},
    "key": {"key": reference.first},
}


@st.composite
def configs(draw: st.DrawFn, aging: bool = False, ours: bool = False) -> Config:
    """`aging`: with options of freshness for sure; `ours`: in a small cache of ours."""
    kind = draw(st.sampled_from(["method", "function", "classmethod", "method", "staticmethod"]))
    owned = kind in ("method", "classmethod")
    others = [*CACHES, None] if not aging else ["TTLCache", "LRUCache", "dict", "SieveCache"]
    cache = draw(st.sampled_from(["default", "default", "default", *others]))
    if ours:
        cache = draw(st.sampled_from(["default", "default", "SieveCache"]))
    room = [2, 3, 4] if ours else [1024, 2, 3, 2, 1, 0]
    ttls: list[Any] = [10, None, reference.varies] if not aging else [10, 10, reference.varies]
    if cache == "TTLCache":
        ttls = [5, UNSET, reference.varies] if not aging else [5]
    elif cache != "default" and not aging:
        ttls.append(UNSET)
    given = cache not in ("default", None)
    ttl = draw(st.sampled_from(ttls))
    life = PLAIN
    if cache is not None:
        is_endless = ttl is None or (ttl is UNSET and cache != "TTLCache")
        life = draw(lives(aging=aging, is_endless=is_endless, is_short=cache == "TTLCache"))
        if cache == "TTLCache" and ttl is UNSET:  # it keeps nothing for longer
            life = life._replace(stale=0, on_error=0)
    return Config(
        kind=kind,
        per_instance=draw(st.sampled_from([UNSET, True, False, "tenant"])) if owned else UNSET,
        keyed=draw(st.sampled_from(list(KEYED))),
        cache=cache,
        ttl=ttl,
        maxsize=draw(st.sampled_from([*room, room[0] if given else None])),
        sized=cache == "default" and draw(st.booleans()),
        shared=given and draw(st.booleans()),
        copied=cache is not None and draw(st.booleans()),
        executor=draw(st.booleans()),
        life=life,
    )


@st.composite
def lives(draw: st.DrawFn, *, aging: bool, is_short: bool, is_endless: bool) -> Freshness:
    """Some options of freshness and failure, often none at all."""
    none = [] if aging else [0, 0, 0]

    def either(*options: Any) -> Any:
        return draw(st.sampled_from([*options, 0, *none]))

    stale, on_error, early, jitter = 0, 0, 0, 0
    if not is_endless:  # what is fresh for ever never goes stale
        stale, on_error, early = either(4, 12), either(4, 20), either(1, 0.5)
        jitter = either(0.5)
    if is_short:  # the cache keeps nothing for more than 10 s
        stale, on_error = min(stale, 4), min(on_error, 4)
    return Freshness(
        jitter=jitter,
        stale=stale,
        on_error=on_error,
        early=early,
        retry_after=draw(st.sampled_from([(1, 30), (4, 8)])),
        error_ttl=draw(st.sampled_from([None, None, 6, reference.error_varies])),
        cache_if=bool(either(1)),
        max_age=draw(st.sampled_from([None, 3, 9])),
        max_abandoned=draw(st.integers(0, 2)),
    )


def number(entry: Any) -> int:
    """What an entry of the library has, without asking it: it might raise that."""
    found: int = entry.error.args[0] if isinstance(entry, Raising) else entry.value
    return found


class Subject:
    """A decorated function and its model."""

    def __init__(self, config: Config, world: Any, clock: Clock, cache: Any) -> None:
        self.config = config
        self.model = Model(config, clock)
        self.owners: list[Any] = [None]
        self.tokens: list[Hashable] = [None]
        self.keys: dict[Any, Hashable] = {}  # of the model -> of the cache
        self.graves: list[Hashable] = []  # keys of dead instances
        decorate = self._decorator(world, clock, cache)
        if config.kind == "function":
            self.function = decorate(world.function())
            return
        if config.kind == "staticmethod":
            self.owner = type("Owner", (), {"load": decorate(staticmethod(world.function()))})
        elif config.kind == "method":
            self.owner = world.repository(decorate)
            self.owners = [self.owner(tenant) for tenant in "ppq"]
        else:
            self.owner = world.repository(lambda loader: decorate(classmethod(loader)))
            others = [type("Other", (self.owner,), {"tenant": tenant}) for tenant in "pq"]
            self.owners = [self.owner, *others]
        self.function = vars(self.owner)["load"]
        self.tokens = [object() for _ in self.owners]

    def _decorator(self, world: Any, clock: Clock, cache: Any) -> Any:
        config = self.config
        options = dict(KEYED[config.keyed])
        if config.per_instance is not UNSET:
            tenant = config.per_instance == "tenant"
            options["per_instance"] = reference.tenant if tenant else config.per_instance
        if config.cache is None:
            return singleflight(**options)
        if config.ttl is not UNSET:
            seconds = isinstance(config.ttl, int)
            options["ttl"] = timedelta(seconds=config.ttl) if seconds else config.ttl
        if config.cache not in ("TTLCache", "TLRUCache"):  # those have it
            options["timer"] = clock
        if cache is not None:
            options["cache"] = cache
        else:
            options["maxsize"] = config.maxsize
            options["getsizeof"] = reference.size if config.sized else None
        return cached_singleflight(**options, **self._of_freshness(world))

    def _of_freshness(self, world: Any) -> dict[str, Any]:
        config, life = self.config, self.config.life
        options: dict[str, Any] = {
            "jitter": life.jitter,
            "stale_while_revalidate": life.stale,
            "stale_if_error": timedelta(seconds=life.on_error),
            "early_refresh": life.early,
        }
        if life.stale or life.on_error or life.early:
            options["retry_after"] = life.retry_after
        if life.error_ttl is not None:
            options["error_ttl"] = {Exception: 9, Boom: life.error_ttl}  # the nearest class
        if life.cache_if:
            options["cache_if"] = reference.is_kept
        if life.max_age is not None:
            options["max_flight_age"] = life.max_age
            options["max_abandoned"] = life.max_abandoned
        if config.copied:
            options["copy"] = Copy
        if config.executor and world.executor and (life.stale or life.early):
            options["executor"] = world.executor
        return options

    def spelled(
        self, owner: int, arguments: Arguments, style: str
    ) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """The function as its owner has it, and the arguments: one call in several spellings."""
        a, b, session = arguments
        instance = self.owners[owner]
        target = self.function if self.config.kind == "function" else None
        args: tuple[Any, ...] = ()
        if self.config.kind == "staticmethod":
            target = self.owner().load if style == "keywords" else self.owner.load
        elif self.config.kind == "method" and style == "keywords":
            target, args = self.owner.load, (instance,)
        elif target is None:
            target = instance.load
        if style == "keywords":
            return target, args, {"session": session, "b": b, "a": a}
        short: dict[str, Any] = {} if session is None else {"session": session}
        if style == "short" and b == 0:
            return target, (*args, a), short
        return target, (*args, a, b), short

    def key(self, owner: int, arguments: Arguments) -> Hashable:
        tenant = getattr(self.owners[owner], "tenant", "")
        key = self.model.key(self.tokens[owner], tenant, arguments)
        if key not in self.keys:
            target, args, kwargs = self.spelled(owner, arguments, "short")
            self.keys[key] = target.cache_key(*args, **kwargs)
        return key

    def waiters(self, key: Hashable) -> int:
        mine = self.keys[key]
        return sum(info.waiters for info in self.function.in_flight() if info.key == mine)

    def shown(self) -> dict[Hashable, Any]:
        """What a look without a lock finds: the keys and their entries that may be served."""
        shelf = self.function._core.shelf
        found: dict[Hashable, Any] = {}
        for index in (shelf.index, *shelf.instances()):
            scoped = shelf.shared or index is not shelf.index
            for short, there in list(index.items()):
                entry = there() if isinstance(there, Ref) else there
                if entry is not None and self.model.now() < entry.until:
                    found[Scoped(index, short) if scoped else short] = entry
        return found

    def held(self, key: Hashable) -> Any:
        """The entry in the cache, which does not notice."""
        return self.held_as(self.keys[key])

    def held_as(self, key: Hashable) -> Any:
        cache = self.function.cache
        if isinstance(cache, SieveCache):
            return cache._find(cache._own(key))
        try:
            return cache[key] if isinstance(cache, dict) else Cache.__getitem__(cache, key)
        except KeyError:
            return None

    def replace(self, pick: int, in_rings: bool) -> None:
        """An instance dies, and there is another one."""
        token, tenant = self.tokens[pick], self.owners[pick].tenant
        watch = weakref.ref(self.owners[pick])
        self.owners[pick] = None
        if (in_rings or not GIL) and watch() is not None:
            gc.collect()
        until(lambda: watch() is None)  # a thread lets go of its refresh after that has landed
        self.owners[pick], self.tokens[pick] = self.owner(tenant), object()
        for key in [key for key in self.keys if key[0] is token]:
            self.graves.append(self.keys.pop(key))
            self.model.entries.pop(key, None)


class Aim:
    """What a step is about: a call in some spelling."""

    def __init__(self, subject: Subject, owner: int, arguments: Arguments, style: str) -> None:
        self.subject, self.owner, self.arguments = subject, owner, arguments
        self.target, self.args, self.kwargs = subject.spelled(owner, arguments, style)
        self.key = subject.key(owner, arguments)

    def ask(self, method: str, *first: Any) -> Any:
        return getattr(self.target, method)(*first, *self.args, **self.kwargs)
