"""What the demo works out of the origin's log and of what its clients saw."""

from __future__ import annotations

import dataclasses
import heapq
import math
import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

pytest.importorskip("rich", reason='the demo needs its extra: pip install "soloflight[demo]"')
pytest.importorskip("matplotlib", reason='the demo needs its extra: pip install "soloflight[demo]"')

from soloflight.demo import _figures, _picture, _report, _schemes
from soloflight.demo._figures import (
    count_expiries,
    count_too_soon,
    evaluate,
    longest_saturation,
    percentile,
    shares,
    waits,
)
from soloflight.demo._load import Failure, Read, Tally
from soloflight.demo._measure import Result
from soloflight.demo._origin import Call
from soloflight.demo._settings import Settings


def call(arrival: float, end: float, version: int = 0, failed: bool = False) -> Call:
    return Call(arrival, arrival, end, version, failed)


def test_an_expiry_is_a_call_that_no_shared_load_could_have_spared() -> None:
    # given values that live for one second
    first, joins, late = call(0.0, 0.1), call(0.05, 0.2), call(1.05, 1.15)
    due, overdue = call(1.1, 1.2), call(9.0, 9.1)
    assert count_expiries([], 1.0) == 0
    assert count_expiries([first], 1.0) == 1
    assert count_expiries([first, joins], 1.0) == 1
    assert count_expiries([first, late], 1.0) == 1
    assert count_expiries([first, due], 1.0) == 2
    assert count_expiries([first, joins, due, overdue], 1.0) == 3


def test_a_value_that_is_replaced_ahead_of_its_time_does_not_expire() -> None:
    first, ahead, at_once, then = call(0.0, 0.1), call(0.6, 0.7), call(0.65, 0.9), call(1.65, 1.7)
    assert count_expiries([first, ahead, then], 1.0) == 1
    # A call on top of another one replaces nothing: the first answer counts.
    assert count_expiries([first, ahead, at_once, then], 1.0) == 1
    assert count_expiries([first, ahead, at_once, call(1.7, 1.8)], 1.0) == 2


def test_the_value_that_came_first_fixes_the_deadline() -> None:
    # given two calls of one herd, of which the later one is answered first
    first, overtakes = call(0.0, 0.3), call(0.1, 0.2)
    assert count_expiries([first, overtakes, call(1.19, 1.25)], 1.0) == 1
    assert count_expiries([first, overtakes, call(1.2, 1.25)], 1.0) == 2
    # and so it does where the value is replaced ahead of its time
    ahead, overtakes = call(0.6, 0.9), call(0.65, 0.7)
    assert count_expiries([call(0.0, 0.1), ahead, overtakes, call(1.69, 1.8)], 1.0) == 1
    assert count_expiries([call(0.0, 0.1), ahead, overtakes, call(1.7, 1.8)], 1.0) == 2


def test_an_answer_to_an_earlier_herd_may_come_first() -> None:
    herd, expired = [call(0.0, 0.1), call(0.01, 1.3)], call(1.2, 1.5)
    assert count_expiries([*herd, expired, call(2.29, 2.4)], 1.0) == 2
    assert count_expiries([*herd, expired, call(2.3, 2.4)], 1.0) == 3
    # While nobody asks, it is no new value: a call that comes after it found nothing.
    assert count_expiries([*herd, call(1.4, 1.5)], 1.0) == 2


def test_an_answer_that_nobody_got_later_on_replaced_nothing() -> None:
    # given a client that found nothing, but whose call came only when another was answered
    first, late, expired = call(0.0, 0.1, 1), call(0.2, 0.3, 2), call(1.1, 1.2, 3)
    assert count_expiries([first, late, expired], 1.0, unused={2}) == 2
    assert count_expiries([first, late, expired], 1.0) == 1
    run = _figures.Run(2.0, (first, late, expired), (Read(0.5, 0.0, 1), Read(1.5, 0.0, 3)), (), 0)
    assert evaluate(run, Settings(ttl=1.0)).expiries == 2
    used = dataclasses.replace(run, answers=(*run.answers, Read(0.7, 0.0, 2)))
    assert evaluate(used, Settings(ttl=1.0)).expiries == 1


