"""What a test may leave behind: loads, and entries."""

from __future__ import annotations

import asyncio
import os
from math import inf
from time import sleep
from weakref import WeakSet

from .._clock import clock
from .._flights.flight import Flight
from .._flights.table import FlightTable
from .._locks import all_of
from .._runners import Home, Trust
from ._decorated import duration

MOMENT = 1.0
"""Seconds that loads have to end."""
PAUSE = 0.001

fenced: WeakSet[Flight] = WeakSet()
"""Those that we have taken off their tables: their loads may go on."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=fenced.clear)


def assert_no_flights(timeout: float = MOMENT) -> None:
    """Raise `AssertionError` where a load is still in progress, of any function or `Group`.

    Those that end within `timeout` seconds are waited for: a refresh is, that runs behind a value
    which a test was served. Where an event loop runs in this thread, nothing is waited for, as that
    would stop the loop: await what is to end, and call this after it. A refresh in an event loop
    that stands still (pytest's, between two tests) can neither end nor do harm, and is no error.
    Not seen are loads that are on no table any more: invalidated, forgotten, or too old.
    """
    __tracebackhide__ = True
    seconds = duration(timeout, "timeout")
    until = -inf if _loop_runs_here() else clock.real() + seconds
    while (left := _left()) and clock.real() < until:
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
    on_tables = [
        (f"{flight}", flight.aboard())
        for table in all_of(FlightTable)
        if table.in_flight()  # which abandons those that nothing can land any more
        for flight in table.flights.all()
        if not (flight.over or _stands_still(flight))
    ]
    taken_off = [
        (f"{flight}, which is fenced", 0)
        for flight in list(fenced)
        if not (flight.over or flight.load.runner.is_gone() or _stands_still(flight))
    ]
    return [
        which + (f", for which {waiting} wait" if waiting else "")
        for which, waiting in on_tables + taken_off
    ]


def _stands_still(flight: Flight) -> bool:
    """Whether it is a refresh, and its event loop does not run."""
    runner = flight.load.runner
    if not (flight.is_refresh and isinstance(runner, Home)):
        return False
    loop = runner()
    return loop is None or not loop.is_running()


def clear_local_copies() -> None:
    """Drop what every function has cached in this process, and fence all loads.

    Those of a `Group` and of `singleflight` too: nobody joins them any more. What was learned of a
    function goes as well (that event loops end early, what was logged once), so that no test hears
    of another one. What a tier has stays there (`soloflight.clear_all` drops that too).
    """
    for table in all_of(FlightTable):
        clear(table)
        table.trust = Trust()
        table.ledger.forget()
    fenced.clear()  # whose test that was has heard of it


def clear(table: FlightTable) -> None:
    fenced.update(flight for flight in table.flights.all() if not _stands_still(flight))
    if table.shelf is not None:
        table.clear()
    else:
        for flight in table.in_flight():
            table.forget(flight.key)
