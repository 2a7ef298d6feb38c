"""What a child process starts with: empty tables, fresh locks, caches in one piece.

Every table's lock is taken before the fork, so that the child gets no cache in mid-change. That
takes a bounded time: what cannot be had by then is rebuilt in the child instead.
"""

from __future__ import annotations

import os
from threading import RLock
from time import monotonic
from typing import Protocol
from weakref import WeakSet

PATIENCE = 1.0
"""Seconds for all the locks together."""


class Forkable(Protocol):
    lock: RLock

    def forked(self, lock: RLock) -> None: ...


tables: WeakSet[Forkable] = WeakSet()
_held: list[RLock] = []


def _before() -> None:
    deadline = monotonic() + PATIENCE
    for lock in {id(table.lock): table.lock for table in list(tables)}.values():
        if lock.acquire(timeout=max(0.0, deadline - monotonic())):
            _held.append(lock)


def _in_parent() -> None:
    while _held:
        _held.pop().release()


def _in_child() -> None:
    _held.clear()
    fresh: dict[int, RLock] = {}
    for table in list(tables):
        old = table.lock
        table.forked(fresh.setdefault(id(old), RLock()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
