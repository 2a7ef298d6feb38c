"""What every tier has, whatever its store: options, health, what is owed, its end."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from weakref import ref

import pytest

from conftest import Caller, Gate, until
from soloflight import cached_singleflight
from soloflight._flights.flight import ticket
from soloflight._runners import me
from soloflight._tiers import owing
from soloflight._tiers import tier as tier_room
from soloflight._tiers.keeper import AGAIN
from soloflight._tiers.leases import Debt, Lease
from soloflight._tiers.memory import MemoryTier
from soloflight._tiers.verbs import DONE, DOWN, FENCED, Reply


class Cut(MemoryTier):
    """A tier that can be cut off from its store."""

    is_cut = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for verb in ("read", "ask", "store", "fail", "give", "renew", "drop"):
            setattr(self, verb, self._checked(getattr(self, verb)))

    def _checked(self, verb: Callable[..., Reply]) -> Callable[..., Reply]:
        def call(*what: Any) -> Reply:
            if self.is_cut:
                return self.down("cut off")
            self.up()
            return verb(*what)

        return call


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"namespace": "a{b}"}, ValueError),
        ({"namespace": 1}, TypeError),
        ({"lease": 0}, ValueError),
        ({"lease": "3"}, TypeError),
        ({"retain": -1}, ValueError),
        ({"max_load": float("nan")}, ValueError),
    ],
)
def test_options_that_cannot_work_are_refused(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        MemoryTier(**options)


def test_durations_may_be_timedeltas() -> None:
    assert MemoryTier(lease=timedelta(seconds=2)).lease == 2  # type: ignore[arg-type]


def test_flush_says_whether_all_is_paid() -> None:
    tier = Cut()

    @cached_singleflight(ttl=60, codec="json", tier=tier)
    def load(key: str) -> str:
        return key

    tier.is_cut = True
    load.invalidate("k")
    assert not tier.flush(0.05)
    assert tier.health().owed == 1
    tier.is_cut = False
    assert tier.flush(5)
    assert tier.health().owed == 0


def test_aflush_says_whether_all_is_paid() -> None:
    tier = Cut()

    @cached_singleflight(ttl=60, codec="json", tier=tier)
    async def load(key: str) -> str:
        return key

    async def main() -> None:
        tier.is_cut = True
        load.invalidate("k")
        assert not await tier.aflush(0.05)
        tier.is_cut = False
        assert await tier.aflush(timedelta(seconds=5))  # type: ignore[arg-type]

    asyncio.run(main())


def test_an_outage_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    tier = Cut()

    @cached_singleflight(ttl=60, codec="json", tier=tier)
    def load(key: int) -> int:
        return key

    with caplog.at_level(logging.WARNING, "soloflight.tier"):
        tier.is_cut = True
        assert [load(key) for key in range(3)] == [0, 1, 2]
        assert tier.health()[:2] == (False, "cut off")
        tier.is_cut = False
        assert load(3) == 3
        assert tier.health()[:2] == (True, "")
    ends = [record.getMessage().partition(" so loads")[0][-15:] for record in caplog.records]
    assert ends == [" does not answer,"[-15:], "> answers again"]


def test_a_closed_tier_gives_back_what_it_has() -> None:
    one = MemoryTier()
    other = MemoryTier(memory=one.memory)
    gate = Gate()

    def loaded(tier: MemoryTier, hold: Callable[[], None]) -> Any:
        @cached_singleflight(ttl=60, codec="json", tier=tier, name="load")
        def load(key: str) -> str:
            hold()
            return key

        return load

    first, second = loaded(one, gate), loaded(other, lambda: None)
    caller = Caller(first, "k")
    gate.arrived()
    until(lambda: one.health().leases == 1)
    one.close()
    assert second("k") == "k"  # it need not wait
    gate.open()
    assert caller.result() == "k"
    assert one.health().error == "it is closed"


def test_a_tier_may_be_a_context_manager() -> None:
    with MemoryTier() as tier:
        assert not tier.closed
    assert tier.closed

    async def main() -> bool:
        async with MemoryTier() as tier:
            assert not tier.closed
        return tier.closed

    assert asyncio.run(main())


def test_what_cannot_be_paid_is_tried_again_and_not_at_once() -> None:
    tier = MemoryTier()
    tried: list[float] = []

    def drop(*_: object) -> Reply:
        tried.append(time.monotonic())
        return DOWN

    tier.drop = drop  # type: ignore[assignment]
    tier.owe(Debt("i", b"d"))
    tier.keeper.wake()
    until(lambda: len(tried) > 2)
    tier.owed.clear()
    assert tried[2] - tried[1] > AGAIN / 2


class Slow(MemoryTier):
    """A tier whose store takes its time to hear of a fence."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()
        self.told = 0
        self.is_cut = False
        at_once = self.drop

        def drop(*what: Any) -> Reply:
            self.told += 1
            self.gate()
            return self.down("cut off") if self.is_cut else at_once(*what)

        self.drop = drop  # type: ignore[assignment]


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_debt_is_paid_by_one_of_those_who_ask(is_cut: bool) -> None:
    tier = Slow()
    tier.is_cut = is_cut
    tier.owe(Debt("i", b"d"))
    first = Caller(tier.pay, b"d")
    tier.gate.arrived()

    async def in_tasks() -> list[bool]:
        return await asyncio.gather(*(tier.aio.pay(b"d") for _ in range(2)))

    others = [Caller(tier.pay, b"d"), Caller(lambda: all(asyncio.run(in_tasks())))]
    tier.keeper.wake()
    tier.gate.open()
    assert [each.result() for each in (first, *others)] == [not is_cut] * 3
    assert tier.told == 1 or is_cut  # the keeper tries again, after a while
    tier.owed.clear()