class Herd(NamedTuple):
    """Clients of a cache that nothing protects, and the moments at which each thing happens.

    Like `cachetools.cached` with a lock it keeps a value that another client has stored meanwhile.
    """

    clients: int
    ttl: float
    rng: random.Random
    capacity: int = 5
    cost: float = 0.05

    def run(self, seconds: float) -> tuple[list[Call], list[Read], int]:  # noqa: C901  # a simulation
        """The origin's log, the answers, and how often the value was found to have expired."""
        uniform = self.rng.uniform
        log = [Call(-self.cost, -self.cost, 0.0, 0, False)]
        reads: list[Read] = []
        queue: list[tuple[int, float, float]] = []
        free, value, stored = self.capacity, 0, 0.0
        expired: set[int] = set()
        events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

        def at(moment: float, action: Callable[..., None], *args: Any) -> None:
            heapq.heappush(events, (moment, next(numbers), action, args))

        numbers = iter(range(10**9))

        def wants(now: float, client: int) -> None:
            if now < stored + self.ttl:
                got(now, client, now)
            elif now < seconds:
                expired.add(value)
                at(now + self.rng.expovariate(200), arrives, client, now)

        def arrives(now: float, client: int, wanted: float) -> None:
            queue.append((client, wanted, now))
            serve(now)

        def serve(now: float) -> None:
            nonlocal free
            if free and queue:
                free -= 1
                at(now + self.cost * uniform(1, 1.1), answers, *queue.pop(0), now)

        def answers(now: float, client: int, wanted: float, arrival: float, start: float) -> None:
            nonlocal free
            free += 1
            log.append(Call(arrival, start, now, len(log), False))
            at(now + self.rng.expovariate(500), stores, client, wanted, len(log) - 1)
            serve(now)

        def stores(now: float, client: int, wanted: float, version: int) -> None:
            nonlocal value, stored
            if now >= stored + self.ttl:
                value, stored = version, now
            got(now, client, wanted)

        def got(now: float, client: int, wanted: float) -> None:
            reads.append(Read(wanted, now - wanted, value))
            if now < seconds:
                at(now + uniform(0.01, 0.03), wants, client)

        for client in range(self.clients):
            at(uniform(0, 0.02), wants, client)
        while events:
            now, _, action, args = heapq.heappop(events)
            action(now, *args)
        return sorted(log), reads, len(expired)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("clients", [2, 8, 60, 200])
def test_no_client_calls_twice_for_one_expiry(clients: int, seed: int) -> None:
    log, reads, expiries = Herd(clients, 0.5, random.Random(seed)).run(3.0)
    run = _figures.Run(3.0, tuple(log), tuple(reads), (), 0)
    figures = evaluate(run, Settings(clients=clients, ttl=0.5))
    assert figures.expiries == expiries
    assert figures.calls_per_expiry is not None
    assert 1 <= figures.calls_per_expiry <= clients


def test_a_call_that_failed_replaces_nothing() -> None:
    log = [call(0.0, 0.1), call(0.5, 0.6, failed=True), call(1.1, 1.2), call(1.3, 1.4, failed=True)]
    assert count_expiries(log, 1.0) == 2


def test_calls_that_failed_are_not_counted_for_an_expiry() -> None:
    failed = (call(moment, moment, failed=True) for moment in (1.0, 1.1, 1.2))
    log = call(-0.1, 0.0), *failed, call(2.0, 2.1)
    figures = evaluate(_figures.Run(3.0, log, (), (), 0), Settings(ttl=1.0))
    assert (figures.calls, figures.expiries, figures.calls_per_expiry) == (4, 1, 1)


