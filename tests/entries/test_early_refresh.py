"""Early refresh (XFetch): the draws, how many loads they cost, and that ours cost one."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from itertools import count
from math import exp, inf, nextafter
from typing import Any

import pytest

from conftest import HIGHEST, PATIENCE, Caller, Clock, Gate, until, until_async
from soloflight import cached_singleflight
from soloflight._entries.entry import State, state
from soloflight._entries.policy import LONGEST, Policy
from soloflight._flights.table import FlightTable


@pytest.mark.parametrize(("beta", "cost"), [(0.5, 3.0), (1.0, 0.02), (4.0, 1.0)])
def test_draws_are_exponential_with_a_mean_of_beta_times_the_cost(beta: float, cost: float) -> None:
    random.seed(1)
    policy = Policy(ttl=10.0, early_refresh=beta)
    draws = [policy.draw(cost) / (beta * cost) for _ in range(20_000)]
    assert sum(draws) / len(draws) == pytest.approx(1, rel=0.03)
    for gap in (0.1, 0.5, 1, 2, 3):
        longer = sum(draw > gap for draw in draws) / len(draws)
        assert longer == pytest.approx(exp(-gap), rel=0.1)


@pytest.mark.parametrize("number", [0.0, 0.25, 0.5, HIGHEST, nextafter(HIGHEST, 0), 2**-53])
def test_a_draw_is_never_negative_nor_longer_than_the_longest(
    number: float, die: Callable[[float], None]
) -> None:
    die(number)
    assert 0 <= Policy(ttl=10.0, early_refresh=1.0).draw(1.0) <= LONGEST


@pytest.mark.parametrize(("beta", "cost"), [(0.0, 1.0), (1.0, 0.0)])
def test_nobody_draws_without_the_option_or_a_cost(
    beta: float, cost: float, die: Callable[[float], None]
) -> None:
    die(HIGHEST)
    assert Policy(ttl=10.0, early_refresh=beta).draw(cost) == 0


# How many loads there are in a cycle: from one entry to the next

REQUESTS = 100
"""While a load takes, in simulations."""


def uncoordinated_loads(policy: Policy) -> int:
    """The loads of one cycle, where whoever draws loads, until one of them has ended."""
    entry: Any = policy.entry("value", 0.0, 1.0)
    requests = count(entry.fresh_until - 10 * policy.early_refresh, 1 / REQUESTS)
    loads, ended = 0, inf
    for now in requests:
        if now >= ended:
            return loads
        if state(entry, now, policy.draw(entry.cost)) is not State.FRESH:
            loads += 1
            ended = min(ended, now + entry.cost)
    raise AssertionError


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 4.0])
def test_without_coordination_a_cycle_has_e_to_the_1_by_beta_loads(beta: float) -> None:
    """Of many requests: β is documented by this number. Vattani et al., VLDB 2015."""
    random.seed(1)
    policy = Policy(ttl=1000.0, early_refresh=beta)
    cycles = 1000
    loads = sum(uncoordinated_loads(policy) for _ in range(cycles))
    assert loads / cycles == pytest.approx(exp(1 / beta), rel=0.1)


class Origin:
    """What is loaded from, as 1, 2, 3, ...: a load takes so long, and waits for its gate."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.takes = 0.1
        self.loads = 0
        self.gate = Gate()
        self.gate.open()

    def load(self) -> int:
        self.loads += 1
        value = self.loads
        self.gate()
        self.clock.advance(self.takes)
        return value

    async def load_async(self) -> int:
        return await asyncio.get_running_loop().run_in_executor(None, self.load)

    def cached(self, load: Any) -> Any:
        return cached_singleflight(ttl=10, early_refresh=1.0, timer=self.clock)(load)

    def early(self, function: Any, seconds: float) -> None:
        """So long before the end of freshness, with the gate closed."""
        self.gate = Gate()
        self.clock.now = function.peek().fresh_until - seconds


@pytest.fixture
def origin(clock: Clock) -> Origin:
    return Origin(clock)


@pytest.fixture(params=[False, True], ids=["", "all-at-once"])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Perhaps all of them have looked for a refresh before any of them starts one."""
    if request.param:
        monkeypatch.setattr(FlightTable, "refreshing", lambda *_: None)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("callers", [1, 2, 50])
def test_a_cycle_has_one_refresh_however_many_threads_draw_it(
    origin: Origin, callers: int, die: Callable[[float], None]
) -> None:
    load = origin.cached(origin.load)

    def call(start: threading.Barrier) -> Any:
        start.wait(PATIENCE)
        return load()

    assert load() == 1
    die(HIGHEST)  # everybody draws it
    for cycle in (1, 2, 3):
        origin.early(load, 1)
        start = threading.Barrier(callers)
        crowd = [Caller(call, start) for _ in range(callers)]
        assert [caller.result() for caller in crowd] == [cycle] * callers, "nobody waits"
        origin.gate.arrived()
        origin.gate.open()
        until(lambda: not load.in_flight())
    stats = load.stats()
    assert origin.loads == stats.misses == 4
    assert stats.refreshes == stats.early_refreshes == 3
    assert stats.joined == 0


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("callers", [1, 2, 50])
def test_a_cycle_has_one_refresh_however_many_tasks_draw_it(
    origin: Origin, callers: int, die: Callable[[float], None]
) -> None:
    load = origin.cached(origin.load_async)

    async def main() -> None:
        assert await load() == 1
        die(HIGHEST)
        for cycle in (1, 2, 3):
            origin.early(load, 1)
            crowd = asyncio.gather(*(load() for _ in range(callers)))
            assert await crowd == [cycle] * callers, "nobody waits"
            await until_async(lambda: origin.gate.arrivals)
            origin.gate.open()
            await until_async(lambda: not load.in_flight())

    asyncio.run(main())
    stats = load.stats()
    assert origin.loads == stats.misses == 4
    assert stats.refreshes == stats.early_refreshes == 3
    assert stats.joined == 0


def test_a_cycle_has_one_load_whatever_the_dice_show(origin: Origin, clock: Clock) -> None:
    """With the requests of the simulation above, in which it has e of them."""
    random.seed(1)
    load = origin.cached(origin.load)
    load()
    cost, origin.takes = origin.takes, 0  # from here on the requests move the clock
    for cycle in range(1, 21):
        origin.early(load, 10 * cost)
        ended = inf
        while load() == cycle:
            if ended == inf and load.in_flight():
                origin.gate.arrived()
                ended = clock.now + cost
            clock.advance(cost / REQUESTS)
            if clock.now >= ended:
                origin.gate.open()
                until(lambda: not load.in_flight())
    stats = load.stats()
    assert origin.loads == stats.misses == 21
    assert stats.early_refreshes == 20
