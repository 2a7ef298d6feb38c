"""What `stats()` and `cache_info()` return."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import NamedTuple


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
    evictions: int
    """Entries that the cache has dropped to make room, for everyone who shares it. (One that was
    given, cachetools' `TTLCache` say, may not tell these from what has expired.)"""
    expired: int
    """Entries that it has dropped as they had expired. (Others go when somebody stores.)"""
    load_seconds: float
    """Seconds spent in loads that ended with a value or an exception, on the ``timer``."""
    loads: int
    """How often the loader was called here. With a tier, the rest of ``misses`` got what another
    process had loaded; without one, it is all of them."""
    tier_hits: int
    """Flights that landed with what was fresh in the tier."""
    tier_stale: int
    """Those that landed with what was stale there."""
    remote_errors: int
    """Those that landed with the exception of another process' load."""
    lost_leases: int
    """Loads that ended when another process had the lease, or it was fenced: not stored there."""
    unleased: int
    """Loads without a lease: the store was down, or another process was waited for too long."""
    unreadable: int
    """Envelopes in the tier that could not be read here: of another version, say."""

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
