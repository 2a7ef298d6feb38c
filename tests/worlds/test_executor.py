"""Loads on the threads of an executor: refreshes, and loads whose callers have patience."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from both_worlds import Threads, counted, landed
from conftest import Boom, Caller, Clock, in_child, needs_fork, until
from soloflight import WaitTimeout, _locks
from soloflight._worlds import pool as _pool
from soloflight._worlds import thread_loads

STALE: Any = {"ttl": 10, "stale_while_revalidate": 60}
PATIENT: Any = {"ttl": 10, "wait_timeout": 20}


@pytest.fixture
def world() -> Iterator[Threads]:
    world = Threads()
    yield world
    world.end()


def thread_name(number: int) -> str:
    return threading.current_thread().name


# Where loads run


def test_refreshes_run_on_the_executor_that_was_given(
    world: Threads, clock: Clock, one: Executor
) -> None:
    origin = world.origin()
    origin.answer = thread_name
    load = world.cached(origin, executor=one, timer=clock, **STALE)
    here = threading.current_thread().name
    assert load() == here
    clock.advance(10)
    assert load() == here
    landed(load)
    assert load() == "mine_0"


def test_by_default_they_share_a_few_daemon_threads(
    world: Threads, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One without the idle threads that other tests have left, which take turns as well.
    monkeypatch.setattr(_pool, "pool", _pool.Pool())
    origin = world.origin()
    threads = set()
    origin.answer = lambda number: threads.add(threading.current_thread())
    load = world.cached(origin, timer=clock, **STALE)
    keys = [str(number) for number in range(30)]
    for key in keys:
        load(key)
    threads.clear()
    clock.advance(10)
    gate = origin.hold()
    for key in keys:
        load(key)
    for _ in range(_pool.TURNS):
        gate.arrived()
    assert gate.arrivals == _pool.TURNS
    gate.open()
    landed(load)
    assert origin.loads == 60
    assert len(threads) <= _pool.THREADS
    assert all(thread.daemon and thread.name == "soloflight" for thread in threads)


def test_a_thread_of_the_pool_that_is_idle_is_used_again() -> None:
    pool, threads = _pool.Pool(), []
    submit = _pool.Line(pool)
    for _ in range(5):
        submit(lambda: threads.append(threading.current_thread()))
        until(lambda: pool._idle and len(submit._turns) == _pool.TURNS)
    assert len(set(threads)) == 1


def hanging(world: Threads, clock: Clock, loads: int) -> Any:
    """Make stale so many keys of a function, and begin the refreshes, which hang."""
    origin = world.origin()
    load = world.cached(origin, timer=clock, **STALE)
    for key in range(loads):
        load(key)
    clock.advance(10)
    gate = origin.hold()
    for key in range(loads):
        load(key)
    return load, gate


def test_refreshes_of_one_function_that_hang_stop_no_other_function(
    world: Threads, clock: Clock
) -> None:
    healthy = world.origin()
    other = world.cached(healthy, timer=clock, **STALE)
    other()
    load, gate = hanging(world, clock, 3 * _pool.THREADS)
    for _ in range(_pool.TURNS):
        gate.arrived()
    assert other() == 1
    landed(other)
    assert other() == 2
    assert len(load.in_flight()) == 3 * _pool.THREADS


def test_refreshes_of_many_functions_that_hang_stop_no_other_for_long(
    world: Threads, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A stale hit whose refresh has waited for long gets a thread for it, and says so, once."""
    now = 0.0
    monkeypatch.setattr(thread_loads, "monotonic", lambda: now)
    healthy = world.origin()
    other = world.cached(healthy, timer=clock, **STALE)
    other()
    others = [hanging(world, clock, _pool.TURNS) for _ in range(3)]
    waiting = sum(load.stats().refreshes for load, _ in others)
    arrived = [gate for _, gate in others]
    until(lambda: sum(gate.arrivals for gate in arrived) == _pool.THREADS)
    assert waiting == 3 * _pool.TURNS
    for _ in range(5):
        assert other() == 1
    assert (healthy.loads, caplog.records) == (1, [])
    now = thread_loads.LONG
    for _ in range(5):
        assert other() in (1, 2)
        landed(other)
    assert (other(), healthy.loads) == (2, 2)
    (record,) = caplog.records
    assert "a refresh has waited for more than 1 s for a thread" in record.getMessage()


