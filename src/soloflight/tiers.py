"""What processes share loads and values through: give one to ``cached_singleflight(tier=...)``.

`RedisTier` is for a fleet, `HostTier` for the processes of one host. Each needs its extra:
``soloflight[redis]``, ``soloflight[host]``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._tiers.codec import PickleCodec as PickleCodec
    from ._tiers.host import HostTier as HostTier
    from ._tiers.kinds import Codec as Codec
    from ._tiers.redis import RedisTier as RedisTier

__all__ = ("Codec", "HostTier", "PickleCodec", "RedisTier")

_ROOMS = {"Codec": "kinds", "HostTier": "host", "PickleCodec": "codec", "RedisTier": "redis"}


def __getattr__(name: str) -> Any:  # what nobody uses need not be installed
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"._tiers.{_ROOMS[name]}", __package__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
