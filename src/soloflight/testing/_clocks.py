"""A clock that a test moves, and `time`, which has all functions go by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from functools import partial
from math import ceil, inf, isfinite
from threading import Lock
from typing import Any
from warnings import warn

from .._clock import Deadline, clock
from .._durations import number, seconds
from .._flights.clocks import go_by, has_timer
from .._flights.table import FlightTable
from .._locks import all_of
from .._shown import shown
from .._tiers.memory import MemoryTier, memories, now_of_all
from ._decorated import core_of
from ._left import clear

PAUSE = 0.01
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
        self._start = self._now = number(start, "start")
        if not isfinite(self._now):
            raise ValueError(f"start must be finite, but is {shown(start)}")
        self._gone = Fraction()  # exactly: ten times 0.1 s are a second
        self._lock = Lock()  # guards that no advance is lost

    def __call__(self) -> float:
        """What it is now, in seconds."""
        return self._now

    def advance(self, by: float | timedelta) -> None:
        """Let some time pass: seconds, or a ``timedelta``. It goes forward only."""
        step = seconds(by, "what a clock is advanced by")
        if not 0 <= step < inf:
            raise ValueError(f"a clock goes forward only, and not for ever: not by {step:g} s")
        with self._lock:
            self._gone += Fraction(step)
            self._now = self._start + float(self._gone)

    def __repr__(self) -> str:
        return f"ManualClock({self._now!r})"


def time(*functions: Any) -> MovedTime:
    """Have the time of every function stand still, until the clock that this gives is advanced.

    Entries age by it, waits for a load (``wait_timeout``) that begin in the block end by it, and
    flights grow old by it (``max_flight_age``). It is that of all functions, those that were
    decorated long before, and those that will be in here, but of those that were given a ``timer=``
    or a cache with one: such have a clock already. (Name functions that it must be true for:
    ``time(load_user)`` raises `ValueError` where it is not.)

    On leaving, the time jumps back: what these functions have cached is dropped, their loads are
    fenced, and who still waits for one with patience has none left. A tier keeps its own time: with
    a `MemoryTier`, this one; with any other, only the copies of this process age, and a warning
    says so where such a function was called in the block.

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
    own = [core.spec.name for core in map(core_of, functions) if has_timer(core.table)]
    if own:
        raise ValueError(
            f"{', '.join(own)}: given a timer, or a cache that has one, which this does not move; "
            "advance that one (a ManualClock, say)"
        )
    return MovedTime()


_entering = Lock()  # guards that one alone enters


class MovedTime:
    """The block of `time`."""

    def __enter__(self) -> ManualClock:
        # So that whole seconds can be added with no rounding, to any time that comes of it.
        self._clock = ManualClock(ceil(clock.real() * 1024) / 1024)
        self._start = self._clock()
        self.is_over = False
        self._before = {table: table.ledger.load_seconds for table in all_of(FlightTable)}
        self._calls = {table: _calls(table) for table in _with_tiers()}
        with _entering:
            if clock.now is not clock.real:
                raise RuntimeError("soloflight.testing.time is in use already: advance that clock")
            clock.was_moved = True
            clock.now = self._read
        try:
            clock.deadline = partial(_MovedDeadline, self)
            _have_all_go_by(clock.now)
        except BaseException:  # an interruption
            self.__exit__()
            raise
        return self._clock

    def __exit__(self, *_: object) -> None:
        try:
            self._leave()
        except BaseException:
            # A key has raised, or an interruption: all that is left to be done is done.
            self._leave()
            raise
        called = [t.name for t in _with_tiers() if _calls(t) != self._calls.get(t, 0)]
        if called and self._clock() != self._start:
            warn(
                f"{', '.join(sorted(called))}: a tier that is not in memory has a time of its own, "
                "so only the copies in this process have aged",
                stacklevel=2,
            )
        del self._before, self._calls  # whoever still waits by this time holds it

    def _leave(self) -> None:
        self.is_over = True
        clock.now, clock.deadline = clock.real, Deadline
        _have_all_go_by(clock.real)
        error: BaseException | None = None
        for table in all_of(FlightTable):
            if not has_timer(table):
                table.ledger.load_seconds = self._before.get(table, 0.0)
                try:
                    clear(table)
                except Exception as raised:  # of a key: the others are cleared all the same
                    error = raised
        for memory in list(memories):
            if memory.clock is now_of_all:
                memory.empty()
        if error is not None:
            raise error

    def _read(self) -> float:
        return clock.real() if self.is_over else self._clock()


class _MovedDeadline(Deadline):
    """By a clock that is moved: whoever waits looks at it now and then. With the clock it ends."""

    __slots__ = ("_time",)

    def __init__(self, time: MovedTime, patience: float) -> None:
        self._at, self._time = time._read() + patience, time

    def left(self) -> float:
        return -1.0 if self._time.is_over else self._at - self._time._read()

    def pause(self, most: float) -> float:
        return min(PAUSE, most) if self.left() > 0 else 0.0

    def ring(self, loop: asyncio.AbstractEventLoop, call: Callable[..., Any], *args: Any) -> Any:
        return _Look(self, loop, call, args)


class _Look:
    """Calls on a loop when a deadline is over."""

    def __init__(self, deadline: Deadline, loop: Any, call: Any, args: tuple[Any, ...]) -> None:
        self._deadline, self._loop, self._call, self._args = deadline, loop, call, args
        self._look()

    def _look(self) -> None:
        if self._deadline.left() > 0:
            self._handle = self._loop.call_later(PAUSE, self._look)
        else:
            self._handle = self._loop.call_soon(self._call, *self._args)

    def cancel(self) -> None:
        self._handle.cancel()


def _have_all_go_by(now: Callable[[], float]) -> None:
    for table in all_of(FlightTable):
        if not has_timer(table):
            go_by(table, now)


def _tier(table: FlightTable) -> Any:
    core = getattr(table.owner(), "_core", None)
    return getattr(core and core.fences, "tier", None)


def _with_tiers() -> list[FlightTable]:
    """Those whose tier has a time of its own, but which go by the clock of all."""
    return [
        table
        for table in all_of(FlightTable)
        if not has_timer(table) and _tier(table) and not isinstance(_tier(table), MemoryTier)
    ]


def _calls(table: FlightTable) -> int:
    return table.ledger.hits.total() + table.ledger.misses.total()
