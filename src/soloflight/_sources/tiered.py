"""What a leader does where a tier stands round what it would do: it asks, loads if it must, tells.

Whoever leads here is one of many leaders, one in each process, and the store says which of them
loads. The others land with what that one brings. The loader is called where it always is.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

from .._flights.flight import Call, Flight
from .._flights.landing import Failed, Landing
from .._flights.table import FlightTable
from .._outcome import without_us
from .._tiers.codec import Coder
from .._tiers.function import Shared
from .._tiers.leases import Lease
from .._tiers.talk import ask, drive, drive_async, tell
from .direct import AsyncSource, Source

_holding: ContextVar[bool] = ContextVar("soloflight_holding", default=False)
"""Whether the load that runs here holds a lease: one that it asks for is nested (see `talk`)."""


def shared(options: Any, table: FlightTable, loader: Any, is_async: bool) -> tuple[Shared, Any]:
    """What a function has of its tier, and what is put round its source."""
    coder = Coder(options.codec, loader)
    function = Shared(options.tier, table, coder, options.version, is_async)
    return function, partial(tiered_async if is_async else tiered, function)


def tiered(shared: Shared, source: Source) -> Source:
    """That of a plain function, round another one."""
    tier, table = shared.tier, shared.table

    def leader(flight: Flight, call: Call) -> Landing:
        lease: Lease | None = None
        try:
            if shared.unfit():
                next(shared.loads.counter)
                return source(flight, call)
            try:
                d = shared.known(call.key)
            except TypeError as refused:  # a key that does not travel
                return Failed(without_us(refused))
            found: Any = drive(ask(shared, flight, call, d, _holding.get()), tier)
            if isinstance(found, Landing):
                return found
            lease = found
            if lease is None:
                next(shared.unleased.counter)
            next(shared.loads.counter)
            table.begin(flight)  # what a load costs starts here
            outer = _holding.set(lease is not None)
            try:
                landing = source(flight, call)
            finally:
                _holding.reset(outer)
            if lease is not None:
                landing = drive(tell(shared, flight, lease, landing), tier)
            return landing
        finally:
            if lease is not None and not lease.over:  # interrupted
                lease.give_back(tier)
            found = landing = None  # type: ignore[assignment]
            del flight, call, lease  # breaks the ring (see Rings)

    return leader


def tiered_async(shared: Shared, source: AsyncSource) -> AsyncSource:
    """The same for a coroutine function."""
    tier, table = shared.tier, shared.table

    async def leader(flight: Flight, call: Call) -> Landing:
        lease: Lease | None = None
        try:
            if shared.unfit():
                next(shared.loads.counter)
                return await source(flight, call)
            try:
                d = shared.known(call.key)
            except TypeError as refused:
                return Failed(without_us(refused))
            found: Any = await drive_async(ask(shared, flight, call, d, _holding.get()), tier.aio)
            if isinstance(found, Landing):
                return found
            lease = found
            if lease is None:
                next(shared.unleased.counter)
            next(shared.loads.counter)
            table.begin(flight)
            outer = _holding.set(lease is not None)
            try:
                landing = await source(flight, call)
            finally:
                with suppress(ValueError):  # the collector closes it, in another context
                    _holding.reset(outer)
            if lease is not None:
                landing = await drive_async(tell(shared, flight, lease, landing), tier.aio)
            return landing
        finally:
            if lease is not None and not lease.over:
                lease.give_back(tier)
            found = landing = None  # type: ignore[assignment]
            del flight, call, lease

    return leader
