"""Locks and user code inside of them; law 14: what a child process starts with."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Caller, Gate, until, waiters
from soloflight import Group, cached_singleflight

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


# User code that runs inside a lock


def test_user_code_inside_the_lock_may_follow_a_flight(gate: Gate) -> None:
    """That flight needs the lock for its landing."""

    def getsizeof(value: str) -> int:
        if value == "outer":
            followed.append(load("slow"))
        return 1

    followed: list[str] = []

    @cached_singleflight(ttl=60, getsizeof=getsizeof)
    def load(key: str) -> str:
        if key == "slow":
            gate()
        return key

    slow = Caller(load, "slow")
    gate.arrived()
    outer = Caller(load, "outer")
    until(lambda: any(info.waiters for info in load.in_flight()))
    gate.open()
    assert (slow.result(), outer.result(), followed) == ("slow", "outer", ["slow"])
    assert load.peek("slow") and load.peek("outer")


def test_user_code_inside_the_lock_may_lead_and_holds_nobody_up(gate: Gate) -> None:
    def getsizeof(value: str) -> int:
        if value == "outer":
            load("nested")
        return 1

    @cached_singleflight(ttl=60, getsizeof=getsizeof)
    def load(key: str) -> str:
        if key == "nested":
            gate()
        return key

    outer = Caller(load, "outer")
    gate.arrived()
    assert Caller(load, "other").result() == "other"
    assert Caller(load.invalidate, "other").result() is True
    gate.open()
    assert outer.result() == "outer"
    assert load.peek("nested") and load.peek("outer")


def test_user_code_inside_a_lock_may_follow_a_flight_that_needs_it_elsewhere(gate: Gate) -> None:
    def getsizeof(value: str) -> int:
        if value == "outer":
            other("slow")
        return 1

    @cached_singleflight(ttl=60, getsizeof=getsizeof)
    def load(key: str) -> str:
        return key

    @cached_singleflight(ttl=60)
    def other(key: str) -> str:
        gate()
        return load(key)

    slow = Caller(other, "slow")
    gate.arrived()
    outer = Caller(load, "outer")
    until(lambda: waiters(other) == 1)
    gate.open()
    assert (slow.result(), outer.result()) == ("slow", "outer")


def test_user_code_inside_a_lock_may_lead_elsewhere_and_holds_nobody_up(gate: Gate) -> None:
    def getsizeof(value: str) -> int:
        if value == "outer":
            other("nested")
        return 1

    @cached_singleflight(ttl=60, getsizeof=getsizeof)
    def load(key: str) -> str:
        return key

    @cached_singleflight(ttl=60)
    def other(key: str) -> str:
        gate()
        return key

    outer = Caller(load, "outer")
    gate.arrived()
    assert Caller(load, "k").result() == "k"
    gate.open()
    assert outer.result() == "outer"
    assert other.peek("nested") and load.peek("outer")


def test_user_code_inside_two_locks_may_change_what_the_other_one_guards() -> None:
    """Neither holds its own lock while it asks for the other's."""
    both_inside = threading.Barrier(2)

    def getsizeof_of(other: Callable[[], Any]) -> Callable[[str], int]:
        def getsizeof(value: str) -> int:
            if value == "outer":
                both_inside.wait(10)
                other().invalidate("k")
                other().put("new", "n")
                other()("led")
            return 1

        return getsizeof

    @cached_singleflight(ttl=60, getsizeof=getsizeof_of(lambda: b))
    def a(key: str) -> str:
        return key

    @cached_singleflight(ttl=60, getsizeof=getsizeof_of(lambda: a))
    def b(key: str) -> str:
        return key

    for load in (a, b):
        load("k")
    callers = [Caller(load, "outer") for load in (a, b)]
    assert [caller.result() for caller in callers] == ["outer", "outer"]
    for load in (a, b):
        assert load.peek("k") is None
        assert load.peek("outer") and load.peek("led")
        assert load.peek("n").value == "new"
        assert set(load.cache) == {"outer", "led", "n"}


# Fork


def in_child(check: Callable[[], bool]) -> None:
    """Run a check in a forked child, which must end in time with success."""
    with warnings.catch_warnings():
        # Python 3.12+ warns of forking with threads; that is the very case here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            ok = check()
        except BaseException:
            ok = False
        os._exit(0 if ok else 1)
    done = threading.Event()
    status: list[int] = []

    def wait() -> None:
        status.append(os.waitpid(child, 0)[1])
        done.set()

    Caller(wait)
    if not done.wait(20):
        os.kill(child, 9)
        raise AssertionError("the child hangs")
    assert status == [0]


@needs_fork
def test_a_child_does_not_wait_for_a_load_of_its_parent(gate: Gate) -> None:
    group = Group()
    parent = Caller(group.do, "k", gate)
    gate.arrived()
    in_child(lambda: len(group) == 0 and group.do("k", lambda: 1) == 1)
    gate.open()
    parent.result()


@needs_fork
def test_a_child_has_the_entries_of_its_parent() -> None:
    @cached_singleflight(ttl=60)
    def load(key: str) -> int:
        return os.getpid()

    parent = load("k")
    in_child(lambda: load("k") == parent and load("other") == os.getpid())


@needs_fork
def test_a_child_never_gets_a_lock_that_a_thread_of_its_parent_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("soloflight._locks.PATIENCE", 0.01)
    gate = Gate()

    def getsizeof(value: str) -> int:
        if value == "slow":
            gate()  # inside the lock, in mid-change
        return 1

    @cached_singleflight(ttl=60, getsizeof=getsizeof)
    def load(key: str) -> str:
        return key

    load("k")
    slow = Caller(load, "slow")
    gate.arrived()
    in_child(lambda: load("new") == "new" and load.invalidate("new") and load("k") == "k")
    gate.open()
    assert slow.result() == "slow"
    assert load.peek("slow") is not None


@needs_fork
def test_the_parent_goes_on_as_before() -> None:
    @cached_singleflight(ttl=60)
    def load(key: str) -> str:
        return key

    load("k")
    in_child(lambda: True)
    assert load.invalidate("k") is True
    assert Caller(load, "k").result() == "k"


@needs_fork
def test_threads_may_fork_at_the_same_time() -> None:
    @cached_singleflight(ttl=60)
    def load(key: int) -> int:
        return key

    both = threading.Barrier(2)

    def fork(n: int) -> None:
        for i in range(20):
            both.wait()
            in_child(lambda: load(-1) == -1)
            load(n * 100 + i)

    for caller in [Caller(fork, n) for n in (1, 2)]:
        caller.result()
    assert Caller(load.invalidate, 100).result() is True
