"""An event loop that is dropped, neither run to its end nor closed, takes its loads with it."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import Any

import pytest

from conftest import Caller, Clock, Gate, until, until_async, waiters
from soloflight import Group, cached_singleflight, singleflight
from soloflight._entries.policy import Policy
from soloflight._worlds import task_loads

QUIET = pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
"""asyncio's word for a loop that is dropped."""


class Loads:
    """The first load hangs; each brings its number."""

    def __init__(self) -> None:
        self.begun = 0

    async def load(self) -> int:
        self.begun += 1
        if self.begun == 1:
            await asyncio.Event().wait()
        return self.begun


def dropped(call: Any, loads: Loads) -> weakref.ref[Any]:
    """Begin a load in a loop that nobody holds afterwards."""

    async def begin() -> None:
        asyncio.ensure_future(call())  # noqa: RUF006  # nobody holds that either
        await until_async(lambda: loads.begun)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    return weakref.ref(loop)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """asyncio tells of the tasks of such a loop: "Task was destroyed but it is pending!"."""
    monkeypatch.setattr(logging.getLogger("asyncio"), "disabled", True)
    yield
    gc.collect()


@QUIET
@pytest.mark.parametrize("kind", ["cached", "singleflight", "group"])
def test_its_keys_are_free_once_it_is_collected(kind: str) -> None:
    loads = Loads()
    if kind == "group":
        group = Group()
        call: Any = lambda: group.do_async("k", loads.load)  # noqa: E731
        table: Any = group
    else:
        call = table = (cached_singleflight(ttl=60) if kind == "cached" else singleflight)(
            loads.load
        )
    loop = dropped(call, loads)
    gc.collect()
    assert loop() is None, "something of ours holds the loop"
    assert not table.in_flight()
    assert asyncio.run(asyncio.wait_for(call(), 20)) == 2


@QUIET
def test_a_thread_that_waits_for_a_load_of_it_leads_anew() -> None:
    loads, group = Loads(), Group()
    loop = dropped(lambda: group.do_async("k", loads.load), loads)
    follower = Caller(group.do, "k", lambda: "mine")
    until(lambda: waiters(group) == 2)
    until(lambda: gc.collect() >= 0 and loop() is None)
    assert follower.result() == "mine"


@QUIET
def test_a_task_of_another_loop_that_waits_for_a_load_of_it_leads_anew() -> None:
    loads = Loads()
    load = singleflight(loads.load)
    loop = dropped(load, loads)
    follower = Caller(asyncio.run, load())
    until(lambda: waiters(load) == 2)
    until(lambda: gc.collect() >= 0 and loop() is None)
    assert follower.result() == 2


@QUIET
def test_a_refresh_in_it_is_a_failed_one(clock: Clock) -> None:
    loads = Loads()
    load: Any = cached_singleflight(ttl=10, stale_while_revalidate=60, timer=clock)(loads.load)
    load.put(0)
    clock.advance(10)
    loop = dropped(load, loads)
    gc.collect()
    assert loop() is None
    assert load.peek().failures == 1
    assert asyncio.run(load()) == 0  # held off
    clock.advance(2)
    assert asyncio.run(load()) == 2  # in the foreground: the next loop may live no longer


