"""The verbs of a Redis tier for tasks: the same questions, each awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from .bells import ForTasks
from .clients import Clients
from .scripts import VERBS, Question, reply
from .verbs import DOWN, Reply

AT_ONCE = 64
"""Questions of one event loop: each has a connection of its own."""
LATE = 0.005
"""Seconds by which a timeout is late where that is its loop's fault."""


class Confused(Exception):
    """The store has answered something else."""


class _OfLoop:
    """What an event loop has of its own."""

    def __init__(self, clients: Clients, others: dict[int, _OfLoop]) -> None:
        self.clients, self.client = clients, clients.for_loop()
        self.at_once = asyncio.Semaphore(AT_ONCE)
        self.loop = asyncio.get_running_loop()
        self._others = others
        others[id(self.loop)] = self
        self._end = self._until_the_end()

    async def begin(self) -> None:
        await self._end.__anext__()

    async def _until_the_end(self) -> AsyncGenerator[None, None]:
        # `asyncio.run` closes the generators that its loop has left, while there still is a loop.
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        if self._others.get(id(self.loop)) is self:
            self._others.pop(id(self.loop), None)
        with suppress(Exception):
            await self.clients.hang_up_on_loop(self.client, in_use=True)


class OnLoops(ForTasks):
    """The verbs for tasks. Each event loop has a client of its own: connections are bound to it."""

    def __init__(self, tier: Any) -> None:
        super().__init__(tier)
        self._loops: dict[int, _OfLoop] = {}  # by the id of the loop; single operations only
        for verb in VERBS:
            setattr(self, verb, partial(self._say, verb, getattr(tier._questions, verb)))

    learn: Any

    async def _of_loop(self) -> _OfLoop:
        loop = asyncio.get_running_loop()
        found = self._loops.get(id(loop))
        if found is None or found.loop is not loop:
            for number, other in list(self._loops.items()):
                if other.loop.is_closed():
                    self._loops.pop(number, None)
            found = _OfLoop(self._tier.clients, self._loops)
            await found.begin()
        return found

    async def _say(self, verb: str, question: Any, *what: Any) -> Reply:
        tier = self._tier
        if tier.closed or (tier.closing and verb == "ask"):
            return DOWN
        if tier.breaker.is_open and not tier.breaker.lets():
            return DOWN
        asked = monotonic()
        try:
            mine = await self._of_loop()
            async with mine.at_once:
                if tier.breaker.is_open and tier.breaker.failed_since(asked):
                    return DOWN
                asked = monotonic()
                found = await self._unless_late(mine.client, question(*what))
        except Exception as error:
            failed: Reply = tier.failed(verb, error, asked)
            return failed
        heard: Reply = tier.heard(verb, what, found)
        return heard

    async def _unless_late(self, client: Any, question: Question) -> Reply:
        """A loop that was busy until after the timeout has not seen whether there was an answer."""
        tier, asked = self._tier, monotonic()
        try:
            return await self._answer(client, question)
        except tier.clients.redis.exceptions.TimeoutError:
            if monotonic() - asked < tier.timeout + LATE:
                raise
        return await self._answer(client, question)

    async def _answer(self, client: Any, question: Question) -> Reply:
        tier = self._tier
        for _ in "12":
            number = b"%d" % next(tier._numbers_of_questions)
            words = question.words(number)
            try:
                answer = await client.execute_command("EVALSHA", question.script.sha, *words)
            except tier.clients.redis.exceptions.NoScriptError:
                answer = await client.execute_command("EVAL", question.script.text, *words)
            found = reply(answer, number)
            if found is not None:
                return found
            await tier.clients.hang_up_on_loop(client)
        raise Confused

    async def ready(self, f: bytes) -> bool:
        tier = self._tier
        await tier.listener.begun_on_loop()
        if tier.is_ready(f):
            return True
        return await self.learn(f, tier._known_generation(f)) is not DOWN

    async def aclose(self) -> None:
        """End what the running loop has."""
        mine = self._loops.get(id(asyncio.get_running_loop()))
        if mine is not None:
            await mine.close()

    def end(self) -> None:
        """End what other loops have, that run in other threads."""
        for mine in list(self._loops.values()):
            with suppress(RuntimeError):  # it was closed meanwhile
                if mine.loop.is_running():
                    asyncio.run_coroutine_threadsafe(mine.close(), mine.loop)
        self._loops.clear()
