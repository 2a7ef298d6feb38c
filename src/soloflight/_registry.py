"""Every decorated function and `Group` that there is."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, NamedTuple

from ._calls.surface import Clearable
from ._flights.flight import FlightInfo
from ._flights.stats import Stats
from ._flights.table import FlightTable
from ._locks import all_of, critical


class Registered(NamedTuple):
    """A decorated function or a `Group`, and how it was with it when `registry` was called."""

    name: str
    """``module.qualname``, or what its option ``name`` says. Several may have the same."""
    function: Any
    """The decorated function, or the `Group`."""
    cache: MutableMapping[Any, Any] | None
    """Its cache; None where it has none."""
    stats: Stats
    in_flight: tuple[FlightInfo, ...]


def registry() -> tuple[Registered, ...]:
    """Every decorated function and `Group` that is alive, in the order in which they were made.

    They are held weakly: what nobody else holds is not in here. A method is in here once, for all
    instances.

    >>> from soloflight import cached_singleflight, registry
    >>> @cached_singleflight(ttl=30, name="users")
    ... def load_user(user_id: int) -> str:
    ...     return f"user {user_id}"
    >>> load_user(1)
    'user 1'
    >>> [(known.stats.misses, known.in_flight) for known in registry() if known.name == "users"]
    [(1, ())]
    """
    return tuple(
        Registered(
            name=table.name,
            function=owner,
            cache=None if table.shelf is None else table.shelf.cache,
            stats=critical(table.lock, table.ledger.stats),
            in_flight=table.in_flight(),
        )
        for owner, table in owners()
    )


def owners() -> list[tuple[Any, FlightTable]]:
    """What users hold, each with its table."""
    found = [(table.owner(), table) for table in all_of(FlightTable)]
    return [(owner, table) for owner, table in found if owner is not None]


def clear_all() -> None:
    """``clear`` every `cached_singleflight` function: drop its entries, and fence its loads.

    With a tier that holds for all its processes, as with ``clear`` itself.
    """
    for owner, _ in owners():
        if isinstance(owner, Clearable):
            owner.clear()
