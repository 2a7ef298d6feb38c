"""What a function counts."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

from .._entries.entry import Entry, Raising
from .._tally import Tally


class Counts:
    """What is counted of a table, besides the hits (those the shelf has)."""

    __slots__ = (
        "abandoned",
        "early",
        "errors",
        "fenced",
        "joined",
        "led",
        "negative",
        "refreshes",
        "seconds",
        "stale",
        "stale_on_error",
        "timeouts",
    )

    def __init__(self) -> None:
        # Without a lock:
        self.led = Tally()
        self.stale = Tally()
        self.stale_on_error = Tally()
        self.early = Tally()
        self.negative = Tally()
        self.refreshes = Tally()
        self.timeouts = Tally()
        # Under the lock of the table:
        self.joined = 0
        self.errors = 0
        self.fenced = 0
        self.abandoned = 0
        self.seconds = 0.0

    def serve(self, entry: Entry[Any], now: float) -> None:
        """Count what an entry was that answered a call at once."""
        if isinstance(entry, Raising):
            next(self.negative.counter)
        elif not now < entry.fresh_until:
            next((self.stale if now < entry.stale_until else self.stale_on_error).counter)


@dataclass(frozen=True)
class Stats:
    """Counts since the function was decorated, or since its last ``cache_clear()``."""

    hits: int
    """Calls answered by an entry at once, fresh or stale."""
    misses: int
    """Loads led, refreshes included."""
    joined: int
    """Calls that followed a flight in progress."""
    errors: int
    """Loads that ended with an exception."""
    store_errors: int
    """Values that were loaded and handed over, but could not be stored."""
    refreshes: int
    """Loads that were started behind a value that was served."""
    early_refreshes: int
    """Those of them that were started behind a fresh value."""
    stale_hits: int
    """Calls that got an entry that was stale, within ``stale_while_revalidate``."""
    stale_on_error: int
    """Calls that got what was there beyond that: a load failed, or took longer than they wait."""
    negative_hits: int
    """Hits on an exception (``error_ttl``)."""
    fenced: int
    """Flights that were taken off the table before they landed, those too old among them."""
    abandoned: int
    """Flights that ended with neither a value nor an exception."""
    timeouts: int
    """Calls whose patience ended (``wait_timeout``, ``max_abandoned``)."""
    load_seconds: float
    """Seconds spent in loads that ended with a value or an exception, on the ``timer``."""

    def since(self, before: Stats) -> Stats:
        """What was counted after `before` was."""
        return Stats(
            *(now - then for now, then in zip(astuple(self), astuple(before), strict=True))
        )


class CacheInfo(NamedTuple):
    """The tuple of `functools.lru_cache`; ``currsize`` counts what the cache holds for everyone."""

    hits: int
    misses: int
    maxsize: float | None
    currsize: float