@QUIET
def test_a_refresh_that_is_collected_in_its_landing_has_failed_once(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector may run anywhere, and ends its task."""
    loads = Loads()
    load: Any = cached_singleflight(ttl=10, stale_while_revalidate=60, timer=clock)(loads.load)
    load.put(0)
    clock.advance(10)
    loop = dropped(load, loads)
    table = load._core.table
    hold_off = Policy.abandoned

    def collected(*args: Any) -> None:
        gc.collect()
        hold_off(*args)

    monkeypatch.setattr(Policy, "abandoned", collected)
    gc.disable()
    try:
        for flight in table.flights.all():
            table.land(flight, None)
    finally:
        gc.enable()
    assert loop() is None
    assert load.peek().failures == 1


def test_a_load_is_held_while_its_loop_lives() -> None:
    """asyncio holds tasks weakly; a load whose wait nobody else holds has to go on."""
    woken: list[weakref.ref[Any]] = []

    @singleflight
    async def load() -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        woken.append(weakref.ref(future))
        return await future

    async def main() -> int:
        caller = asyncio.ensure_future(load())
        await until_async(lambda: woken)
        for _ in range(3):
            gc.collect()
        future = woken[0]()
        assert future is not None
        future.set_result(7)
        return await caller

    assert asyncio.run(main()) == 7


def test_callers_that_nobody_holds_are_held_while_their_loop_lives() -> None:
    """``create_task(load(1))`` to warm a cache, and the task let go of."""
    loads: list[int] = []

    @cached_singleflight(ttl=60)
    async def load(key: int) -> int:
        loads.append(key)
        await asyncio.sleep(0.05)
        return key

    async def main() -> None:
        for _ in range(3):
            asyncio.ensure_future(load(1))  # noqa: RUF006  # the leader, and followers
        await until_async(lambda: waiters(load) == 3)
        for _ in range(3):
            gc.collect()
        assert waiters(load) == 3
        await until_async(lambda: load.peek(1))

    asyncio.run(main())
    assert loads == [1]


def test_many_loops_leave_nothing_behind() -> None:
    """Loops that were closed in the middle of a load of a key that nobody asks for again."""
    loads: list[int] = []

    @singleflight
    async def load(key: int) -> None:
        loads.append(key)
        await asyncio.Event().wait()

    async def begin(key: int) -> None:
        task = asyncio.ensure_future(load(key))
        await until_async(lambda: key in loads)
        del task

    for key in range(3 * 64):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin(key))
        loop.close()
        del loop
        if key % 64 == 0:
            gc.collect()
    assert len(task_loads.loads) <= 2 * 64 + 1
    gc.collect()
    assert not load.in_flight()


def test_a_loop_that_takes_no_attributes_will_do() -> None:
    class Slotted(asyncio.SelectorEventLoop):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "_soloflight":
                raise AttributeError(name)
            super().__setattr__(name, value)

    @singleflight
    async def load(key: int) -> int:
        await asyncio.sleep(0)
        return key if key == 0 else await load(key - 1)

    loop = Slotted()
    try:
        assert loop.run_until_complete(load(3)) == 0
    finally:
        loop.close()


class Session:
    """Something of an event loop's that a loader needs, and that refers to the loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    async def fetch(self, *_: object) -> None:
        await asyncio.Event().wait()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # its sockets are in the ring
def test_a_loop_is_dropped_though_what_loads_in_it_refers_to_it() -> None:
    """Nothing of ours holds a loader that runs: whoever asks next leads."""
    group = Group()

    async def lead(session: Session) -> None:
        task = asyncio.ensure_future(group.do_async("k", session.fetch))
        await until_async(lambda: group.in_flight())
        assert not task.done()

    session = Session()
    session.loop.run_until_complete(lead(session))
    loop = weakref.ref(session.loop)
    del session
    gc.collect()
    assert loop() is None
    assert Caller(group.do, "k", lambda: "mine").result() == "mine"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # its sockets are in the ring
def test_a_loop_is_dropped_though_a_follower_in_it_was_called_with_what_refers_to_it(
    gate: Gate,
) -> None:
    """A ticket does not hold the arguments of its call."""
    group = Group()
    leader = Caller(group.do, "k", lambda: [gate(), 1][1])
    gate.arrived()

    async def follow(session: Session) -> None:
        task = asyncio.ensure_future(group.do_async("k", Session.fetch, session))
        await until_async(lambda: waiters(group) == 1)
        assert not task.done()

    session = Session()
    session.loop.run_until_complete(follow(session))
    loop, held = weakref.ref(session.loop), weakref.ref(session)
    del session
    gc.collect()
    assert loop() is held() is None
    gate.open()
    assert leader.result() == 1
