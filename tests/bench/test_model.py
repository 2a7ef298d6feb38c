"""The flight table and the shelf, exhaustively: every order of what callers and others can do.

Breadth first over all the states that a few callers can reach; see `model`. The laws must hold in
every one of them; a broken one is told with the shortest way there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from functools import partial

import pytest

from bench.model import Action, BrokenLaw, World

PROGRESS = {"go_on", "land", "fail", "abandon", "call", "refresh", "resume"}


def explore(make: Callable[[], World]) -> int:
    """Reach every state, each by its shortest way; the number of them."""

    def arrive(way: tuple[Action, ...]) -> tuple[Hashable, list[Action]]:
        world = make()
        try:
            for action in way:
                world.do(action)
            world.check()
            actions = list(world.actions())
            if not any(action[0] in PROGRESS for action in actions):
                world.check_end()
        except BrokenLaw as broken:
            steps = "\n".join(" ".join(map(str, step)) for step in way)
            raise AssertionError(f"{broken}; the shortest way there:\n{steps}") from broken
        else:
            return world.state(), actions
        finally:
            for actor in world.paused:
                actor.throw()
            world.table.flights.clear()

    state, actions = arrive(())
    seen = {state}
    ways = deque((action,) for action in actions)
    while ways:
        way = ways.popleft()
        state, actions = arrive(way)
        if state not in seen:
            seen.add(state)
            ways.extend((*way, action) for action in actions)
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


@pytest.mark.parametrize("callers", ["threads", "tasks"])
def test_the_laws_hold_in_every_state(
    callers: str, thorough: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for *bounds, steps in (FULL if thorough else QUICK)[callers]:
        states = explore(partial(World, *bounds, tasks=callers == "tasks", steps=steps))
        with capsys.disabled():
            print(
                "\n{} {}, {} keys, {} fences, {}: {:,} states".format(
                    bounds[0], callers, *bounds[1:], "in steps" if steps else "at one go", states
                ),
                end="",
            )
