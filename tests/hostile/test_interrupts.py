"""A `KeyboardInterrupt` at every line of ours: law 5, wherever it strikes."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from conftest import PATIENCE, Caller, Gate, until, until_async, waiters
from interrupter import Interrupter, everywhere
from soloflight import Group, SieveCache, cached_singleflight
from soloflight._entries.sieve import Sieve
from soloflight._flights import waits
from soloflight._runners import me
from soloflight._worlds import threads


def make(cached: Any) -> tuple[Any, Gate]:
    gate = Gate()

    @cached(ttl=60, maxsize=2)
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
    if isinstance(load.cache, SieveCache):
        check_whole(load.cache._sieve)
    else:
        store = load._core.shelf._store
        assert store.busy is None or store.busy() is None


def check_whole(sieve: Sieve) -> None:
    """Its ring is one, has what is shown, and is as large as it says."""
    linked, node = [], sieve.root
    while (node := node.newer) is not sieve.root:
        assert node.older.newer is node
        linked.append(node)
    assert sieve.root.older is (linked or [sieve.root])[-1]
    assert sieve.count == len(linked)
    assert sieve.total == sum(node.size for node in linked)
    assert set(sieve.index.values()) <= set(linked)


def leading(interrupter: Interrupter, cached: Any, call: Callable[[Any], Any]) -> None:
    load, gate = make(cached)
    followers: list[Caller] = []

    def follow() -> None:
        # As soon as the leader is inside its load; if it never gets there, without it.
        gate.arrived()
        followers.extend(Caller(load, "k") for _ in range(2))
        until(lambda: waiters(load) == 2)
        gate.open()

    thread = Caller(follow)
    interrupter.run(lambda: call(load))
    if gate.arrivals == 0:
        Caller(load, "k")
    thread.result()
    check(load, followers)


def loading(cached: Any) -> tuple[Any, Gate, list[Caller]]:
    """A load in progress, with its leader and a follower."""
    load, gate = make(cached)
    first = Caller(load, "k")
    gate.arrived()
    patient = Caller(load, "k")
    until(lambda: waiters(load) == 1)
    return load, gate, [first, patient]


def follower(interrupter: Interrupter, cached: Any) -> None:
    load, gate, callers = loading(cached)

    def open_gate() -> None:
        until(lambda: waiters(load) == 2 or interrupter.struck or done.is_set())
        gate.open()

    done = threading.Event()
    opener = Caller(open_gate)
    interrupter.run(lambda: load("k"))
    done.set()
    opener.result()
    check(load, callers)


def changing(interrupter: Interrupter, cached: Any, call: Callable[[Any], Any]) -> None:
    load, gate, callers = loading(cached)
    interrupter.run(lambda: call(load))
    gate.open()
    check(load, callers)


def hitting(interrupter: Interrupter, cached: Any) -> None:
    load, gate = make(cached)
    gate.open()
    load("k")
    interrupter.run(lambda: load("k"))
    check(load, [])


def evicting(interrupter: Interrupter, cached: Any) -> None:
    load, gate = make(cached)
    gate.open()
    for key in ("a", "b"):
        load(key)
    interrupter.run(lambda: load("k"))
    check(load, [])


def submitting(interrupter: Interrupter, follow: bool) -> None:
    group, gate = Group(), Gate()

    def load() -> str:
        gate()
        return "k"

    callers = []
    if follow:
        callers = [Caller(group.do, "k", load), Caller(group.submit("k", load).result, PATIENCE)]
    interrupter.run(lambda: group.submit("k", load))
    callers += [Caller(group.do, "k", load), Caller(group.submit("k", load).result, PATIENCE)]
    gate.open()
    assert [caller.result() for caller in callers] == ["k"] * len(callers)
    until(lambda: not len(group))
    assert Caller(group.submit("k", load).result, PATIENCE).result() == "k"


def in_tasks(interrupter: Interrupter, cached: Any, lead: bool) -> None:
    """A task of this thread's event loop; the others are tasks of other loops."""
    opened, loads = threading.Event(), []

    @cached(ttl=60)
    async def load(key: str) -> str:
        loads.append(key)
        if len(loads) == 1:
            await until_async(opened.is_set)
        return key

    def call() -> Caller:
        return Caller(asyncio.run, load("k"))

    others: list[Caller] = [] if lead else [call(), call()]

    def direct() -> None:
        if lead:
            until(lambda: loads or done.is_set())
            others.extend([call(), call()])
        until(lambda: waiters(load) == 3 or done.is_set())
        opened.set()

    if not lead:
        until(lambda: waiters(load) == 2)
    done = threading.Event()
    director = Caller(direct)
    interrupter.run(lambda: asyncio.run(load("k")))
    done.set()
    director.result()
    assert [other.result() for other in others] == ["k"] * 2
    gc.collect()  # an entry whose store was interrupted is seen while the interruption holds it
    assert call().result() == "k"
    assert Caller(load.invalidate, "k").result() is True
    before = len(loads)
    assert call().result() == "k"
    assert len(loads) == before + 1
    assert not load.in_flight()


ROLES: dict[str, Callable[[Interrupter, Any], None]] = {
    "leader": partial(leading, call=lambda load: load("k")),
    "refreshing": partial(leading, call=lambda load: load.refresh("k")),
    "follower": follower,
    "hit": hitting,
    "evicting": evicting,
    "invalidate": partial(changing, call=lambda load: load.invalidate("k")),
    "clear": partial(changing, call=lambda load: load.clear()),
    "put": partial(changing, call=lambda load: load.put("k", "k")),
    "forget": partial(changing, call=lambda load: load.forget("k")),
    "task": partial(in_tasks, lead=True),
    "task, following": partial(in_tasks, lead=False),
}


@pytest.mark.parametrize("role", ROLES)
def test_an_interrupt_at_any_line_leaves_everyone_answered_and_the_key_free(
    role: str, cached: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "task" not in role:  # the loop that ran a load may be closed, which only a look tells
        monkeypatch.setattr(threads, "POLL", 2 * PATIENCE)
    assert everywhere(partial(ROLES[role], cached=cached)) > (3 if role == "hit" else 10)
    gc.collect()
    assert "cannot reuse" not in caplog.text, "a task ran whose coroutine was closed under it"
    caplog.clear()  # "exception was never retrieved": asyncio's word for an interrupted task


@pytest.mark.parametrize("follow", [False, True], ids=["leading", "following"])
def test_an_interrupt_at_any_line_of_a_submit_leaves_everyone_answered_and_the_key_free(
    follow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "POLL", 2 * PATIENCE)
    assert everywhere(partial(submitting, follow=follow)) > 10


def test_an_interrupt_in_the_look_for_a_cycle_accuses_nobody_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    load, gate, callers = loading(cached_singleflight)
    with monkeypatch.context() as patch:
        patch.setattr(waits, "_cycle", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load("k")
    edge = waits._waiting.get(me.local.thread)
    assert edge is None or edge() is None, "this thread waits for nobody any more"
    gate.open()
    check(load, callers)
