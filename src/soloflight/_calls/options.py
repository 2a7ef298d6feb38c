"""Options, checked: what cannot work is refused, with what to do instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from sys import float_info
from typing import TYPE_CHECKING, Any

from .._durations import integer, lifetime, number, seconds
from .._entries.policy import ByClass, Policy, keep
from .._given import UNSET, check_callable
from .._shown import shown
from .._tiers.kinds import AnyTier, Codec
from ..exceptions import FlightError


@dataclass(frozen=True, kw_only=True, eq=False)
class Options:
    """The options of a decorator, under the names that they have there, checked.

    What may be given in several forms has one from here on: durations are seconds.
    """

    key: Callable[..., Any] | None = None
    ignore: frozenset[str] = frozenset()
    typed: bool = False
    per_instance: bool | Callable[[Any], Any] | None = None
    wait_timeout: float | None = None
    name: str | None = None

    cached: bool = False
    """Whether it is `cached_singleflight`, which alone has those that follow."""
    ttl: Callable[[Any], object] | float = UNSET
    jitter: float = 0.0
    stale_while_revalidate: float = 0.0
    stale_if_error: float | ByClass = 0.0
    retry_after: tuple[float, float] = UNSET
    early_refresh: float = 0.0
    error_ttl: ByClass | None = None
    cache_if: Callable[[Any], object] | None = None
    copy: Callable[[Any], Any] | None = None
    executor: Executor | None = None
    max_flight_age: float | None = None
    max_abandoned: int = UNSET
    cache: MutableMapping[Any, Any] | None = field(default=None, repr=False)  # it may be large
    maxsize: float | None = UNSET
    getsizeof: Callable[[Any], float] | None = None
    timer: Callable[[], float] | None = None
    tier: AnyTier | None = None
    codec: str | Codec = UNSET
    version: str = UNSET

    policy: Policy = field(init=False)
    """Those of freshness."""

    if TYPE_CHECKING:  # what is given may be anything

        def __init__(self, **given: Any) -> None: ...

    def __post_init__(self) -> None:
        for option, checked in _CHECKED.items():
            given = getattr(self, option)
            if given is not getattr(Options, option):  # its default
                self._set(option, checked(given, option))
        self._set("policy", self._policy())
        self._check_meanings()
        for option, default in (("max_abandoned", 2), ("codec", "msgpack"), ("version", "")):
            if getattr(self, option) is UNSET:
                self._set(option, default)

    def _set(self, option: str, value: object) -> None:
        object.__setattr__(self, option, value)

    def _policy(self) -> Policy:
        errors = self.stale_if_error
        return Policy(
            ttl=self.ttl,
            jitter=self.jitter,
            stale_while_revalidate=self.stale_while_revalidate,
            stale_if_error=keep(errors) if isinstance(errors, Mapping) else errors,
            hidden=errors if isinstance(errors, Mapping) else {},
            retry_after=(1.0, 30.0) if self.retry_after is UNSET else self.retry_after,
            early_refresh=self.early_refresh,
            error_ttl=self.error_ttl or {},
            cache_if=self.cache_if,
        )

    def _check_meanings(self) -> None:
        """Refuse what has no meaning with, or without, another option."""
        policy = self.policy
        if self.key is not None and (self.ignore or self.typed):
            raise ValueError(
                "key replaces the derived key: ignore and typed have no meaning with it"
            )
        if self.retry_after is not UNSET and not (policy.longest_stale or policy.early_refresh):
            raise ValueError(
                "retry_after holds off reloads while a value is served: it has no meaning without "
                "stale_while_revalidate, stale_if_error or early_refresh"
            )
        if self.max_abandoned is not UNSET and self.max_flight_age is None:
            raise ValueError("max_abandoned has no meaning without max_flight_age")
        for option in ("codec", "version"):
            if self.tier is None and getattr(self, option) is not UNSET:
                raise ValueError(f"{option} has no meaning without tier")
        if self.executor is not None and self.wait_timeout is None and not policy.refreshes:
            raise ValueError(
                "executor is where refreshes run, and loads whose callers have a wait_timeout: it "
                "has no meaning without stale_while_revalidate, early_refresh or wait_timeout"
            )


# What follows raises, or gives an option the form that it has from here on; `what` names it.


def _key(given: Any, what: str) -> Any:
    """Refuse the key functions of cachetools that drop the first argument: self is none here."""
    _callable(given, what)
    key = given
    while isinstance(key, partial):
        key = key.func
    name = getattr(key, "__name__", None)
    if getattr(key, "__module__", None) == "cachetools.keys" and name in _DROPPING:
        raise TypeError(
            f"key={name} drops the first argument, taking it for self, which is left out here "
            f"already: leave key out, or use cachetools.keys.{_DROPPING[name]}"
        )
    return given


_DROPPING = {"methodkey": "hashkey", "typedmethodkey": "typedkey"}


def _callable(given: Any, what: str) -> Any:
    check_callable(given, what)
    return given


def _ignore(given: Any, what: str) -> frozenset[str]:
    names = None
    if isinstance(given, Iterable) and not isinstance(given, str):
        names = frozenset(given)
    if names is None or not all(isinstance(parameter, str) for parameter in names):
        raise TypeError(f"{what} must be a set of parameter names, not {shown(given)}")
    return names


def _bool(given: Any, what: str) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{what} must be a bool, not {shown(given)}")
    return given


def _per_instance(given: Any, what: str) -> Any:
    if not isinstance(given, bool):
        check_callable(given, what, "a bool or a callable")
    return given


def _name(given: Any, what: str) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{what} must be a str, not {shown(given)}")
    if given == "":
        raise ValueError(f"{what} must not be empty")
    return str.__str__(given)  # not that of an enum, say


def _duration(given: Any, what: str) -> float:
    """The seconds of a duration that may be 0."""
    found = seconds(given, what)
    if found < 0:
        raise ValueError(f"{what} must not be negative, but is {given}")
    return found


def _age(given: Any, what: str) -> float:
    found = _duration(given, what)
    if not found:
        raise ValueError(f"{what} must be more than 0")
    return found


def _count(given: Any, what: str) -> int:
    found = integer(given, what)
    if found < 0:
        raise ValueError(f"{what} must not be negative, but is {found}")
    return found


def _ttl(given: Any, what: str) -> Any:
    if callable(given):
        return _callable(given, what)
    ttl = lifetime(given, what)
    if ttl < 0:
        raise ValueError(f"{what} must not be negative, but is {ttl}")
    return ttl


def _share(given: Any, what: str, maximum: float = 1.0, range_: str = "from 0 to 1") -> float:
    found = number(given, what)
    if not 0 <= found <= maximum:
        raise ValueError(f"{what} must be {range_}, but is {shown(given)}")
    return found


def _beta(given: Any, what: str) -> float:
    return _share(given, what, float_info.max, "0 or more, and finite (1.0 is usual)")


def _stale(given: Any, what: str) -> float:
    if given is None:
        raise TypeError(f"{what} must be seconds or a timedelta, not None (0 turns it off)")
    return _duration(given, what)


def _stale_if_error(given: Any, what: str) -> float | ByClass:
    if not isinstance(given, Mapping):
        return _stale(given, what)
    if not given:
        raise ValueError(f"{what} is empty, and hides no error: leave it out, or give 0")
    return _by_class(given, what)


def _retry_after(given: Any, what: str) -> tuple[float, float]:
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise TypeError(f"{what} must be a pair, (base, cap) in seconds, not {shown(given)}")
    base, cap = (_duration(part, f"each of {what}") for part in given)
    if not 0 < base <= cap:
        raise ValueError(f"{what}=(base, cap) needs 0 < base <= cap, but is {shown(given)}")
    return base, cap


def _error_ttl(given: Any, what: str) -> ByClass:
    made = _by_class(given, what)
    for cls in made:
        if issubclass(cls, FlightError):
            raise ValueError(f"{what} has {cls.__name__}: what we raise ourselves is not cached")
    return made


def _by_class(given: Any, what: str) -> ByClass:
    if not isinstance(given, Mapping):
        kind = "a dict, {exception class: seconds}"
        raise TypeError(f"{what} must be {kind}, not {shown(given)}")
    made: dict[type[Exception], Callable[[Any], object] | float] = {}
    for cls, of_class in given.items():
        if not (isinstance(cls, type) and issubclass(cls, Exception)):
            raise TypeError(f"{what} has {shown(cls)}, which is no subclass of Exception")
        check = _callable if callable(of_class) else _duration
        made[cls] = check(of_class, f"{what} of {cls.__name__}")
    return made


def _tier(given: Any, what: str) -> AnyTier:
    if not isinstance(given, AnyTier):
        raise TypeError(f"{what} must be one of soloflight.tiers, not {shown(given)}")
    return given


def _codec(given: Any, what: str) -> Any:
    from .._tiers.codec import chosen  # who has no tier does without that wing

    chosen(given)  # refuse at once what cannot work
    return given


def _version(given: Any, what: str) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{what} must be a str, not {shown(given)}")
    return given


def _executor(given: Any, what: str) -> Executor:
    if not isinstance(given, Executor):
        raise TypeError(f"{what} must be a concurrent.futures.Executor, not {shown(given)}")
    if {cls.__name__ for cls in type(given).__mro__} & _ELSEWHERE:
        raise TypeError(f"{what} must run threads: what it loads is for this process")
    return given


_ELSEWHERE = {"ProcessPoolExecutor", "InterpreterPoolExecutor"}

_CHECKED: dict[str, Callable[[Any, str], Any]] = {
    "key": _key, "ignore": _ignore, "typed": _bool, "per_instance": _per_instance, "name": _name,
    "wait_timeout": _duration, "ttl": _ttl, "jitter": _share, "early_refresh": _beta,
    "cache_if": _callable, "stale_if_error": _stale_if_error, "stale_while_revalidate": _stale,
    "retry_after": _retry_after, "error_ttl": _error_ttl, "executor": _executor,
    "copy": _callable, "max_flight_age": _age, "max_abandoned": _count, "tier": _tier,
    "codec": _codec, "version": _version,
}  # fmt: skip
"""Those of the cache itself are checked where it is made."""
