"""What is said about a scheme, worked out from the origin's log and from what its clients saw.

Nothing here asks a cache. An *expiry* is a call that arrives when the value has lived out its ttl,
by one rule for every scheme. The answer that comes first from then on, to whichever call, is the
new value and fixes the next deadline. A call that comes ahead of the expiry while no other is in
progress replaces the value, unless no client got to see its answer later on. All other calls could
have been spared, had everybody shared that one. So "exactly 1 call per expiry" says that no call
arrived before its predecessor had ended and its value had lived out its whole ttl.

For a fleet of processes the value is that of all of them together: no call ahead of its expiry
replaces it, as in a fleet without a tier each process calls for itself alone. A call whose process
was killed meanwhile has failed: its answer has reached nobody.

A client *waited* for a reload if its answer did not exist yet when it wanted one. It is *without
an answer* from when it wants one until it gets one, through all errors in between: numbers of
requests would not tell, since who waits for seconds asks but once, and so fails but once.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ._load import Failure, Read, Tally
from ._origin import Call
from ._settings import Settings


class Wait(NamedTuple):
    """A stretch in which one client was without an answer, however short."""

    began: float
    failed: float
    """When it got its first error; without one, when it got its answer."""
    ended: float


@dataclass(frozen=True)
class Run:
    """What was seen of one scheme. All times are seconds since its clients started."""

    seconds: float
    """How long the clients ran."""
    log: tuple[Call, ...]
    """The origin's, by arrival: the first call, before 0, has warmed the cache."""
    answers: tuple[Read, ...]
    failures: tuple[Failure, ...]
    turned_away: int
    waits: tuple[Wait, ...] = ()
    processes: int = 1
    killed: float | None = None
    """When a process was killed while it loaded."""
    lost: int = 0
    """Clients of that process: nobody knows what they saw."""

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that the clients caused."""
        return tuple(call for call in self.log if call.arrival >= 0)


def seen(zero: float, tallies: Sequence[Tally], log: Sequence[Call], seconds: float) -> Run:
    """What clients saw that began then and ran for so long, with the origin's log of it."""
    return Run(
        seconds,
        tuple(
            call._replace(arrival=call.arrival - zero, start=call.start - zero, end=call.end - zero)
            for call in log
        ),
        tuple(
            Read(began - zero, latency, version)
            for tally in tallies
            for began, latency, version in tally.answers
        ),
        tuple(
            Failure(failure.began - zero, failure.ended - zero)
            for tally in tallies
            for failure in tally.failures
        ),
        sum(tally.turned_away for tally in tallies),
        tuple(
            Wait(began - zero, failed - zero, ended - zero)
            for tally in tallies
            for began, failed, ended in waits(tally, zero + seconds)
        ),
    )


def waits(tally: Tally, until: float) -> Iterator[Wait]:
    """The stretches in which this client was without an answer, the last one until then at least
    where it got no more."""
    answered = ((read.began, read.began + read.latency, False) for read in tally.answers)
    failed = ((failure.began, failure.ended, True) for failure in tally.failures)
    wait: Wait | None = None
    for began, ended, in_error in sorted([*answered, *failed]):
        wait = Wait(began, ended, ended) if wait is None else wait._replace(ended=ended)
        if not in_error:
            yield wait
            wait = None
    if wait is not None:
        yield wait._replace(ended=max(wait.ended, until))


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
    """Of calls that did not fail."""
    versions: int
    """Different answers of the origin that clients got to see, the one they began with included."""
    waited: int
    """Answers that did not exist yet when their clients began to wait for one."""
    no_answer: float
    """How long a client was without an answer in the whole run, on average."""
    in_error: float
    """How much of that came after an error."""
    longest_wait: float
    """The longest that one client was without an answer."""
    oldest: float
    """The age of the oldest answer when its client got it."""
    latency_p50: float
    latency_p99: float
    latency_max: float
    saturated: float
    """The longest time without a free place at the origin."""
    takeover: float | None
    """How long after a process was killed the next call came."""


