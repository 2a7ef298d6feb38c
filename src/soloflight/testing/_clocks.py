"""A clock that a test moves, and `time`, which has all functions go by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import inf
from threading import Lock
from typing import Any
from warnings import warn

from .. import _clock
from .._durations import number, seconds
from .._flights.table import FlightTable
from .._locks import all_of
from .._tiers.memory import MemoryTier
from ._left import clear

PAUSE = 0.005
"""Real seconds after which who waits looks at the clock again."""


class ManualClock:
    """A clock that stands still until it is told to go on: for ``timer=``, and what `time` gives.

    >>> from soloflight import cached_singleflight
    >>> from soloflight.testing import ManualClock
    >>> clock = ManualClock()
    >>> @cached_singleflight(ttl=30, timer=clock)
    ... def load() -> object:
    ...     return object()
    >>> first = load()
    >>> clock.advance(29.9)
    >>> load() is first
    True
    >>> clock.advance(0.1)
    >>> load() is first
    False
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = number(start, "start")
        self._lock = Lock()  # guards that no advance is lost

    def __call__(self) -> float:
        """What it is now, in seconds."""
        return self._now

    def advance(self, by: float | timedelta) -> None:
        """Let some time pass: seconds, or a ``timedelta``. It goes forward only."""
        step = seconds(by, "what a clock is advanced by")
        if step < 0:
            raise ValueError(f"a clock goes forward only, not by {step:g} s")
        with self._lock:
            self._now += step

    def __repr__(self) -> str:
        return f"ManualClock({self._now!r})"


@contextmanager
def time(*functions: Any) -> Iterator[ManualClock]:
    """Have the time of every function stand still, until the clock that this gives is advanced.

    Entries age by it, waits for a load (``wait_timeout``) end by it, and flights grow old by it
    (``max_flight_age``). It is that of all functions, those that were decorated long before, and
    those that will be in here, but of those that were given a ``timer=`` or a cache with one:
    such have a clock already. (Name functions that it must be true for: ``time(load_user)`` raises
    `ValueError` where it is not.)

    On leaving, the time jumps back, so what these functions have cached is dropped. A tier keeps
    its own time: with a `MemoryTier`, this one; with any other, only the copies of this process
    age, and a warning says so where such a function was called in the block.

    >>> from soloflight import cached_singleflight, testing
    >>> @cached_singleflight(ttl=30)
    ... def load() -> object:
    ...     return object()
    >>> with testing.time() as clock:
    ...     first = load()
    ...     clock.advance(31)
    ...     load() is first
    False
    """
    _check(functions)
    if _clock.now is not _real:
        raise RuntimeError("soloflight.testing.time is in use already: advance that clock")
    clock = _Shared(_real())
    _clock.now, _clock.ring_at, _clock.look_again = clock, clock.ring_at, PAUSE
    _have_all_go_by(clock, _real)
    try:
        yield clock
    finally:
        _clock.now, _clock.ring_at, _clock.look_again = _real, _ring_at, inf
        try:
            clock.tell()
        finally:
            _have_all_go_by(_real, clock)


_real, _ring_at = _clock.now, _clock.ring_at


class _Shared(ManualClock):
    """The clock of all."""

    def __init__(self, start: float) -> None:
        super().__init__(start)
        self._start = start
        self._calls = {table: _calls(table) for table in _elsewhere(_real)}

    def tell(self) -> None:
        """Warn of tiers that have another time, where functions with one were called."""
        called = [
            table.name for table in _elsewhere(self) if _calls(table) != self._calls.get(table)
        ]
        if called and self() != self._start:
            warn(
                f"only the copies in this process have aged: {', '.join(sorted(called))} share a "
                "tier that has its own time",
                stacklevel=4,
            )

    def ring_at(
        self, loop: asyncio.AbstractEventLoop, deadline: float, ring: Callable[..., Any], *args: Any
    ) -> Any:
        """As `_clock.ring_at`: the loop looks at this clock now and then."""
        return _Look(self, loop, deadline, ring, args)


class _Look:
    def __init__(
        self,
        clock: ManualClock,
        loop: asyncio.AbstractEventLoop,
        deadline: float,
        ring: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        self._clock, self._loop, self._deadline = clock, loop, deadline
        self._ring, self._args = ring, args
        self._handle: asyncio.Handle
        self._look()

    def _look(self) -> None:
        if self._clock() < self._deadline:
            self._handle = self._loop.call_later(PAUSE, self._look)
        else:
            self._handle = self._loop.call_soon(self._ring, *self._args)

    def cancel(self) -> None:
        self._handle.cancel()


def _tables(timer: Callable[[], float]) -> list[FlightTable]:
    """Those that go by a timer, and were given none."""
    return [
        table
        for table in all_of(FlightTable)
        if table.timer is timer and (table.shelf is None or not table.shelf.has_timer)
    ]


def _have_all_go_by(timer: Callable[[], float], before: Callable[[], float]) -> None:
    for table in _tables(before):
        table.timer = timer
        shelf = table.shelf
        if shelf is not None:
            shelf.timer, shelf.now = timer, -inf
            core = getattr(table.owner(), "_core", None)
            if core is not None:
                core.refer(now=timer)
        memory = _memory(table)
        if memory is not None and memory.clock is before:
            memory.clock = timer
        if timer is _real:
            clear(table)
            if memory is not None:
                memory.empty()


def _elsewhere(timer: Callable[[], float]) -> list[FlightTable]:
    """Those of them whose tier has a time of its own."""
    return [table for table in _tables(timer) if _tier(table) and not _memory(table)]


def _calls(table: FlightTable) -> int:
    ledger = table.ledger
    return ledger.hits.total() + ledger.misses.total()


def _tier(table: FlightTable) -> Any:
    core = getattr(table.owner(), "_core", None)
    return getattr(core and core.fences, "tier", None)


def _memory(table: FlightTable) -> Any:
    tier = _tier(table)
    return tier.memory if isinstance(tier, MemoryTier) else None


def _check(functions: tuple[Any, ...]) -> None:
    own = []
    for function in functions:
        core = getattr(function, "_core", None)
        if core is None:
            raise TypeError(f"not a function that soloflight has decorated: {function!r}")
        if core.table.shelf is not None and core.table.shelf.has_timer:
            own.append(core.spec.name)
    if own:
        raise ValueError(
            f"{', '.join(own)}: given a timer, or a cache that has one, which this does not move; "
            "advance that one (a ManualClock, say)"
        )
