"""Every lock of ours: how it is taken, and what becomes of it at a fork.

User code may run inside of a critical section: the destructor of an evicted value, a key's
``__eq__``, ``getsizeof``, a signal handler. Where that calls us again, the locks that its thread
holds are released meanwhile. So a thread that waits, loads or asks for a lock of ours holds no
other one, and there is no order of locks to keep.

What is to be logged waits until no lock is held and what the thread leads has landed (`tell`): a
handler of the user's has locks of its own, and may call us.

In a child process every table starts anew, and no lock is held but by the thread that is left. The
locks are taken before the fork, so that the child gets no cache in mid-change. That takes a bounded
time: where a lock cannot be had by then, the child gets a new one, and a cache that was in
mid-change starts empty there.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import repeat
from operator import methodcaller
from sys import is_finalizing
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, TypeVar
from weakref import ref

from ._runners import RLock, me

L = TypeVar("L")
R = TypeVar("R")

log = logging.getLogger("soloflight")

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


def all_of(kind: type[L]) -> list[L]:
    """Those of a class."""
    return [table for table in tables() if isinstance(table, kind)]


_RLock: Any = RLock  # what `threading.Condition` uses of a re-entrant lock has no stub
is_held: Callable[[RLock], bool] = _RLock._is_owned
"""Whether this thread holds a lock."""

exiting: list[None] = []
"""Not empty once the interpreter begins to end."""
atexit.register(exiting.append, None)


def critical(lock: RLock, section: Callable[..., R], *args: Any) -> R:
    """Run a critical section; then let go of what it has dropped, and log what is to be told of it.

    Each thread lets go of its own: what another one still looks at would end there, in the lock.
    """
    thread = me.local.thread
    try:
        return locked(lock, section, *args)
    finally:
        if thread.dropped and not is_held(thread.lock):
            thread.dropped.clear()
        tell_all()


def locked(lock: RLock, section: Callable[..., R], *args: Any) -> R:
    """Run a critical section."""
    thread = me.local.thread
    before = thread.lock
    if is_held(before):
        again: Callable[..., R] = partial(locked, lock, section)
        return released(again, *args)
    if exiting:
        _thaw(lock)
    try:
        thread.lock = lock
        # On one line: an interrupt between two lines would leave the lock locked.
        with lock: return section(*args)  # fmt: skip
    finally:
        thread.lock = before  # a signal handler may be here while its thread waits for a lock


def _thaw(lock: RLock) -> None:
    """Free a lock that was held by a thread which the interpreter's end has frozen."""
    if is_finalizing():
        if lock.acquire(False):
            lock.release()
        else:
            lock._at_fork_reinit()  # type: ignore[attr-defined]  # no stub; its owner runs no more


def released(call: Callable[..., R], *args: Any) -> R:
    """Call, from user code inside of a critical section, without the lock of that.

    Whoever holds a lock of ours has to expect that anything changed after user code ran, by the
    same thread; so it may as well be by another one.
    """
    thread = me.local.thread
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
        del call, args  # breaks the ring (see Rings)


def outside(call: Callable[..., R], *args: Any) -> R:
    """Call with no lock of ours held."""
    try:
        return released(call, *args) if is_held(me.local.thread.lock) else call(*args)
    finally:
        del call, args  # breaks the ring (see Rings)


def tell(
    text: str,
    *args: object,
    error: BaseException | None = None,
    traceback: TracebackType | None = None,
) -> None:
    """Have a warning logged, by `tell_all`. `args` are put into words then."""
    exc_info = None if error is None else (type(error), error, traceback or error.__traceback__)
    log_later(partial(_log, text, args, exc_info))


def log_later(record: Callable[[], object]) -> None:
    """Have something called by `tell_all`."""
    me.local.thread.untold.append(record)


def tell_all() -> None:
    """Log what is to be told, unless this thread holds a lock of ours, or loads: it will be later.

    (A handler may wait for a thread that follows that load.)
    """
    thread = me.local.thread
    if thread.flight is not None and not thread.flight.over:
        return
    while thread.untold and not is_held(thread.lock):
        try:
            record = thread.untold.popleft()
            record()
        except Exception:
            pass  # of a handler; or one that was called in here has told it


def _log(text: str, args: tuple[object, ...], exc_info: Any) -> None:
    if log.isEnabledFor(logging.WARNING):  # else nobody sees what keys look like
        log.warning(text, *map(str, args), exc_info=exc_info)


class _Forking(threading.local):
    """The locks that this thread has taken: two threads may fork at once."""

    def __init__(self) -> None:
        self.taken: list[RLock] = []


_forking = _Forking()


def _locks() -> list[RLock]:
    return list({id(table.lock): table.lock for table in tables()}.values())


# An interrupt may strike between any two lines of these hooks, and ends the one that it strikes.
# So a lock is taken and noted, or removed and released, in one step of C; and what has to be done
# after the fork is tried twice.


def _before() -> None:
    taken = _forking.taken
    deadline = monotonic() + PATIENCE
    for lock in _locks():
        patience = max(0.0, deadline - monotonic())
        taken.extend(filter(methodcaller("acquire", timeout=patience), [lock]))


_let_go = methodcaller("release")


def _release() -> None:
    taken = _forking.taken
    deque(map(_let_go, map(taken.pop, repeat(-1, len(taken)))), maxlen=0)


def _in_child() -> None:
    taken = set(map(id, _forking.taken))
    for lock in _locks():
        if id(lock) not in taken and not is_held(lock):
            lock._at_fork_reinit()  # type: ignore[attr-defined]  # no stub; its owner is not here
    _release()
    for table in tables():
        table.forked()
    tell_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before)
    for _ in range(2):
        os.register_at_fork(after_in_parent=_release, after_in_child=_in_child)
