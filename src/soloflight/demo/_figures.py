"""What is said about a scheme, worked out from the origin's log and from what its clients saw.

Nothing here asks a cache. An *expiry* is read off the origin's log alone, by one rule for every
scheme: a call that arrives when the value has lived out its ttl. Its answer is the new value; so is
that of a call which comes ahead of the expiry while no other is in progress. All others could have
been spared, had everybody shared that one. So "exactly 1 call per expiry" says that no call arrived
before its predecessor had ended and its value had lived out its whole ttl.

A client *waited* for a reload if its answer did not exist yet when it wanted one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ._load import Clients, Read
from ._origin import Call
from ._settings import Settings


@dataclass(frozen=True)
class Run:
    """What was seen of one scheme. All times are seconds since its clients started."""

    seconds: float
    """How long the clients ran."""
    log: tuple[Call, ...]
    """The origin's, by arrival: the first call, before 0, has warmed the cache."""
    answers: tuple[Read, ...]
    failures: tuple[float, ...]
    turned_away: int

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that the clients caused."""
        return tuple(call for call in self.log if call.arrival >= 0)


def seen(clients: Clients, log: Sequence[Call], seconds: float) -> Run:
    """What was seen of clients that ran for so long, with the origin's log of it."""
    zero = clients.began
    tallies = clients.tallies
    return Run(
        seconds,
        tuple(
            call._replace(arrival=call.arrival - zero, start=call.start - zero, end=call.end - zero)
            for call in log
        ),
        tuple(
            read._replace(began=read.began - zero) for tally in tallies for read in tally.answers
        ),
        tuple(moment - zero for tally in tallies for moment in tally.failures),
        sum(tally.turned_away for tally in tallies),
    )


@dataclass(frozen=True)
class Figures:
    """The figures of one run. All times are seconds."""

    interrupted: bool
    seconds: float
    requests: int
    """Every try: answers, turned away and failed together."""
    answers: int
    turned_away: int
    failed: int
    calls: int
    failed_calls: int
    too_soon: int
    """Calls so soon after a failed one that no hold-off can have been kept."""
    at_once: int
    """The most calls in progress at one time."""
    expiries: int
    """Times that the value had to be loaded since it had expired."""
    calls_per_expiry: float | None
    versions: int
    """Different answers of the origin that clients got to see, the one they began with included."""
    waited: int
    """Answers that did not exist yet when their clients began to wait for one."""
    oldest: float
    """The age of the oldest answer when its client got it."""
    latency_p50: float
    latency_p99: float
    latency_max: float
    saturated: float
    """The longest time without a free place at the origin."""


def evaluate(run: Run, settings: Settings) -> Figures:
    """The figures of a run that had these settings."""
    calls = run.calls
    latencies = sorted(read.latency for read in run.answers)
    made = {call.version: call.end for call in run.log}
    expiries = count_expiries(run.log, settings.ttl) - (len(run.log) - len(calls))
    return Figures(
        interrupted=run.seconds < settings.seconds,
        seconds=run.seconds,
        requests=len(run.answers) + run.turned_away + len(run.failures),
        answers=len(run.answers),
        turned_away=run.turned_away,
        failed=len(run.failures),
        calls=len(calls),
        failed_calls=sum(call.failed for call in calls),
        too_soon=count_too_soon(calls, *settings.retry_after),
        at_once=max((number for _, number in in_progress(calls)), default=0),
        expiries=expiries,
        calls_per_expiry=len(calls) / expiries if expiries else None,
        versions=len({read.version for read in run.answers}),
        waited=sum(made[read.version] > read.began for read in run.answers),
        oldest=max(
            (read.began + read.latency - made[read.version] for read in run.answers), default=0.0
        ),
        latency_p50=percentile(latencies, 50),
        latency_p99=percentile(latencies, 99),
        latency_max=percentile(latencies, 100),
        saturated=longest_saturation(calls, settings.capacity),
    )


def count_expiries(calls: Sequence[Call], ttl: float) -> int:
    """How many of these calls, sorted by arrival, came when the value had lived out its ttl."""
    count = 0
    fresh_until = busy_until = -math.inf
    for call in calls:
        if call.failed:
            continue
        expired = call.arrival >= fresh_until
        if expired or call.arrival >= busy_until:
            fresh_until = call.end + ttl
        busy_until = max(busy_until, call.end)
        count += expired
    return count


def count_too_soon(calls: Sequence[Call], base: float, most: float) -> int:
    """How many of these calls, sorted by arrival, came within the hold-off after a failed one.

    It is half of `base` after the first failure, as jitter may take the other half, twice as long
    after each further one, and never more than half of `most`.
    """
    count = failures = 0
    held_off_until = -math.inf
    for call in calls:
        count += call.arrival < held_off_until
        if call.failed:
            held_off_until = call.end + min(base * 2.0 ** min(failures, 60), most) / 2
        failures = failures + 1 if call.failed else 0
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
