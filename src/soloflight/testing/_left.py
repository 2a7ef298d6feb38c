"""What a test may leave behind: flights, and entries."""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic, sleep

from .._durations import seconds
from .._flights.table import FlightTable
from .._locks import all_of

MOMENT = 1.0
"""Seconds that loads have to end."""
PAUSE = 0.001


def assert_no_flights(timeout: float = MOMENT) -> None:
    """Raise `AssertionError` where a load is still in progress, of any function or `Group`.

    Those that end within `timeout` seconds are waited for: a refresh is, that runs behind a value
    which a test was served. (Not where an event loop runs in this thread, as that would stop what
    it waits for: then await what is to end, and ask with a timeout of 0.)
    """
    until = monotonic() + seconds(timeout, "timeout")
    if _loop_runs_here():
        until = -inf
    while (left := _left()) and monotonic() < until:
        sleep(PAUSE)
    if left:
        raise AssertionError("loads are still in progress: " + "; ".join(left))


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _left() -> list[str]:
    return [
        f"{table.name} of {flight.key!r}, for {flight.age:.3g} s, {flight.waiters} waiting"
        for table in all_of(FlightTable)
        for flight in table.in_flight()
    ]


def clear_local_copies() -> None:
    """Drop what every function has cached in this process, and fence its loads.

    What a tier has stays there (`soloflight.clear_all` drops that too).
    """
    for table in all_of(FlightTable):
        clear(table)


def clear(table: FlightTable) -> None:
    if table.shelf is not None:
        table.clear()
    else:
        for flight in table.in_flight():
            table.forget(flight.key)