def test_a_call_comes_too_soon_if_not_even_the_shortest_hold_off_was_kept() -> None:
    # given a hold-off of 2, then 4, then at most 6 seconds, of which jitter may take half
    first, second, third = (call(n, n, failed=True) for n in (0.0, 1.0, 3.0))
    assert count_too_soon([first, second, third, call(6.0, 6.0)], 2.0, 6.0) == 0
    assert count_too_soon([first, second, third, call(5.9, 5.9)], 2.0, 6.0) == 1
    assert count_too_soon([first, call(0.9, 0.9, failed=True), third], 2.0, 6.0) == 1
    # and once a call has succeeded, from the start
    again = call(7.0, 7.0, failed=True)
    assert count_too_soon([first, second, third, call(6.0, 6.0), again, call(8.0, 8.0)], 2, 6) == 0


def test_a_client_waited_if_its_answer_did_not_exist_when_it_wanted_one() -> None:
    log = call(-0.1, 0.0, version=1), call(0.5, 0.6, version=2)
    hit, waited, new = Read(0.3, 0.01, 1), Read(0.59, 0.02, 2), Read(0.61, 0.04, 2)
    run = _figures.Run(3.0, log, (hit, waited, new), (), 0)
    figures = evaluate(run, Settings(ttl=0.5))
    assert (figures.waited, figures.answers, figures.versions) == (1, 3, 2)
    assert figures.oldest == 0.31
    assert (figures.calls, figures.expiries, figures.at_once) == (1, 1, 1)


def test_a_client_is_without_an_answer_until_it_gets_one_whatever_errors_it_gets() -> None:
    hit, waited, after = Read(1.0, 0.0, 1), Read(2.0, 0.5, 2), Read(4.0, 0.5, 3)
    failures = [Failure(3.0, 3.25), Failure(3.5, 3.75)]
    tally = Tally([hit, waited, after], failures)
    assert [*waits(tally, 9.0)] == [(1.0, 1.0, 1.0), (2.0, 2.5, 2.5), (3.0, 3.25, 4.5)]
    assert [*waits(Tally([hit], failures), 9.0)] == [(1.0, 1.0, 1.0), (3.0, 3.25, 9.0)]
    assert [*waits(Tally([], failures), 3.1)] == [(3.0, 3.25, 3.75)]
    assert not [*waits(Tally(), 9.0)]


def test_who_waits_for_seconds_has_no_answer_for_as_long_as_who_fails_at_once_and_often() -> None:
    log = (call(-0.1, 0.0, version=1),)
    patient = Tally([Read(3.0, 0.0, 1)], [Failure(1.0, 2.9)])
    hasty = Tally([Read(3.0, 0.0, 1)], [Failure(1 + n / 10, 1.05 + n / 10) for n in range(20)])
    for tally, in_error in (patient, 0.1), (hasty, 1.95):
        run = _figures.Run(3.0, log, tuple(tally.answers), (), 0, tuple(waits(tally, 3.0)))
        figures = evaluate(run, Settings(clients=1))
        assert figures.no_answer == pytest.approx(2.0)
        assert figures.in_error == pytest.approx(in_error)


def test_shares_are_those_of_the_clients_time() -> None:
    edges = [0.0, 1.0, 2.0, 3.0]
    assert shares([(0.5, 2.25), (1.0, 2.0)], 2, edges) == [0.25, 1.0, 0.125]
    assert shares([(2.5, 9.0), (-1.0, 0.5)], 1, edges) == [0.5, 0.0, 0.5]
    assert shares([], 4, edges) == [0.0, 0.0, 0.0]


def test_of_what_cannot_be_told_apart_the_picture_has_the_highest_and_the_last() -> None:
    steps = [(0.0, 0), (0.1, 2), (0.2, 9), (0.3, 4), (1.5, 3), (2.1, 2), (2.2, 0)]
    assert [*_picture._visible(steps, 1.0)] == [(0.0, 9), (0.3, 4), (1.5, 3), (2.1, 2), (2.2, 0)]
    assert [*_picture._visible(steps, 0.01)] == steps


