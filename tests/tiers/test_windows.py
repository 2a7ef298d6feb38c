"""How long what is stored is fresh elsewhere, and stale."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from conftest import Clock
from soloflight import cached_singleflight
from soloflight._tiers.memory import MemoryTier


@pytest.mark.parametrize("window", ["stale_while_revalidate", "stale_if_error"])
def test_what_may_be_stale_for_ever_is_not_fresh_for_ever(clock: Clock, window: str) -> None:
    """The store knows what is fresh by how long it keeps it."""
    loads: list[str] = []

    def process(tier: MemoryTier) -> Any:
        def load(key: str) -> int:
            loads.append(key)
            return len(loads)

        options: dict[str, Any] = {"ttl": 10, window: inf, "tier": tier, "timer": clock}
        return cached_singleflight(name="load", codec="json", **options)(load)

    one = MemoryTier(clock=clock)
    assert process(one)("k") == 1
    clock.advance(9)
    found = process(MemoryTier(memory=one.memory, clock=clock))
    assert found("k") == 1
    assert found.peek("k").fresh_until == clock.now + 1
    clock.advance(2)
    assert one.memory.read(next(iter(one.memory._values))).left > 10**8
    assert process(MemoryTier(memory=one.memory, clock=clock)).refresh("k") == 2
