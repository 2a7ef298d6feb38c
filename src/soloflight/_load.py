"""From what a loader returned or raised to what its flight lands with. Takes no lock.

It runs where the load ran, before the landing: ``ttl``, ``cache_if``, ``error_ttl`` and ``timer``
are the user's code.
"""

from __future__ import annotations

import logging
from typing import Any

from ._entry import Aging
from ._flight import Flight
from ._outcome import Error, Value
from ._table import FlightTable

log = logging.getLogger("soloflight")


def loaded(table: FlightTable, flight: Flight, value: Any) -> Value[Any]:
    """What a flight lands with that has loaded a value: its entry, if it is to be stored."""
    try:
        now = table.timer()
        flight.took = now - flight.since
        shelf = table.shelf
        return Value(value) if shelf is None else shelf.policy.entry(value, now, flight.took)
    finally:
        del table, flight, value  # the frame of an option that raises holds this one


def failed(table: FlightTable, flight: Flight, error: Error) -> Error:
    """What a flight lands with whose loader has raised.

    An exception of `error_ttl` is an answer, and stored. Any other one holds off the next attempt
    where there is an entry to serve meanwhile; this is what callers get, where it is stale.
    """
    try:
        now = table.timer()
        flight.took = now - flight.since
        if table.shelf is None or not table.shelf.policy.aging:
            return error
        policy = table.shelf.policy
        error.entry = policy.error_entry(error, now, flight.took)
        if error.entry is not None:
            return error
        entry = table.shelf.find(flight.key)
        if type(entry) is Aging and now < entry.until:
            if not now < entry.fresh_until:
                error.stale = Value(entry.value)
            # Found first, asked second: what is newer than this load has fenced it before.
            if table.flights.get(flight.key) is flight:
                policy.hold_off(entry, error, now)
        if error.stale is not None or flight.unattended:
            exc_info = type(error.exception), error.exception, error.traceback
            log.warning("%s: a reload failed", flight, exc_info=exc_info)
        return error
    finally:
        del table, flight, error


def not_started(table: FlightTable, error: Exception) -> None:
    """Tell, once, that a refresh could not be started. The next caller tries again."""
    if not table.refused:
        table.refused = True
        log.warning(
            "%s: a refresh could not be started (no further warnings)", table.name, exc_info=error
        )
