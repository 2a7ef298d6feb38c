"""From what a loader returned or raised to what its flight lands with. Takes no lock.

It runs where the load ran, before the landing: ``ttl``, ``cache_if``, ``error_ttl`` and ``timer``
are the user's code.
"""

from __future__ import annotations

from typing import Any

from .._entries.entry import Aging
from .._entries.shelf import Shelf
from .._interruptions import users_errors
from .._locks import tell
from .._outcome import Error, Value
from .._sources.for_one import PLAIN, refusal
from .flight import Flight, Outcome
from .table import FlightTable


def loaded(table: FlightTable, flight: Flight, value: Any) -> Outcome:
    """What a flight lands with that has loaded a value: its entry, if it is to be stored."""
    try:
        cls = type(value)
        plain = type(cls) is type and cls in PLAIN  # other metaclasses have a hash of their own
        refused = None if plain else refusal(value, table.name)
        if refused is not None:
            return failed(table, flight, Error(refused, None))
        now = _ended(table, flight)
        shelf = table.shelf
        return Value(value) if shelf is None else shelf.policy.entry(value, now, flight.took)
    finally:
        refused = None
        del table, flight, value  # the frame of an option that raises holds this one


def failed(table: FlightTable, flight: Flight, error: Error) -> Error:
    """What a flight lands with whose loader has raised.

    An exception of `error_ttl` is an answer, and stored. Any other one holds off the next attempt
    where there is an entry to serve meanwhile; this is what callers get, where it is stale.
    """
    try:
        now = _ended(table, flight)
        if table.shelf is None or not table.shelf.policy.aging:
            return error
        policy = table.shelf.policy
        try:
            error.entry = policy.error_entry(error, now)
            if error.entry is not None:
                return error
            error.stale = _held_off(table, table.shelf, flight, error, now, error.exception)
        except Exception as wrong:
            wrong.__context__ = error.exception  # what it was asked about
            raise
        if error.stale is not None or flight.unattended:
            _tell(flight, error)
        return error
    finally:
        del table, flight, error


def spoilt(table: FlightTable, flight: Flight, error: Error) -> Error:
    """What a flight lands with whose load ended well, if it was not for an option that raised.

    Its callers get that. Where there is none, it is as with any refresh that failed.
    """
    if flight.unattended and table.shelf is not None:
        _held_off(table, table.shelf, flight, error, flight.since + flight.took)
        _tell(flight, error)
    return error


def _ended(table: FlightTable, flight: Flight) -> float:
    try:
        now = table.timer()
        took: float = now - flight.since
        flight.took = took if took > 0 else 0.0  # a clock may be set back
        return now
    finally:
        del table, flight  # as in `loaded`


def _held_off(
    table: FlightTable,
    shelf: Shelf,
    flight: Flight,
    error: Error,
    now: float,
    raised: BaseException | None = None,
) -> Value[Any] | None:
    """Hold off the next attempt where there is an entry to serve; its value, instead of an error.

    A fresh one was put there meanwhile. `raised`: by the loader.
    """
    entry = None
    try:
        with users_errors:  # of a key's __eq__
            entry = shelf.find(flight.key)
        if type(entry) is not Aging or not now < entry.until:
            return None
        hides = shelf.policy.hides(raised)
        until = shelf.policy.answers_until(entry, hides)
        if not now < until:
            return None
        # Found first, asked second: what is newer than this load has fenced it before.
        if table.flights.has(flight):
            shelf.policy.hold_off(entry, error, now, until)
        if now < entry.fresh_until and not hides > 0:
            return None
        return Value(entry.value)
    finally:
        del table, shelf, flight, error, raised  # as in `loaded`


def _tell(flight: Flight, error: Error) -> None:
    """Have it logged once the flight has landed."""
    tell("%s: a reload failed", flight, error=error.exception, traceback=error.traceback)


def raise_interruption(flight: Flight, besides: tuple[type[BaseException], ...] = ()) -> None:
    """Raise, once, what a load was interrupted by that ran elsewhere."""
    load = flight.load
    assert load is not None
    interruption, load.interruption = load.interruption, None
    try:
        if interruption is not None and not isinstance(interruption, besides):
            raise interruption
    finally:
        del interruption, flight, load
