"""What callers are served while, before and instead of a reload."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from .._durations import told
from .._entries.entry import EARLY, EXPIRED, ON_ERROR, STALE, Aging, state
from .._outcome import Error
from .._worlds import executor
from ..exceptions import WaitTimeout
from .flight import Flight, Outcome
from .table import FlightTable

Behind = Callable[[Aging[Any], Hashable, tuple[Any, ...], Mapping[str, Any]], bool | None]
"""Start a refresh behind an entry that is served; whether it started.

None: there can be none, so the caller has to load.
"""


def at_once(
    table: FlightTable,
    behind: Behind,
    entry: Aging[Any],
    now: float,
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Outcome | None:
    """What a call gets of an entry that is not calm; None: it has to load."""
    assert table.shelf is not None
    counts, policy = table.counts, table.shelf.policy
    draw = policy.draw(entry.cost) if policy.early_refresh else 0.0
    what = state(entry, now, draw)
    if what is EXPIRED or what is ON_ERROR:
        return None
    if what is EARLY or what is STALE:
        flight = table.refreshing(key)
        if flight is not None:
            executor.hurry(table, flight)
        else:
            started = behind(entry, key, args, kwargs)
            if started:
                next(counts.led.counter)
                next(counts.refreshes.counter)
                if what is EARLY:
                    next(counts.early.counter)
            elif started is None and what is STALE:
                return None
    table.shelf.note(key)
    counts.serve(entry, now)
    return entry.handed()


def instead_of(table: FlightTable, error: Error) -> Outcome:
    """What a call gets whose load has failed."""
    if error.stale is None:
        return error
    next(table.counts.stale_on_error.counter)
    return error.stale


def out_of_patience(table: FlightTable, mine: Flight, look: bool) -> Outcome | None:
    """What a call gets that would wait no longer; None: `WaitTimeout`."""
    next(table.counts.timeouts.counter)
    if not look or table.shelf is None or not table.shelf.policy.aging:
        return None
    entry = table.shelf.alive(mine.key)
    if entry is None:
        return None
    table.counts.serve(entry, table.shelf.timer())
    # The load goes on as a refresh, even if nobody waits for it. (Before its last caller leaves.)
    (mine.following or mine).unattended = True
    return entry.handed()


def explain(late: WaitTimeout, mine: Flight, wait_timeout: float | None) -> None:
    """Give an error its message, which shows a key: only now is it sure that somebody sees it."""
    why = str(late)
    if not why and wait_timeout is not None:
        why = f"no outcome within wait_timeout={told(wait_timeout)} s"
    late.args = (f"{mine.following or mine}: {why}",)
