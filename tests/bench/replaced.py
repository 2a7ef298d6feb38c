"""What the library has of threads and time, replaced by what a `Scheduler` knows: `scheduled`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from soloflight import _locks, _store, _table, _tasks, _threads, group

from .schedule import Place, Scheduler

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

    def __init__(self, *, target: Callable[..., object], args: tuple[Any, ...], **_: Any) -> None:
        self._body = lambda: target(*args)

    def start(self) -> None:
        assert _active is not None
        _active.spawn(self._body)


def _monotonic() -> float:
    return 0.0 if _active is None else _active.now


PATCHES: list[tuple[Any, str, Any]] = [
    *((module, "monotonic", _monotonic) for module in (_locks, _table, _tasks, _threads)),
    *((module, "RLock", RLock) for module in (_locks, _store, _table)),
    (_locks, "_RLock", RLock),
    (_threads, "Lock", Lock),
    (group, "Thread", Thread),
]


@contextmanager
def scheduled(seed: int, holds: Iterable[Place] | None = None) -> Iterator[Scheduler]:
    """What is decorated in here can be run under the scheduler."""
    global _active
    before = [(module, name, getattr(module, name)) for module, name, _ in PATCHES]
    for module, name, replacement in PATCHES:
        setattr(module, name, replacement)
    _active = Scheduler(seed, holds)
    try:
        yield _active
    finally:
        _active = None
        for module, name, original in before:
            setattr(module, name, original)


def seeds(request: pytest.FixtureRequest, quick: int, full: int) -> Sequence[int]:
    """So many of them, in full with ``--thorough``; or that of ``--seed`` alone."""
    only = request.config.getoption("--seed")
    number = full if request.config.getoption("--thorough") else quick
    return range(number) if only is None else [only]


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
