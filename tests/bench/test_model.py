"""The flight table and the shelf, exhaustively: every order of what callers and others can do.

Breadth first over all the states that a few callers can reach; see `model`. The laws must hold in
every one of them; a broken one is told with a short way there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import pytest
from cachetools import LRUCache

from bench.actors import Action, BrokenLaw
from bench.ages import STEP, Ages
from bench.model import World
from soloflight import _locks
from soloflight._entries import policy

PROGRESS = {"go_on", "land", "fail", "abandon", "settle", "call", "refresh", "resume"}


def explore(make: Callable[[], World]) -> int:
    """Reach every state, each by its shortest way or one step more; the number of them."""
    seen: set[Hashable] = set()
    ways: deque[tuple[Action, ...]] = deque([()])

    def look(world: World) -> list[Action]:
        """Where one can go on, if that was not seen before."""
        world.check()
        actions = list(world.actions())
        if not any(action[0] in PROGRESS for action in actions):
            world.check_end()
        state = world.state()
        if state in seen:
            return []
        seen.add(state)
        return actions

    def arrive(way: tuple[Action, ...]) -> None:
        world = make()
        try:
            for action in way:
                world.do(action)
            actions = look(world)
            ways.extend((*way, action) for action in actions[1:])
            for action in actions[:1]:  # at once, as to come here again would take longer
                way = *way, action
                world.do(action)
                ways.extend((*way, further) for further in look(world))
        except BrokenLaw as broken:
            steps = "\n".join(" ".join(map(str, step)) for step in way)
            raise AssertionError(f"{broken}; a short way there:\n{steps}") from broken
        finally:
            for actor in world.paused:
                while not actor.dead:  # it gives way while it makes good as well
                    actor.throw()
            world.table.flights.clear()
            _locks.tell_all()  # of those that were stopped in mid-landing
            vars(world).clear()  # it is in a ring, and there are thousands

    while ways:
        arrive(ways.popleft())
    return len(seen)


# Callers, keys, fences; whether actors give way wherever they hold no lock, or move at one go.
QUICK = {
    "threads": [(4, 2, 1, False), (3, 1, 1, True)],
    "tasks": [(3, 2, 1, False), (2, 2, 1, True)],
}
FULL = {
    "threads": [(4, 2, 1, False), (3, 2, 1, True)],
    "tasks": [(4, 2, 1, False), (3, 1, 1, True)],
}
GIVEN = {
    "threads": [(3, 2, 1, False), (2, 1, 1, True)],
    "tasks": [(3, 1, 1, False), (2, 1, 1, True)],
}


def tell(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print("\n" + line, end="")


def how(steps: bool) -> str:
    return "in steps" if steps else "at one go"


@pytest.mark.parametrize("callers", ["threads", "tasks"])
def test_the_laws_hold_in_every_state(
    callers: str, thorough: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for *bounds, steps in (FULL if thorough else QUICK)[callers]:
        states = explore(partial(World, *bounds, tasks=callers == "tasks", steps=steps))
        told = "{} {}, {} keys, {} fences, {}: {:,} states"
        tell(capsys, told.format(bounds[0], callers, *bounds[1:], how(steps), states))


STALE: dict[str, Any] = {"stale_while_revalidate": STEP, "stale_if_error": 2 * STEP}
OPTIONS: dict[str, dict[str, Any]] = {
    "stale": STALE,
    "answers": {**STALE, "error_ttl": {Exception: STEP}},
    "old": {**STALE, "max_age": STEP / 2},
}
# The same, and how often time passes.
AGES_QUICK = {
    "threads": [(2, 1, 1, 1, False), (2, 1, 0, 1, True)],
    "tasks": [(2, 1, 0, 2, False), (2, 1, 0, 1, True)],
}
AGES_FULL = {
    "threads": [(2, 1, 1, 2, False), (3, 1, 0, 1, True)],
    "tasks": [(2, 1, 1, 1, False), (2, 1, 0, 2, True)],
}


@pytest.mark.parametrize("callers", ["threads", "tasks"])
def test_the_laws_hold_beside_a_cache_that_was_given(
    callers: str, thorough: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for *bounds, steps in (QUICK if thorough else GIVEN)[callers]:
        make = partial(World, *bounds, tasks=callers == "tasks", steps=steps, cache=LRUCache)
        told = "given: {} {}, {} keys, {} fences, {}: {:,} states"
        tell(capsys, told.format(bounds[0], callers, *bounds[1:], how(steps), explore(make)))


@pytest.mark.parametrize("callers", ["threads", "tasks"])
@pytest.mark.parametrize("options", OPTIONS)
def test_the_laws_hold_as_time_passes(
    options: str,
    callers: str,
    thorough: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_locks.log, "disabled", True)
    monkeypatch.setattr(policy, "random", lambda: 0.0)
    told = "{}: {} {}, {} keys, {} fences, {} ages, {}: {:,} states"
    make = partial(Ages, tasks=callers == "tasks", **OPTIONS[options])
    for *bounds, steps in (AGES_FULL if thorough else AGES_QUICK)[callers]:
        states = explore(partial(make, *bounds, steps=steps))
        tell(capsys, told.format(options, bounds[0], callers, *bounds[1:], how(steps), states))
    *bounds, steps = AGES_QUICK[callers][0]  # the same in a cache that is given
    states = explore(partial(make, *bounds, steps=steps, cache=LRUCache))
    tell(
        capsys,
        "given, " + told.format(options, bounds[0], callers, *bounds[1:], how(steps), states),
    )
