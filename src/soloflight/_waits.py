"""Who waits for which flight, and whether that closes a cycle.

A *runner* is what a load runs in: a thread (its ident) or a task. An edge says that a runner waits
for a flight; the flight says what runs it. A runner that waits, through any chain of these, for a
flight that it runs itself would wait for ever.

There is no lock. Each caller registers its own edge first and walks second, so of all the callers
that close a cycle the last one sees it whole; and the path is looked at once more after the walk,
so that edges which did not exist at the same time accuse nobody.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from ._flight import Flight
from .exceptions import FlightDeadlock

# Single operations only. An edge is written by its runner alone. Where an interruption strikes so
# that it is not taken back, it goes with its flight.
_waiting: WeakValueDictionary[Hashable, Flight] = WeakValueDictionary()


@contextmanager
def edge(runner: Hashable, flight: Flight) -> Iterator[None]:
    """While `runner` waits for `flight`; raises `FlightDeadlock` where that would never end."""
    # A signal handler or a destructor may wait in the middle of a wait of the same thread.
    outer = _waiting.get(runner)
    _waiting[runner] = flight
    try:
        path = _cycle(runner, flight)
        if path is not None and _cycle(runner, flight) == path:
            keys = " -> ".join(str(f) for f in (path[-1], *path))
            raise FlightDeadlock(
                f"this wait would never end, as each of these loads waits for the next: {keys}"
            )
        yield
    finally:
        if outer is None:
            _waiting.pop(runner, None)
        else:
            _waiting[runner] = outer


def _cycle(runner: Hashable, flight: Flight) -> list[Flight] | None:
    """The flights from `flight` to one that `runner` runs, each waiting for the next."""
    seen: set[Flight] = set()
    paths = [[flight]]
    while paths:
        path = paths.pop()
        last = path[-1]
        if last.over or last in seen:
            continue
        seen.add(last)
        # A load in a task is held up by what its task waits for, and by what blocks its loop.
        runners = (last.load.task, last.thread) if last.load else (last.thread,)
        if runner in runners:
            return path
        waits = [_waiting.get(r) for r in runners]
        paths += [[*path, flight] for flight in waits if flight is not None]
    return None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.clear)
