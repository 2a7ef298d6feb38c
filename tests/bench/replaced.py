"""What the library has of threads and time, replaced by what a `Scheduler` knows: `scheduled`."""

from __future__ import annotations

import gc
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest

from conftest import numbers
from soloflight import _locks, _runners
from soloflight._clock import clock
from soloflight._entries import policy, sieve, store
from soloflight._flights import ledger, serving, table
from soloflight._flights.flight import Flight, ticket
from soloflight._worlds import futures, pool, task_loads, tasks, thread_loads, threads

from .schedule import Dismissed, Place, Scheduler

_active: Scheduler | None = None


def released() -> None:
    if _active is not None:
        _active.released = True


class Lock:
    """A plain lock, as the scheduler sees it."""

    def __init__(self) -> None:
        self._locked = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._locked:
            if not blocking or _active is None:
                return False
            if not _active.wait(lambda: not self._locked, None if timeout < 0 else timeout):
                return False
        self._locked = True
        return True

    def release(self) -> None:
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        self._locked = False
        released()

    def locked(self) -> bool:
        return self._locked


class RLock(type(threading.RLock())):  # type: ignore[misc]
    """A re-entrant lock, as the scheduler sees it."""

    depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not super().acquire(False):
            if not blocking:
                return False
            assert _active is not None
            _active.wait(lambda: self.depth == 0)
            assert super().acquire(False)
        self.depth += 1
        return True

    __enter__ = acquire

    def release(self) -> None:
        super().release()
        self.depth -= 1
        released()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _release_save(self) -> Any:
        depth, self.depth = self.depth, 0
        released()
        return depth, super()._release_save()

    def _acquire_restore(self, state: Any) -> None:
        if self.depth:
            assert _active is not None
            _active.wait(lambda: self.depth == 0)
        self.depth = state[0]
        super()._acquire_restore(state[1])


class Thread:
    """A thread that the library starts."""

    daemon = False

    def __init__(
        self, *, target: Callable[..., object], args: tuple[Any, ...] = (), **_: Any
    ) -> None:
        self._body = lambda: target(*args)

    def start(self) -> None:
        assert _active is not None
        _active.spawn(self._body, daemon=self.daemon)


class Daemon(Thread):
    """One that is dismissed when nobody is left who might give it work."""

    daemon = True


class Jobs:
    """A queue for daemons."""

    def __init__(self) -> None:
        self._jobs: deque[Any] = deque()

    def put(self, job: Any) -> None:
        self._jobs.append(job)
        released()

    def get(self) -> Any:
        assert _active is not None and _active.current is not None
        _active.current.is_done()
        _active.wait(lambda: self._jobs or _active is None or _active.closes())
        if not self._jobs:
            raise Dismissed
        return self._jobs.popleft()


def _tell(text: str, *_: object, error: BaseException | None = None, **__: object) -> None:
    """What is told is put into words by lines of ours: not here. But nothing may fail to land."""
    if "land" in text:
        assert error is not None
        raise error


class Refused(Exception):
    """By an executor."""


class Crew(Executor):
    """An executor with a thread for each load. Some it refuses, and some are cancelled."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        assert _active is not None
        dice = _active.random.random()
        if dice < 0.2:
            raise Refused
        future: Future[Any] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                fn(*args, **kwargs)
                future.set_result(None)

        _active.spawn(future.cancel if dice < 0.4 else run)
        return future


def flight(*args: Any, **options: Any) -> Flight:
    """One that the scheduler knows of."""
    made = ticket(*args, **options)
    if _active is not None:
        _active.flights.append(ref(made))
    return made


class TaskLoad(task_loads.TaskLoad):
    """One whose start the scheduler knows of: it may be cancelled before its first step."""

    __slots__ = ()

    def start(self, *args: Any) -> None:
        if _active is not None:
            _active.leads()
        try:
            super().start(*args)
        finally:
            del self, args  # what an eager load raised holds this frame


def _monotonic() -> float:
    return 0.0 if _active is None else _active.now


def _random() -> float:
    return random.random() if _active is None else _active.dice()


PATCHES: list[tuple[Any, str, Any]] = [
    *((module, "monotonic", _monotonic) for module in (_locks, _runners, thread_loads)),
    (clock, "real", _monotonic),
    (clock, "now", _monotonic),
    *((module, "RLock", RLock) for module in (_runners, sieve, store, table)),
    *((module, "ticket", flight) for module in (futures, serving, tasks, threads)),
    (_locks, "_RLock", RLock),
    (task_loads, "TaskLoad", TaskLoad),
    (threads, "new_lock", Lock),
    (futures, "Thread", Thread),
    (pool, "Thread", Daemon),
    (pool, "queue", SimpleNamespace(SimpleQueue=Jobs)),
    (policy, "random", _random),
    *((module, "tell", _tell) for module in (ledger, pool, thread_loads)),
]


@contextmanager
def scheduled(seed: int, holds: Iterable[Place] | None = None) -> Iterator[Scheduler]:
    """What is decorated in here can be run under the scheduler."""
    global _active
    before = [(module, name, getattr(module, name)) for module, name, _ in PATCHES]
    before.append((pool, "pool", pool.pool))
    for module, name, replacement in PATCHES:
        setattr(module, name, replacement)
    pool.pool = pool.Pool()
    _active = Scheduler(seed, holds)
    collects = gc.isenabled()
    gc.disable()  # it would run anywhere; and nothing should need it
    try:
        yield _active
    finally:
        _active = None
        if collects:
            gc.enable()
        for module, name, original in before:
            setattr(module, name, original)


def seeds(request: pytest.FixtureRequest, quick: int, full: int) -> Sequence[int]:
    """So many of them, in full with ``--thorough``; or that of ``--seed`` alone."""
    only = request.config.getoption("--seed")
    number = full if request.config.getoption("--thorough") else quick
    return numbers(number) if only is None else [only]


def each_seed(
    request: pytest.FixtureRequest, quick: int, full: int, run: Callable[[Scheduler], object]
) -> None:
    """Run something under the scheduler with each of the `seeds`; an error tells which it was."""
    for seed in seeds(request, quick, full):
        with scheduled(seed) as scheduler:
            try:
                run(scheduler)
            except BaseException as error:
                raise AssertionError(f"--seed {seed} shows it again: {error!r}") from error
