"""Which cache a function gets: a default one, or the one that was given, checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, MutableMapping
from dataclasses import replace
from functools import partial
from math import inf, isfinite
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary, ref

from cachetools import Cache, FIFOCache, RRCache

from .. import _clock
from .._durations import is_number, lifetime, told
from .._given import UNSET, check_callable
from .._shown import shown
from .entry import entry_of
from .given import GivenShelf
from .mending import mend
from .policy import Policy, check_ttl, fixed
from .shelf import OwnShelf, Shelf
from .sieve_cache import SieveCache
from .store import Store

_stores: WeakValueDictionary[int, Store] = WeakValueDictionary()
"""The stores of given caches, by id of the cache, which the store keeps alive. Under `_lock`."""
_lock = Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]  # no stub


def shelf(
    name: str,
    policy: Policy,
    *,
    cache: MutableMapping[Any, Any] | None,
    maxsize: float | None,
    getsizeof: Callable[[Any], float] | None,
    timer: Callable[[], float] | None,
) -> Shelf:
    """The shelf of a function, from its options."""
    if timer is not None:
        _check_timer(timer)
    if cache is None:
        if policy.ttl is UNSET:
            raise ValueError("give a ttl (ttl=None: entries never expire), or a cache")
        check_ttl(policy)
        made = SieveCache[Any, Any](1024 if maxsize is UNSET else maxsize, getsizeof)
        found: Shelf = OwnShelf(name, policy, timer or _clock.now, made, shared=False)
    elif maxsize is not UNSET or getsizeof is not None:
        raise ValueError("maxsize and getsizeof are for the default cache; give them to yours")
    else:
        found = _given(name, policy, cache, timer)
    found.has_timer = timer is not None or hasattr(cache, "timer")
    return found


def _check_timer(timer: Callable[[], object]) -> None:
    check_callable(timer, "timer", "a callable that returns seconds")
    try:
        now = timer()
    except TypeError as error:
        raise TypeError(f"timer must be a callable without arguments: {error}") from error
    if not is_number(now):
        raise TypeError(f"timer must return seconds (a number), not {shown(now)}")
    reckoned: object = None
    try:
        reckoned = now + 0.0
    except TypeError:
        pass
    except OverflowError:
        reckoned = inf
    if not isinstance(reckoned, float):  # as with a float32: deadlines would be wrong by minutes
        raise TypeError(f"timer must return seconds as a float or an int, not {type(now).__name__}")
    if not isfinite(reckoned):
        raise ValueError(f"timer must return seconds that make a finite float, not {shown(now)}")


def _store(cache: MutableMapping[Any, Any], **options: Any) -> Store:
    classes = (*type(cache).__mro__, Cache)
    setters = (getattr(vars(cls).get("__setitem__"), "__code__", None) for cls in classes)
    refusals = {code for code in setters if code is not None}
    return Store(cache, mend=partial(mend, cache), refusals=refusals, **options)


def _given(
    name: str, policy: Policy, cache: MutableMapping[Any, Any], timer: Callable[[], float] | None
) -> Shelf:
    if not isinstance(cache, MutableMapping):
        raise TypeError(f"cache must be a MutableMapping, not {type(cache).__name__}")
    if not isinstance(cache, (Cache, dict)):
        _probe(cache)
    own = getattr(cache, "ttl", None)
    own = inf if callable(own) else lifetime(own, "the cache's ttl")
    if own < 0:
        raise ValueError(f"the cache's ttl must not be negative, but is {told(own)}")
    weak = not isinstance(cache, SieveCache)
    policy = replace(policy, ttl=_within(own, policy), maximum=own, weak=weak)
    check_ttl(policy)
    if timer is None:
        timer = getattr(cache, "timer", _clock.now)
        # The one that it was given: cachetools wraps it in a callable that stands still during a
        # change of the cache, also for those who read the time in another thread.
        timer = getattr(timer, "_Timer__timer", timer)
        _check_timer(timer)
    if isinstance(cache, SieveCache):
        return OwnShelf(name, policy, timer, cache, shared=True)
    with _lock:
        store = _stores.get(id(cache))
        if store is None:
            ordered = type(cache) not in (dict, FIFOCache, RRCache)
            ttu = getattr(cache, "ttu", None)
            store = _store(cache, shared=True, ordered=ordered, ttu=ttu)
            _stores[id(cache)] = store
    return GivenShelf(name, store, policy, timer)


def _within(own: float, policy: Policy) -> Any:
    """The ttl of a function whose cache has a ttl of its own."""
    ttl: Any = policy.ttl
    fresh = 0.0 if callable(ttl) else own if ttl is UNSET else ttl
    longest = policy.longest_stale
    behind = policy.stale_while_revalidate
    if policy.hidden and not fixed(policy.hidden) and fresh + behind < own:
        longest = behind  # the hour that errors are hidden for is ours: what room there is will do
    asked = fresh + longest
    if asked > own:
        if longest:
            room = f"; give a ttl of at most {told(own - longest)}"
            if longest >= own:
                room = "; give a cache that keeps them longer"
            raise ValueError(
                f"entries are to be served for up to {told(asked)} s, {told(longest)} s of that "
                f"stale, but the cache's own ttl={told(own)}{room}"
            )
        says = "None (for ever)" if ttl == inf else told(ttl)
        raise ValueError(
            f"ttl={says} is longer than the cache's own ttl={told(own)}; give one of them"
        )
    for cls, error_ttl in policy.error_ttl.items():
        if not callable(error_ttl) and error_ttl > own:
            raise ValueError(
                f"error_ttl of {cls.__name__} is {told(error_ttl)}, longer than the cache's own "
                f"ttl={told(own)}"
            )
    return own if ttl is UNSET else ttl


def _probe(cache: MutableMapping[Hashable, Any]) -> None:
    """Refuse a mapping that stores copies (shelve) or keeps nothing alive: entries are objects."""
    key, entry = ("soloflight", object()), entry_of(None, 0.0)
    kept = ref(entry)
    try:
        cache[key] = entry
        del entry
        same = kept() is not None and cache[key] is kept()
        cache.pop(key, None)
    except Exception as error:
        raise TypeError(
            f"cache must keep any object under any hashable key; {type(cache).__name__} does not: "
            f"{shown(error)}"
        ) from error
    if not same:
        raise TypeError(
            f"cache must keep and return the object that it was given; {type(cache).__name__} does "
            "not"
        )
