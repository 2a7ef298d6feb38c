"""The pictures of docs/pattern.md show what happens: what is drawn there is played here."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from conftest import HIGHEST, Boom, Clock
from pages import DOCS
from soloflight import cached_singleflight

sys.path.append(str(DOCS / "_extensions"))

import lanes

PICTURES = lanes.read((DOCS / "pattern.txt").read_text("utf-8"))
OPTIONS: dict[str, dict[str, Any]] = {
    "stale": {"stale_while_revalidate": 10},
    "early": {"early_refresh": 1.0},
}


def test_the_pictures_are_those_that_are_described() -> None:
    page = (DOCS / "pattern.md").read_text("utf-8")
    drawn = lanes.pictures()
    assert len(drawn) == len(PICTURES) > 5
    for path, picture in drawn.items():
        assert path.read_text("utf-8") == picture
        assert f"]({path.name})" in page
    for picture in PICTURES:
        assert f"![{picture.seen}](pattern-{picture.name}.svg)" in page


class Source:
    """What is loaded: a call of it ends when it is told to."""

    def __init__(self, fails: set[int]) -> None:
        self.ends: list[asyncio.Future[Any]] = []
        self.fails = fails

    async def load(self) -> str:
        number = len(self.ends)
        self.ends.append(asyncio.get_running_loop().create_future())
        await self.ends[number]
        if number in self.fails:
            raise Boom(number)
        return f"value {number}"

    def in_progress(self) -> int:
        return sum(not end.done() for end in self.ends)


def unprotected(load: Callable[[], Awaitable[str]], clock: Clock, ttl: float) -> Any:
    """What everybody writes first."""
    kept: list[Any] = []

    async def get() -> str:
        if not kept or clock() >= kept[-1][1]:
            value = await load()
            kept.append((value, clock() + ttl))
        return kept[-1][0]

    return get


class Play:
    """Plays a picture, on an event loop and a clock that stands still until told."""

    def __init__(self, picture: Any, clock: Clock, die: Callable[[float], None]) -> None:
        self.picture, self.clock, self.die = picture, clock, die
        steps = [(lane, step) for lane, steps in picture.lanes for step in steps]
        self.callers = [step for lane, step in steps if lane != "refresh"]
        self.refreshed_at = {step[1] for lane, step in steps if lane == "refresh"}
        loads = [step for _, step in steps if step[0] == "loads"]
        self.loads = sorted(loads, key=lambda step: float(step[1]))
        numbered = list(enumerate(self.loads, 1))
        self.source = Source({n for n, step in numbered if step[3:] == ["error"]})
        self.ended = {float(step[2]): n for n, step in numbered}
        (ttl,) = (time for time, said in picture.marks if "expire" in said)
        if picture.name == "nothing":
            self.get = unprotected(self.source.load, clock, ttl)
        else:
            options = OPTIONS.get(picture.name, {})
            self.get = cached_singleflight(ttl=ttl, timer=clock, **options)(self.source.load)
        self.calls: list[tuple[list[str], asyncio.Task[str]]] = []

    async def run(self) -> None:
        self.die(0.0)
        self.clock.now = -1.0
        first = asyncio.create_task(self.get())
        await settled()
        await self.end(0.0, 0)
        assert await first == "value 0"

        events: list[tuple[float, int, Any]] = []
        events += [(time, 0, (self.end, n)) for time, n in self.ended.items()]
        events += [(time, 1, (self.mark, said)) for time, said in self.picture.marks]
        events += [(float(step[1]), 2, (self.call, step)) for step in self.callers]
        for time, _, (happens, what) in sorted(events, key=lambda event: event[:2]):
            await happens(time, what)
            self.check(time)
        assert len(self.source.ends) == len(self.loads) + 1
        for step, task in self.calls:
            self.compare(step, task)

    async def end(self, time: float, number: int) -> None:
        self.clock.now = time
        self.source.ends[number].set_result(None)
        await settled()

    async def mark(self, time: float, said: str) -> None:
        self.clock.now = time
        if said == "invalidate()":
            self.get.invalidate()

    async def call(self, time: float, step: list[str]) -> None:
        self.clock.now = time
        self.die(HIGHEST if step[1] in self.refreshed_at else 0.0)
        self.calls.append((step, asyncio.create_task(self.get())))
        await settled()

    def check(self, time: float) -> None:
        """So many calls of the source are in progress, and those wait who do."""
        calls = sum(begin <= time < end for begin, end in self.picture.calls())
        assert self.source.in_progress() == calls, f"calls of the source at {time}"
        for step, task in self.calls:
            at_once = step[0] == "gets"
            assert task.done() == (at_once or float(step[2]) <= time), f"{step} at {time}"

    def compare(self, step: list[str], task: asyncio.Task[str]) -> None:
        """What a caller got with what it gets in the picture."""
        until = float(step[1] if step[0] == "gets" else step[2])
        number = max((n for time, n in self.ended.items() if time <= until), default=0)
        if step[-1] == "error":
            error = task.exception()
            assert isinstance(error, Boom) and error.args == (number,)
        else:
            assert task.result() == f"value {0 if step[-1] == 'old' else number}"


async def settled() -> None:
    """Whatever can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_shows_what_happens(
    picture: Any, clock: Clock, die: Callable[[float], None]
) -> None:
    asyncio.run(Play(picture, clock, die).run())
