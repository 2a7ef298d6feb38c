"""Locks on single bytes of a file, which say whether a process is alive.

A process holds the byte of its lease for as long as it loads; when it dies, the system lets go of
it at once. Any number of processes may look whether a byte is held, or wait until it is not: they
do that with shared locks, which are in nobody's way, as a byte has one owner for ever (it is made
of a token).

On Linux these are open-file-description locks: they belong to a descriptor, not to a process, so
that several tiers of one process see each other's, and closing some other descriptor of the file
ends none. But a forked child has the descriptor too, and a lock lives on while anybody has it: so
the child closes it, and never unlocks. Elsewhere they are POSIX locks, which belong to a process:
all of them stand on one descriptor, which is never closed, as closing any would end them all.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from contextlib import suppress
from hashlib import blake2b
from typing import Any

fcntl: Any = None
if sys.platform != "win32":
    import fcntl

HAS_OFD = sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLK")

_FLOCK = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, process
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)


class OfdLocks:
    """Those of one file. Raises OSError where it cannot be locked."""

    blocks = True
    """Whether `wait` does."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._guard = threading.Lock()  # guards what follows
        self._held: set[int] = set()
        # The locks that are held stand on one descriptor, the looks at others on another one: on
        # the same one, no lock is ever in the way of another.
        self._own = self._look = -1
        self._waits: set[int] = set()  # the descriptors of those who wait
        self._closed = False

    def take(self, byte: int) -> None:
        """Hold a byte of one's own."""
        with self._guard:
            self._open()
            self._held.add(byte)
            fcntl.fcntl(self._own, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, byte))

    def free(self, byte: int) -> None:
        """Let go of it; nothing where it is not held here."""
        with self._guard:
            if byte in self._held:
                self._held.discard(byte)
                with suppress(OSError):  # there is nothing that could be done
                    fcntl.fcntl(self._own, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, byte))

    def holds(self, byte: int) -> bool:
        """Whether it is held here."""
        return byte in self._held

    def is_held(self, byte: int) -> bool:
        """Whether the process lives that holds it."""
        with self._guard:
            self._open()
            found = fcntl.fcntl(self._look, fcntl.F_OFD_GETLK, _flock(fcntl.F_RDLCK, byte))
        return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)

    def wait(self, byte: int) -> None:
        """Block until nobody holds it."""
        # A descriptor of its own: the other ones may be closed meanwhile, and their number reused.
        look = os.open(self._path, _FLAGS, 0o600)
        self._waits.add(look)
        try:
            fcntl.fcntl(look, fcntl.F_OFD_SETLKW, _flock(fcntl.F_RDLCK, byte))
        finally:
            self._waits.discard(look)
            os.close(look)

    def _open(self) -> None:
        """Open the file, unless that was done, and it is still there: then all is held anew."""
        if self._own >= 0:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self._path), os.fstat(self._own)):
                    return
        self._close()
        if self._closed:  # who is in the middle of a verb would leave these open
            raise OSError("the tier is closed")
        self._own = os.open(self._path, _FLAGS, 0o600)
        self._look = os.open(self._path, _FLAGS, 0o600)
        for byte in self._held:
            fcntl.fcntl(self._own, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, byte))

    def close(self) -> None:
        """Let go of all."""
        with self._guard:
            self._closed = True
            for byte in self._held:
                # First: a child that is being made may have the descriptor for a moment more.
                with suppress(OSError):
                    fcntl.fcntl(self._own, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, byte))
            self._held.clear()
            self._close()

    def _close(self) -> None:
        for descriptor in (self._own, self._look):
            if descriptor >= 0:
                os.close(descriptor)
        self._own = self._look = -1

    def forked(self) -> None:
        """In a child: the descriptors are closed, and nothing is unlocked."""
        self._guard = threading.Lock()
        self._held = set()
        self._close()
        for descriptor in self._waits:
            os.close(descriptor)
        self._waits = set()


class PosixLocks:
    """The same on POSIX locks. There must be one for each file (see `locks`)."""

    blocks = False  # a wait for what this very process holds would not end as it is let go of

    def __init__(self, path: str) -> None:
        self._file = os.open(path, _FLAGS, 0o600)
        self._guard = threading.Lock()  # guards what follows
        self._held: set[int] = set()  # the system says nothing of what a process holds itself

    def take(self, byte: int) -> None:
        with self._guard:
            self._held.add(byte)
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)

    def free(self, byte: int) -> None:
        with self._guard:
            if byte in self._held:
                self._held.discard(byte)
                with suppress(OSError):
                    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)

    def holds(self, byte: int) -> bool:
        return byte in self._held

    def is_held(self, byte: int) -> bool:
        with self._guard:
            if byte in self._held:
                return True  # and a shared lock would take the place of it
            try:
                fcntl.lockf(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, byte)
            except (BlockingIOError, PermissionError):
                return True
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)
            return False

    def wait(self, byte: int) -> None:
        raise NotImplementedError  # see `blocks`

    def close(self) -> None:
        """Nothing: other tiers of this process may stand on it, and each frees what it holds."""

    def forked(self) -> None:
        """A child has none of the locks, and the descriptor is as good as one of its own."""
        self._guard = threading.Lock()
        self._held = set()


def byte_of(token: bytes) -> int:
    """The byte that stands for a lease."""
    return int.from_bytes(blake2b(token, digest_size=8).digest(), "big") >> 2


Locks = OfdLocks | PosixLocks

_posix: dict[str, PosixLocks] = {}


def locks(path: str) -> Locks:
    """The locks on a file."""
    if HAS_OFD:
        return OfdLocks(path)
    path = os.path.realpath(path)
    return _posix.get(path) or _posix.setdefault(path, PosixLocks(path))


def _flock(kind: int, byte: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0)
