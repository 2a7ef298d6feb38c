"""Who waits for which flight: one order of effects at a time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from weakref import ref

import pytest

from conftest import Caller, Gate, in_child, needs_fork, ticket, until, until_async, waiters
from soloflight import FlightDeadlock, Group
from soloflight._flights import waits
from soloflight._runners import Thread, me
from soloflight._worlds import task_loads


def test_a_cycle_that_is_gone_at_the_second_look_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges that did not exist at the same time accuse nobody."""

    flight, other = ticket("k"), ticket("l")
    for looks in ([[flight], None], [[flight], [flight, other]]):
        left = list(looks)
        monkeypatch.setattr(waits, "_cycle", lambda runner, flight, left=left: left.pop(0))
        with waits.Edge((object(),), flight):
            assert not left


def test_an_edge_ends_with_its_wait() -> None:
    """An edge ends with its wait, also where that was refused; an inner one gives way."""

    runner, outer, inner = me.local.thread, ticket("outer"), ticket("inner")
    mine = ticket("mine")
    for flight in (outer, inner):
        flight.load = Thread()
    with waits.Edge((runner,), outer):
        with waits.Edge((runner,), inner):
            pass
        assert waits._waiting[runner]() is outer
        with pytest.raises(FlightDeadlock):
            waits.Edge((runner,), mine).__enter__()
        assert waits._waiting[runner]() is outer
    assert runner not in waits._waiting
    with pytest.raises(FlightDeadlock):
        waits.Edge((runner,), mine).__enter__()
    assert runner not in waits._waiting


def test_the_walk_ends_and_passes_no_flight_that_is_over() -> None:
    """A flight that is over holds nobody up; a cycle of others is not walked for ever."""

    runner, a, b = me.local.thread, Thread(), Thread()
    over = ticket("over")
    over.over = True
    with waits.Edge((runner,), over):
        pass
    of_a, of_b = ticket("a"), ticket("b")
    of_a.load, of_b.load = a, b
    waits._waiting[a], waits._waiting[b] = ref(of_b), ref(of_a)
    try:
        with waits.Edge((runner,), of_a):
            pass
    finally:
        del waits._waiting[a], waits._waiting[b]


def test_the_edge_is_there_when_the_walk_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge first, the walk second."""

    runner, flight = Thread(), ticket("k")
    seen: list[Any] = []
    monkeypatch.setattr(
        waits, "_cycle", lambda runners, flight: seen.append(waits._waiting.get(runners[0]))
    )
    with waits.Edge((runner,), flight):
        pass
    assert seen[0]() is flight


@needs_fork
def test_a_child_inherits_no_edge_and_no_task(gate: Gate) -> None:
    """A child inherits neither an edge nor a task."""

    group = Group()
    leader = Caller(group.do, "k", gate)
    gate.arrived()
    follower = Caller(group.do, "k", int)
    until(lambda: waiters(group) == 1 and waits._waiting)
    stop = threading.Event()

    async def poll() -> None:
        await until_async(stop.is_set)

    task = Caller(lambda: asyncio.run(group.do_async("task", poll)))
    until(lambda: task_loads.loads)
    in_child(lambda: not waits._waiting and not task_loads.loads)
    stop.set()
    gate.open()
    for caller in (leader, follower, task):
        caller.result()
