"""What those wait on who wait for another process: bells, which a tier rings."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any, Protocol

from .owing import PAUSE


class HasBells(Protocol):
    """Who rings them."""

    bells: dict[bytes, set[Bell]]


class Bell:
    """What a thread waits on that waits for another process."""

    __slots__ = ("_d", "_rung", "_tier")

    def __init__(self, tier: HasBells, d: bytes) -> None:
        self._tier, self._d = tier, d
        self._rung: Any = self._silent()
        self._hang()

    def _silent(self) -> Any:
        return threading.Event()

    def _hang(self) -> None:
        bells = self._tier.bells
        while True:
            ours = bells.setdefault(self._d, set())
            ours.add(self)
            if bells.get(self._d) is ours:
                return  # else another one was closed in between, and took it away

    def ring(self) -> None:
        self._rung.set()

    def wait(self, left: float) -> None:
        self._rung.wait(left)
        self._rung.clear()  # what it was rung for is asked about next

    def close(self) -> None:
        bells = self._tier.bells.get(self._d)
        if bells is not None:
            bells.discard(self)
            if not bells:
                for bell in list(self._tier.bells.pop(self._d, ())):
                    bell._hang()  # it came in between


class LoopBell(Bell):
    """The same for a task."""

    __slots__ = ("_loop",)

    def __init__(self, tier: HasBells, d: bytes) -> None:
        self._loop = asyncio.get_running_loop()
        super().__init__(tier, d)

    def _silent(self) -> Any:
        return asyncio.Event()

    def ring(self) -> None:
        with suppress(RuntimeError):  # the loop was closed, and who waited is gone
            self._loop.call_soon_threadsafe(self._rung.set)

    async def hear(self, left: float) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._rung.wait(), left)
        self._rung.clear()


class ForTasks:
    """What tasks have of every tier; its verbs are awaited."""

    drop: Any
    sleep = staticmethod(asyncio.sleep)

    def __init__(self, tier: Any) -> None:
        self._tier = tier

    async def pay(self, d: bytes) -> bool:
        """As `Tier.pay`; whoever asks has seen to it that the tier is ready."""
        tier = self._tier
        while (debt := tier.owed.get(d)) is not None:
            if (turn := tier.turns.take(d)) is not None:
                try:
                    if tier.owed.get(d) is not debt:
                        continue
                    return bool(tier.paid(debt, await self.drop(*debt.terms())))
                finally:
                    tier.turns.end(d, turn)
            while tier.turns.is_taken(d):
                await self.sleep(PAUSE)
            if tier.trouble and tier.owed.get(d) is debt:
                return False
        return True

    async def listen(self, d: bytes) -> LoopBell:
        return LoopBell(self._tier, d)

    async def wait(self, bell: LoopBell, left: float) -> None:
        await bell.hear(left)


class OnLoop(ForTasks):
    """The verbs of a tier for tasks, where each takes no longer than a step of theirs."""

    def __getattr__(self, verb: str) -> Any:
        call = getattr(self._tier, verb)

        async def verb_on_loop(*what: Any) -> Any:
            return call(*what)

        return verb_on_loop
