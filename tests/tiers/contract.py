"""What every tier promises, on real processes. A tier's test file has a class that inherits this.

`kind` says how long things take there; the fixture `tier` is the Python that makes one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fleet import Fleet, Worker, opened, until

HERD = 60
"""Rounds."""
SOON = 0.5
"""Seconds. What happens at once took a few milliseconds, on a machine that does nothing else."""


def never_two_at_a_time(fleet: Fleet) -> None:
    loads = sorted(fleet.loads(), key=lambda load: load.begun)
    for first, second in pairwise(loads):
        assert second.begun >= first.ended, (first, second)


def paid(worker: Worker) -> None:
    """Wait until the store has what the worker owes. (`flush` might pay it a second time.)"""
    until(lambda: worker.run("tier.health().owed") == 0)


class Contract:
    """The tests. Each runs with threads and with tasks."""

    takeover = 1.5
    """Seconds, at most, from the death of a leader to the next load, with a lease of one."""

    @pytest.fixture
    def tier(self, tmp_path: Path) -> str:
        """What makes a tier: Python, with what `soloflight.tiers` has."""
        raise NotImplementedError

    @pytest.fixture(params=["threads", "tasks"])
    def is_async(self, request: pytest.FixtureRequest) -> bool:
        return bool(request.param == "tasks")

    @pytest.fixture
    def fleet(self, tmp_path: Path) -> Iterator[Fleet]:
        folder = tmp_path / "fleet"
        folder.mkdir()
        with opened(folder) as fleet:
            yield fleet

    @pytest.fixture
    def start(self, fleet: Fleet, tier: str, is_async: bool) -> Any:
        """Start workers, with options of their function, and of their tier."""

        def start(number: int, options: str = "ttl=60", **of_tier: object) -> list[Worker]:
            patient = {"timeout": 5.0, **of_tier}  # the machine may be busy
            words = "".join(f", {name}={value!r}" for name, value in patient.items())
            made = tier[:-1] + words + ")"
            return fleet.start(number, made, options, is_async=is_async)

        return start

    # One load (promise 1)

    def test_a_herd_loads_once(self, fleet: Fleet, start: Any) -> None:
        workers = start(8)
        for number in range(HERD):
            fleet.tell(number, seconds=0.03)
            answers = [worker.call(f"key {number}", callers=8) for worker in workers]
            for answer in answers:
                assert answer.values() == [number] * 8
            assert len(fleet.loads(f"key {number}")) == 1

    @pytest.mark.parametrize(
        "options",
        ["ttl=.2", "ttl=.2, stale_while_revalidate=5", "ttl=.2, early_refresh=1"],
        ids=["plain", "stale", "early"],
    )
    def test_a_hot_key_is_never_loaded_twice_at_a_time(
        self, fleet: Fleet, start: Any, options: str
    ) -> None:
        workers = start(4, options)
        fleet.tell(1, seconds=0.05)
        assert workers[0].call().values() == [1]
        hot = [worker.begin("hot('k', 2)") for worker in workers for _ in range(2)]
        assert {outcome.error for answer in hot for outcome in answer.outcomes()} == {""}
        never_two_at_a_time(fleet)
        assert len(fleet.loads()) >= 4  # it did expire
        if "early" not in options:
            assert len(fleet.loads()) <= 2.5 / 0.2

    def test_a_load_that_takes_longer_than_a_lease_keeps_it(self, fleet: Fleet, start: Any) -> None:
        workers = start(3, lease=0.5)
        fleet.tell(1, seconds=1.6)
        answers = [worker.call(callers=4) for worker in workers]
        assert [answer.values() for answer in answers] == [[1] * 4] * 3
        assert len(fleet.loads()) == 1

    # Outcomes that are not stored (promise 6)

    def test_an_error_is_everybodys_and_the_next_call_loads(self, fleet: Fleet, start: Any) -> None:
        workers = start(8)
        fleet.tell(fails="ValueError", held="gate")
        answers = [worker.call(callers=8) for worker in workers]
        fleet.until_loads(1)
        until(lambda: sum(worker.run("waits()") for worker in workers) == 7)
        fleet.open("gate")
        errors = [outcome.error for answer in answers for outcome in answer.outcomes()]
        assert errors == ["ValueError"] * 64
        assert len(fleet.loads()) == 1
        fleet.tell(1)
        assert workers[0].call().values() == [1]
        assert len(fleet.loads()) == 2

    def test_an_error_of_the_users_has_its_name(self, fleet: Fleet, start: Any) -> None:
        first, second = start(2)
        fleet.tell(fails="Own", held="gate")
        answers = [first.call(), second.begin("_told(load, 'k')")]
        fleet.until_loads(1)
        until(lambda: first.run("waits()") or second.run("waits()"))
        fleet.open("gate")
        answers[0].outcomes()
        assert answers[1].get()[0] in ("RemoteLoadError", "Own")
        assert "Own" in answers[1].get()[1]
        assert len(fleet.loads()) == 1

    def test_a_value_that_is_not_kept_is_everybodys(self, fleet: Fleet, start: Any) -> None:
        workers = start(4, "ttl=0")
        fleet.tell(1, held="gate")
        answers = [worker.call(callers=4) for worker in workers]
        fleet.until_loads(1)
        until(lambda: sum(worker.run("waits()") for worker in workers) == 3)
        fleet.open("gate")
        assert [answer.values() for answer in answers] == [[1] * 4] * 4
        assert len(fleet.loads()) == 1
        assert workers[0].call().values() == [1]
        assert len(fleet.loads()) == 2

    # What befalls a leader (promise 2)

    def test_a_leader_is_killed_and_another_one_loads(self, fleet: Fleet, start: Any) -> None:
        leader, *others = start(4, lease=1.0)
        fleet.tell(1, held="never")
        leader.call(callers=4)
        fleet.until_loads(1)
        answers = [other.call(callers=4) for other in others]
        until(lambda: all(other.run("waits()") for other in others))
        fleet.tell(2)
        leader.kill()
        killed = time.monotonic()
        assert [answer.values() for answer in answers] == [[2] * 4] * 3
        assert len(fleet.loads()) == 2
        assert fleet.loads()[1].begun - killed < self.takeover

    def test_a_leader_that_was_stopped_stores_nothing(self, fleet: Fleet, start: Any) -> None:
        leader, second, third = start(3, lease=1.0)
        fleet.tell(1, held="gate")
        late = leader.call(callers=4)
        fleet.until_loads(1)
        leader.stop()
        fleet.tell(2)
        assert second.call(callers=4).values() == [2] * 4  # a lease later
        fleet.open("gate")
        leader.go_on()
        assert late.values() == [2] * 4
        assert third.call().values() == [2]
        assert leader.call().values() == [2]
        assert len(fleet.loads()) == 2

    def test_a_load_is_interrupted_and_another_process_loads_at_once(
        self, fleet: Fleet, start: Any, is_async: bool
    ) -> None:
        leader, other = start(2, lease=30.0)
        interruption = "CancelledError" if is_async else "KeyboardInterrupt"
        fleet.tell(fails=interruption, held="gate")
        first = leader.call()
        fleet.until_loads(1)
        answer = other.call(callers=4)
        until(lambda: other.run("waits()"))
        fleet.tell(2)
        fleet.open("gate")
        assert [outcome.error for outcome in first.outcomes()] == [interruption]
        assert answer.values() == [2] * 4
        interrupted, second = fleet.loads()
        assert second.begun - interrupted.ended < SOON

    def test_a_worker_that_leaves_in_mid_load_is_followed_by_another(
        self, fleet: Fleet, start: Any
    ) -> None:
        leader, other = start(2, lease=1.0)
        fleet.tell(1, held="never")
        leader.call()
        fleet.until_loads(1)
        answer = other.call()
        until(lambda: other.run("waits()"))
        fleet.tell(2)
        leader.leave()
        assert answer.values() == [2]

    # Fences (promises 4 and 5)

    def test_an_invalidation_in_mid_load_is_for_all(self, fleet: Fleet, start: Any) -> None:
        leader, waiting, other, third = start(4)
        fleet.tell(1, held="gate")
        aboard = leader.call(callers=2)
        fleet.until_loads(1)
        also = waiting.call()
        until(lambda: waiting.run("waits()"))
        fleet.tell(2)
        other.run("load.invalidate('k')")
        paid(other)
        assert third.call().values() == [2]
        until(lambda: not leader.run("len(load.in_flight())"))  # the news is there
        assert leader.call().values() == [2]  # and does not join the old load
        fleet.open("gate")
        assert aboard.values() == [2, 2]  # which the store has, and refuses the old one
        assert also.values() in ([1], [2])
        for worker in (leader, waiting, other, third):
            assert worker.call().values() == [2]
        assert len(fleet.loads()) == 2, fleet.loads()

    def test_what_is_dropped_is_dropped_everywhere(self, fleet: Fleet, start: Any) -> None:
        workers = first, second, third = start(3)
        for number, drop in enumerate(["invalidate('k')", "clear()", "invalidate('k')"]):
            fleet.tell(number)
            for worker in workers:
                assert worker.call().values() == [number]
            first.run(f"load.{drop}")
            paid(first)
            until(lambda: all(w.run("load.peek('k') is None") for w in (second, third)), SOON)
        assert len(fleet.loads()) == 3

    def test_a_value_that_is_put_is_everywhere(self, fleet: Fleet, start: Any) -> None:
        first, second, third = start(3)
        fleet.tell(1)
        assert [worker.call().values() for worker in (first, second)] == [[1], [1]]
        first.run("load.put(2, 'k')")
        paid(first)
        assert third.call().values() == [2]
        until(lambda: second.call().values() == [2])
        assert len(fleet.loads()) == 1

    def test_a_refresh_joins_a_load_anywhere(self, fleet: Fleet, start: Any) -> None:
        first, second = start(2)
        fleet.tell(1)
        assert first.call().values() == second.call().values() == [1]
        fleet.tell(2, held="gate")
        refreshes = [worker.call(what="load.refresh") for worker in (first, second)]
        fleet.until_loads(2)
        until(lambda: first.run("waits()") or second.run("waits()"))
        fleet.open("gate")
        assert [refresh.values() for refresh in refreshes] == [[2], [2]]
        assert len(fleet.loads()) == 2

    def test_a_cleared_function_stays_so_for_who_comes_later(
        self, fleet: Fleet, start: Any
    ) -> None:
        (first,) = start(1)
        fleet.tell(1)
        assert first.call().values() == [1]
        first.run("load.clear()")
        paid(first)
        fleet.tell(2)
        (second,) = start(1)
        assert second.call().values() == [2]

    # The origin

    def test_one_attempt_for_each_hold_off(self, fleet: Fleet, start: Any) -> None:
        workers = start(4, "ttl=.1, stale_if_error=60, retry_after=(.2, 1)")
        fleet.tell(1)
        assert workers[0].call().values() == [1]
        fleet.tell(fails="ValueError")
        hot = [worker.begin("hot('k', 1.5)") for worker in workers]
        outcomes = [outcome for answer in hot for outcome in answer.outcomes()]
        assert {(outcome.value, outcome.error) for outcome in outcomes} == {(1, "")}
        attempts = [load.begun for load in fleet.loads()[1:]]  # at .1, .3, .7 and 1.5 s, about
        assert 2 <= len(attempts) <= 5, attempts
        fleet.tell(2)
        until(lambda: {worker.call().values()[0] for worker in workers} == {2})

    def test_a_cycle_over_two_processes_is_a_deadlock(self, fleet: Fleet, start: Any) -> None:
        first, second = start(2)
        fleet.tell(1, held="gate", then={"a": "b", "b": "a"})
        answers = [first.call("a"), second.call("b")]
        fleet.until_loads(2)
        fleet.open("gate")
        errors = {outcome.error for answer in answers for outcome in answer.outcomes()}
        assert "FlightDeadlock" in errors

    def test_workers_end_in_peace(self, fleet: Fleet, start: Any) -> None:
        workers = start(2)
        fleet.tell(1)
        assert [worker.call().values() for worker in workers] == [[1], [1]]
        assert [worker.leave() for worker in workers] == [0, 0]
