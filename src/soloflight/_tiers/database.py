"""The file that the processes of one host share: values, leases, generations and news, in sqlite.

It is a cache: it is not written to the disk on purpose (`synchronous=OFF`), and its name has the
boot of the host in it, so that nobody reads what a crash may have left, or times of another clock.
Nothing here waits: where another process writes, `Locked` is raised, and who asked tries again.

A connection is used by one thread at a time, and there are as many as threads have asked at once.
None is inherited by a forked child: sqlite does not allow that.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from .ofd import fcntl

R = TypeVar("R")

FORMAT = "1"
"""In the name of the file: other versions of this package may want another one."""
PAGE = 4096
PATIENCE = 1.0
"""Seconds for which a fork waits until no connection is in use."""

_TABLES = """
CREATE TABLE IF NOT EXISTS v (d BLOB PRIMARY KEY, until REAL, envelope BLOB);
CREATE INDEX IF NOT EXISTS v_until ON v (until);
CREATE TABLE IF NOT EXISTS l (
    d BLOB PRIMARY KEY, token BLOB, until REAL, ended BLOB, how BLOB, failures INTEGER, kept REAL
);
CREATE TABLE IF NOT EXISTS g (f BLOB PRIMARY KEY, n INTEGER);
CREATE TABLE IF NOT EXISTS news (n INTEGER PRIMARY KEY, process BLOB, kind TEXT, d BLOB);
"""
"""Values; leases, as `memory.Lease`; how often functions were cleared; what was dropped."""


class Locked(Exception):
    """Another process writes just now."""


class Full(Exception):
    """There is no room left."""


TROUBLE = (Locked, Full, sqlite3.Error, OSError)
"""What a step may raise."""


class Connection(sqlite3.Connection):
    inode = 0


def clock() -> float:
    """Seconds that all processes of the host count alike, also while it sleeps."""
    return time.clock_gettime(_CLOCK)


# macOS: the same clock for all processes; it stands still while the host sleeps.
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))


def boot() -> str:
    """What is another one after each start of the host."""
    if sys.platform == "linux":
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    for name in ("kern.bootsessionuuid", "kern.boot_id"):
        found = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
        if found.returncode == 0 and found.stdout.strip():
            return found.stdout.strip()
    raise NotImplementedError("HostTier is not offered here: the host does not tell its starts")


class Database:
    """One file. `renewed` is called when it is another one than before: somebody has removed it."""

    def __init__(self, folder: str, limit: int, renewed: Callable[[], None]) -> None:
        self._folder, self._pages, self._renewed = folder, limit // PAGE, renewed
        self.path = os.path.join(folder, f"{FORMAT}-{boot()}.db")
        # Single operations only:
        self._idle: deque[Connection] = deque()
        self._used: set[Connection] = set()
        self._inode = 0  # of the file that the connections are of
        self._inside: set[object] = set()  # who is in `do`
        self._forking: set[int] = set()  # the threads that are about to fork
        self._opening = threading.Lock()
        self._closed = False

    def do(self, step: Callable[..., R], *args: Any) -> R:
        """Have a step done with a connection.

        Raises Locked, Full, or what sqlite and the system raise.
        """
        mark, connection = object(), None
        try:
            self._inside.add(mark)  # first this, then look: a fork does the two the other way round
            if self._closed:
                raise OSError("the tier is closed")
            if self._forking:
                raise Locked
            connection = self._take()
            return step(connection, *args)
        except sqlite3.Error as error:
            raise self._told(error, connection) from error
        finally:
            if connection is not None:
                self._put_back(connection)
            self._inside.discard(mark)

    def change(self, step: Callable[..., R], *args: Any) -> R:
        """The same where the step writes: all of it or nothing, and nobody else in between."""
        done: R = self.do(_changed, step, *args)
        return done

    def _take(self) -> Connection:
        try:
            inode = os.stat(self.path).st_ino
        except FileNotFoundError:
            inode = 0
        while inode and inode == self._inode:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if connection.inode == inode:
                self._used.add(connection)
                return connection
            connection.close()
        return self._open()

    def _put_back(self, connection: Connection) -> None:
        """Keep a connection for the next one, unless it was interrupted in its work."""
        self._used.discard(connection)
        try:
            if connection.in_transaction:
                connection.rollback()
            if connection.inode == self._inode and not self._forking:
                self._idle.append(connection)
                if self._closed:  # first the other: `close` does the two the other way round
                    self._close_idle()
                return
        except sqlite3.Error:
            pass
        connection.close()

    def _open(self) -> Connection:
        if not self._opening.acquire(timeout=PATIENCE):
            raise Locked
        try:
            connection = self._connect()
        finally:
            self._opening.release()
        self._used.add(connection)
        if connection.inode != self._inode:
            was, self._inode = self._inode, connection.inode
            if was:
                self._renewed()
        return connection

    def _connect(self) -> Connection:
        connection = None
        try:
            if not os.path.exists(self.path):
                self._make()
            connection = self._connected()
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name='news'").fetchone():
                self._make()  # who began to has died
            connection.inode = os.stat(self.path).st_ino
            return connection
        except sqlite3.Error as error:
            told = self._told(error, connection)
            if connection is not None:
                connection.close()
            raise told from error
        except BaseException:
            if connection is not None:
                connection.close()
            raise

    def _connected(self) -> Connection:
        connection = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False, factory=Connection
        )
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(f"PRAGMA max_page_count={self._pages}")
        connection.execute("PRAGMA journal_size_limit=4194304")
        return connection

    def _make(self) -> None:
        """Make the file, and remove what is left of others."""
        os.makedirs(self._folder, 0o700, exist_ok=True)
        with self._alone():
            if not os.path.exists(self.path):
                self._remove("-wal", "-shm")  # of one that was removed without them
                for name in os.listdir(self._folder):
                    if ".db" in name and not name.startswith(os.path.basename(self.path)):
                        with suppress(OSError):
                            os.unlink(os.path.join(self._folder, name))  # of another boot
            connection = self._connected()
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                _changed(connection, _make_tables)
            finally:
                connection.close()

    def _remove(self, *suffixes: str) -> None:
        for suffix in suffixes:
            with suppress(FileNotFoundError):
                os.unlink(self.path + suffix)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process makes or removes the file."""
        file = os.open(os.path.join(self._folder, "making"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Locked from None
            yield
        finally:
            os.close(file)

    def _told(self, error: sqlite3.Error, connection: Connection | None) -> Exception:
        """What an error of sqlite's means. It has no numbers before Python 3.11."""
        text = str(error)
        if "locked" in text:
            return Locked(text)
        if "full" in text:
            return Full(text)
        if "malformed" in text or "not a database" in text:
            inode = 0 if connection is None else connection.inode
            with suppress(Locked, OSError), self._alone():
                if inode in (0, os.stat(self.path).st_ino):  # else somebody has done that
                    self._remove("", "-wal", "-shm")
        return error

    def make_room(self) -> None:
        """Drop what has expired; where that is not much, what would expire next."""
        self.change(_make_room)

    def close(self) -> None:
        """Be of no more use; a step that is being done is the last one."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

    # Forks

    def before_fork(self) -> None:
        """Close all connections, which a child may not even close.

        And nobody is inside of sqlite then: a child would find locks of its that nobody lets go of.
        """
        self._forking.add(threading.get_ident())
        deadline = time.monotonic() + PATIENCE
        while self._inside and time.monotonic() < deadline:
            time.sleep(0.0005)  # each of them takes some microseconds
        self._close_idle()

    def after_fork(self) -> None:
        self._forking.discard(threading.get_ident())

    def forked(self) -> None:
        self._opening = threading.Lock()
        self._inside, self._forking = set(), set()
        _inherited.extend(self._used)
        _inherited.extend(self._idle)
        self._used, self._idle, self._inode = set(), deque(), 0


_inherited: list[Connection] = []
"""Connections that were in use for too long before a fork: a child never touches them."""


def _changed(connection: Connection, step: Callable[..., R], *args: Any) -> R:
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = step(connection, *args)
        connection.execute("COMMIT")
        return done
    finally:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # then sqlite has done it
                connection.rollback()


def _make_tables(connection: Connection) -> None:
    for statement in _TABLES.split(";"):
        connection.execute(statement)


def _make_room(connection: Connection) -> None:
    connection.execute("DELETE FROM v WHERE until <= ?", (clock(),))
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if free < pages // 4:
        connection.execute(
            "DELETE FROM v WHERE d IN (SELECT d FROM v ORDER BY until "
            "LIMIT (SELECT count(*) / 4 + 1 FROM v))"
        )
