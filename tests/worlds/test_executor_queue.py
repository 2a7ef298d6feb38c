"""Loads that wait for a thread of an executor, and executors that refuse them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from both_worlds import Threads, counted, landed
from conftest import Caller, Clock, Gate, until
from soloflight import WaitTimeout, cached_singleflight
from soloflight._flights import waits
from soloflight._worlds import pool as _pool
from soloflight._worlds import threads

STALE: Any = {"ttl": 10, "stale_while_revalidate": 60}
PATIENT: Any = {"ttl": 10, "wait_timeout": 20}


@pytest.fixture
def world() -> Iterator[Threads]:
    world = Threads()
    yield world
    world.end()


def occupied(executor: Executor, gate: Gate) -> None:
    """Its only thread does something else until the gate is opened."""
    executor.submit(gate)
    gate.arrived()


def test_nested_loads_do_not_starve_on_one_thread(clock: Clock, one: Executor) -> None:
    @cached_singleflight(executor=one, timer=clock, **PATIENT)
    def load(number: int) -> int:
        return 1 if number == 0 else 1 + load(number - 1)

    assert Caller(load, 50).result() == 51


def test_refreshes_that_need_others_do_not_starve_in_the_pool(world: Threads, clock: Clock) -> None:
    parents, children = world.origin(), world.origin()
    child = world.cached(children, timer=clock, **STALE)
    keys = [str(number) for number in range(2 * _pool.THREADS)]

    @cached_singleflight(ttl=10, stale_while_revalidate=600, timer=clock)
    def parent(key: str) -> Any:
        parents.load()
        return child(key)

    for key in keys:
        parent(key)
    clock.advance(10)
    gate = parents.hold()
    for key in keys:
        parent(key)
    for _ in range(_pool.TURNS):
        gate.arrived()
    others = children.hold()
    for key in keys:
        child(key)
    for _ in range(_pool.THREADS - _pool.TURNS):
        others.arrived()
    clock.advance(60)  # now the parents have to wait for them
    gate.open()
    others.open()
    landed(parent)
    landed(child)
    assert children.loads == 2 * len(keys)


def test_who_would_wait_for_ever_runs_a_refresh_that_is_queued(
    world: Threads, clock: Clock, one: Executor, gate: Gate
) -> None:
    user = ContextVar("user", default="nobody")
    origin, load = world.aged(10, executor=one, timer=clock, **STALE)
    occupied(one, gate)
    context = copy_context()
    context.run(user.set, "who started it")
    assert context.run(load) == 1
    origin.answer = lambda number: (threading.current_thread(), user.get())
    clock.advance(60)
    assert load() == (threading.current_thread(), "who started it")
    assert load.in_flight() == ()
    gate.open()
    one.shutdown()
    assert origin.loads == 2


class Recording(ThreadPoolExecutor):
    """It remembers its futures."""

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self.last = super().submit(*args, **kwargs)
        return self.last


def test_a_refresh_that_its_starter_does_not_lead_yet_is_run_by_nobody(
    world: Threads, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its starter looks once more whether there is anything to refresh."""
    origin = world.origin()
    load = world.cached(origin, timer=clock, **STALE)
    shelf = load._core.shelf
    find = shelf.find
    followers: list[Caller] = []
    loads: list[int] = []

    def looked_at(key: Any) -> Any:
        monkeypatch.undo()
        followers.append(Caller(load.refresh))
        until(lambda: waits._waiting or origin.loads == 2)
        loads.append(origin.loads)
        return find(key)

    load()
    clock.advance(10)
    monkeypatch.setattr(shelf, "find", looked_at)
    assert load() == 1
    assert followers[0].result() == 2
    assert (*loads, origin.loads) == (1, 2)


def test_a_refresh_that_is_cancelled_while_it_is_queued_leaves_the_table(
    world: Threads, clock: Clock, gate: Gate
) -> None:
    origin = world.origin()
    with Recording(1) as executor:
        load = world.cached(origin, executor=executor, timer=clock, **STALE)
        load.put("old")
        occupied(executor, gate)
        clock.advance(10)
        assert load() == "old"
        assert len(load.in_flight()) == 1
        assert executor.last.cancel()
        assert load.in_flight() == ()
        assert load.stats().abandoned == 1

        assert load() == "old"  # and tries again
        gate.open()
        landed(load)
        assert (load(), origin.loads) == (1, 1)


def test_a_queued_load_goes_on_when_the_patience_of_who_started_it_ends(
    world: Threads, clock: Clock, one: Executor, gate: Gate
) -> None:
    """Where the queue is longer than anybody's patience, nothing would ever be loaded."""
    origin = world.origin()
    load = world.cached(origin, ttl=10, executor=one, wait_timeout=0.01, timer=clock)
    occupied(one, gate)
    with pytest.raises(WaitTimeout):
        load()
    assert len(load.in_flight()) == 1
    gate.open()
    landed(load)
    assert load.peek().value == 1


def test_the_time_in_a_queue_is_no_part_of_what_a_load_costs(
    world: Threads, clock: Clock, one: Executor, gate: Gate
) -> None:
    load = world.cached(world.origin(), executor=one, timer=clock, **STALE)
    load.put("old")
    clock.advance(10)
    occupied(one, gate)
    assert load() == "old"
    clock.advance(30)
    gate.open()
    landed(load)
    assert (load.peek().value, load.peek().cost) == (1, 0)


