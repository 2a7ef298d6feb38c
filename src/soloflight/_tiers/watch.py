"""Threads that wait until another process lets go of a byte, by its own will or as it dies.

Each blocks on one byte, so that all processes that wait for a load wake as it ends. There are so
many at most: beyond that, and where nothing can block (under gevent, which would stand still; with
POSIX locks), one thread looks at all of the others every few milliseconds.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from types import BuiltinFunctionType

from .ofd import Locks

MOST = 64
"""Threads that block."""
POLL = 0.01
"""Seconds between two looks."""


class Watch:
    """Of one tier. `over` is told what a byte stands for, once nobody holds it."""

    def __init__(
        self,
        locks: Locks,
        over: Callable[[bytes], object],
        wanted: Callable[[bytes], object],
    ) -> None:
        self._locks, self._over, self._wanted = locks, over, wanted
        # Single operations only:
        self._blocked: dict[int, bytes] = {}
        self._polled: dict[int, bytes] = {}
        self._starting = threading.Lock()
        self._polls = False

    def add(self, byte: int, d: bytes) -> None:
        """Say `over(d)` once nobody holds a byte."""
        if byte in self._blocked or byte in self._polled:
            return
        real = isinstance(_thread.start_new_thread, BuiltinFunctionType)  # gevent's is none
        if real and self._locks.blocks and len(self._blocked) < MOST:
            self._blocked[byte] = d
            try:
                threading.Thread(
                    target=self._block, args=(byte, d), name="soloflight wait", daemon=True
                ).start()
                return
            except RuntimeError:  # there are no more threads to be had
                self._blocked.pop(byte, None)
        self._poll_too(byte, d)

    def _block(self, byte: int, d: bytes) -> None:
        try:
            self._locks.wait(byte)
        except OSError:
            self._poll_too(byte, d)
            return
        finally:
            # First: who asks in between and finds it there would be rung for by nobody.
            self._blocked.pop(byte, None)
        self._over(d)

    def _poll_too(self, byte: int, d: bytes) -> None:
        self._polled[byte] = d
        with self._starting:
            if not self._polls:
                self._polls = True
                threading.Thread(target=self._poll, name="soloflight poll", daemon=True).start()

    def _poll(self) -> None:
        while True:
            time.sleep(POLL)
            for byte, d in list(self._polled.items()):
                if not self._wanted(d):
                    self._polled.pop(byte, None)
                elif not self._is_held(byte):
                    self._polled.pop(byte, None)
                    self._over(d)
            with self._starting:
                if not self._polled:
                    self._polls = False
                    return

    def _is_held(self, byte: int) -> bool:
        try:
            return self._locks.is_held(byte)
        except OSError:
            return True  # who waits asks now and then anyway

    def forked(self) -> None:
        """No thread of the parent's is here."""
        self.__init__(self._locks, self._over, self._wanted)  # type: ignore[misc]