def test_what_somebody_has_paid_before_ones_turn_is_not_paid_again() -> None:
    tier = Slow()
    tier.gate.open()
    tier.owe(Debt("i", b"d"))
    take = tier.turns.take

    def take_late(d: bytes) -> Any:
        tier.turns.take = take  # type: ignore[method-assign]
        assert tier.pay(d)  # somebody else
        return take(d)

    tier.turns.take = take_late  # type: ignore[method-assign]
    assert tier.pay(b"d")
    assert tier.told == 1


def test_what_a_child_has_inherited_is_not_paid_at_its_end() -> None:
    tier = Slow()
    tier.gate.open()
    tier.keeper.begin = lambda: None  # type: ignore[method-assign]
    tier.owe(Debt("i", b"its parent's", inherited=True))
    tier.owe(Debt("i", b"its own"))
    tier.close()
    assert tier.told == 1
    tier.owe(Debt("i", b"d"))
    assert not tier.owed  # nobody asks it any more
    assert tier.flush(0)


def test_where_no_thread_can_be_started_nobody_gets_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    tier = Cut()
    load = cached_singleflight(ttl=60, codec="json", tier=tier, name="load")(lambda key: key)
    tier.is_cut = True
    load.invalidate("k")
    assert load("k") == "k"
    tier.is_cut = False
    assert tier.flush(0)
    tier.close()


def test_a_tier_that_cannot_be_closed_does_not_keep_others_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, other = MemoryTier(), MemoryTier()
    monkeypatch.setattr(tier_room, "_tiers", {1: ref(first), 2: ref(other)})
    first.keeper.end = lambda: 1 / 0  # type: ignore[method-assign, assignment]
    tier_room._end()
    assert first.closed
    assert other.closed


def test_a_fence_in_the_middle_of_paying_does_not_wait_for_itself() -> None:
    tier = MemoryTier()
    tier.keeper.begin = lambda: None  # type: ignore[method-assign]
    drop, within = tier.drop, []

    def drop_later(*what: Any) -> Reply:
        if not within:  # as a destructor would
            tier.owe(Debt("f", b"d"))
            within.append(tier.pay(b"d"))
        reply: Reply = drop(*what)
        return reply

    tier.drop = drop_later  # type: ignore[assignment]
    tier.owe(Debt("i", b"d"))
    began = time.monotonic()
    assert not tier.pay(b"d")
    assert within == [False]
    assert time.monotonic() - began < owing.PATIENCE
    tier.keeper.step()
    assert not tier.owed


def test_many_leases_are_renewed_with_few_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "goes_on", lambda lease: True)
    tier = MemoryTier(lease=1e-9)
    tier.keeper.begin = lambda: None  # type: ignore[method-assign]
    told: list[int] = []

    def renew_all(leases: list[Lease]) -> list[Reply]:
        told.append(len(leases))
        return [Reply(FENCED if lease.d == b"7" else DONE) for lease in leases]

    tier.renew_all = renew_all  # type: ignore[method-assign]
    for number in range(250):
        name = b"%d" % number
        tier.keep(Lease(name, name, ticket(name, "f", me.local.thread), b"", 60.0))
    tier.keeper.step()
    assert told == [100, 100, 50]
    assert tier.health().leases == 249
    tier.renew_all = lambda leases: DOWN  # type: ignore[method-assign]
    tier.keeper.step()
    assert tier.health().leases == 249  # perhaps it is up again before they have ended


def test_a_newer_debt_is_paid_after_the_older_one() -> None:
    tier = Slow()
    tier.owe(Debt("i", b"d"))
    first = Caller(tier.pay, b"d")
    tier.gate.arrived()
    tier.owe(Debt("f", b"d"))
    other = Caller(tier.pay, b"d")
    tier.gate.open()
    assert not first.result()  # of what it was told, not all
    assert other.result()
    assert tier.told == 2
    assert not tier.owed


def test_who_is_stopped_while_he_pays_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owing, "PATIENCE", 0.01)
    tier = MemoryTier()
    tier.owe(Debt("i", b"d"))
    stopped = Caller(tier.turns.take, b"d").result()
    assert tier.pay(b"d")
    again = tier.turns.take(b"d")
    assert stopped and again
    tier.turns.end(b"d", stopped)  # he goes on after all
    assert tier.turns.take(b"d") is None


def test_what_the_end_of_the_interpreter_interrupts_is_given_back() -> None:
    program = """
import sys
from soloflight import cached_singleflight
from soloflight.testing import MemoryTier

tier = MemoryTier()
tier.keeper.begin = lambda: None  # it does not get round to it
give = tier.give
tier.give = lambda *what: print("given") or give(*what)

@cached_singleflight(ttl=60, codec="json", tier=tier)
def load(key):
    sys.exit(0)

load("k")
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "given\n", "")


def test_nothing_is_paid_before_it_is_known_of_which_generation_it_is() -> None:
    tier = MemoryTier()
    ready: list[bytes] = []
    tier.is_ready = lambda f: f in ready  # type: ignore[method-assign]
    tier.ready = lambda f: False  # type: ignore[method-assign]

    @cached_singleflight(ttl=60, codec="json", tier=tier)
    def load(key: str) -> str:
        return key

    load.invalidate("k")
    assert not tier.flush(0.05)
    ready.extend(tier._functions)
    assert tier.flush(5)
