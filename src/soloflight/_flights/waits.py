"""Who waits for which flight, and whether that closes a cycle.

A *runner* is what a load needs to go on: the thread that runs it, or the event loop whose task
does; and what its flight stands for, its task, or the main task of an event loop that its loader
runs. An edge says that a runner waits for a flight. A runner that waits, through any chain of
these, for a flight that needs it would wait for ever.

Which thread runs a loop is asked when that thread blocks (`runners_here`): a loop may move.

There is no lock. Each caller registers its own edge first and walks second, so of all the callers
that close a cycle the last one sees it whole; and the path is looked at once more after the walk,
so that edges which did not exist at the same time accuse nobody.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from weakref import ref

from ..exceptions import FlightDeadlock
from .flight import Flight

# Single dict operations only; an edge is written by its runner alone. The references are weak for
# the edge that an interruption did not let its runner take back: it ends with its flight.
_waiting: dict[Hashable, ref[Flight]] = {}


class Edge:
    """``with Edge(runners, flight)``: `runners` wait for `flight`.

    Raises `FlightDeadlock` on entry where that would never end.
    """

    __slots__ = ("_flight", "_outer", "_runners")

    def __init__(self, runners: tuple[Hashable, ...], flight: Flight) -> None:
        self._runners = runners
        self._flight = flight
        # A signal handler or a destructor may wait in the middle of a wait of the same thread.
        self._outer = [_waiting.get(runner) for runner in runners]

    def __enter__(self) -> None:
        try:
            for runner in self._runners:
                _waiting[runner] = ref(self._flight)
            self.check()
        except BaseException:
            self.__exit__()
            del self  # breaks the ring (see Rings)
            raise

    def check(self) -> None:
        """Look for a cycle. Another edge of the same thread may have hidden it for a while."""
        path = _cycle(self._runners, self._flight)
        try:
            if path is not None and _cycle(self._runners, self._flight) == path:
                raise deadlock(path)
        finally:
            del self, path  # breaks the ring (see Rings)

    def __exit__(self, *exc_info: object) -> None:
        for runner, outer in zip(self._runners, self._outer, strict=True):
            if outer is None:
                _waiting.pop(runner, None)
            else:
                _waiting[runner] = outer


def deadlock(path: list[Flight]) -> FlightDeadlock:
    """The error of a cycle, in which each flight waits for the next, and the last for the first."""
    keys = " -> ".join(map(str, (path[-1], *path)))
    return FlightDeadlock(
        "this wait would never end: each of these loads waits for the next, or keeps the thread "
        f"that it needs: {keys}"
    )


def check_frozen(flight: Flight) -> None:
    """Raise `FlightDeadlock` where what runs the load runs no more."""
    if flight.load.runner.is_frozen():
        raise FlightDeadlock(
            f"{flight}: the interpreter ends, and has frozen the thread that runs this load"
        )


def _cycle(waiting: tuple[Hashable, ...], flight: Flight) -> list[Flight] | None:
    """The flights from `flight` to one that needs a runner of `waiting`, each needing the next."""
    seen: set[Flight] = set()
    paths = [[flight]]
    while paths:
        path = paths.pop()
        last = path[-1]
        if last.over or last in seen or last.load.runner.is_gone():
            continue  # whoever waits for it finds out
        seen.add(last)
        needs = (ref(last), last.load.runner)
        if any(runner in waiting for runner in needs):
            return path
        for edge in map(_waiting.get, needs):
            if edge is not None and (following := edge()) is not None:
                paths.append([*path, following])
    return None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.clear)
