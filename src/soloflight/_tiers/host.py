"""A tier for the worker processes of one host: a directory, and no server.

Who loads is decided in one transaction on the file that all share (`database`). The leader also
holds a byte of another file for as long as it loads (`ofd`), which is made of its token. Who waits
for it blocks on that byte (`watch`), and so wakes as the load ends or the process dies, whichever
comes first. What was dropped stands in the file by number; a datagram says that there is something
(`post`), and each conversation sees whether the number is another one.

Who is there but does not go on (a process that was stopped) holds its byte; so a lease is to be
renewed besides, as with any store.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import suppress
from functools import partial
from random import random
from typing import Any
from urllib.parse import quote
from weakref import finalize

from .. import _durations, _locks
from . import ofd, rows
from .bells import ForTasks
from .database import TROUBLE, Connection, Database, Full, Locked, clock
from .leases import Lease
from .news import News
from .ofd import byte_of
from .post import Post, weakly
from .tier import Tier, positive
from .verbs import CLEARED, DONE, DOWN, FENCED, FRESH, LEAD, WAIT, Reply
from .watch import Watch

PAUSE = 0.002
"""Seconds, at most, until a verb is tried again while another process writes."""
REST = 0.5
"""Seconds without asking, once that went on for a whole timeout."""
SWEEP = 10.0
"""Seconds between two looks at what has expired."""
LARGE = 2**20
"""Bytes of an envelope that are not written on an event loop."""

ASK_AGAIN = Reply(WAIT, b"", 0.0, 0.001)
"""There is news, perhaps of the flight that asks: it could not store what it loads."""


class HostTier(Tier):
    """Processes of one host share their loads, and what came of them, through a directory.

    >>> tier = HostTier("/run/app/cache")  # doctest: +SKIP

    Args:
        path: of a directory for this and nothing else, on a local file system. It is made, for
            this user alone, where it is not there. What is in it is of no use after a restart of
            the host, and may be removed at any time.
        namespace: what has another one has nothing in common.
        lease: seconds after which another process loads where the one that does has been stopped.
            (One that has died is noticed at once.)
        retain: seconds for which it is known how often loads of a key have failed in a row.
        max_load: seconds after which another process loads whatever the one does that began.
        timeout: seconds for which a call waits for the file while others write.
        max_bytes: of the file, at least 256 KiB. Beyond it the values go first that expire next;
            one that needs more than a quarter of it is not shared.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        namespace: str = "",
        lease: float = 3.0,
        retain: float = 30.0,
        max_load: float = 60.0,
        timeout: float = 0.25,
        max_bytes: int = 256 * 2**20,
    ) -> None:
        super().__init__(namespace=namespace, lease=lease, retain=retain, max_load=max_load)
        self.timeout = positive(timeout, "timeout")
        if ofd.fcntl is None:
            raise NotImplementedError(
                "HostTier is not offered on this platform, which has no POSIX locks: RedisTier is"
            )
        self.path = os.path.abspath(os.fspath(path))
        folder = os.path.join(self.path, "ns-" + quote(namespace, "")) if namespace else self.path
        self._folder = folder
        os.makedirs(folder, 0o700, exist_ok=True)
        if os.stat(self.path).st_mode & 0o002:
            raise ValueError(f"anybody may write to {self.path}: give a directory of its own")
        renewed = weakly(self._renewed)
        limit = max(int(_durations.size(max_bytes, "max_bytes")), 2**18)
        self._most = limit // 4
        self._database = Database(folder, limit, renewed)
        self._byte_locks = ofd.locks(os.path.join(folder, "leases"))
        self._watch = Watch(self._byte_locks, self.ring, self.bells.get)
        self._post = Post(folder, weakly(self._look), SWEEP)
        self._news = News(self, self._database)
        self._resting = 0.0  # until then nobody asks; `monotonic`
        self._swept = clock()
        for verb in (*_VERBS, "renew_all"):
            setattr(self, verb, partial(self._say, verb))
        self.aio = HostOnLoop(self)
        leave = finalize(self, _leave, self._post, self._database, self._byte_locks)
        leave.atexit = False  # then it is closed, which still needs them

    def __repr__(self) -> str:
        more = f", namespace={self.namespace!r}" if self.namespace else ""
        return f"HostTier({self.path!r}{more})"

    # Verbs

    def _say(self, verb: str, *what: Any) -> Reply:
        """A verb, for a thread."""
        until, swept = time.monotonic() + self.timeout, False
        try:
            while True:
                try:
                    return self._once(verb, what)
                except Locked as error:
                    if time.monotonic() >= until:
                        return self._rest(error)
                except Full as error:
                    if swept or not self._make_room():
                        return self.down(error)
                    swept = True
                time.sleep(PAUSE * random())
        finally:
            self._end(verb, what)

    async def _say_later(self, verb: str, *what: Any) -> Reply:
        """The same for a task: its loop never waits."""
        if verb in ("store", "drop") and len(what) > 2 and len(what[2]) > LARGE:
            return await asyncio.to_thread(self._say, verb, *what)
        until, swept = time.monotonic() + self.timeout, False
        try:
            while True:
                try:
                    return self._once(verb, what)
                except Locked as error:
                    if time.monotonic() >= until:
                        return self._rest(error)
                except Full as error:
                    if swept or not await asyncio.to_thread(self._make_room):
                        return self.down(error)
                    swept = True
                await asyncio.sleep(PAUSE * random())
        finally:
            self._end(verb, what)

    def _once(self, verb: str, what: tuple[Any, ...]) -> Reply:
        """Try it. Raises Locked and Full."""
        if self.closed or time.monotonic() < self._resting:
            return DOWN
        if verb in _OF_LEASES and what[1][:8] != self.process:
            return Reply(FENCED)  # in a forked child, of the parent's
        try:
            if not self._post.is_open:
                os.makedirs(self._folder, 0o700, exist_ok=True)
                self._post.open()
            reply: Reply = getattr(self, "_" + verb)(*what)
        except (sqlite3.Error, OSError) as error:
            return self.down(error)
        self.up()
        return reply

    def down(self, error: object) -> Reply:
        self._news.missed()
        return super().down(error)

    def _rest(self, error: Exception) -> Reply:
        self._resting = time.monotonic() + REST
        return self.down(error)

    def _end(self, verb: str, what: tuple[Any, ...]) -> None:
        """Whatever came of it, a lease ends with its last word: others must not wait for it."""
        if verb in _LAST:
            self._byte_locks.free(byte_of(what[1]))

    def _make_room(self) -> bool:
        with suppress(*TROUBLE):
            self._database.make_room()
            return True
        return False

    def _read(self, d: bytes) -> Reply:
        number, envelope, left = self._database.do(rows.value, d)
        self._news.compare(number)
        return Reply(FRESH, envelope, left) if left > 0 else Reply(DONE)

    def _ask(self, *what: Any) -> Reply:
        asked = rows.Asked(*what)
        # First without writing: all but one of those who ask at once need not, and writers queue.
        number, reply = self._database.do(rows.answer, asked, self.lease, self._lives)
        news = self._news.compare(number)
        if reply.kind == LEAD:
            if news:
                return ASK_AGAIN
            try:
                number, reply = self._database.change(self._lead, asked, number)
            except BaseException:
                self._byte_locks.free(byte_of(asked.token))
                raise
            self._news.compare(number)
        if reply.kind == WAIT and reply.body:
            self._watch.add(byte_of(reply.body), asked.d)
        return reply

    def _lead(self, db: Connection, asked: rows.Asked, before: int) -> tuple[int, Reply]:
        """Grant the lease, unless somebody else got it in between."""
        number, reply = rows.answer(db, asked, self.lease, self._lives)
        if reply.kind == LEAD:
            if number != before:
                return number, ASK_AGAIN
            self._byte_locks.take(byte_of(asked.token))  # before anybody can read whose it is
            rows.lead(db, asked, reply, self.retain)
        return number, reply

    def _lives(self, token: bytes) -> bool:
        return self._byte_locks.is_held(byte_of(token))

    def _store(self, d: bytes, token: bytes, envelope: bytes, keep: float | None) -> Reply:
        if len(envelope) > self._most:  # too much would have to go for it
            return self._give(d, token)
        return self._database.change(rows.store, d, token, envelope, keep)

    def _fail(self, d: bytes, token: bytes, text: bytes, hold: float) -> Reply:
        return self._database.change(rows.fail, d, token, text, hold, self.retain)

    def _give(self, *what: bytes) -> Reply:
        return self._database.change(rows.give, *what)

    def _renew(self, *what: bytes) -> Reply:
        return self._database.change(rows.renew, *what, self.lease, self.retain)

    def _renew_all(self, leases: list[Lease]) -> Any:
        return self._database.change(rows.renew_all, leases, self.lease, self.retain)

    def _drop(self, kind: str, d: bytes, envelope: bytes = b"", keep: float = 0.0) -> Reply:
        self._database.change(rows.drop, self.process, kind, d, envelope, keep)
        if kind == CLEARED:
            self._news.generations.pop(d, None)
        self._post.tell()
        self.ring(d)
        return Reply(DONE)

    def generation(self, f: bytes) -> int:
        return self._news.generations.get(f, 0)

    def is_ready(self, f: bytes) -> bool:
        return f in self._news.generations

    def ready(self, f: bytes) -> bool:
        return self._say("ready", f) is not DOWN

    def _ready(self, f: bytes) -> Reply:
        """Hear of news, and learn how often a function was cleared."""
        number, generation = self._database.do(rows.generation, f)
        self._news.generations[f] = generation
        self._news.compare(number)  # what came since: it may be that it was cleared once more
        return Reply(DONE)

    def give_back(self, d: bytes, token: bytes) -> None:
        if self._byte_locks.holds(byte_of(token)):  # else it was never granted
            super().give_back(d, token)

    # News

    def _look(self) -> bool:
        """What the thread does that listens; whether it goes on."""
        if self.closed:
            return False
        # (What it cannot read now, the next conversation sees.)
        with suppress(*TROUBLE):
            self._news.compare(self._database.do(rows.number))
            if clock() - self._swept > SWEEP:
                self._swept = clock()
                self._post.mend()
                self.sweep()
        _locks.tell_all()
        return True

    def sweep(self) -> None:
        """Drop what has expired."""
        while self._database.do(rows.has_expired):
            self._database.change(rows.sweep)

    def _renewed(self) -> None:
        """Somebody has removed the file; this is another one."""
        with suppress(OSError):
            self._post.reopen()  # the socket may be gone as well
        self.cut_off()
        self._news = News(self, self._database)

    # Ends

    def close(self) -> None:
        super().close()
        _leave(self._post, self._database, self._byte_locks)

    def before_fork(self) -> None:
        self._database.before_fork()

    def after_fork(self) -> None:
        self._database.after_fork()

    def forked(self) -> None:
        super().forked()
        self._database.forked()
        self._byte_locks.forked()
        self._watch = Watch(self._byte_locks, self.ring, self.bells.get)
        self._post.forked()
        self._news = News(self, self._database)


_LAST = ("store", "fail", "give")
_OF_LEASES = (*_LAST, "renew")
_VERBS = ("read", "ask", "drop", *_OF_LEASES)


class HostOnLoop(ForTasks):
    """The verbs for tasks."""

    def __init__(self, tier: HostTier) -> None:
        super().__init__(tier)
        for verb in _VERBS:
            setattr(self, verb, partial(tier._say_later, verb))

    async def ready(self, f: bytes) -> bool:
        return await self._tier._say_later("ready", f) is not DOWN


def _leave(post: Post, database: Database, byte_locks: ofd.Locks) -> None:
    """What a tier leaves that is closed or dropped: nothing."""
    post.close()
    database.close()
    byte_locks.close()
