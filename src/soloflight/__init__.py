"""Caching decorators with stampede protection, for threads and asyncio."""

from ._decorators import cached_singleflight, singleflight
from ._entry import Entry
from ._flight import FlightInfo
from ._function import BoundCachedFunction, BoundFunction, CachedFunction, Function
from ._stats import CacheInfo, Stats
from .exceptions import FlightDeadlock, FlightError, WaitTimeout
from .group import Group

__all__ = (
    "BoundCachedFunction",
    "BoundFunction",
    "CacheInfo",
    "CachedFunction",
    "Entry",
    "FlightDeadlock",
    "FlightError",
    "FlightInfo",
    "Function",
    "Group",
    "Stats",
    "WaitTimeout",
    "cached_singleflight",
    "singleflight",
)
__version__ = "0.1.0"
