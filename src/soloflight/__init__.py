"""Caching decorators with stampede protection, for threads and asyncio.

>>> from soloflight import cached_singleflight
>>> @cached_singleflight(ttl=30)
... def load_user(user_id: int) -> str:
...     return f"user {user_id}"  # SELECT ... FROM users ...
>>> load_user(1)  # loads; whoever asks for user 1 meanwhile waits for this load
'user 1'
>>> load_user(user_id=1)  # a hit: no lock, no second load
'user 1'
>>> load_user.invalidate(1)  # the next call loads anew
True

`singleflight` is that without a cache, `Group` the pattern for keys and functions known only at run
time. The function is the *loader*; a call's arguments make its *key*; what is cached is an *entry*;
one load in progress is a *flight*, which its *leader* started and its *followers* joined.
"""

from . import _public
from ._calls.bound import BoundCachedFunction, BoundFunction
from ._calls.bypasses import bypass
from ._calls.function import CachedFunction, Function
from ._calls.surface import Clearable
from ._decorators import cached_singleflight, singleflight
from ._entries.entry import Entry
from ._entries.sieve_cache import SieveCache
from ._flights.flight import FlightInfo
from ._flights.stats import CacheInfo, Stats
from ._registry import Registered, clear_all, registry
from .exceptions import FlightDeadlock, FlightError, RemoteLoadError, WaitTimeout
from .group import Group

__all__ = (
    "BoundCachedFunction",
    "BoundFunction",
    "CacheInfo",
    "CachedFunction",
    "Clearable",
    "Entry",
    "FlightDeadlock",
    "FlightError",
    "FlightInfo",
    "Function",
    "Group",
    "Registered",
    "RemoteLoadError",
    "SieveCache",
    "Stats",
    "WaitTimeout",
    "bypass",
    "cached_singleflight",
    "clear_all",
    "registry",
    "singleflight",
)
__version__ = "0.1.0"

_unpickled = _public.unpickled  # pickles name it
_public.publish(globals()[name] for name in __all__)
