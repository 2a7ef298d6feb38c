"""The laws, for plain functions on threads. `test_tasks` has the same tests for ``async def``."""

from __future__ import annotations

import ctypes
import gc
import threading
import traceback
import weakref
from typing import Any

import pytest

from conftest import Boom, Caller, Clock, Gate, herd, in_threads, until, waiters
from soloflight import (
    FlightDeadlock,
    WaitTimeout,
    cached_singleflight,
    singleflight,
)
from soloflight._outcome import SHARED

# Law 1 and 2: one flight, order of landing


def test_concurrent_identical_calls_share_one_load(gate: Gate) -> None:
    @singleflight
    def load(key: str) -> object:
        gate()
        return object()

    callers = in_threads(10, load, "k")
    until(lambda: waiters(load) == 9)
    gate.open()

    assert len({id(caller.result()) for caller in callers}) == 1
    assert gate.arrivals == 1
    stats = load.stats()
    assert (stats.hits, stats.misses, stats.joined) == (0, 1, 9)


def test_different_keys_do_not_wait_for_each_other(gate: Gate) -> None:
    @singleflight
    def load(key: str) -> str:
        if key == "slow":
            gate()
        return key

    slow = Caller(load, "slow")
    gate.arrived()

    assert load("fast") == "fast"
    gate.open()
    assert slow.result() == "slow"


def test_without_a_cache_the_next_call_loads_again() -> None:
    loads = []

    @singleflight
    def load() -> int:
        loads.append(1)
        return len(loads)

    assert [load(), load()] == [1, 2]


def test_a_call_after_landing_hits(clock: Clock) -> None:
    loads = []

    @cached_singleflight(ttl=10, timer=clock)
    def load(key: str) -> object:
        loads.append(key)
        return object()

    assert load("k") is load("k")
    assert loads == ["k"]
    assert load.stats().hits == 1


def test_no_call_falls_between_a_load_and_the_cache() -> None:
    """A hundred callers, each as soon as it can: still one load of each key."""
    loads: list[int] = []

    @cached_singleflight(ttl=60)
    def load(key: int) -> int:
        loads.append(key)
        return key

    start = threading.Barrier(20)

    def many() -> None:
        start.wait()
        for key in range(200):
            assert load(key) == key

    for caller in [Caller(many) for _ in range(20)]:
        caller.result()
    assert sorted(loads) == list(range(200))


# Law 3: hand-over


def test_followers_get_a_value_that_is_not_stored(gate: Gate) -> None:
    @cached_singleflight(ttl=60, maxsize=1, getsizeof=lambda value: 2)
    def load() -> object:
        gate()
        return object()

    callers = in_threads(3, load)
    until(lambda: waiters(load) == 2)
    gate.open()

    assert len({id(caller.result()) for caller in callers}) == 1
    assert load.peek() is None
    assert load.stats().store_errors == 0


def test_none_is_a_value(clock: Clock) -> None:
    loads = []

    @cached_singleflight(ttl=10, timer=clock)
    def load() -> None:
        loads.append(1)

    assert load() is None
    assert load() is None
    assert len(loads) == 1


def test_ttl_counts_from_the_end_of_the_load(clock: Clock) -> None:
    loads = []

    @cached_singleflight(ttl=10, timer=clock)
    def load() -> int:
        loads.append(1)
        clock.advance(100)
        return len(loads)

    assert load() == 1
    clock.advance(9.5)
    assert load() == 1
    clock.advance(0.5)  # exactly at the deadline
    assert load() == 2


@pytest.mark.parametrize("ttl", [0, lambda value: 0, lambda value: -1])
def test_a_ttl_that_is_over_at_once_is_handed_over_and_not_stored(ttl: Any) -> None:
    loads = []

    @cached_singleflight(ttl=ttl)
    def load() -> int:
        loads.append(1)
        return len(loads)

    assert [load(), load()] == [1, 2]
    assert load.peek() is None


def test_an_error_in_ttl_lands() -> None:
    def ttl(value: int) -> float:
        raise Boom

    @cached_singleflight(ttl=ttl)
    def load() -> int:
        return 1

    with pytest.raises(Boom):
        load()
    with pytest.raises(Boom):
        load()


