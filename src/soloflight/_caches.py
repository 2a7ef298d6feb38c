"""Which cache a function gets: a default one, or the one that was given, checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, MutableMapping
from math import inf
from threading import Lock
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary, ref

from cachetools import Cache, FIFOCache, RRCache, TLRUCache, TTLCache

from ._entry import Entry, check_callable, is_number, lifetime, new_entry
from ._shelf import Shelf
from ._store import SizeError, Store

_stores: WeakValueDictionary[int, Store] = WeakValueDictionary()
"""The stores of given caches, by id of the cache, which the store keeps alive. Under `_lock`."""
_lock = Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]  # no stub

UNSET: Any = type("UNSET", (), {"__repr__": lambda self: "<unset>"})()
"""The default of options for which ``None`` has a meaning."""


def shelf(
    name: str,
    *,
    cache: MutableMapping[Any, Any] | None,
    ttl: object,
    maxsize: float | None,
    getsizeof: Callable[[Any], float] | None,
    timer: Callable[[], float] | None,
) -> Shelf:
    """The shelf of a function, from its options."""
    if timer is not None:
        _check_timer(timer)
    if getsizeof is not None:
        check_callable(getsizeof, "getsizeof")
    if callable(ttl):
        check_callable(ttl, "ttl")
    elif ttl is not UNSET:
        ttl = lifetime(ttl, "ttl")
        if ttl < 0:
            raise ValueError(f"ttl must not be negative, but is {ttl}")
    if cache is None:
        if ttl is UNSET:
            raise ValueError("give a ttl (ttl=None: entries never expire), or a cache")
        return _default(name, ttl, maxsize, getsizeof, timer or monotonic)
    if maxsize is not UNSET or getsizeof is not None:
        raise ValueError("maxsize and getsizeof are for the default cache; give them to yours")
    return _given(name, cache, ttl, timer)


def _check_timer(timer: Callable[[], object]) -> None:
    check_callable(timer, "timer", "a callable that returns seconds")
    try:
        now = timer()
    except TypeError as error:
        raise TypeError(f"timer must be a callable without arguments: {error}") from error
    if not is_number(now):
        raise TypeError(f"timer must return seconds (a number), not {now!r}")


def _default(
    name: str,
    ttl: Any,
    maxsize: float | None,
    getsizeof: Callable[[Any], float] | None,
    timer: Callable[[], float],
) -> Shelf:
    size = 1024 if maxsize is UNSET else inf if maxsize is None else maxsize
    if not is_number(size):
        raise TypeError(f"maxsize must be a number, or None for no limit, not {size!r}")
    if not size >= 0:
        raise ValueError(f"maxsize must not be negative, but is {size}")

    def sizeof(entry: Entry[Any]) -> float:
        assert getsizeof is not None
        try:
            size = getsizeof(entry.value)
            if size >= 0:
                return size
        except Exception as error:
            raise SizeError(f"getsizeof raised {error!r}") from error
        raise SizeError(f"getsizeof returned {size!r}; a size is a number, 0 or more")

    measure = None if getsizeof is None else sizeof

    def make() -> Cache[Any, Any]:
        if callable(ttl):
            return TLRUCache(size, lambda _, entry, __: entry.fresh_until, timer, measure)
        return TTLCache(size, ttl, timer, measure)

    return Shelf(name, Store(make(), make), ttl=ttl, timer=timer)


def _given(
    name: str, cache: MutableMapping[Any, Any], ttl: Any, timer: Callable[[], float] | None
) -> Shelf:
    if not isinstance(cache, MutableMapping):
        raise TypeError(f"cache must be a MutableMapping, not {type(cache).__name__}")
    if not isinstance(cache, (Cache, dict)):
        _probe(cache)
    own = getattr(cache, "ttl", None)
    own = inf if callable(own) else lifetime(own, "the cache's ttl")
    if ttl is UNSET:
        ttl = own
    elif callable(ttl):
        ttl = _at_most(own, ttl)
    elif ttl > own:
        asked = "None (for ever)" if ttl == inf else ttl
        raise ValueError(f"ttl={asked} is longer than the cache's own ttl={own}; give one of them")
    if timer is None:
        timer = getattr(cache, "timer", monotonic)
        # cachetools wraps it in a callable that stands still during a change of the cache, also
        # for those who read the time in another thread.
        timer = getattr(timer, "_Timer__timer", timer)
        _check_timer(timer)
    with _lock:
        store = _stores.get(id(cache))
        if store is None:
            ordered = type(cache) not in (dict, FIFOCache, RRCache)
            store = Store(cache, ordered=ordered, ttu=getattr(cache, "ttu", None))
            _stores[id(cache)] = store
    return Shelf(name, store, ttl=ttl, timer=timer)


def _at_most(most: float, ttl: Callable[[Any], object]) -> Callable[[Any], object]:
    return ttl if most == inf else lambda value: min(lifetime(ttl(value), "ttl()"), most)


def _probe(cache: MutableMapping[Hashable, Any]) -> None:
    """Refuse a mapping that stores copies (shelve) or keeps nothing alive: entries are objects."""
    key, entry = ("soloflight", object()), new_entry(None, 0.0)
    kept = ref(entry)
    try:
        cache[key] = entry
        del entry
        same = kept() is not None and cache[key] is kept()
        cache.pop(key, None)
    except Exception as error:
        raise TypeError(
            f"cache must keep any object under any hashable key; {type(cache).__name__} does not: "
            f"{error!r}"
        ) from error
    if not same:
        raise TypeError(
            f"cache must keep and return the object that it was given; {type(cache).__name__} does "
            "not"
        )
