"""Tables that go by the clock of all, and how they are told of another one."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from .._clock import clock
from .table import FlightTable


def has_timer(table: FlightTable) -> bool:
    """Whether it was given a clock of its own."""
    return table.shelf is not None and table.shelf.has_timer


def go_by(table: FlightTable, now: Callable[[], float]) -> None:
    """Have a table go by a clock, and what the wrappers of its function read."""
    table.timer = now
    if table.shelf is not None:
        table.shelf.timer, table.shelf.now = now, -inf
        core = getattr(table.owner(), "_core", None)
        if core is not None:
            core.refer(now=now)


def catch_up(table: FlightTable) -> None:
    """A table was made: another clock may have been put in place meanwhile."""
    while clock.was_moved and not has_timer(table):
        now = clock.now
        go_by(table, now)
        if clock.now is now:
            return
