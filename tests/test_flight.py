"""The protocol, one order of effects at a time."""

from __future__ import annotations

from typing import Any

import pytest

from soloflight import cached_singleflight
from soloflight._flight import Flight


@pytest.mark.parametrize("fence", ["invalidate", "clear", "put"])
def test_a_claim_in_the_middle_of_a_fence_is_fenced_as_well(
    monkeypatch: pytest.MonkeyPatch, fence: str
) -> None:
    """Going on the table takes no lock, so a claim may come while an entry is being hidden."""

    @cached_singleflight(ttl=60)
    def load(key: str) -> str:
        return "old"

    load("k")
    core = load._core
    table, shelf, key = core.table, core.shelf, load.cache_key("k")
    between = Flight(key, table.name)
    hide: Any = shelf.clear if fence == "clear" else shelf.drop

    def hide_after_a_claim(*args: Any) -> Any:
        table.flights.setdefault(key, between)  # the claim's first step; it sees the entry next
        return hide(*args)

    monkeypatch.setattr(shelf, "clear" if fence == "clear" else "drop", hide_after_a_claim)
    if fence == "put":
        load.put("new", "k")
    elif fence == "clear":
        load.clear()
    else:
        load.invalidate("k")
    assert table.flights == {}, "a newcomer would join a claim that saw the old entry"
