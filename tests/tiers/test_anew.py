"""What a process has of a tier in which it begins anew: a forked child, one that was cut off."""

from __future__ import annotations

import interpreters
from conftest import needs_fork
from soloflight import cached_singleflight
from soloflight._tiers.memory import MemoryTier


@needs_fork
def test_a_child_has_leases_of_its_own_and_owes_nothing() -> None:
    interpreters.run(
        """
        import os, warnings
        from conftest import succeeds
        from soloflight._tiers.leases import Debt
        from soloflight._tiers.memory import MemoryTier

        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        tier = MemoryTier()
        tier.owe(Debt("i", b"d"))
        bell, token = tier.listen(b"d"), tier.token()
        child = os.fork()
        if child == 0:
            ours = tier.token()[:8] != token[:8] and not tier.owed and not tier.bells
            os._exit(0 if ours else 1)
        succeeds(child)
        assert tier.owed and tier.bells and tier.token()[:8] == token[:8]
        """
    )


def test_whoever_is_cut_off_drops_all_and_asks_anew() -> None:
    one = MemoryTier()

    @cached_singleflight(ttl=60, codec="json", tier=one)
    def load(key: str) -> str:
        return key

    load("k")
    bell = one.listen(b"d")
    one.cut_off()
    assert load.peek("k") is None
    assert bell._rung.is_set()
    bell.close()
