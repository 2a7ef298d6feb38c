"""Aids for the tests of those who use soloflight."""

from __future__ import annotations

from ._tiers.memory import MemoryTier

__all__ = ("MemoryTier",)
