"""How a call walks through the rooms: ``python walk.py`` prints a table; ``-v``: each room as well.

A *room* is a module of the package, and a *move* is a change from one to another one, by calls and
returns of Python functions in the calling thread. What is outside of the package (the loader, the
standard library, the generated wrappers) is no room: coming back to the room that was left is no
move, and nor is entering the first one. The call has been made once before, with another key, so
that what is set up by the first one is not counted.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event
from time import sleep
from types import FrameType
from typing import Any

import soloflight
from soloflight import cached_singleflight

HOUSE = Path(soloflight.__file__).parent


class Walk:
    """The rooms that were entered, one after the other."""

    def __init__(self) -> None:
        self.path: list[str] = []

    @property
    def rooms(self) -> int:
        return len(set(self.path))

    @property
    def moves(self) -> int:
        return max(len(self.path) - 1, 0)

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow what this thread calls meanwhile."""
        gc.collect()
        gc.disable()  # what it calls is no part of the walk
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            gc.enable()

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        here = frame if event == "call" else frame.f_back if event == "return" else None
        path = None if here is None else Path(here.f_code.co_filename)
        if path is None or HOUSE not in path.parents:
            return
        room = ".".join(path.relative_to(HOUSE).with_suffix("").parts)
        if self.path[-1:] != [room]:
            self.path.append(room)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def of_threads(call: Callable[[Any, str], object], known: bool = True, aged: bool = False) -> Walk:
    """The walk of a call; `known`: its key has an entry, `aged`: that is stale."""
    walk, clock, open_ = Walk(), Clock(), Event()
    options: dict[str, Any] = {"stale_while_revalidate": 30} if aged else {}

    @cached_singleflight(ttl=30, timer=clock, **options)
    def load(key: str) -> str:
        open_.wait()
        return key

    for key in ("first", "second"):
        open_.set()
        if known:
            load(key)
        if aged:
            clock.now += 30
            open_.clear()  # the refresh ends after the walk
        with walk.followed() if key == "second" else nullcontext():
            call(load, key)
        open_.set()
        _landed(load)
    return walk


def _landed(function: Any) -> None:
    while function.in_flight():
        sleep(0.001)


def of_tasks() -> Walk:
    """The walk of a miss; the tasks of its loop are all in one thread."""
    walk = Walk()

    @cached_singleflight(ttl=30)
    async def load(key: str) -> str:
        return key

    async def call() -> None:
        await load("first")
        with walk.followed():
            await load("second")

    asyncio.run(call())
    return walk


KINDS: dict[str, Callable[[], Walk]] = {
    "miss (threads)": lambda: of_threads(lambda load, key: load(key), known=False),
    "miss (tasks)": of_tasks,
    "invalidate": lambda: of_threads(lambda load, key: load.invalidate(key)),
    "put": lambda: of_threads(lambda load, key: load.put("value", key)),
    "clear": lambda: of_threads(lambda load, _: load.clear()),
    "stale hit": lambda: of_threads(lambda load, key: load(key), aged=True),
    "hit": lambda: of_threads(lambda load, key: load(key)),
}

if __name__ == "__main__":
    print("call            rooms  moves")
    for name, walked in KINDS.items():
        walk = walked()
        print(f"{name:15}{walk.rooms:6}{walk.moves:7}")
        if "-v" in sys.argv:
            print("   ", " > ".join(walk.path))
