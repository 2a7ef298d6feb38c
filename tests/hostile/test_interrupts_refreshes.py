"""A `KeyboardInterrupt` at every line of ours, where loads run behind a value or elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from conftest import PATIENCE, Caller, Clock, Gate, until, waiters
from interrupter import Interrupter, everywhere
from soloflight import cached_singleflight
from soloflight._worlds import threads


class Inline(Executor):
    """Runs what it is given at once, in the thread that gives it."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def function(cached: Any, clock: Clock, loader: Callable[[], Any], **options: Any) -> Any:
    return cached(ttl=10, stale_while_revalidate=1000, timer=clock, **options)(loader)


def check(load: Any, clock: Clock) -> None:
    """The key is free, and loads and refreshes again."""
    until(lambda: not load.in_flight())
    assert not load._core.table.flights
    assert not load._core.table.overdue
    clock.advance(10_000)
    assert Caller(load).result() == "new"
    clock.advance(10)
    refreshes = load.stats().refreshes
    assert Caller(load).result() == "new"
    until(lambda: not load.in_flight())
    assert load.stats().refreshes == refreshes + 1


def stale(interrupter: Interrupter, cached: Any, **options: Any) -> None:
    clock = Clock()
    load = function(cached, clock, lambda: "new", **options)
    load.put("old")
    clock.advance(10)
    interrupter.run(load)
    check(load, clock)


def failing(interrupter: Interrupter, cached: Any) -> None:
    clock, fails = Clock(), [True]

    def loader() -> str:
        if fails:
            raise LookupError
        return "new"

    load = function(cached, clock, loader, stale_if_error=5000)
    load.put("old")
    clock.advance(2000)
    interrupter.run(load)
    fails.clear()
    check(load, clock)


def elsewhere(interrupter: Interrupter, cached: Any, executor: Executor) -> None:
    clock = Clock()
    load = function(cached, clock, lambda: "new", executor=executor, wait_timeout=PATIENCE)
    interrupter.run(load)
    check(load, clock)


@contextmanager
def busy() -> Iterator[tuple[Executor, Callable[[], None]]]:
    """An executor whose one thread is occupied."""
    with ThreadPoolExecutor(1) as executor:
        free = threading.Event()
        executor.submit(free.wait)
        yield executor, free.set


def taking_over(interrupter: Interrupter, cached: Any) -> None:
    """A caller that must wait for a refresh which still waits for its thread."""
    clock = Clock()
    with busy() as (executor, release):
        load = function(cached, clock, lambda: "new", executor=executor)
        load.put("old")
        clock.advance(10)
        assert load() == "old"
        assert load.in_flight()
        clock.advance(1000)
        interrupter.run(load)
        release()
        check(load, clock)


def refused(interrupter: Interrupter, cached: Any) -> None:
    clock, executor = Clock(), ThreadPoolExecutor(1)
    executor.shutdown()
    load = function(cached, clock, lambda: "new", executor=executor)
    load.put("old")
    clock.advance(10)
    interrupter.run(load)
    assert not load._core.table.flights
    assert load() == "old"


def replacing(interrupter: Interrupter, cached: Any, behind: bool) -> None:
    """A caller that comes when the load of its key has grown too old."""
    clock, gate = Clock(), Gate()

    def loader() -> str:
        if gate.arrivals == 0:
            gate()
        return "new"

    load = function(cached, clock, loader, max_flight_age=30)
    if behind:
        load.put("old")
        clock.advance(10)
    first = Caller(load)
    gate.arrived()
    clock.advance(31)
    interrupter.run(load)
    assert Caller(load).result() in ("old", "new")
    gate.open()
    assert first.result() == ("old" if behind else "new")
    until(lambda: not load._core.table.overdue)
    check(load, clock)


ROLES: dict[str, Callable[[Interrupter, Any], None]] = {
    "stale": stale,
    "stale, inline": partial(stale, executor=Inline()),
    "failing": failing,
    "inline": partial(elsewhere, executor=Inline()),
    "taking over": taking_over,
    "refused": refused,
    "replacing": partial(replacing, behind=False),
    "replacing, behind": partial(replacing, behind=True),
}


@pytest.mark.parametrize("role", ROLES)
def test_an_interrupt_at_any_line_leaves_the_key_free(
    role: str, cached: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "POLL", 2 * PATIENCE)  # nobody is found out by looking again
    assert everywhere(partial(ROLES[role], cached=cached)) > 50
    caplog.clear()


def test_an_interrupt_while_an_executor_loads_leaves_the_key_free(cached: Any) -> None:
    with ThreadPoolExecutor(2) as executor:
        assert everywhere(partial(elsewhere, cached=cached, executor=executor)) > 50


def test_an_interrupt_of_the_leader_leaves_those_who_follow_a_load_elsewhere_aboard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = threads.wait

    def interrupted(*args: Any) -> None:
        if threading.current_thread() is leader:
            until(lambda: waiters(load) == 2)
            raise KeyboardInterrupt
        wait(*args)

    with ThreadPoolExecutor(1) as executor:
        gate = Gate()

        def loader() -> str:
            gate()
            return "new"

        load = function(
            cached_singleflight, Clock(), loader, executor=executor, wait_timeout=PATIENCE
        )
        monkeypatch.setattr(threads, "wait", interrupted)
        start = threading.Event()
        leader = Caller(lambda: start.wait() and load())
        start.set()
        gate.arrived()
        follower = Caller(load)
        with pytest.raises(KeyboardInterrupt):
            leader.result()
        gate.open()
        assert follower.result() == "new"
        assert gate.arrivals == 1
