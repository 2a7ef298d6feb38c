"""What a leader does where nothing stands between its flight and the loader: it calls that.

A `Source` is what a leader does: ``source(flight, call)`` gives the `Landing` of a flight; of an
``async def``, a coroutine that does. It is the seam for what may stand between the two (another
process that has the value, a batch, a test that holds the load back): such a source is made of
another one, and put in its place. It gives a landing and no value, as what comes from elsewhere has
deadlines of its own. Interruptions pass through.

What the loader returned or raised becomes the landing where the load ran, before it lands:
``ttl``, ``cache_if``, ``error_ttl`` and ``timer`` are the user's code.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from .._entries.entry import Aging, Entry
from .._entries.shelf import Shelf
from .._flights.flight import Call, Flight
from .._flights.landing import Failed, Found, Landing, Outcome
from .._flights.table import FlightTable
from .._interruptions import users_errors
from .._outcome import Error, Value, without_us
from .for_one import PLAIN, refusal

Source = Callable[[Flight, Call], Landing]
AsyncSource = Callable[[Flight, Call], Coroutine[Any, Any, Landing]]


class Loaded(Value[Any], Landing):
    """A value that was loaded. It is its own outcome: one object less in every miss."""

    __slots__ = ("entry", "took")
    entry: Entry[Any] | None
    took: float
    outcome = property(lambda self: self)

    def is_newer(self) -> bool:
        return True

    def taken(self, may_hit: bool, own: bool) -> Outcome:
        return self


def direct(table: FlightTable, loader: Callable[..., Any]) -> Source:
    """That of a plain function."""

    def source(flight: Flight, call: Call) -> Landing:
        value: Any = None
        failure: Error | None = None
        try:
            try:
                value = loader(*call.args, **call.kwargs)
            except Exception as error:
                # Without this frame: the traceback starts at the loader.
                failure = Error(error, error.__traceback__.tb_next)  # type: ignore[union-attr]
            return landed(table, flight, value, failure)
        except Exception as error:  # of an option
            return failed_by_option(table, flight, without_us(error))
        finally:
            value = failure = None  # breaks the ring (see Rings)
            del flight, call

    return source


def direct_async(table: FlightTable, loader: Callable[..., Awaitable[Any]]) -> AsyncSource:
    """The same for a coroutine function."""

    async def source(flight: Flight, call: Call) -> Landing:
        value: Any = None
        failure: Error | None = None
        try:
            try:
                value = await loader(*call.args, **call.kwargs)
            except Exception as error:
                failure = without_us(error)
            return landed(table, flight, value, failure)
        except Exception as error:
            return failed_by_option(table, flight, without_us(error))
        finally:
            value = failure = None
            del flight, call

    return source


def landed(table: FlightTable, flight: Flight, value: Any, failure: Error | None = None) -> Landing:
    """That of a flight whose loader has returned a value, or failed."""
    try:
        cls = type(value)
        # (Other metaclasses have a hash of their own.)
        if failure is None and (type(cls) is not type or cls not in PLAIN):
            refused = refusal(value, table.name)
            failure = None if refused is None else Error(refused, None)
        if failure is not None:
            return failed(table, flight, failure)
        now = table.timer()
        took = now - flight.since
        if not took > 0.0:
            took = 0.0  # a clock may be set back
        shelf = table.shelf
        entry = None
        if shelf is not None:
            shelf.now = now
            policy: Any = shelf.policy
            if policy.plain and policy.ttl:  # in line: this is a part of every miss
                entry = policy.new()
                entry.value = value
                entry.fresh_until = now + policy.ttl
                entry.size = 1
            else:
                entry = policy.entry(value, now, took)
            if shelf.sized and entry is not None:
                entry = shelf.measured(entry)
        if table.ledger.outage:
            table.ledger.load_again()
        landing = Loaded()
        landing.value = value
        landing.entry = entry
        landing.took = took
        return landing
    finally:
        refused = landing = None  # type: ignore[assignment]
        del table, flight, value, failure  # the frame of an option that raises holds this one


def failed(table: FlightTable, flight: Flight, error: Error) -> Failed:
    """That of a flight whose loader has raised.

    An exception of `error_ttl` is an answer, and stored. Any other one holds off the next attempt
    where there is an entry to serve meanwhile; this is what callers get, where it is stale.
    """
    try:
        now = table.timer()
        took = max(0.0, now - flight.since)
        if table.shelf is None or not table.shelf.policy.aging:
            return Failed(error, None, took)
        try:
            table.shelf.now = now
            entry = table.shelf.policy.error_entry(error, now)
            if entry is not None and table.shelf.sized:
                table.shelf.measured(entry)
            if entry is not None:
                return Failed(error, entry, took)
            instead = _held_off(table, table.shelf, flight, error, now, error.exception)
        except Exception as wrong:
            # What it was asked about, without frames of ours.
            wrong.__context__ = error.exception.with_traceback(error.traceback)
            raise
        if instead is not None or flight.is_refresh:
            table.ledger.fail_to_reload(flight, error)
        return Failed(error, None, took, instead)
    finally:
        del table, flight, error


def failed_by_option(table: FlightTable, flight: Flight, error: Error) -> Failed:
    """That of a flight whose load ended well, if it was not for an option that raised.

    Its callers get that. Where there is none, it is as with any refresh that failed.
    """
    now = flight.since
    with users_errors:  # of the timer: it may be what has raised
        now = table.timer()
    if flight.is_refresh and table.shelf is not None:
        _held_off(table, table.shelf, flight, error, now)
        table.ledger.fail_to_reload(flight, error)
    return Failed(error, None, max(0.0, now - flight.since))


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
        return Found(entry.value)
    finally:
        del table, shelf, flight, error, raised  # as in `landed`
