"""Options that there are not: what was meant, perhaps."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

_ELSEWHERE = {
    "cache": "backend storage store",
    "cache_if": "cacheif predicate shouldcache shouldcachefn skipcachefunc",
    "codec": "coder serializer",
    "copy": "copyresult deepcopy",
    "early_refresh": "beta refreshahead xfetch",
    "error_ttl": "cacheerrors cacheexceptions exceptionttl negativettl",
    "executor": "pool threadpool",
    "getsizeof": "getsize sizeof weigher weight",
    "ignore": "exclude excludeargs ignoreargs skipargs",
    "jitter": "ttljitter",
    "key": "functionkeygenerator keybuilder keyfn keyfunc keyfunction keygen keymaker makekey",
    "max_flight_age": "deadline lease loadtimeout",
    "maxsize": "capacity limit maxentries maxitems maxlen size",
    "name": "alias label namespace prefix",
    "per_instance": "noself",
    "retry_after": "backoff cooldown retry retrydelay",
    "stale_if_error": "sie staleonerror",
    "stale_while_revalidate": "grace stale stalettl swr",
    "timer": "clock time timefunc",
    "ttl": "exp expiration expire expireafter expires expiresin expiry lifetime maxage seconds "
    "timetolive ttlms ttls ttlsec ttlseconds",
    "wait_timeout": "locktimeout maxwait timeout timeoutseconds wait waitfor",
}
"""What other libraries call them."""

_GUARDED = "the cache is guarded already, and identical calls share one load"
_NEEDLESS = {
    "condition": f"{_GUARDED}; what decides whether a value is cached is cache_if",
    "info": "cache_info() is always there",
    "lock": _GUARDED,
    "locked": _GUARDED,
    "mutex": _GUARDED,
    "threadsafe": _GUARDED,
}
"""What other libraries have to be told, and why it is not needed here."""


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def refuse(
    given: Iterable[str], decorator: str, options: Collection[str], cached: Collection[str]
) -> None:
    """Raise what Python would raise for the first of `given`, with what was meant.

    `options` are those of the decorator, `cached` those of `cached_singleflight`.
    """
    for name in given:
        meant = _meant(name, cached)
        says = f"{decorator}() got an unexpected keyword argument {name!r}"
        if meant in _NEEDLESS:
            raise TypeError(f"{says}; leave it out: {_NEEDLESS[meant]}")
        if meant is None:
            raise TypeError(f"{says}; it has {', '.join(options)}")
        if meant not in options:
            raise TypeError(f"{says}: it caches nothing; use @cached_singleflight({meant}=...)")
        raise TypeError(f"{says}; did you mean {meant!r}?")


def _meant(name: str, options: Collection[str]) -> str | None:
    plain = _plain(name)
    by_plain = {_plain(option): option for option in options} | {word: word for word in _NEEDLESS}
    for option, others in _ELSEWHERE.items():
        by_plain.update(dict.fromkeys(others.split(), option))
    # In a word of three letters one typing error is a third of them.
    close = get_close_matches(plain, by_plain, 1, 0.75) or get_close_matches(
        plain, map(_plain, options), 1, 0.66
    )
    return by_plain[close[0]] if close else None
