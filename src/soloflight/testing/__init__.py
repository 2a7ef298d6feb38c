"""Aids for the tests of those who use soloflight.

`time` lets a ttl pass, `hold` keeps a load in the air, `stampede` sends a herd, `assert_no_flights`
says what was left behind. A pytest plugin is there once soloflight is installed: the fixture
``fresh_caches``, or ``soloflight_clear = true`` among pytest's options for all tests.
"""

from __future__ import annotations

from .._tiers.memory import MemoryTier
from ._clocks import ManualClock, time
from ._herd import Stampede, stampede
from ._hold import AsyncHold, Hold, hold
from ._left import assert_no_flights, clear_local_copies

__all__ = (
    "AsyncHold",
    "Hold",
    "ManualClock",
    "MemoryTier",
    "Stampede",
    "assert_no_flights",
    "clear_local_copies",
    "hold",
    "stampede",
    "time",
)
