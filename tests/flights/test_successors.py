"""Whoever followed a flight that was abandoned follows the next one, however late it wakes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Caller, Clock, Gate, herd, until, until_async, waiters
from soloflight import Group, cached_singleflight, singleflight
from soloflight._flights.by_key import Flights
from soloflight._flights.table import FlightTable
from soloflight._worlds.tasks import LoopWaiters
from soloflight._worlds.threads import ThreadWaiters


class Interruption(SystemExit):
    """Of one thread alone."""


FOLLOWERS = 20


def interrupted_at(gate: Gate, loads: list[int]) -> Callable[[], int]:
    """A loader that returns the number of its load; the first one is interrupted, at the gate."""

    def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            gate()
            raise Interruption
        return len(loads)

    return load


def outcomes(followers: list[Caller]) -> list[Any]:
    found = []
    for follower in followers:
        try:
            found.append(follower.result())
        except LookupError as error:
            found.append(repr(error))
    return found


@pytest.mark.parametrize("ending", ["value", "error", "stores-nothing"])
def test_an_interrupted_leader_costs_one_reload(gate: Gate, ending: str) -> None:
    """However short that is: it has landed before most of them have woken."""
    loads: list[int] = []

    def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            gate()
            raise Interruption
        if ending == "error":
            raise LookupError(len(loads))
        return len(loads)

    load = singleflight(load) if ending == "value" else cached_singleflight(ttl=0)(load)
    leader, followers = herd(FOLLOWERS, load, gate)
    gate.open()
    with pytest.raises(Interruption):
        leader.result()
    right = "LookupError(2)" if ending == "error" else 2
    assert outcomes(followers) == [right] * FOLLOWERS
    assert len(loads) == 2


def test_a_leader_that_leads_anew_is_interrupted_as_well(gate: Gate) -> None:
    """One after the other takes the lead, and each of the rest follows the last one."""
    loads: list[int] = []

    @singleflight
    def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            gate()
        if len(loads) <= 5:
            raise Interruption
        return len(loads)

    leader, followers = herd(FOLLOWERS, load, gate)
    gate.open()
    found = []
    for caller in (leader, *followers):
        try:
            found.append(caller.result())
        except Interruption:
            found.append(None)
    assert sorted(found, key=str) == [6] * (FOLLOWERS - 4) + [None] * 5
    assert len(loads) == 6


def test_a_newcomer_does_not_follow_what_has_landed(gate: Gate) -> None:
    """Nor does whoever was aboard, once it has an outcome: the next call is another one."""
    loads: list[int] = []
    load = singleflight(interrupted_at(gate, loads))
    leader, followers = herd(FOLLOWERS, load, gate)
    gate.open()
    with pytest.raises(Interruption):
        leader.result()
    assert outcomes(followers) == [2] * FOLLOWERS
    assert [load(), load()] == [3, 4]


def test_who_refreshes_does_not_take_what_its_successor_found_in_the_cache(
    gate: Gate, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a load, or loads itself."""
    loads: list[int] = []
    load = cached_singleflight(ttl=60, timer=clock)(interrupted_at(gate, loads))
    leader = Caller(load)
    gate.arrived()
    wakes = ThreadWaiters.wake

    def wake(self: ThreadWaiters) -> None:
        if not load.in_flight():  # as if somebody had put it, after the leader was interrupted
            core = load._core
            core.shelf.store(load.cache_key(), core.shelf.policy.entry("put", clock.now, 0.0))
        wakes(self)

    caller, refresher = Caller(load), Caller(load.refresh)
    until(lambda: waiters(load) == 2)
    monkeypatch.setattr(ThreadWaiters, "wake", wake)
    gate.open()
    with pytest.raises(Interruption):
        leader.result()
    assert refresher.result() == 2
    assert caller.result() in ("put", 2)  # as it looks before the refresh has landed, or after


def test_a_task_that_refreshes_does_not_take_what_its_successor_found_in_the_cache(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same loop: it gets other outcomes as they are."""
    loads: list[int] = []

    @cached_singleflight(ttl=60, timer=clock)
    async def load() -> Any:
        loads.append(1)
        if len(loads) == 1:
            await until_async(lambda: waiters(load) == 3)
            monkeypatch.setattr(LoopWaiters, "wake", wake)
            raise asyncio.CancelledError
        return len(loads)

    wakes = LoopWaiters.wake

    def wake(self: LoopWaiters) -> None:
        monkeypatch.undo()
        load.put("put")  # after the leader was interrupted, and before anybody has woken
        wakes(self)

    async def main() -> None:
        leader = asyncio.ensure_future(load())
        await until_async(lambda: loads)
        caller, refresher = asyncio.ensure_future(load()), asyncio.ensure_future(load.refresh())
        with pytest.raises(asyncio.CancelledError):
            await leader
        assert await caller == "put"
        assert await refresher == 2

    asyncio.run(main())


def test_futures_follow_the_successor_as_well(gate: Gate) -> None:
    loads: list[int] = []
    group, load = Group(), interrupted_at(gate, loads)

    leader = Caller(group.do, "k", load)
    gate.arrived()
    futures = [group.submit("k", load) for _ in range(5)]
    followers = [Caller(group.do, "k", load) for _ in range(5)]
    until(lambda: waiters(group) == 10)
    gate.open()
    with pytest.raises(Interruption):
        leader.result()
    assert [future.result(20) for future in futures] == [2] * 5
    assert outcomes(followers) == [2] * 5
    assert len(loads) == 2


def test_tasks_of_other_loops_follow_the_successor_as_well() -> None:
    """The loop that ran the load was closed; the loops of the others look now and then."""
    loads: list[int] = []

    @singleflight
    async def load() -> int:
        loads.append(1)
        if len(loads) == 1:
            await asyncio.Event().wait()
        return len(loads)

    async def lead() -> None:
        leader = asyncio.ensure_future(load())
        await until_async(lambda: waiters(load) == 5)
        leader.cancel()  # asyncio.run cancels the load

    async def follow() -> int:
        await until_async(lambda: loads)
        return await load()

    leader = Caller(asyncio.run, lead())
    followers = [Caller(asyncio.run, follow()) for _ in range(4)]
    leader.result()
    assert outcomes(followers) == [2] * 4
    assert len(loads) == 2


def test_a_flight_that_is_over_and_still_on_the_table_succeeds_nobody(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption of the landing, between waking them and taking it off, for a moment."""
    loads: list[int] = []
    load = singleflight(interrupted_at(gate, loads))
    leader, followers = herd(3, load, gate)
    remove, land = Flights.__delitem__, FlightTable.land
    struck: list[int] = []

    def remove_struck(self: Flights, hash: int) -> None:
        if not struck:
            struck.append(hash)
            raise KeyboardInterrupt
        remove(self, hash)

    def land_struck(self: FlightTable, *args: Any) -> None:
        try:
            land(self, *args)
        except KeyboardInterrupt:
            until(lambda: not any(follower.is_alive() for follower in followers))
            raise  # and it lands again

    monkeypatch.setattr(Flights, "__delitem__", remove_struck)
    monkeypatch.setattr(FlightTable, "land", land_struck)
    gate.open()
    with pytest.raises(KeyboardInterrupt):
        leader.result()
    assert outcomes(followers) == [2] * 3
