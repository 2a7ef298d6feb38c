"""What is said about a scheme, worked out from the origin's log and from what its clients saw.

Nothing here asks a cache. In particular an *expiry* is read off the origin's log alone, by one rule
for every scheme: a call that arrives while the value of the call that opened the last period could
still be served was not needed, had everybody shared that one; the first call after that opens the
next period. So "exactly 1 call per expiry" says that no call arrived before its predecessor had
ended and its value had lived out its whole ttl.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ._load import Clients
from ._origin import Call
from ._schemes import Scheme
from ._settings import Settings


@dataclass(frozen=True)
class Figures:
    """The figures of one scheme. All times are seconds."""

    scheme: str
    detail: str
    exact: bool
    interrupted: bool
    seconds: float
    requests: int
    """Every try: answers, turned away and failed together."""
    answers: int
    turned_away: int
    failed: int
    calls: int
    expiries: int
    """Times that the value was missing and had to be loaded, the first time included."""
    calls_per_expiry: float
    versions: int
    """Different answers of the origin that clients got to see."""
    latency_p50: float
    latency_p99: float
    latency_max: float
    saturated: float
    """The longest time without a free place at the origin."""

    def complaint(self) -> str | None:
        """Why this run does not show exactly one call per expiry; None if it does or need not."""
        problem = None
        if self.failed:
            problem = f"{self.failed} requests failed"
        elif self.calls != self.expiries:
            problem = f"{self.calls} calls to the origin for {self.expiries} expiries"
        elif self.versions != self.calls:
            problem = f"{self.calls} calls to the origin, but clients saw {self.versions} answers"
        elif self.expiries < 2:
            problem = "the value never expired, so nothing was shown"
        if problem is None or not self.exact or self.interrupted:
            return None
        return f"{self.scheme}, {self.detail}: {problem}"


@dataclass(frozen=True)
class Result:
    """One scheme's run: its figures and the two series behind them."""

    figures: Figures
    calls: tuple[Call, ...]
    """The origin's log, in seconds since the clients started."""
    latencies: tuple[float, ...]
    """In ascending order."""


def evaluate(
    scheme: Scheme,
    clients: Clients,
    calls: Sequence[Call],
    settings: Settings,
    seconds: float,
) -> Result:
    """The result of a run of so many seconds, with the origin's log of it, sorted by arrival."""
    tallies = clients.tallies
    latencies = sorted(latency for tally in tallies for latency in tally.latencies)
    turned_away = sum(tally.turned_away for tally in tallies)
    failed = sum(tally.failed for tally in tallies)
    periods = count_expiries(calls, settings.ttl)
    figures = Figures(
        scheme=scheme.name,
        detail=scheme.detail,
        exact=scheme.exact,
        interrupted=seconds < settings.seconds,
        seconds=seconds,
        requests=len(latencies) + turned_away + failed,
        answers=len(latencies),
        turned_away=turned_away,
        failed=failed,
        calls=len(calls),
        expiries=periods,
        calls_per_expiry=len(calls) / periods if periods else 0.0,
        versions=len(set().union(*(tally.versions for tally in tallies))),
        latency_p50=percentile(latencies, 50),
        latency_p99=percentile(latencies, 99),
        latency_max=percentile(latencies, 100),
        saturated=longest_saturation(calls, settings.capacity),
    )
    began = clients.began
    since = tuple(Call(*(moment - began for moment in call)) for call in calls)
    return Result(figures, since, tuple(latencies))


def count_expiries(calls: Sequence[Call], ttl: float) -> int:
    """How many loads would have done for these calls, sorted by arrival, had they been shared."""
    count = 0
    served_until = -math.inf
    for call in calls:
        if call.arrival >= served_until:
            count += 1
            served_until = call.end + ttl
    return count


def in_progress(calls: Sequence[Call]) -> Iterator[tuple[float, int]]:
    """The moments at which the number of unanswered calls changes, with the number from then on."""
    # At one and the same moment arrivals come first: a place that is taken again was never free.
    changes = sorted([(call.arrival, -1) for call in calls] + [(call.end, 1) for call in calls])
    number = 0
    for moment, leaving in changes:
        number -= leaving
        yield moment, number


def longest_saturation(calls: Sequence[Call], capacity: int) -> float:
    """The longest time during which at least `capacity` calls were unanswered."""
    longest = 0.0
    since: float | None = None
    for moment, number in in_progress(calls):
        if number >= capacity:
            since = moment if since is None else since
        elif since is not None:
            longest = max(longest, moment - since)
            since = None
    return longest


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` % of all values do not exceed; 0 for no values."""
    if not ascending:
        return 0.0
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]