def evaluate(run: Run, settings: Settings) -> Figures:
    """The figures of a run that had these settings."""
    calls = run.calls
    latencies = sorted(read.latency for read in run.answers)
    made = {call.version: call.end for call in run.log}
    used = {read.version for read in run.answers if read.began >= made[read.version]}
    unused = made.keys() - used if run.processes == 1 else made.keys()
    warming = run.log[: len(run.log) - len(calls)]
    expiries, before = (count_expiries(log, settings.ttl, unused) for log in (run.log, warming))
    failed_calls = sum(call.failed for call in calls)
    clients = settings.clients - run.lost
    return Figures(
        interrupted=run.seconds < settings.seconds,
        seconds=run.seconds,
        requests=len(run.answers) + run.turned_away + len(run.failures),
        answers=len(run.answers),
        turned_away=run.turned_away,
        failed=len(run.failures),
        calls=len(calls),
        failed_calls=failed_calls,
        too_soon=count_too_soon(calls, *settings.retry_after),
        at_once=max((number for _, number in in_progress(calls)), default=0),
        expiries=expiries - before,
        calls_per_expiry=(
            (len(calls) - failed_calls) / (expiries - before) if expiries > before else None
        ),
        versions=len({read.version for read in run.answers}),
        waited=sum(made[read.version] > read.began for read in run.answers),
        no_answer=sum(wait.ended - wait.began for wait in run.waits) / clients,
        in_error=sum(wait.ended - wait.failed for wait in run.waits) / clients,
        longest_wait=max((wait.ended - wait.began for wait in run.waits), default=0.0),
        oldest=max(
            (read.began + read.latency - made[read.version] for read in run.answers), default=0.0
        ),
        latency_p50=percentile(latencies, 50),
        latency_p99=percentile(latencies, 99),
        latency_max=percentile(latencies, 100),
        saturated=longest_saturation(calls, settings.capacity),
        takeover=_takeover(calls, run.killed),
    )


def _takeover(calls: Sequence[Call], killed: float | None) -> float | None:
    if killed is None:
        return None
    return next((call.arrival - killed for call in calls if call.arrival > killed), None)


def count_expiries(calls: Sequence[Call], ttl: float, unused: Container[int] = ()) -> int:
    """How many of these calls, sorted by arrival, came when the value had lived out its ttl.

    Answers with an `unused` version replaced no value ahead of its time: a cache dropped them.
    """
    answered = [call for call in calls if not call.failed]
    # A call that arrives just as an earlier one ends comes after it, and none ends before it came.
    arrivals = [(call.arrival, index, False) for index, call in enumerate(answered)]
    ends = [(call.end, index, True) for index, call in enumerate(answered)]
    count = unanswered = 0
    fresh_until = -math.inf
    awaited = False  # the answer that comes next is the new value
    for moment, index, ended in sorted(arrivals + ends):
        if ended:
            unanswered -= 1
            if awaited:
                fresh_until = moment + ttl
                awaited = False
        else:
            if moment >= fresh_until:
                count += not awaited
                awaited = True
            elif not unanswered and answered[index].version not in unused:
                awaited = True
            unanswered += 1
    return count


def count_too_soon(calls: Sequence[Call], base: float, cap: float) -> int:
    """How many of these calls, sorted by arrival, came within the hold-off after a failed one.

    It is half of `base` after the first failure, as jitter may take the other half, twice as long
    after each further one, and never more than half of `most`.
    """
    count = failures = 0
    held_off_until = -math.inf
    for call in calls:
        count += call.arrival < held_off_until
        if call.failed:
            held_off_until = call.end + min(base * 2.0 ** min(failures, 60), cap) / 2
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


def shares(
    stretches: Iterable[tuple[float, float]], clients: int, edges: Sequence[float]
) -> list[float]:
    """Between each two of these edges, equally far apart, the share of the clients' time that lies
    in the stretches."""
    width = edges[1] - edges[0]
    sums = [0.0] * (len(edges) - 1)
    for began, ended in stretches:
        for n in range(max(0, int(began / width)), min(len(sums), int(ended / width) + 1)):
            sums[n] += max(0.0, min(ended, edges[n + 1]) - max(began, edges[n]))
    return [total / width / clients for total in sums]


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` % of all values do not exceed; 0 for no values."""
    if not ascending:
        return 0.0
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]
