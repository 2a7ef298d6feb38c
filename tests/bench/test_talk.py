"""What processes say to the store that they share, exhaustively: every order of their steps.

Breadth first over all the states that a few processes can reach; see `talks`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import pytest

from bench.actors import Action, BrokenLaw
from bench.talks import CLOCK, TTL, Fleet, promise
from soloflight import _locks
from soloflight._entries import policy
from soloflight._entries.policy import Policy
from soloflight._tiers import fences, keeper, leases, talk

PLAIN = Policy(ttl=TTL)


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (talk, keeper, fences, leases):
        monkeypatch.setattr(module, "monotonic", CLOCK)
    monkeypatch.setattr(talk, "random", lambda: 0.0)
    monkeypatch.setattr(talk, "RESTART", 0.1)
    monkeypatch.setattr(policy, "random", lambda: 0.0)
    monkeypatch.setattr(_locks.log, "disabled", True)
    yield


def explore(make: Callable[[], Fleet], ends: Callable[[Fleet], None]) -> int:
    """Reach every state; `ends` says what must hold where nothing can go on. The number of them."""
    seen: set[Hashable] = set()
    ways: deque[tuple[Action, ...]] = deque([()])

    def look(fleet: Fleet) -> list[Action]:
        """Where one can go on, if that was not seen before."""
        fleet.check()
        state = fleet.state()
        if state in seen:
            return []
        seen.add(state)
        actions = list(fleet.actions())
        if not actions:
            if fleet.is_waiting():
                actions = [("time", True)]
            elif not fleet.is_over():
                pass
            else:
                fleet.check_end()
                ends(fleet)
        return [*actions, *fleet.faults()]

    def arrive(way: tuple[Action, ...]) -> None:
        fleet = make()
        try:
            for action in way:
                fleet.do(action)
            actions = look(fleet)
            while actions:  # at once, as to come here again would take longer
                ways.extend((*way, action) for action in actions[1:])
                way = *way, actions[0]
                fleet.do(actions[0])
                actions = look(fleet)
        except BrokenLaw as broken:
            steps = "\n".join(" ".join(map(str, step)) for step in way)
            raise AssertionError(f"{broken}; a short way there:\n{steps}") from broken
        finally:
            fleet.close()
            _locks.tell_all()

    while ways:
        arrive(ways.popleft())
    return len(seen)


def look(
    capsys: pytest.CaptureFixture[str],
    name: str,
    ends: Callable[[Fleet], None],
    *calls: str,
    **world: Any,
) -> None:
    world.setdefault("policy", PLAIN)
    budget = world.pop("budget", {})
    states = explore(lambda: Fleet(*calls, **world, **budget), ends)
    with capsys.disabled():
        print(f"\n{name}, {' '.join(calls)}: {states:,} states", end="")


def one_load(fleet: Fleet) -> None:
    promise(1, fleet.loads == 1, f"{fleet.loads} loads")
    promise(1, len(set(map(repr, fleet.got()))) == 1, f"not all got the same: {fleet.got()}")


def at_most(loads: int, law: int = 2) -> Callable[[Fleet], None]:
    """So many, and one more for each thing that has struck."""

    def ends(fleet: Fleet) -> None:
        promise(law, fleet.loads <= loads + fleet.events, f"{fleet.loads} loads")

    return ends


def test_with_nothing_wrong_there_is_one_load(capsys: pytest.CaptureFixture[str]) -> None:
    look(capsys, "nothing wrong", one_load, "l", "l", "l", times=2)


@pytest.mark.parametrize("policy", [Policy(ttl=0), Policy(ttl=TTL, cache_if=lambda value: False)])
def test_what_is_not_stored_is_handed_over(
    policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who comes while it is loaded waits for it; there are never two loads at a time."""
    look(capsys, "unstored", at_most(3, 6), "l", "l", "l", policy=policy, times=1)


def test_a_load_that_fails_is_told_to_all_who_wait(capsys: pytest.CaptureFixture[str]) -> None:
    look(capsys, "fails", at_most(3, 6), "l", "l", "l", endings=("fails",), times=1)


STALE = Policy(ttl=TTL, stale_while_revalidate=TTL)
ON_ERROR = Policy(ttl=TTL, stale_if_error=TTL, retry_after=(TTL / 2, TTL / 2))


def test_one_process_refreshes_what_all_serve(
    thorough: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def ends(fleet: Fleet) -> None:
        promise(1, fleet.loads == 1, f"{fleet.loads} loads")

    for aged in ("0", "01"):
        calls = ("l", "l", "l") if thorough else ("l", "l")
        look(capsys, f"stale in {aged}", ends, *calls, policy=STALE, aged=aged)


def test_all_serve_what_is_stale_where_one_attempt_has_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ends(fleet: Fleet) -> None:
        promise(1, fleet.loads == 1, f"{fleet.loads} attempts in one hold-off")
        promise(3, fleet.got() == [1, 1], f"not all got what is stale: {fleet.got()}")

    for aged in ("0", "01"):
        world = {"policy": ON_ERROR, "aged": aged, "endings": ("fails",)}
        look(capsys, f"stale on error in {aged}", ends, "l", "l", **world)


def test_a_refresh_joins_the_load_of_another_process(capsys: pytest.CaptureFixture[str]) -> None:
    """And never takes what is stored: so it may be one load more."""
    look(capsys, "refresh", at_most(2, 1), "r", "l", "l")
    look(capsys, "two", at_most(2, 1), "r", "r")


@pytest.mark.parametrize("fault", ["dies", "stops", "interrupt"])
def test_each_leader_that_is_lost_costs_one_load(
    fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def ends(fleet: Fleet) -> None:
        at_most(1)(fleet)
        if fault == "interrupt":
            promise(2, not fleet.forced, "somebody has waited for the end of a lease")

    look(capsys, fault, ends, "l", "l", "l", budget={fault: 1})


@pytest.mark.parametrize("on_loops", [False, True])
@pytest.mark.parametrize("kind", ["i", "p", "f", "c"])
def test_nothing_from_before_a_fence_is_served_or_stored_after_it(
    kind: str, on_loops: bool, thorough: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    # After a clear, who had asked before it asks for what nobody else does.
    loads = at_most(2 if kind == "c" else 1)
    worlds = [("l", "l"), ("ll",)] if not thorough else [("l", "l"), ("lll",), ("ll", "l")]
    for calls in worlds:
        look(capsys, f"fence {kind}", loads, *calls, budget={kind: 1}, on_loops=on_loops)


@pytest.mark.parametrize("fault", ["down", "loses"])
def test_without_the_store_each_process_loads_once(
    fault: str, thorough: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = ("l", "l", "l") if thorough else ("l", "l")
    look(capsys, fault, at_most(len(calls), 3), *calls, budget={fault: 1})


def test_a_fence_is_paid_once_the_store_is_back(
    thorough: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in "ipfc" if thorough else "ic":
        look(capsys, f"down and {kind}", at_most(4, 3), "ll", budget={"down": 1, kind: 1})