def test_saturation_is_the_longest_stretch_without_a_free_place() -> None:
    calls = [call(0, 2), call(1, 3), call(2, 4), call(7, 9), call(7, 8)]
    assert longest_saturation(calls, 1) == 4
    assert longest_saturation(calls, 2) == 2
    assert longest_saturation(calls, 3) == 0


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 201)]
    assert [percentile(values, p) for p in (50, 99, 100)] == [100, 198, 200]
    assert percentile([5.0], 50) == 5
    assert percentile([], 50) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4e-6, "0.400 µs"),
        (4.1234e-6, "4.12 µs"),
        (52.34e-3, "52.3 ms"),
        (0.1, "100 ms"),
        (0.99949, "999 ms"),
        (0.9999, "1.00 s"),
        (math.pi, "3.14 s"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(seconds: float, text: str) -> None:
    assert _report.duration(seconds) == text


SOUND = evaluate(
    _figures.Run(
        3.0,
        (call(-0.1, 0.0, version=1), call(1.0, 1.1, version=2), call(2.1, 2.2, version=3)),
        (Read(0.5, 0.1, 1), Read(1.0, 0.1, 2), Read(2.3, 0.1, 3)),
        (),
        0,
    ),
    Settings(seconds=3.0, ttl=1.0),
)


@pytest.mark.parametrize(
    ("scheme", "changes", "complaint"),
    [
        ("singleflight, threads", {}, None),
        ("singleflight, threads", {"calls": 3}, "3 calls to the origin for 2 expiries"),
        ("singleflight, threads", {"versions": 1}, "clients saw 1 answers"),
        ("singleflight, threads", {"failed": 1}, "1 requests failed"),
        ("singleflight, threads", {"calls": 1, "expiries": 1}, "hardly ever expired"),
        ("singleflight, threads", {"calls": 3, "interrupted": True}, None),
        ("no protection, threads", {"calls": 3}, None),
        ("stale while revalidate, threads", {"calls": 3}, "3 calls to the origin for 2"),
        ("stale while revalidate, threads", {"waited": 2, "latency_max": 0.06}, "2 answers had to"),
        ("stale while revalidate, threads", {"waited": 1, "latency_max": 0.01}, None),
        ("early refresh, asyncio", {"at_once": 2}, "2 calls at a time"),
        ("early refresh, asyncio", {"calls": 3}, None),
        ("stale if error, asyncio, outage", {"failed_calls": 3}, None),
        ("stale if error, asyncio, outage", {}, "no call failed"),
        ("stale if error, asyncio, outage", {"failed_calls": 3, "failed": 1}, "1 requests failed"),
        ("stale if error, asyncio, outage", {"failed_calls": 3, "too_soon": 1}, "1 calls too soon"),
    ],
)
def test_a_scheme_is_held_to_its_promises(
    scheme: str, changes: dict[str, Any], complaint: str | None
) -> None:
    (held,) = (each for each in _schemes.SCHEMES if each.title == scheme)
    sound = dataclasses.replace(SOUND, waited=0, latency_max=0.001)
    run = _figures.Run(3.0, (), (), (), 0)
    result = Result(held, run, dataclasses.replace(sound, **changes))
    said = list(result.complaints(Settings()))
    assert said == [] if complaint is None else len(said) == 1 and complaint in said[0]


def test_failed_requests_have_a_row_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    run = _figures.Run(3.0, (), (), (), 0)
    result = Result(_schemes.SCHEMES[0], run, dataclasses.replace(SOUND, failed=12))
    _report.print_tables([result], Settings(), ())
    assert re.search(r"^errors +12", capsys.readouterr().out, re.MULTILINE)
