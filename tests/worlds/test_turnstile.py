"""How threads that follow a flight are woken, one after the other."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from conftest import Caller, Gate, loaded, ticket, until, waiters
from soloflight import singleflight
from soloflight._flights.table import FlightTable
from soloflight._flights.waits import Edge
from soloflight._runners import me
from soloflight._worlds import threads


def test_followers_are_woken_and_need_not_look_by_themselves(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes through the turnstile opens it for the next; the poll is no substitute."""
    monkeypatch.setattr(threads, "POLL", 1000.0)

    @singleflight
    def load() -> int:
        gate()
        return 1

    callers = [Caller(load) for _ in range(6)]
    until(lambda: waiters(load) == 5)
    gate.open()
    assert [caller.result() for caller in callers] == [1] * 6


def test_an_interrupt_in_the_turnstile_leaves_it_open() -> None:
    """An interruption between coming through and opening it for the next."""
    table = FlightTable("f")
    leader, mine = ticket("k"), ticket("k")
    for flight in (leader, mine):
        table.claim(flight, threads.board, may_hit=False)
    turnstile = mine.signal.turnstile

    def local(frame: Any, event: str, arg: object) -> Any:
        if event == "line":
            if leader.over and turnstile.locked():
                sys.settrace(None)
                raise KeyboardInterrupt
            if "left" in frame.f_locals and not leader.over:
                table.land(leader, loaded(1))
        return local

    def wait() -> None:
        sys.settrace(
            lambda frame, event, arg: local if frame.f_code is threads._wait.__code__ else None
        )
        threads._wait(table, leader, mine.signal, None, Edge((me.local.thread,), leader), False)

    with pytest.raises(KeyboardInterrupt):
        Caller(wait).result()
    assert not turnstile.locked()
