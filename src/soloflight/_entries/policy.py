"""How long entries live, and what is served when: the options of freshness, in seconds.

The ideas: RFC 5861 (stale-while-revalidate, stale-if-error); Vattani, Chierichetti and Lowenstein,
"Optimal Probabilistic Cache Stampede Prevention", VLDB 2015 (early refresh, XFetch).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf, log
from random import random
from typing import Any, TypeVar, cast

from .._durations import lifetime, seconds
from .._outcome import Error
from ..exceptions import FlightError
from .entry import Aging, Entry, Raising
from .making import blank, new_entry

A = TypeVar("A", bound=Aging[Any])
E = TypeVar("E", bound=Entry[Any])

LONGEST = 53 * log(2)
"""The longest that `draw` gets, in units of β times the cost: `random` has 53 bits."""

ByClass = Mapping[type[Exception], Callable[[Any], object] | float]
"""Exception classes, and the seconds of each, or what gives them of an exception."""

AN_HOUR = 3600.0
"""How long entries are kept for errors where only callables say how long these are hidden."""


@dataclass(frozen=True)
class Policy:
    """The options of freshness of one function, checked."""

    ttl: Callable[[Any], object] | float
    jitter: float = 0.0
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    retry_after: tuple[float, float] = (1.0, 30.0)
    early_refresh: float = 0.0
    hidden: ByClass = field(default_factory=dict)
    """Which errors `stale_if_error` hides, and for how long; empty: every one, for all of it."""
    error_ttl: ByClass = field(default_factory=dict)
    cache_if: Callable[[Any], object] | None = None
    maximum: float = inf
    """The cache's own ttl: for how long entries may live, whatever the rest says."""
    weak: bool = False
    """Whether entries are looked at by weak references: they are to end at once."""

    aging: bool = field(init=False)
    """Whether entries need more thought than a look at whether they are fresh."""
    plain: bool = field(init=False)
    """Whether their only deadline is always the same."""
    new: Callable[[], Entry[Any]] = field(init=False)

    @property
    def longest_stale(self) -> float:
        """For how long an entry may be served after it went stale."""
        return max(self.stale_while_revalidate, self.stale_if_error)

    @property
    def refreshes(self) -> bool:
        """Whether loads run behind a value that is served."""
        return bool(self.stale_while_revalidate or self.early_refresh)

    def __post_init__(self) -> None:
        # Not a `cached_property`: before Python 3.12 that takes a lock.
        aging = bool(self.longest_stale or self.early_refresh or self.error_ttl)
        asked = callable(self.ttl) or self.cache_if is not None or self.jitter
        object.__setattr__(self, "aging", aging)
        object.__setattr__(self, "plain", not (asked or aging))
        object.__setattr__(self, "new", new_entry if self.weak else Entry)

    def entry(self, value: Any, now: float, cost: float) -> Entry[Any] | None:
        """The entry of a value that was loaded just now; None: it is not to be stored."""
        ttl: Any = self.ttl
        if self.cache_if is not None and not self.cache_if(value):
            return None
        if callable(ttl):
            ttl = lifetime(ttl(value), "what ttl() returns")
        if not ttl > 0:
            return None
        fresh_until = now + self._jittered(ttl)
        if not self.aging:
            plain = self._plain(fresh_until, now)
            plain.value = value
            return plain
        entry = self._aging(Aging, fresh_until, cost)
        entry.value = value
        entry.stale_until += self.stale_while_revalidate
        entry.error_until += self.stale_if_error
        entry.limit(now + self.maximum)
        self.calm(entry)
        return entry

    def received(
        self, cls: type[E], until: float, swr: float, sie: float, cost: float, now: float
    ) -> E:
        """An entry that another process has stored: it ends here when it ends there."""
        fresh_until = until if until == inf else until - max(swr, sie)
        if not issubclass(cls, Aging):
            return cast("E", self._plain(fresh_until, now))
        entry: Any = self._aging(cls, fresh_until, cost)
        entry.stale_until += swr
        entry.error_until += sie
        entry.limit(now + self.maximum)
        if cls is Aging:
            self.calm(entry)
        return entry  # type: ignore[no-any-return]

    def calm(self, entry: Aging[Any]) -> None:
        """Have an entry served without a thought until a caller can draw a refresh behind it."""
        entry.calm_until = entry.fresh_until - self.early_refresh * entry.cost * LONGEST

    def error_entry(self, error: Error, now: float) -> Raising | None:
        """The entry of an exception, where `error_ttl` says that it is an answer."""
        if isinstance(error.exception, FlightError):
            return None  # of a load that this one waited for: it says nothing of this one
        ttl = _of_class(self.error_ttl, error.exception, "error_ttl")
        if not ttl > 0:
            return None
        # Without a cost nobody draws a refresh behind it.
        entry = self._aging(Raising, now + self._jittered(ttl), cost=0.0)
        entry.limit(now + self.maximum)
        entry.kept = error.bare()
        return entry

    def hides(self, exception: BaseException | None) -> float:
        """For how long after an entry went stale it hides an error; None: one of an option."""
        if not self.hidden:
            return self.stale_if_error
        return 0.0 if exception is None else _of_class(self.hidden, exception, "stale_if_error")

    def answers_until(self, entry: Aging[Any], hides: float) -> float:
        """Until when a reload that failed is answered by an entry."""
        return max(entry.stale_until, min(entry.fresh_until + hides, entry.error_until))

    def hold_off(self, entry: Aging[Any], error: Error, now: float, until: float) -> None:
        """Note that a reload failed: the next attempt has to wait, `until` then at the most."""
        base, cap = self.retry_after
        wait = min(base * 2.0 ** min(entry.failures, 60), cap) * (1 + random()) / 2
        entry.failures += 1
        entry.last_error = cast("Exception", error.bare(stand_in=True).exception)
        entry.calm_until = max(entry.calm_until, min(now + wait, until))

    def abandoned(self, entry: Entry[Any] | None, now: float) -> None:
        """Note that a refresh was abandoned: one that has failed."""
        if type(entry) is Aging and now < entry.until:
            error = Error(FlightError("the refresh was abandoned"), None)
            self.hold_off(entry, error, now, self.answers_until(entry, self.hides(None)))

    def draw(self, cost: float) -> float:
        """How early this caller would refresh: seconds before the end of freshness.

        Exponentially distributed, with a mean of β times what the load costs.
        """
        return self.early_refresh * cost * -log(1.0 - random())

    def _jittered(self, ttl: float) -> float:
        return ttl * (1 - self.jitter * random()) if self.jitter else ttl

    def _plain(self, fresh_until: float, now: float) -> Entry[Any]:
        entry = self.new()
        entry.fresh_until = min(fresh_until, now + self.maximum)
        entry.size = 1
        return entry

    def _aging(self, cls: type[A], fresh_until: float, cost: float) -> A:
        entry = blank(cls) if self.weak else cls.__new__(cls)
        entry.fresh_until = entry.stale_until = entry.error_until = fresh_until
        entry.calm_until = -inf
        entry.cost = cost
        entry.failures = 0
        entry.last_error = None
        entry.version = b""
        entry.size = 1
        return entry


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


def keep(hidden: ByClass) -> float:
    """For how long entries are kept so that they can hide errors."""
    longest = fixed(hidden)
    return longest or (AN_HOUR if any(map(callable, hidden.values())) else 0.0)


def fixed(hidden: ByClass) -> float:
    """The longest duration of those that are known."""
    return max((one for one in hidden.values() if not callable(one)), default=0.0)


def _of_class(by_class: ByClass, exception: BaseException, option: str) -> float:
    """The seconds that an option has for an exception. The most specific class wins."""
    classes = type(exception).__mro__
    found: Any = next((by_class[c] for c in classes if c in by_class), None)
    if callable(found):
        found = found(exception)
    return 0.0 if found is None else seconds(found, f"what a callable of {option} returns")
