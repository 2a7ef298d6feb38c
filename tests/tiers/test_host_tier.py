"""`HostTier`: what every tier promises, and what befalls a directory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract import SOON, Contract
from fleet import Fleet, until

if sys.platform == "win32":
    pytest.skip("HostTier is not offered there", allow_module_level=True)

import sqlite3


class TestHostTier(Contract):
    takeover = SOON  # not a lease: the death of a process is seen at once

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "tier"

    @pytest.fixture
    def tier(self, place: Path) -> str:
        return f"HostTier({str(place)!r})"

    def file(self, place: Path) -> Path:
        (found,) = place.glob("*.db")
        return found

    # A leader dies

    def test_a_lease_ends_with_its_process_and_not_with_a_child_of_that(
        self, fleet: Fleet, start: Any
    ) -> None:
        """A forked child has the descriptors of its parent, with the locks on them."""
        leader, other = start(2, lease=30.0)
        fleet.tell(1, held="never")
        leader.call()
        fleet.until_loads(1)
        child = leader.run(
            "(lambda child: child or time.sleep(60))("
            "__import__('warnings').simplefilter('ignore') or os.fork())"
        )
        answer = other.call()
        until(lambda: other.run("waits()"))
        fleet.tell(2)
        leader.kill()
        killed = time.monotonic()
        try:
            assert answer.values() == [2]
            assert fleet.loads()[1].begun - killed < SOON
        finally:
            import os
            import signal

            os.kill(child, signal.SIGKILL)

    def test_many_are_killed_one_after_the_other(self, fleet: Fleet, start: Any) -> None:
        workers = start(6, lease=30.0)
        fleet.tell(0, held="never")
        answers = [worker.call() for worker in workers]
        for number in range(5):
            fleet.until_loads(number + 1)
            if number == 4:
                fleet.tell(5)
            workers[fleet.loads()[-1].worker].kill()
        last = {0, 1, 2, 3, 4, 5} - {load.worker for load in fleet.loads()[:5]}
        assert answers[last.pop()].values() == [5]
        assert len(fleet.loads()) == 6

    def test_a_socket_that_was_left_behind_is_removed(
        self, fleet: Fleet, start: Any, place: Path
    ) -> None:
        first, second = start(2)
        assert [worker.call().values() for worker in (first, second)] == [[0], [0]]
        assert len(list(place.glob("news-*"))) == 2
        second.kill()
        first.run("load.invalidate('k')")
        assert first.run("tier.flush(5)")
        assert len(list(place.glob("news-*"))) == 1
        assert first.leave() == 0
        assert list(place.glob("news-*")) == []

    # The file (promise 3)

    @pytest.mark.parametrize("lost", ["*.db", "leases", "news-*", "*"])
    def test_what_is_removed_is_made_anew(
        self, fleet: Fleet, start: Any, place: Path, lost: str
    ) -> None:
        workers = first, second, _ = start(3)
        assert [worker.call().values() for worker in workers] == [[0]] * 3
        for path in place.glob(lost):
            path.unlink()
        fleet.tell(1)
        for number in range(3):
            assert first.call(f"a{number}").values() == second.call(f"a{number}").values() == [1]
        # (In the first of them each process sees it: what it has is dropped, its flight is fenced.)
        assert len(fleet.loads("a1")) == len(fleet.loads("a2")) == 1
        if lost in ("*.db", "*"):  # with the values
            until(lambda: second.run("load.peek('k') is None"))
        if lost == "leases":
            fleet.tell(2, held="gate")
            answers = [worker.call("b") for worker in workers]
            until(lambda: sum(worker.run("waits()") for worker in workers) == 2)
            fleet.open("gate")
            assert [answer.values() for answer in answers] == [[2]] * 3
            assert len(fleet.loads("b")) == 1

    def test_a_damaged_file_is_made_anew(self, fleet: Fleet, start: Any, place: Path) -> None:
        (first,) = start(1)
        assert first.call().values() == [0]
        first.kill()
        for path in place.glob("*.db*"):
            path.write_bytes(b"this is no database" * 1000)
        first, second = start(2)
        fleet.tell(1)
        assert first.call("a").values() == [1]
        for key in ("b", "c"):
            assert first.call(key).values() == second.call(key).values() == [1]
        assert len(fleet.loads("c")) == 1

    @pytest.fixture
    def locked(self, place: Path) -> Iterator[Any]:
        """Have the file locked, as by somebody who looks into it with a tool."""
        connections: list[sqlite3.Connection] = []

        def locked() -> sqlite3.Connection:
            connections.append(sqlite3.connect(self.file(place), isolation_level=None))
            connections[-1].execute("BEGIN IMMEDIATE")
            return connections[-1]

        yield locked
        for connection in connections:
            connection.close()

    def test_a_locked_file_is_no_error(self, fleet: Fleet, start: Any, locked: Any) -> None:
        first, second = start(2, timeout=0.25)
        assert first.call().values() == [0]
        with_it = locked()
        fleet.tell(1)
        for worker in (first, second):
            (outcome,) = worker.call("a").outcomes()
            assert outcome.value == 1
            assert outcome.took < 1
        assert not first.run("tier.health().is_up")
        first.run("load.invalidate('a')")  # it is owed
        assert first.call("a").values() == [1]
        with_it.execute("ROLLBACK")
        assert first.run("tier.flush(5)")
        until(lambda: second.run("tier.read(b'asked').kind") != "down")  # it rests for a moment
        fleet.tell(2)
        assert first.call("b").values() == second.call("b").values() == [2]
        assert len(fleet.loads("b")) == 1
        until(lambda: second.call("a").values() == [2])

    def test_an_event_loop_does_not_stand_still_for_a_locked_file(
        self, fleet: Fleet, start: Any, locked: Any, is_async: bool
    ) -> None:
        if not is_async:
            pytest.skip("threads wait")
        (first,) = start(1)
        assert first.call().values() == [0]
        locked()
        pauses = first.begin("_pauses(load, 'a')")
        assert pauses.get() < 0.1

    def test_a_full_disk_is_no_error(self, fleet: Fleet, start: Any, place: Path) -> None:
        first, second = start(2)
        assert [worker.call().values() for worker in (first, second)] == [[0], [0]]
        # From now on no file may be larger than a few pages; SIGXFSZ is ignored.
        for worker in (first, second):
            worker.run("resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))")
        fleet.tell("x" * 20_000)
        for number in range(3):
            for worker in (first, second):
                assert worker.call(f"a{number}").values() == ["x" * 20_000]
        (third,) = start(1)
        fleet.tell(2)
        assert third.call("b").values() == [2]

    def test_the_file_grows_no_further_than_it_may(
        self, fleet: Fleet, start: Any, place: Path
    ) -> None:
        first, second = start(2, max_bytes=400_000)
        fleet.tell("x" * 20_000)
        for number in range(60):
            assert first.call(f"{number}").values() == ["x" * 20_000]
        assert self.file(place).stat().st_size <= 400_000
        assert first.run("tier.health().is_up")
        before = len(fleet.loads())
        assert second.call("59").values() == ["x" * 20_000]
        assert len(fleet.loads()) == before  # what is new is there

    # Many

    def test_a_cold_herd_on_a_directory_that_is_not_there(
        self, fleet: Fleet, start: Any, place: Path
    ) -> None:
        workers = start(8)
        assert not list(place.glob("*.db")), "nobody has asked yet"
        fleet.tell(1, seconds=0.2)
        answers = [worker.call(callers=8) for worker in workers]
        assert [answer.values() for answer in answers] == [[1] * 8] * 8
        assert len(fleet.loads()) == 1

    @pytest.mark.parametrize(
        "before",
        [
            pytest.param("__import__('soloflight._tiers.watch')._tiers.watch.MOST", id="polled"),
            pytest.param("__import__('soloflight._tiers.ofd')._tiers.ofd.HAS_OFD", id="posix"),
        ],
    )
    def test_other_ways_to_wait(self, fleet: Fleet, tier: str, is_async: bool, before: str) -> None:
        """Beyond so many threads that block; and where there are no locks of a descriptor."""
        module, _, name = before.rpartition(".")
        workers = fleet.start(
            4, f"setattr({module}, {name!r}, 0) or {tier[:-1]}, lease=30)", is_async=is_async
        )
        for number in range(20):
            fleet.tell(number, seconds=0.05)
            answers = [worker.call(f"key {number}", callers=4) for worker in workers]
            assert [answer.values() for answer in answers] == [[number] * 4] * 4
        assert len(fleet.loads()) == 20
        fleet.tell(1, held="never")
        leader, *others = workers
        leader.call()
        fleet.until_loads(1, "k")
        answers = [other.call() for other in others]
        until(lambda: all(other.run("waits()") for other in others))
        fleet.tell(2)
        leader.kill()
        killed = time.monotonic()
        assert [answer.values() for answer in answers] == [[2]] * 3
        assert fleet.loads("k")[1].begun - killed < SOON
        assert len(fleet.loads("k")) == 2
