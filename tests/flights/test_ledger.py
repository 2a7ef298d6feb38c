"""What happened: it is told to whoever observes, and an outage is logged once."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from both_worlds import World, landed
from conftest import Boom, Clock, until
from soloflight._flights.ledger import Event
from soloflight._locks import is_held
from soloflight._runners import me

RELOAD = {"ttl": 10, "stale_while_revalidate": 600, "stale_if_error": 600, "retry_after": (1, 1)}


def observed(load: Any) -> list[tuple[str, object]]:
    """What the observer of a function is told from now on."""
    told: list[tuple[str, object]] = []

    def observer(event: Event) -> None:
        why = event.why if isinstance(event.why, str) else None
        told.append((event.what, why))

    load._core.table.ledger.observer = observer
    return told


def fails(load: Any, world: World, clock: Clock) -> None:
    """A stale hit whose refresh fails; the next attempt is not held off any more."""
    before = load.stats().errors
    world.call(load)
    until(lambda: load.stats().errors == before + 1)
    landed(load)
    clock.advance(2)


def test_an_observer_is_told_what_happens_to_calls_and_flights(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, timer=clock, **RELOAD)
    told = observed(load)
    gate = origin.hold()
    callers = world.aboard(2, load)
    gate.open()
    assert [caller.result() for caller in callers] == [1, 1]
    origin.free()
    world.call(load)  # a hit, of which nothing is told
    until(lambda: len(told) == 3)
    assert sorted(what for what, _ in told) == ["joined", "landed", "led"]
    told.clear()

    clock.advance(10)
    origin.fail()
    fails(load, world, clock)
    until(lambda: len(told) == 3)
    assert {*told} == {("served", "stale"), ("led", "refresh"), ("landed", None)}
    told.clear()

    load.invalidate("k")
    with pytest.raises(Boom):
        world.call(load)
    until(lambda: len(told) == 2)
    assert told == [("led", None), ("landed", None)]


def test_a_fence_is_told_with_its_reason(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10)
    told = observed(load)
    gate = origin.hold()
    for fence in (load.invalidate, load.forget, load.clear, lambda: load.put("put")):
        caller = world.start(load)
        gate.arrived()
        fence()
        load.cache.clear()
        del caller
    gate.open()
    landed(load)
    reasons = [why for what, why in told if what == "fenced"]
    assert reasons == ["invalidate", "forget", "clear", "put"]


@pytest.mark.parametrize("listens", ["observer", "log handler"])
def test_what_is_told_may_have_a_miss_itself(world: World, clock: Clock, listens: str) -> None:
    """It runs under no lock of ours, and in no thread whose load has yet to land."""
    origin = world.origin()
    load = world.cached(origin, timer=clock, **RELOAD)
    other = world.cached(world.origin(), ttl=10)
    seen: list[Any] = []
    where: set[tuple[bool, bool]] = set()

    def act(what: object) -> None:
        thread = me.local.thread
        held = is_held(thread.lock) or is_held(load._core.table.lock)
        leads = thread.flight is not None and not thread.flight.over
        where.add((held, leads))
        if seen:
            return  # of what that itself brings about
        seen.append(what)
        # In a task it would block the loop that it needs; what is cached it gets everywhere.
        value = other() if world.name == "threads" else other.peek()
        seen.append(value if world.name == "threads" else 1)

    class Handler(logging.Handler):
        emit = staticmethod(act)  # type: ignore[assignment]

    world.call(load)
    clock.advance(10)
    handler = Handler()
    log = logging.getLogger("soloflight")
    if listens == "observer":
        load._core.table.ledger.observer = act
    else:
        log.addHandler(handler)
    try:
        origin.fail()
        fails(load, world, clock)
        until(lambda: len(seen) == 2)
    finally:
        log.removeHandler(handler)
    assert seen[1] == 1
    assert where == {(False, False)}


def test_an_observer_that_raises_is_logged_and_told_no_more(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    load = world.cached(world.origin(), ttl=10, name="load")
    told: list[Event] = []

    def observer(event: Event) -> None:
        told.append(event)
        raise Boom

    load._core.table.ledger.observer = observer
    assert world.call(load) == 1
    load.invalidate()
    assert world.call(load) == 2
    until(lambda: caplog.records)
    assert len(told) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "load: an observer raised, and is told no more"
    ]
    caplog.clear()


def test_an_outage_is_logged_once_and_its_end_with_what_was_left_out(
    world: World, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    origin = world.origin()
    load = world.cached(origin, timer=clock, name="load", **RELOAD)
    world.call(load)
    clock.advance(10)
    for outage in (3, 1):
        origin.fail()
        for _ in range(outage):
            fails(load, world, clock)
        origin.recover()
        loads = origin.loads
        world.call(load)
        until(lambda loads=loads: origin.loads == loads + 1)  # type: ignore[misc]
        landed(load)
        clock.advance(10)
    until(lambda: len(caplog.records) == 3)
    assert [record.getMessage() for record in caplog.records] == [
        "load['k']: a reload failed",
        "load: loads succeed again; 2 more reloads had failed",
        "load['k']: a reload failed",
    ]
    assert load.stats().errors == 4
    caplog.clear()
