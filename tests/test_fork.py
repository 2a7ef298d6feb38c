"""Law 14: what a child process starts with."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable

import pytest

from conftest import Caller, Gate
from soloflight import Group, cached_singleflight

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


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


def test_a_child_does_not_wait_for_a_load_of_its_parent(gate: Gate) -> None:
    group = Group()
    parent = Caller(group.do, "k", gate)
    gate.arrived()
    in_child(lambda: len(group) == 0 and group.do("k", lambda: 1) == 1)
    gate.open()
    parent.result()


def test_a_child_has_the_entries_of_its_parent() -> None:
    @cached_singleflight(ttl=60)
    def load(key: str) -> int:
        return os.getpid()

    parent = load("k")
    in_child(lambda: load("k") == parent and load("other") == os.getpid())


def test_a_child_never_gets_a_lock_that_a_thread_of_its_parent_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("soloflight._fork.PATIENCE", 0.01)
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


def test_the_parent_goes_on_as_before() -> None:
    @cached_singleflight(ttl=60)
    def load(key: str) -> str:
        return key

    load("k")
    in_child(lambda: True)
    assert load.invalidate("k") is True
    assert Caller(load, "k").result() == "k"
