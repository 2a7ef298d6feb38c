"""Who waits for which flight, and whether that closes a cycle.

A *runner* is what a load runs in: a thread or a task. An edge says that a runner waits
for a flight; the flight says what runs it. A runner that waits, through any chain of these, for a
flight that it runs itself would wait for ever.

There is no lock. Each caller registers its own edge first and walks second, so of all the callers
that close a cycle the last one sees it whole; and the path is looked at once more after the walk,
so that edges which did not exist at the same time accuse nobody.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from weakref import ref

from ._flight import Flight
from .exceptions import FlightDeadlock

# Single dict operations only; an edge is written by its runner alone. The references are weak for
# the edge that an interruption did not let its runner take back: it ends with its flight.
_waiting: dict[Hashable, ref[Flight]] = {}


class Edge:
    """``with Edge(runner, flight)``: `runner` waits for `flight`.

    Raises `FlightDeadlock` on entry where that would never end.
    """

    __slots__ = ("_flight", "_outer", "_runner")

    def __init__(self, runner: Hashable, flight: Flight) -> None:
        self._runner = runner
        self._flight = flight
        # A signal handler or a destructor may wait in the middle of a wait of the same thread.
        self._outer = _waiting.get(runner)

    def __enter__(self) -> None:
        try:
            _waiting[self._runner] = ref(self._flight)
            self.check()
        except BaseException:
            self.__exit__()
            del self  # an exception holds its traceback, that this frame
            raise

    def check(self) -> None:
        """Look for a cycle. Another edge of the same thread may have hidden it for a while."""
        path = _cycle(self._runner, self._flight)
        try:
            if path is not None and _cycle(self._runner, self._flight) == path:
                raise deadlock(path)
        finally:
            del self, path  # an exception holds its traceback, that this frame

    def __exit__(self, *exc_info: object) -> None:
        if self._outer is None:
            _waiting.pop(self._runner, None)
        else:
            _waiting[self._runner] = self._outer


def deadlock(path: list[Flight]) -> FlightDeadlock:
    """The error of a cycle, in which each flight waits for the next, and the last for the first."""
    keys = " -> ".join(map(str, (path[-1], *path)))
    return FlightDeadlock(
        "this wait would never end: each of these loads waits for the next, or keeps the thread "
        f"that it needs: {keys}"
    )


def _cycle(runner: Hashable, flight: Flight) -> list[Flight] | None:
    """The flights from `flight` to one that `runner` runs, each waiting for the next."""
    seen: set[Flight] = set()
    paths = [[flight]]
    while paths:
        path = paths.pop()
        last = path[-1]
        gone = last.loop is not None and last.loop.is_closed()  # whoever waits for it finds out
        if last.over or gone or last in seen:
            continue
        seen.add(last)
        # A load in a task is held up by what its task waits for, and by what blocks its loop.
        runners = (last.load.task, last.thread) if last.load else (last.thread,)
        if runner in runners:
            return path
        for edge in map(_waiting.get, runners):
            if edge is not None and (following := edge()) is not None:
                paths.append([*path, following])
    return None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.clear)
