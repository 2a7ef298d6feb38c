"""A `KeyboardInterrupt` at every line of ours: law 5, wherever it strikes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import soloflight
from conftest import Caller, Gate, until, waiters
from soloflight import _waits, cached_singleflight
from soloflight._locks import me

OURS = str(Path(soloflight.__file__).parent)


class Interrupter:
    """Raises at the n-th line of ours that the call executes."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.where = ""

    def __call__(self, frame: Any, event: str, arg: object) -> Any:
        filename = frame.f_code.co_filename
        if not filename.startswith((OURS, "<soloflight")):
            return None
        if event == "line":
            if self.left == 0:
                self.where = f"{filename}:{frame.f_lineno}"
                self.left -= 1
                sys.settrace(None)
                raise KeyboardInterrupt
            self.left -= 1
        return self

    def run(self, call: Callable[[], Any]) -> None:
        """Run a call in this thread, interrupted on the way."""
        old = sys.gettrace()
        sys.settrace(self)
        try:
            call()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(old)

    @property
    def struck(self) -> bool:
        return bool(self.where)


def make() -> tuple[Any, Gate]:
    gate = Gate()

    @cached_singleflight(ttl=60, maxsize=2)
    def load(key: str) -> str:
        if gate.arrivals == 0:
            gate()
        return key

    return load, gate


def check(load: Any, followers: list[Caller]) -> None:
    """Everyone aboard is answered, the lock is free, the key loads again."""
    assert [follower.result() for follower in followers] == ["k"] * len(followers)
    assert Caller(lambda: load.invalidate("k") in (True, False)).result()
    assert Caller(load, "k").result() == "k"
    assert Caller(load, "k").result() == "k"
    assert Caller(load, "other").result() == "other"
    assert not load.in_flight()
    store = load._core.shelf._store
    assert store.busy is None or store.busy() is None


def leader(interrupter: Interrupter) -> None:
    load, gate = make()
    followers: list[Caller] = []

    def follow() -> None:
        # As soon as the leader is inside its load; if it never gets there, without it.
        gate.arrived()
        followers.extend(Caller(load, "k") for _ in range(2))
        until(lambda: waiters(load) == 2)
        gate.open()

    thread = Caller(follow)
    interrupter.run(lambda: load("k"))
    if gate.arrivals == 0:
        Caller(load, "k")
    thread.result()
    check(load, followers)


def loading() -> tuple[Any, Gate, list[Caller]]:
    """A load in progress, with its leader and a follower."""
    load, gate = make()
    first = Caller(load, "k")
    gate.arrived()
    patient = Caller(load, "k")
    until(lambda: waiters(load) == 1)
    return load, gate, [first, patient]


def follower(interrupter: Interrupter) -> None:
    load, gate, callers = loading()

    def open_gate() -> None:
        until(lambda: waiters(load) == 2 or interrupter.struck or done.is_set())
        gate.open()

    done = threading.Event()
    opener = Caller(open_gate)
    interrupter.run(lambda: load("k"))
    done.set()
    opener.result()
    check(load, callers)


def invalidating(interrupter: Interrupter) -> None:
    load, gate, callers = loading()
    interrupter.run(lambda: load.invalidate("k"))
    gate.open()
    check(load, callers)


@pytest.mark.parametrize("role", [leader, follower, invalidating])
def test_an_interrupt_at_any_line_leaves_everyone_answered_and_the_key_free(
    role: Callable[[Interrupter], None],
) -> None:
    at = 0
    while True:
        interrupter = Interrupter(at)
        try:
            role(interrupter)
        except BaseException as error:
            raise AssertionError(f"interrupted at {interrupter.where} (line {at})") from error
        if not interrupter.struck:
            break
        at += 1
    assert at > 10


def test_an_interrupt_in_the_look_for_a_cycle_accuses_nobody_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    load, gate, callers = loading()
    with monkeypatch.context() as patch:
        patch.setattr(_waits, "_cycle", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load("k")
    edge = _waits._waiting.get(me.thread)
    assert edge is None or edge() is None, "this thread waits for nobody any more"
    gate.open()
    check(load, callers)