def test_a_load_that_has_not_begun_makes_room_for_the_next_when_it_is_too_old(
    world: Threads, clock: Clock, one: Executor, gate: Gate
) -> None:
    """It does not hang: it is withdrawn, however many of them there have been."""
    origin, load = world.aged(10, put="old", executor=one, timer=clock, max_flight_age=1, **STALE)
    occupied(one, gate)
    for refreshes in range(1, 6):
        assert load() == "old"
        assert load.stats().refreshes == refreshes
        clock.advance(1)
    gate.open()
    landed(load)
    one.shutdown()
    assert (load(), origin.loads) == (1, 1)


@pytest.mark.parametrize("following", [0, 2])
def test_who_waits_for_a_load_that_is_cancelled_while_it_is_queued_leads_anew(
    world: Threads, clock: Clock, gate: Gate, following: int
) -> None:
    origin = world.origin()
    with Recording(1) as executor:
        load = world.cached(origin, executor=executor, timer=clock, **PATIENT)
        occupied(executor, gate)
        leader = Caller(load)
        until(load.in_flight)
        followers = [Caller(load) for _ in range(following)]
        until(lambda: load.stats().joined == following)
        first = executor.last
        assert first.cancel()
        until(lambda: executor.last is not first)
        gate.open()
        assert [caller.result() for caller in (leader, *followers)] == [1] * (1 + following)
        assert origin.loads == 1


def test_an_executor_that_is_shut_down_over_a_queue_leaves_nobody_waiting(
    world: Threads, clock: Clock, gate: Gate
) -> None:
    executor = ThreadPoolExecutor(1)
    load = world.cached(world.origin(), executor=executor, timer=clock, **PATIENT)
    occupied(executor, gate)
    callers = [Caller(load) for _ in range(3)]
    until(lambda: load.stats().joined == 2)
    executor.shutdown(wait=False, cancel_futures=True)
    for caller in callers:
        with pytest.raises(RuntimeError, match="shutdown"):
            caller.result()
    assert load.in_flight() == ()


class Full(ThreadPoolExecutor):
    full = True

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        if self.full:
            raise RuntimeError("full")
        return super().submit(*args, **kwargs)


def test_an_executor_that_refuses_is_asked_again_by_the_next_caller(
    world: Threads, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    origin = world.origin()
    with Full(1) as executor:
        load = world.cached(origin, executor=executor, timer=clock, **STALE)
        load.put("old")
        clock.advance(10)
        for _ in range(3):
            assert load() == "old"
            assert load.in_flight() == ()
        (record,) = caplog.records
        assert "load: a refresh could not be started" in record.getMessage()
        assert "full" in str(record.exc_info[1])
        assert counted(load) == {"hits": 3, "stale_hits": 3, "abandoned": 3}

        executor.full = False
        assert load() == "old"
        landed(load)
        assert load() == 1
        assert load.stats().refreshes == 1


def test_an_executor_that_refuses_does_not_end_what_somebody_has_taken_over(
    world: Threads, clock: Clock
) -> None:
    origin, followers = world.origin(), list[Caller]()

    class Late(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            followers.append(Caller(load.refresh))
            gate.arrived()
            raise RuntimeError("full")

    load = world.cached(origin, executor=Late(), timer=clock, **STALE)
    load.put("old")
    clock.advance(10)
    gate = origin.hold()
    assert load() == "old"
    gate.open()
    assert followers[0].result() == load() == 1


def test_an_executor_that_was_shut_down_does_not_keep_stale_values_from_being_served(
    world: Threads, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    origin = world.origin()
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    load = world.cached(origin, executor=executor, timer=clock, **STALE)
    load.put("old")
    clock.advance(10)
    assert [load(), load()] == ["old", "old"]
    clock.advance(60)
    assert load() == 1  # this thread loads
    assert len(caplog.records) == 1


class Cancelling(Executor):
    """Its futures are cancelled at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        return future


def test_an_executor_that_cancels_what_it_is_given_is_not_asked_for_ever(world: Threads) -> None:
    load = world.cached(world.origin(), ttl=10, executor=Cancelling(), wait_timeout=20)
    assert load() == 1
    assert load.stats().abandoned == 2


def test_who_joins_before_the_load_is_queued_takes_it_over_later(
    world: Threads, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor's one thread waits for a load that is queued behind what it runs."""
    monkeypatch.setattr(threads, "POLL", 0.01)
    arrived = threading.Event()

    def timer() -> float:  # the caller that leads gives way between its claim and the queue
        flights = list(inner._core.table.flights.all()) if leader else []
        if flights and threading.current_thread() is leader and not arrived.is_set():
            arrived.set()
            until(lambda: flights[0].aboard() == 1)
        return 0.0

    with ThreadPoolExecutor(1) as executor:
        options: dict[str, Any] = {"executor": executor, "wait_timeout": 20, "ttl": 10}
        leader: Any = None
        inner = world.cached(world.origin(), timer=timer, **options)

        @cached_singleflight(**options)
        def outer() -> Any:
            gate()
            return inner()

        caller = Caller(outer)
        gate.arrived()
        start = threading.Event()
        leader = Caller(lambda: start.wait() and inner())
        start.set()
        arrived.wait(20)
        gate.open()
        assert [caller.result(), leader.result()] == [1, 1]
