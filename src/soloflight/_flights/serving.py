"""What callers are served while, before and instead of a reload."""

from __future__ import annotations

from collections.abc import Callable
from sys import is_finalizing
from typing import Any

from .._durations import told
from .._entries.entry import EARLY, EXPIRED, ON_ERROR, STALE, Aging, state
from ..exceptions import WaitTimeout
from .flight import Call, Flight, ticket
from .landing import Outcome
from .table import FlightTable

LoadOf = Callable[[Call], Any]
"""Makes the load of a refresh; None: there can be none, so the caller has to load."""
Serve = Callable[[Any, float, Call], Outcome | None]
"""``at_once`` of a table and the loads of its world."""


def at_once(
    table: FlightTable, load_of: LoadOf, entry: Aging[Any], now: float, call: Call
) -> Outcome | None:
    """What a call gets of an entry that is not calm; None: it has to load."""
    assert table.shelf is not None
    ledger, policy = table.ledger, table.shelf.policy
    draw = policy.draw(entry.cost) if policy.early_refresh else 0.0
    what = state(entry, now, draw)
    if what is EXPIRED or what is ON_ERROR:
        return None
    started = ""
    # (When the interpreter ends, nothing is started any more.)
    if (what is EARLY or what is STALE) and not is_finalizing():
        # (In line: nearly always there is none.)
        flight = table.refreshing(call.key) if hash(call.key) in table.flights else None
        if flight is not None:
            if long := flight.load.hurry():
                ledger.tell_once(
                    "a refresh has waited for more than %s s for a thread: loads that hang have "
                    "taken them; give loaders a timeout, and see max_flight_age",
                    f"{long:g}",
                )
        elif (load := load_of(call)) is not None:
            if _refresh(table, ticket(call.key, table.name, load, is_refresh=True), load, entry):
                started = "early" if what is EARLY else "stale"
        elif what is STALE:
            return None
    ledger.serve(call.key, entry, now, started)
    return entry if type(entry) is Aging else entry.handed()


def _refresh(table: FlightTable, mine: Flight, load: Any, served: Aging[Any]) -> bool:
    """Start a refresh behind an entry that is served, unless somebody else did."""
    try:
        try:
            if not table.claim_behind(mine, served):
                return False
            load.start(table, mine)
            return True
        except Exception as error:
            table.call_off(mine)
            table.ledger.tell_once("a refresh could not be started", error=error)
        return False
    except BaseException:
        table.recover(mine, None)  # once more, if that was interrupted
        raise


def take(table: FlightTable, flight: Flight, call: Call, own: bool, serve: Serve) -> Outcome | None:
    """What a call gets of a flight that has landed; None: it has to load itself.

    `serve` is `at_once` of its world: what another process had stored may be stale, and then the
    refresh starts behind the very calls that get it.
    """
    landing = flight.landing
    if landing is None:
        return None
    if landing.is_stale and (outcome := serve(landing.entry, table.timer(), call)) is not None:
        return outcome
    if call.may_hit and landing.instead is not None:
        table.ledger.serve_instead(flight.key)
    return landing.taken(call.may_hit, own)


def out_of_patience(
    table: FlightTable, mine: Flight, may_hit: bool, late: WaitTimeout, wait_timeout: float | None
) -> Outcome:
    """What a call gets that would wait no longer; raises `late` where there is nothing."""
    try:
        flight = mine.following or mine
        table.ledger.time_out(flight)
        if may_hit and table.shelf is not None and table.shelf.policy.aging:
            entry = table.shelf.alive(mine.key)
            if entry is not None:
                table.ledger.serve(mine.key, entry, table.shelf.timer())
                table.go_on(flight)  # before its last caller leaves
                return entry.handed()
        # The message shows a key: only now is it sure that somebody sees it.
        why = str(late)
        if not why and wait_timeout is not None:
            why = f"no outcome within wait_timeout={told(wait_timeout)} s"
        late.args = (f"{flight}: {why}",)
        raise late
    finally:
        flight = None  # type: ignore[assignment]  # breaks the ring (see Rings)
        del mine, late


def raise_interruption(flight: Flight, besides: tuple[type[BaseException], ...] = ()) -> None:
    """Raise, once, what a load was interrupted by that ran elsewhere."""
    interruption = flight.load.interruption()
    try:
        if interruption is not None and not isinstance(interruption, besides):
            raise interruption
    finally:
        del interruption, flight
