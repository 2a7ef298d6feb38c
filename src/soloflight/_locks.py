"""Every lock of ours: how it is taken, and what becomes of it at a fork.

User code may run inside of a critical section: the destructor of an evicted value, a key's
``__eq__``, ``getsizeof``, a signal handler. Where that calls us again, the locks that its thread
holds are released meanwhile. So a thread that waits, loads or asks for a lock of ours holds no
other one, and there is no order of locks to keep.

In a child process every table starts anew, and no lock is held but by the thread that is left. The
locks are taken before the fork, so that the child gets no cache in mid-change. That takes a bounded
time: what cannot be had by then is rebuilt in the child instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from threading import RLock, local
from time import monotonic
from typing import Any, Protocol, TypeVar
from weakref import ref

R = TypeVar("R")

PATIENCE = 1.0
"""Seconds for all the locks together, before a fork."""


class Locked(Protocol):
    lock: RLock

    def forked(self) -> None: ...


_tables: dict[int, ref[Locked]] = {}
"""By id. Single dict operations only: a table may be made, or end, anywhere and at any time."""


def register(table: Locked) -> None:
    address = id(table)
    _tables[address] = ref(table, lambda _: _tables.pop(address, None))


def tables() -> list[Locked]:
    """The tables that there are."""
    return [table for alive in list(_tables.values()) if (table := alive()) is not None]


# What `threading.Condition` uses of a re-entrant lock.
_RLock: Any = type(RLock())


class Thread:
    """A thread as we know it. (Its ident may be that of one which ended.)"""

    __slots__ = ("lock", "works")

    def __init__(self) -> None:
        self.lock = RLock()  # the one of ours that it holds, if it holds any
        self.works = False  # it runs a load for an executor


class _Me(local):
    def __init__(self) -> None:
        self.thread = Thread()


me = _Me()
NOBODY = Thread()
"""What runs a load that still waits for its thread."""

is_held: Callable[[RLock], bool] = _RLock._is_owned
"""Whether this thread holds a lock."""


def critical(lock: RLock, section: Callable[..., R], *args: Any) -> R:
    """Run a critical section."""
    thread = me.thread
    before = thread.lock
    if is_held(before):
        again: Callable[..., R] = partial(critical, lock, section)
        return released(again, *args)
    try:
        thread.lock = lock
        # On one line: an interrupt between two lines would leave the lock locked.
        with lock: return section(*args)  # fmt: skip
    finally:
        thread.lock = before  # a signal handler may be here while its thread waits for a lock


def released(call: Callable[..., R], *args: Any) -> R:
    """Call, from user code inside of a critical section, without the lock of that.

    Whoever holds a lock of ours has to expect that anything changed after user code ran, by the
    same thread; so it may as well be by another one.
    """
    thread = me.thread
    lock = thread.lock
    state: list[Any] = []
    # Made in advance, and saved and restored in C: an interrupt in between would lose the lock.
    save, restore = map(_RLock._release_save, [lock]), map(_RLock._acquire_restore, [lock], state)
    try:
        state.extend(save)
        return call(*args)
    finally:
        list(restore)
        thread.lock = lock
        del call, args  # an exception holds its traceback, that the loader's frame, that this one


def outside(call: Callable[..., R], *args: Any) -> R:
    """Call with no lock of ours held."""
    try:
        return released(call, *args) if is_held(me.thread.lock) else call(*args)
    finally:
        del call, args  # an exception holds its traceback, that the loader's frame, that this one


_forking = local()  # two threads may fork at once


def _locks() -> list[RLock]:
    return list({id(table.lock): table.lock for table in tables()}.values())


def _before() -> None:
    _forking.taken = taken = []
    deadline = monotonic() + PATIENCE
    for lock in _locks():
        if lock.acquire(timeout=max(0.0, deadline - monotonic())):
            taken.append(lock)


def _in_parent() -> None:
    while _forking.taken:
        _forking.taken.pop().release()


def _in_child() -> None:
    taken = set(map(id, _forking.taken))
    for lock in _locks():
        if id(lock) not in taken and not is_held(lock):
            lock._at_fork_reinit()  # type: ignore[attr-defined]  # no stub; its owner is not here
    _in_parent()
    for table in tables():
        table.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
