"""Options, checked: what cannot work is refused, with what to do instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from functools import partial
from inspect import iscoroutinefunction
from math import inf
from sys import float_info
from typing import Any

from .._durations import lifetime, number, seconds
from .._entries.policy import ByClass, Policy, keep
from .._shown import shown
from ..exceptions import FlightError

UNSET: Any = type("UNSET", (), {"__repr__": lambda self: "<unset>"})()
"""The default of options for which ``None`` has a meaning, or that have none without others."""


_DROPPING = {"methodkey": "hashkey", "typedmethodkey": "typedkey"}


def check_callable(option: object, what: str, kind: str = "a callable") -> None:
    """Refuse what is no plain callable; `what` names it in the error."""
    if not callable(option):
        raise TypeError(f"{what} must be {kind}, not {shown(option)}")
    if iscoroutinefunction(option) or iscoroutinefunction(type(option).__call__):
        raise TypeError(f"{what} must be a plain function, not an async def: nobody awaits it")


def duration(option: object, what: str) -> float:
    """The seconds of a duration that may be 0."""
    found = seconds(option, what)
    if found < 0:
        raise ValueError(f"{what} must not be negative, but is {option}")
    return found


class CallOptions:
    """The options that both decorators have."""

    def __init__(
        self,
        *,
        key: Any,
        ignore: Any,
        typed: Any,
        per_instance: Any,
        wait_timeout: Any,
        name: Any,
    ) -> None:
        if key is not None:
            check_callable(key, "key")
            _check_no_methodkey(key)
        if isinstance(ignore, str) or not isinstance(ignore, Iterable):
            raise TypeError(f"ignore must be a set of parameter names, not {shown(ignore)}")
        self.ignore = frozenset(ignore)
        if not all(isinstance(parameter, str) for parameter in self.ignore):
            raise TypeError(f"ignore must be a set of parameter names, not {shown(ignore)}")
        if not isinstance(typed, bool):
            raise TypeError(f"typed must be a bool, not {shown(typed)}")
        if key is not None and (self.ignore or typed):
            raise ValueError(
                "key replaces the derived key: ignore and typed have no meaning with it"
            )
        if not (per_instance is None or isinstance(per_instance, bool)):
            check_callable(per_instance, "per_instance", "a bool or a callable")
        if not (name is None or isinstance(name, str)):
            raise TypeError(f"name must be a str, not {shown(name)}")
        if name == "":
            raise ValueError("name must not be empty")
        self.wait_timeout = None if wait_timeout is None else duration(wait_timeout, "wait_timeout")
        self.key = key
        self.typed = typed
        self.per_instance = per_instance
        self.name = None if name is None else str.__str__(name)  # not that of an enum, say


class LoadOptions:
    """The options of how a cached function loads, and what its callers get."""

    def __init__(
        self,
        *,
        executor: Any = None,
        max_flight_age: Any = None,
        max_abandoned: Any = UNSET,
        copy: Any = None,
    ) -> None:
        if executor is not None:
            kinds = {cls.__name__ for cls in type(executor).__mro__}
            if not isinstance(executor, Executor):
                raise TypeError(
                    f"executor must be a concurrent.futures.Executor, not {shown(executor)}"
                )
            if kinds & {"ProcessPoolExecutor", "InterpreterPoolExecutor"}:
                raise TypeError("executor must run threads: what it loads is for this process")
        if copy is not None:
            check_callable(copy, "copy")
        self.max_flight_age = None
        if max_flight_age is not None:
            self.max_flight_age = duration(max_flight_age, "max_flight_age")
            if not self.max_flight_age:
                raise ValueError("max_flight_age must be more than 0")
        elif max_abandoned is not UNSET:
            raise ValueError("max_abandoned has no meaning without max_flight_age")
        if max_abandoned is UNSET:
            max_abandoned = 2
        if not isinstance(max_abandoned, int) or isinstance(max_abandoned, bool):
            raise TypeError(f"max_abandoned must be an int, not {shown(max_abandoned)}")
        if max_abandoned < 0:
            raise ValueError(f"max_abandoned must not be negative, but is {max_abandoned}")
        self.max_abandoned = max_abandoned
        self.copy = copy
        self.executor = executor


def policy(
    *,
    ttl: Any,
    jitter: Any,
    stale_while_revalidate: Any,
    stale_if_error: Any,
    retry_after: Any,
    early_refresh: Any,
    error_ttl: Any,
    cache_if: Any,
) -> Policy:
    """The options of freshness."""
    if callable(ttl):
        check_callable(ttl, "ttl")
    elif ttl is not UNSET:
        ttl = lifetime(ttl, "ttl")
        if ttl < 0:
            raise ValueError(f"ttl must not be negative, but is {ttl}")
    jitter = _factor(jitter, "jitter", 1.0, "from 0 to 1")
    early_refresh = _factor(
        early_refresh, "early_refresh", float_info.max, "0 or more, and finite (1.0 is usual)"
    )
    if cache_if is not None:
        check_callable(cache_if, "cache_if")
    hidden: ByClass = {}
    if isinstance(stale_if_error, Mapping):
        if not stale_if_error:
            raise ValueError("stale_if_error is empty, and hides no error: leave it out, or give 0")
        hidden = _by_class(stale_if_error, "stale_if_error")
        kept = keep(hidden)
    else:
        kept = _stale(stale_if_error, "stale_if_error")
    made = Policy(
        ttl=ttl,
        jitter=jitter,
        stale_while_revalidate=_stale(stale_while_revalidate, "stale_while_revalidate"),
        stale_if_error=kept,
        hidden=hidden,
        retry_after=(1.0, 30.0) if retry_after is UNSET else _retry_after(retry_after),
        early_refresh=early_refresh,
        error_ttl=_error_ttl(error_ttl),
        cache_if=cache_if,
    )
    reloads = bool(made.longest_stale or made.early_refresh)
    if retry_after is not UNSET and not reloads:
        raise ValueError(
            "retry_after holds off reloads while a value is served: it has no meaning without "
            "stale_while_revalidate, stale_if_error or early_refresh"
        )
    return made


def check_ttl(policy: Policy) -> None:
    """Refuse what has no meaning with the ttl, once that is known."""
    if callable(policy.ttl) or policy.ttl not in (0, inf):
        return
    asked = {
        "stale_while_revalidate": policy.stale_while_revalidate,
        "stale_if_error": policy.stale_if_error,
        "early_refresh": policy.early_refresh,
        "jitter": policy.jitter,
        "cache_if": policy.cache_if is not None and policy.ttl == 0,
    }
    for option, given in asked.items():
        if given:
            never = "nothing is stored" if policy.ttl == 0 else "entries never expire"
            raise ValueError(
                f"with ttl={None if policy.ttl else 0} {never}: {option} has no meaning; give a ttl"
            )


def _check_no_methodkey(key: Any) -> None:
    """Refuse the key functions of cachetools that drop the first argument: self is none here."""
    while isinstance(key, partial):
        key = key.func
    name = getattr(key, "__name__", None)
    if getattr(key, "__module__", None) == "cachetools.keys" and name in _DROPPING:
        raise TypeError(
            f"key={name} drops the first argument, taking it for self, which is left out here "
            f"already: leave key out, or use cachetools.keys.{_DROPPING[name]}"
        )


def _factor(option: Any, what: str, most: float, range_: str) -> float:
    found = number(option, what)
    if not 0 <= found <= most:
        raise ValueError(f"{what} must be {range_}, but is {shown(option)}")
    return found


def _stale(option: Any, what: str) -> float:
    if option is None:
        raise TypeError(f"{what} must be seconds or a timedelta, not None (0 turns it off)")
    return duration(option, what)


def _retry_after(option: Any) -> tuple[float, float]:
    if not isinstance(option, (tuple, list)) or len(option) != 2:
        raise TypeError(f"retry_after must be a pair, (base, most) in seconds, not {shown(option)}")
    base, most = (duration(part, "each of retry_after") for part in option)
    if not 0 < base <= most:
        raise ValueError(f"retry_after=(base, most) needs 0 < base <= most, but is {shown(option)}")
    return base, most


def _error_ttl(option: Any) -> ByClass:
    made = {} if option is None else _by_class(option, "error_ttl")
    for cls in made:
        if issubclass(cls, FlightError):
            raise ValueError(f"error_ttl has {cls.__name__}: what we raise ourselves is not cached")
    return made


def _by_class(option: Any, what: str) -> ByClass:
    if not isinstance(option, Mapping):
        kind = "a dict, {exception class: seconds}"
        raise TypeError(f"{what} must be {kind}, not {shown(option)}")
    made: dict[type[Exception], Callable[[Any], object] | float] = {}
    for cls, given in option.items():
        if not (isinstance(cls, type) and issubclass(cls, Exception)):
            raise TypeError(f"{what} has {shown(cls)}, which is no subclass of Exception")
        of_class = f"{what} of {cls.__name__}"
        if callable(given):
            check_callable(given, of_class)
            made[cls] = given
        else:
            made[cls] = duration(given, of_class)
    return made
