"""Every lock of ours: what becomes of it at a fork, and at a wait inside of it.

User code may run while a thread holds a table's lock: the destructor of an evicted value, a key's
``__eq__``, ``getsizeof``, a signal handler. Where that waits for a flight, or leads one, the lock
is released meanwhile, or the flight could never land.

A child process gets fresh locks, and tables that start anew. Every lock is taken before the fork,
so that the child gets no cache in mid-change. That takes a bounded time: what cannot be had by then
is rebuilt in the child instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import RLock, local
from time import monotonic
from typing import Any, Protocol
from weakref import WeakSet

PATIENCE = 1.0
"""Seconds for all the locks together, before a fork."""


class Locked(Protocol):
    lock: RLock

    def forked(self, lock: RLock) -> None: ...


tables: WeakSet[Locked] = WeakSet()

# What `threading.Condition` uses of a re-entrant lock.
_RLock: Any = type(RLock())


is_held: Callable[[RLock], bool] = _RLock._is_owned
"""Whether this thread holds a lock."""


def held() -> list[RLock]:
    """The locks of ours that this thread holds: none, but where user code runs inside of one."""
    locks = {id(table.lock): table.lock for table in list(tables)}
    return [lock for lock in locks.values() if is_held(lock)]


class Released:
    """``with Released(locks)``: this thread does not hold them, however often it took them.

    Whoever holds a lock of ours has to expect that anything changed after user code ran, by the
    same thread; so it may as well be by another one.
    """

    __slots__ = ("_locks", "_states")

    def __init__(self, locks: list[RLock]) -> None:
        self._locks = locks
        self._states: list[Any] = []

    # One line each, and the loop in C: an interrupt between two locks would lose one.
    def __enter__(self) -> None:
        self._states = list(map(_RLock._release_save, self._locks))

    def __exit__(self, *exc_info: object) -> None:
        list(map(_RLock._acquire_restore, self._locks, self._states))


_forking = local()  # two threads may fork at once


def _before() -> None:
    _forking.held = taken = []
    deadline = monotonic() + PATIENCE
    for lock in {id(table.lock): table.lock for table in list(tables)}.values():
        if lock.acquire(timeout=max(0.0, deadline - monotonic())):
            taken.append(lock)


def _in_parent() -> None:
    while _forking.held:
        _forking.held.pop().release()


def _in_child() -> None:
    _forking.held.clear()
    fresh: dict[int, RLock] = {}
    for table in list(tables):
        old = table.lock
        table.forked(fresh.setdefault(id(old), RLock()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
