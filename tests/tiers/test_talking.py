"""What a leader says to a store: cases that once went wrong."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from conftest import AsyncGate, Boom, Caller, Clock, Gate, until, until_async
from soloflight import cached_singleflight
from soloflight._tiers.codec import PickleCodec
from soloflight._tiers.memory import MemoryTier
from soloflight._tiers.verbs import DOWN, INVALIDATED, Reply


def test_who_waits_for_another_process_asks_once_and_not_in_circles() -> None:
    """A task takes its first steps before its caller is aboard (from Python 3.12 on)."""
    one = MemoryTier()
    other = MemoryTier(memory=one.memory)
    gate = AsyncGate()

    def loaded(tier: MemoryTier) -> Any:
        @cached_singleflight(ttl=60, codec="json", tier=tier, name="load")
        async def load(key: str) -> str:
            await gate()
            return key

        return load

    async def main() -> None:
        first, second = loaded(one), loaded(other)
        leader = asyncio.create_task(first("k"))
        await gate.arrived()
        follower = asyncio.create_task(second("k"))
        await until_async(lambda: other.bells)
        gate.open()
        assert await asyncio.gather(leader, follower) == ["k", "k"]
        assert gate.arrivals == 1
        assert second.stats().misses == 1

    asyncio.run(main())


def test_who_waited_as_it_was_invalidated_loads_once_for_all() -> None:
    one = MemoryTier()
    tiers = [one, *(MemoryTier(memory=one.memory) for _ in range(4))]
    loads, gates = iter([0, 1]), [Gate(), Gate()]

    def loaded(tier: MemoryTier) -> Any:
        @cached_singleflight(ttl=60, codec="json", tier=tier, name="load")
        def load(key: str) -> int:
            number = next(loads)
            gates[number]()
            return number

        return load

    functions = [loaded(tier) for tier in tiers]
    leader = Caller(functions[0], "k")
    gates[0].arrived()
    waiting = [Caller(load, "k") for load in functions[1:]]
    until(lambda: all(tier.bells for tier in tiers[1:]))
    functions[1].invalidate("k")
    gates[1].arrived()
    gates[1].open()
    assert [caller.result() for caller in waiting] == [1] * 4
    gates[0].open()
    assert leader.result() == 1  # what is newer, as its own was not stored
    assert [load("k") for load in functions] == [1] * 5


def test_a_hold_off_is_for_those_too_who_have_the_stale_value(clock: Clock) -> None:
    one = MemoryTier(clock=clock)
    tiers = [one, MemoryTier(memory=one.memory), MemoryTier(memory=one.memory)]
    attempts: list[int] = []

    def loaded(tier: MemoryTier) -> Any:
        @cached_singleflight(
            ttl=10,
            stale_if_error=60,
            retry_after=(5, 5),
            codec="json",
            tier=tier,
            name="load",
            timer=clock,
        )
        def load(key: str) -> str:
            attempts.append(tiers.index(tier))
            if len(attempts) > 1:
                raise Boom
            return key

        return load

    functions = [loaded(tier) for tier in tiers]
    assert [load("k") for load in functions] == ["k"] * 3
    clock.advance(11)  # each has it, stale, of the very version that the store has
    assert [load("k") for load in functions] == ["k"] * 3
    assert attempts == [0, 0]


def test_what_another_version_has_loaded_is_not_asked_for_for_ever() -> None:
    """Who has waited for a flight is given what that has stored, also where it cannot read it."""
    one = MemoryTier()
    other = MemoryTier(memory=one.memory)
    gate = Gate()

    @cached_singleflight(ttl=60, tier=one, name="load", codec="json")
    def load(key: str) -> str:
        gate()
        return "theirs"

    @cached_singleflight(ttl=60, tier=other, name="load", codec=PickleCodec(key=b"k" * 32))
    def load_anew(key: str) -> str:
        return "ours"

    leader = Caller(load, "k")
    gate.arrived()
    follower = Caller(load_anew, "k")
    until(lambda: other.bells)
    gate.open()
    assert (leader.result(), follower.result()) == ("theirs", "ours")
    assert load_anew.stats().unreadable >= 1


def test_a_leader_that_lost_its_lease_does_not_give_what_is_older(clock: Clock) -> None:
    tier = MemoryTier(clock=clock, lease=1)
    tier.keeper._start = lambda: None  # type: ignore[method-assign]  # it is stopped
    numbers = iter([1, 2])
    asking = MemoryTier(memory=tier.memory, lease=1)

    @cached_singleflight(ttl=60, tier=tier, name="load", codec="json", timer=clock)
    def load(key: str) -> int:
        number = next(numbers)
        if number == 2:
            clock.advance(2)  # past its lease, which is another's by now
            d = load_d[0]
            assert asking.ask(d, asking.token(), "r", b"", b"").kind == "L"
        return number

    load_d: list[bytes] = []
    known = tier.know

    def know(d: bytes, *rest: Any) -> None:
        load_d.append(d)
        known(d, *rest)

    tier.know = know  # type: ignore[method-assign]
    assert load("k") == 1
    assert load.refresh("k") == 2
    assert load.stats().lost_leases == 1


def test_what_is_forgotten_stays_invalidated() -> None:
    """A fence that is owed is not replaced by one that leaves what is stored."""
    one = MemoryTier()
    numbers = iter([1, 2])

    @cached_singleflight(ttl=60, tier=one, name="load", codec="json")
    def load(key: str) -> int:
        return next(numbers)

    assert load("k") == 1
    drop, one.drop = one.drop, lambda *_: DOWN
    load.invalidate("k")
    load.forget("k")
    one.drop = drop
    assert load("k") == 2


def test_a_value_that_ends_on_its_way_here_is_handed_over() -> None:
    clock = Clock()
    one, other = (MemoryTier(clock=clock) for _ in range(2))
    other.memory = one.memory
    load, late = (
        cached_singleflight(ttl=10, codec="json", tier=tier, timer=clock, name="load")(
            lambda key: key
        )
        for tier in (one, other)
    )
    assert load("k") == "k"

    def read(d: bytes) -> Reply:
        reply = one.memory.read(d)
        clock.advance(20)
        return reply

    other.read = read
    assert late("k") == "k"
    assert late.stats().loads == 0


def test_news_that_are_older_than_a_lease_do_not_end_it() -> None:
    """Who was woken by a fence may lead before its process hears of it, which comes second."""
    one = MemoryTier()
    other = MemoryTier(memory=one.memory)
    loads: list[str] = []

    def loaded(tier: MemoryTier) -> Any:
        @cached_singleflight(ttl=60, codec="json", tier=tier, name="load")
        def load(key: str) -> str:
            loads.append(key)
            (d,) = tier._known
            tier.hear(INVALIDATED, d)
            tier.keeper.step()
            return key

        return load

    assert loaded(one)("k") == "k"
    assert loaded(other)("k") == "k"
    assert loads == ["k"]


def test_what_was_led_before_a_fence_elsewhere_is_not_stored() -> None:
    one = MemoryTier()
    other = MemoryTier(memory=one.memory)
    loads = iter(range(9))

    def loaded(tier: MemoryTier) -> Any:
        @cached_singleflight(ttl=60, codec="json", tier=tier, name="load")
        def load(key: str) -> int:
            number = next(loads)
            if number == 0:
                functions[1].invalidate("k")
            return number

        return load

    functions = [loaded(one), loaded(other)]
    assert functions[0]("k") == 0
    assert [load("k") for load in functions] == [1, 1]


def test_a_load_that_is_too_old_lets_another_process_lead(clock: Clock) -> None:
    one = MemoryTier()
    other = MemoryTier(memory=one.memory)
    loads = iter(range(9))

    def loaded(tier: MemoryTier) -> Any:
        @cached_singleflight(
            ttl=60,
            codec="json",
            tier=tier,
            name="load",
            timer=clock,
            max_flight_age=5,
            max_abandoned=1,
        )
        def load(key: str) -> int:
            number = next(loads)
            if number == 0:
                clock.advance(6)
                again = Caller(functions[0], "k")
                until(lambda: not one.keeper.leases())
                assert functions[1]("k") == 1
                assert again.result() == 1
            return number

        return load

    functions = [loaded(one), loaded(other)]
    functions[0]("k")
    assert [load("k") for load in functions] == [1, 1]


def test_a_lease_is_given_back_whose_end_the_store_has_not_heard() -> None:
    one = MemoryTier()
    other = MemoryTier(memory=one.memory)
    loads = iter(range(9))

    @cached_singleflight(ttl=60, codec="json", tier=one, name="load")
    def load(key: str) -> int:
        one.store = lambda *_: DOWN
        return next(loads)

    @cached_singleflight(ttl=60, codec="json", tier=other, name="load")
    def elsewhere(key: str) -> int:
        return next(loads)

    assert load("k") == 0
    one.keeper.step()
    assert elsewhere.stats().misses == 0
    assert not any(lease.token for lease in one.memory._leases.values())
    assert elsewhere("k") == 1


def test_who_was_fenced_and_gets_no_answer_looks_at_what_is_here() -> None:
    tier = MemoryTier()

    @cached_singleflight(ttl=60, codec="json", tier=tier, name="load")
    def load(key: str) -> str:
        return "loaded"

    def ask(*_: object) -> Reply:
        load.put("put", "k")
        return DOWN

    tier.ask = ask  # type: ignore[assignment]
    assert load("k") == "put"


def test_a_load_whose_loop_was_dropped_gives_its_lease_back() -> None:
    """What is left of it is closed by the garbage collector, in no context of its own."""
    one = MemoryTier()
    raised: list[object] = []

    @cached_singleflight(ttl=60, codec="json", tier=one, name="load")
    async def load(key: str) -> str:
        try:
            await asyncio.sleep(60)
        except GeneratorExit as end:
            raised.append(end)
            raise
        return key

    async def begin() -> None:
        tasks.append(asyncio.ensure_future(load("k")))
        while not one.keeper.leases():
            await asyncio.sleep(0)

    tasks: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    loop.set_exception_handler(lambda *_: None)  # of tasks that were destroyed
    del loop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", raised.append)
        tasks.clear()
        gc.collect()
    assert [type(end) for end in raised] == [GeneratorExit]
    one.keeper.step()
    # (Its own thread may be at it.)
    until(lambda: not any(lease.token for lease in one.memory._leases.values()))