# Law 4: errors


def test_an_error_is_shared_and_not_cached(gate: Gate) -> None:
    @cached_singleflight(ttl=60)
    def load() -> int:
        gate()
        raise Boom

    callers = in_threads(5, load)
    until(lambda: waiters(load) == 4)
    gate.open()
    errors = []
    for caller in callers:
        with pytest.raises(Boom) as caught:
            caller.result()
        errors.append(caught.value)

    assert len(set(map(id, errors))) == (1 if SHARED else 5)
    with pytest.raises(Boom):
        load()
    assert gate.arrivals == 2
    assert load.stats().errors == 2


def test_the_key_is_free_before_anyone_wakes(gate: Gate) -> None:
    @cached_singleflight(ttl=60)
    def load() -> int:
        gate()
        raise Boom

    def call() -> int:
        try:
            load()
        except Boom:
            return len([*load._core.table.flights.all()])
        return -1

    callers = in_threads(5, call)
    until(lambda: waiters(load) == 4)
    gate.open()
    assert [caller.result() for caller in callers] == [0] * 5


def test_an_error_has_the_traceback_of_the_loader_alone() -> None:
    @cached_singleflight(ttl=60)
    def load() -> int:
        raise Boom

    for _ in range(3):
        with pytest.raises(Boom) as caught:
            load()
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names[0] == "test_an_error_has_the_traceback_of_the_loader_alone"
        assert names[-1] == "load"
        assert len(names) <= 2 + OUR_FRAMES


OUR_FRAMES = 0
"""Frames of ours between the caller's and the loader's."""
if __import__("sys").version_info < (3, 11):
    OUR_FRAMES = 2  # there a bare `raise` restores the traceback that the error was caught with


def test_one_error_of_many_callers_does_not_grow_its_traceback(gate: Gate) -> None:
    @singleflight
    def load() -> int:
        gate()
        raise Boom

    callers = in_threads(30, load)
    until(lambda: waiters(load) == 29)
    gate.open()
    for caller in callers:
        caller.join()
    error = callers[0].error
    assert isinstance(error, Boom)
    assert len(traceback.extract_tb(error.__traceback__)) <= 10


# Law 5: interruptions


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_is_personal_and_one_follower_leads_anew(
    gate: Gate, interruption: type[BaseException]
) -> None:
    second = Gate()
    loads = []

    @cached_singleflight(ttl=60)
    def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            gate()
            raise interruption
        second()
        return len(loads)

    leader, followers = herd(4, load, gate)
    gate.open()
    with pytest.raises(interruption):
        leader.result()
    second.arrived()
    until(lambda: waiters(load) == 3)
    second.open()

    assert [follower.result() for follower in followers] == [2] * 4
    assert len(loads) == 2


def test_an_interrupted_caller_changes_nothing_for_the_rest(gate: Gate) -> None:
    @cached_singleflight(ttl=60)
    def load() -> int:
        gate()
        return 1

    leader = Caller(load)
    gate.arrived()
    patient, interrupted = Caller(load), Caller(lambda: load())
    until(lambda: waiters(load) == 2)
    # A blocked lock does not see an asynchronous exception; so it strikes when the follower wakes.
    assert interrupted.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(interrupted.ident), ctypes.py_object(KeyboardInterrupt)
    )
    gate.open()

    assert leader.result() == patient.result() == 1
    interrupted.join()
    assert isinstance(interrupted.error, KeyboardInterrupt)


# Law 6: leaving


def test_a_caller_leaves_after_wait_timeout_and_the_flight_goes_on(gate: Gate) -> None:
    @cached_singleflight(ttl=60, wait_timeout=0.01)
    def load() -> int:
        gate()
        return 1

    leader = Caller(load)
    gate.arrived()
    with pytest.raises(WaitTimeout, match="load"):
        load()
    with pytest.raises(TimeoutError):
        load()
    assert waiters(load) == 0
    gate.open()
    assert leader.result() == 1
    assert load() == 1
    assert gate.arrivals == 1


# Law 7: the fence


