"""What a Redis says by itself: one subscription of a process, for all its threads and event loops.

On a *wake-up* it rings the bells of those who wait for a key; on *news* it fences what this process
has of it. As long as there is no subscription, news may be missed. So once there is one again, what
this process has is dropped, who waits is woken, and the generations are read anew.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from sys import is_finalizing
from time import monotonic
from typing import Any

from .._locks import log_later, tell_all
from .bells import Bell, LoopBell
from .breaker import FIRST, LONGEST
from .tier import log
from .verbs import CLEARED

EVERY = 5.0
"""Seconds between two looks at whether the subscription is alive, and at the generations."""

ANYBODY = b""
"""In the place of a key: who waits for the first subscription."""


_POLICY = (
    "%s has the maxmemory-policy %s, which may drop leases: then there are more loads. Set it to "
    "volatile-ttl or noeviction"
)


class _Unread(Exception):
    """The generations could not be read, which is said already."""


class Listener:
    """The thread that listens, from the first question to the end of the process."""

    def __init__(self, tier: Any) -> None:
        self._tier = tier
        self.bells: dict[bytes, set[Bell]] = {}
        # Single operations only:
        self.listens = False
        self.missed = False
        """Whether news may have been missed so far."""
        self._tried = False  # there is a subscription, or there was none at the first try
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._ended, self._hurry = threading.Event(), threading.Event()
        self._connection: Any = None
        self._asked_policy = False

    # Who asks first waits for the first subscription: nothing is known before news are heard.

    def begun(self) -> None:
        """Have it listen; wait for the first subscription, as long as for an answer."""
        self.start()
        if not self._tried:
            bell = Bell(self, ANYBODY)
            try:
                if not self._tried:
                    bell.wait(self._tier.timeout)
            finally:
                bell.close()
        self.missed |= not self.listens

    async def begun_on_loop(self) -> None:
        """The same for a task."""
        self.start()
        if not self._tried:
            bell = LoopBell(self, ANYBODY)
            try:
                if not self._tried:
                    await bell.hear(self._tier.timeout)
            finally:
                bell.close()
        self.missed |= not self.listens

    def start(self) -> None:
        if self._thread is None and not (self._ended.is_set() or is_finalizing()):
            with self._starting:
                if self._thread is None:
                    with suppress(RuntimeError):  # as in `Keeper.begin`
                        new = threading.Thread(
                            target=self._run, name="soloflight listener", daemon=True
                        )
                        new.start()
                        self._thread = new

    def hurry(self) -> None:
        """The store answers others: try again soon."""
        self._hurry.set()

    def end(self) -> None:
        self._ended.set()
        self._hurry.set()
        connection, thread = self._connection, self._thread
        if connection is not None:
            with suppress(Exception):
                connection.disconnect()  # it wakes who listens to it
        if thread is not None and thread is not threading.current_thread():
            thread.join(self._tier.timeout + 1.0)

    def _run(self) -> None:
        tier, pause, refused = self._tier, FIRST, False
        while not self._ended.is_set():
            asked = monotonic()
            try:
                self._subscribe()
                pause = FIRST
                self._listen()
            except _Unread:
                refused = True
            except Exception as error:
                refused = isinstance(error, tier.clients.redis.ResponseError)
                if not self._ended.is_set():
                    tier.failed("subscribe", error, asked)
            finally:
                self.listens, self.missed = False, True
                connection, self._connection = self._connection, None
                if connection is not None:
                    with suppress(Exception):
                        connection.disconnect()
            self._has_tried()
            tell_all()
            self._hurry.clear()
            if not self._ended.wait(FIRST):  # so long at least, whoever is answered
                (self._ended if refused else self._hurry).wait(pause - FIRST)
            pause = min(2 * pause, LONGEST)

    def _has_tried(self) -> None:
        self._tried = True
        for bell in list(self.bells.get(ANYBODY, ())):
            bell.ring()

    def _subscribe(self) -> None:
        tier = self._tier
        connection = self._connection = tier.clients.subscription(tier.client())
        connection.connect()
        if not self._asked_policy:
            self._ask_policy(connection)
        channels = tier.channels()
        connection.send_command("SUBSCRIBE", *channels, check_health=False)
        for _ in channels:
            connection.read_response()
        tier.answered("subscribe")
        if self.missed:
            tier.lost()  # first: nobody asks with what may be old
        self.listens, self.missed = True, False
        if not tier.learn_all():
            raise _Unread
        self._has_tried()

    def _ask_policy(self, connection: Any) -> None:
        """Warn of a server that may drop leases, once. Who may not ask, does not."""
        connection.send_command("INFO", "memory", check_health=False)
        try:
            info = connection.read_response()
        except self._tier.clients.redis.ResponseError:
            info = b""
        self._asked_policy = True
        _, _, policy = info.partition(b"maxmemory_policy:")
        if policy.startswith(b"allkeys-"):
            log_later(partial(log.warning, _POLICY, self._tier, policy.split()[0].decode()))

    def _listen(self) -> None:
        connection, due, pinged = self._connection, monotonic() + EVERY, 0.0
        patience = max(1.0, self._tier.timeout)
        while not self._ended.is_set():
            now = monotonic()
            if pinged and now - pinged > patience:
                raise ConnectionError("the subscription hangs")
            if now >= due:
                connection.send_command("PING", check_health=False)
                pinged, due = pinged or now, now + EVERY
                self._tier.learn_all()
                tell_all()
            if connection.can_read(min(due - now, patience) if not pinged else patience):
                self._hear(connection.read_response())
                pinged = 0.0

    def _hear(self, said: Any) -> None:
        tier = self._tier
        if said[0] != b"message":
            return
        _, channel, message = said
        try:
            if channel == tier.channels()[0]:
                tier.ring(message)
                return
            kind, process, d, more = message[:1].decode(), message[1:9], message[9:21], message[21:]
            if process == tier.process:
                return
            if kind == CLEARED:
                tier.turn(d, int(more))
            else:
                tier.hear(kind, d)
        except Exception as error:  # of a key's __eq__, say, or it was not one of us who said that
            log_later(partial(log.warning, "news that could not be heard", exc_info=error))
            tell_all()