def test_a_function_whose_own_refreshes_hang_gets_no_more_threads(
    world: Threads, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(thread_loads, "monotonic", lambda: now)
    load, gate = hanging(world, clock, 3 * _pool.THREADS)
    for _ in range(_pool.TURNS):
        gate.arrived()
    now = thread_loads.LONG
    for key in range(3 * _pool.THREADS):
        load(key)
    assert gate.arrivals == _pool.TURNS
    assert len(caplog.records) == 1
    gate.open()
    landed(load)
    assert load.stats().abandoned == 0


def test_an_executor_of_ones_own_that_hangs_is_told(
    world: Threads,
    clock: Clock,
    one: Executor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    monkeypatch.setattr(thread_loads, "monotonic", lambda: now)
    origin = world.origin()
    load = world.cached(origin, timer=clock, executor=one, **STALE)
    for key in range(2):
        load(key)
    clock.advance(10)
    gate = origin.hold()
    load(0)
    gate.arrived()
    load(1)
    assert not caplog.records
    now = thread_loads.LONG
    assert [load(1), load(1)] == [2, 2]
    assert len(caplog.records) == 1
    gate.open()
    landed(load)


def test_a_function_that_hangs_a_little_is_not_starved_by_others(
    world: Threads, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the pool's threads hang, one of them with a load of its own."""
    now = 0.0
    monkeypatch.setattr(thread_loads, "monotonic", lambda: now)
    origin = world.origin()
    load = world.cached(origin, timer=clock, **STALE)
    load("hangs")
    load("well")
    clock.advance(10)
    own = origin.hold()
    load("hangs")
    own.arrived()
    origin.free()
    _, gate = hanging(world, clock, _pool.TURNS)
    _, other = hanging(world, clock, _pool.TURNS)
    until(lambda: gate.arrivals + other.arrivals == _pool.THREADS - 1)
    load("well")
    now = thread_loads.LONG
    load("well")
    until(lambda: len(load.in_flight()) == 1)
    own.open()


def test_a_refresh_that_a_caller_has_run_leaves_the_queue(world: Threads, clock: Clock) -> None:
    """Else its value would be kept for as long as the threads of the pool hang."""
    load, gate = hanging(world, clock, _pool.TURNS)
    for _ in range(_pool.TURNS):
        gate.arrived()
    world._origins[-1].free()
    core = load._core
    for _ in range(3):
        load.put("old", "k")
        clock.advance(10)
        assert load("k") == "old"  # its refresh waits
        clock.advance(60)
        assert load("k") == world._origins[-1].loads  # and is run by who needs it
    lines = [line for line in _pool.pool.lines if line._running]
    assert [len(line._jobs) for line in lines] == [0]
    assert core.table.flights
    gate.open()


@needs_fork
def test_the_pool_of_a_child_begins_anew(world: Threads, clock: Clock) -> None:
    load, gate = hanging(world, clock, 2 * _pool.THREADS)
    for _ in range(_pool.TURNS):
        gate.arrived()
    world._origins[-1].free()

    def refreshes() -> bool:
        load.put("old", "k")
        clock.advance(10)
        assert load("k") == "old"
        landed(load)
        return bool(load("k") != "old")

    in_child(refreshes)
    gate.open()


def test_log_handlers_do_not_end_the_threads_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(_locks, "_log", raises)
    submit = _pool.Line(_pool.Pool())
    ran: list[int] = []
    for number in range(3 * _pool.THREADS):
        submit(raises)
        submit(ran.append, number)
    until(lambda: len(ran) == 3 * _pool.THREADS)


def test_no_refresh_is_lost_between_the_turns() -> None:
    """However jobs come while threads look for the next one."""
    pool, ran = _pool.Pool(), deque()
    lines = [_pool.Line(pool) for _ in range(5)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def submits(number: int) -> None:
        for i in range(200):
            lines[(number + i) % 5](ran.append, None)

    try:
        callers = [Caller(submits, number) for number in range(4)]
        for caller in callers:
            caller.result()
        until(lambda: len(ran) == 800)
    finally:
        sys.setswitchinterval(interval)
    until(lambda: all(len(line._turns) == _pool.TURNS for line in lines))
    assert len(pool._threads) <= _pool.THREADS


def test_a_load_on_an_executor_sees_the_context_of_its_caller(
    world: Threads, clock: Clock, one: Executor
) -> None:
    user = ContextVar("user", default="nobody")
    origin = world.origin()
    origin.answer = lambda number: (thread_name(number), user.get(), user.set("the loader"))
    load = world.cached(origin, executor=one, timer=clock, **PATIENT)
    context = copy_context()
    context.run(user.set, "a caller")
    assert context.run(load)[:2] == ("mine_0", "a caller")
    assert context[user] == "a caller"


def test_an_executor_may_run_things_at_once(world: Threads, clock: Clock) -> None:
    class AtOnce(Executor):
        def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(call(*args, **kwargs))
            return future

    _, load = world.aged(10, executor=AtOnce(), timer=clock, wait_timeout=20, **STALE)
    assert [load(), load()] == [1, 2]


# A leader is just another caller


def test_a_leader_has_patience_as_well_and_its_load_goes_on(
    world: Threads, clock: Clock, one: Executor
) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, executor=one, wait_timeout=0.1, timer=clock)
    gate = origin.hold()
    for _ in range(2):
        with pytest.raises(WaitTimeout, match=r"load\['k'\]"):
            load()
    gate.open()
    landed(load)
    assert load() == 1
    assert counted(load) == {"hits": 1, "misses": 1, "joined": 1, "timeouts": 2}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a bare raise adds a frame there")
def test_an_error_has_the_loaders_traceback_alone(
    world: Threads, clock: Clock, one: Executor
) -> None:
    origin = world.origin()
    origin.fail()
    load = world.cached(origin, executor=one, timer=clock, **PATIENT)
    with pytest.raises(Boom) as info:
        load()
    _, *frames = [frame.name for frame in traceback.extract_tb(info.tb)]
    assert frames == ["load", "load", "answer"]  # the loader's, and the origin's two


def test_an_interruption_of_a_load_reaches_only_the_caller_that_started_it(
    world: Threads, clock: Clock, one: Executor
) -> None:
    origin = world.origin()

    def answer(number: int) -> int:
        if number == 1:
            raise SystemExit("of the load")
        return number

    origin.answer = answer
    load = world.cached(origin, executor=one, timer=clock, **PATIENT)
    gate = origin.hold()
    leader = Caller(load)
    gate.arrived()
    followers = [Caller(load) for _ in range(3)]
    until(lambda: load.stats().joined == 3)
    gate.open()
    with pytest.raises(SystemExit, match="of the load"):
        leader.result()
    assert [follower.result() for follower in followers] == [2] * 3
    stats = load.stats()
    assert (stats.misses, stats.abandoned, stats.errors) == (2, 1, 0)


def test_an_interruption_of_a_load_whose_caller_has_left_is_told(
    world: Threads, clock: Clock, one: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    origin = world.origin()

    def answer(number: int) -> None:
        raise SystemExit("of the load")

    origin.answer = answer
    load = world.cached(origin, ttl=10, executor=one, wait_timeout=0.1, timer=clock)
    gate = origin.hold()
    caller = Caller(load)
    gate.arrived()
    with pytest.raises(WaitTimeout):
        caller.result()
    gate.open()
    until(lambda: caplog.records)  # after it has landed
    landed(load)
    (record,) = caplog.records
    assert (record.name, str(record.exc_info[1])) == ("soloflight", "of the load")


def test_interruptions_of_refreshes_do_not_use_up_the_threads(
    world: Threads, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    origin, load = world.aged(10, timer=clock, ttl=10, stale_while_revalidate=10_000)

    def answer(number: int) -> None:
        raise SystemExit

    origin.answer = answer
    for _ in range(2 * _pool.THREADS):
        assert load() == 1
        landed(load)
        clock.advance(30)  # no attempt is held off for longer
    until(lambda: len(caplog.records) == 2 * _pool.THREADS)
    assert load.stats().abandoned == 2 * _pool.THREADS
    origin.recover()
    load()
    landed(load)
    assert load() == origin.loads