@pytest.mark.parametrize("fence", ["invalidate", "clear", "put", "forget"])
def test_a_load_that_began_before_the_fence_is_neither_seen_nor_joined(
    gate: Gate, fence: str
) -> None:
    loads = []

    @cached_singleflight(ttl=60)
    def load(key: str) -> str:
        loads.append(key)
        if len(loads) == 1:
            gate()
            return "old"
        return "new"

    leader = Caller(load, "k")
    gate.arrived()
    follower = Caller(load, "k")
    until(lambda: waiters(load) == 1)
    if fence == "invalidate":
        assert load.invalidate("k") is True
    elif fence == "clear":
        load.clear()
    elif fence == "put":
        load.put("new", "k")
    else:
        assert load.forget("k") is True

    assert load("k") == "new"
    gate.open()
    assert leader.result() == follower.result() == "old"
    assert load("k") == "new"
    entry = load.peek("k")
    assert entry is not None and entry.value == "new"


# Law 8: nothing is left behind


def test_no_cycle_keeps_the_arguments_of_a_failed_call_alive() -> None:
    class Argument:
        pass

    @cached_singleflight(ttl=60)
    def load(argument: Argument) -> int:
        raise Boom

    gc.collect()
    gc.disable()
    try:
        argument = Argument()
        seen = weakref.ref(argument)
        try:
            load(argument)
        except Boom as error:
            assert error.__traceback__ is not None
        del argument
        assert seen() is None
    finally:
        gc.enable()


def test_no_cycle_keeps_a_value_alive_that_was_not_stored() -> None:
    class Thing:
        pass

    @singleflight
    def load() -> Thing:
        return Thing()

    gc.collect()
    gc.disable()
    try:
        seen = weakref.ref(load())
        assert seen() is None
    finally:
        gc.enable()


# Law 9: no hangs, no false alarms


def test_a_loader_that_asks_for_its_own_key_gets_a_deadlock_error() -> None:
    @cached_singleflight(ttl=60, name="selfish")
    def load(key: int) -> int:
        return load(key)

    with pytest.raises(FlightDeadlock, match=r"selfish\[1\] -> selfish\[1\]"):
        load(1)
    assert not load.in_flight()


def test_a_recursive_loader_of_other_keys_is_fine() -> None:
    @cached_singleflight(ttl=60)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(80) == 23416728348467685


def test_a_cycle_of_two_loads_gets_a_deadlock_error() -> None:
    both = threading.Barrier(2)

    @cached_singleflight(ttl=60, name="a")
    def a(key: str) -> Any:
        both.wait()
        return b(key)

    @cached_singleflight(ttl=60, name="b")
    def b(key: str) -> Any:
        both.wait()
        return a(key)

    callers = [Caller(a, "k"), Caller(b, "k")]
    errors = []
    for caller in callers:
        with pytest.raises(FlightDeadlock, match=r"a.*b|b.*a") as caught:
            caller.result()
        errors.append(caught.value)
    assert not a.in_flight() and not b.in_flight()


def test_a_call_in_the_background_of_a_loader_is_not_accused(gate: Gate) -> None:
    children: list[Caller] = []

    @cached_singleflight(ttl=60)
    def load() -> int:
        if not children:
            children.append(Caller(load))
            until(lambda: waiters(load) == 1)
        return 1

    assert load() == 1
    assert children[0].result() == 1


# Law 10 and the rest of the surface


def test_refresh_loads_now_and_stores(clock: Clock) -> None:
    loads = []

    @cached_singleflight(ttl=10, timer=clock)
    def load(key: str) -> int:
        loads.append(key)
        return len(loads)

    assert load("k") == 1
    assert load.refresh("k") == 2
    assert load("k") == 2


def test_refresh_joins_a_flight_in_progress(gate: Gate) -> None:
    @cached_singleflight(ttl=10)
    def load() -> object:
        gate()
        return object()

    leader = Caller(load)
    gate.arrived()
    refresher = Caller(load.refresh)
    until(lambda: waiters(load) == 1)
    gate.open()
    assert leader.result() is refresher.result()
    assert gate.arrivals == 1
