"""A given cache is pickled and copied as before it was given: its entries, not our bookkeeping."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import cachetools
import pytest

from soloflight import cached_singleflight


class Odd(LookupError):
    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one}, {other}")
        self.one = one


CACHES: dict[str, Callable[[], Any]] = {
    "dict": dict,
    "FIFOCache": lambda: cachetools.FIFOCache(50),
    "LFUCache": lambda: cachetools.LFUCache(50),
    "LRUCache": lambda: cachetools.LRUCache(50),
    "RRCache": lambda: cachetools.RRCache(50),
    "TTLCache": lambda: cachetools.TTLCache(50, 600),
}
WAYS: dict[str, Callable[[Any], Any]] = {
    f"protocol-{protocol}": lambda cache, protocol=protocol: pickle.loads(
        pickle.dumps(cache, protocol)
    )
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
} | {"copy": copy.copy, "deepcopy": copy.deepcopy}


def filled(cache: Any) -> Any:
    """A cache with entries of several functions; one of these."""

    @cached_singleflight(cache=cache, ttl=60)
    def plain(n: int) -> list[int]:
        return [n]

    @cached_singleflight(
        cache=cache, ttl=60, error_ttl={LookupError: 60}, stale_while_revalidate=60
    )
    def aging(n: int) -> int:
        if n:
            raise Odd(1, 2)
        return n

    class Repo:
        @cached_singleflight(cache=cache, ttl=60)
        def get(self, n: int) -> int:
            return n

    repo = Repo()
    plain(1)
    repo.get(1)
    aging(0)
    with pytest.raises(Odd):
        aging(1)
    plain.keep = repo
    return plain


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", CACHES)
def test_what_is_in_a_given_cache_is_in_its_copy(kind: str, way: str) -> None:
    cache = CACHES[kind]()
    plain = filled(cache)
    first = plain(1)
    made = WAYS[way](cache)
    assert type(made) is type(cache)
    assert len(made) == len(cache) == 4
    errors = [entry.error for entry in made.values() if entry.error is not None]
    assert [(type(e), e.args, e.one) for e in errors] == [(Odd, ("1, 2",), 1)]
    values = [entry.value for entry in made.values() if entry.error is None]
    assert sorted(map(str, values)) == ["0", "1", "[1]"]
    assert plain(1) is first


def test_a_copy_can_be_given_again() -> None:
    cache = cachetools.LRUCache[Any, Any](50)
    filled(cache)
    made = pickle.loads(pickle.dumps(cache))

    @cached_singleflight(cache=made, ttl=60)
    def load(n: int) -> int:
        return n

    assert [load(1), load(1)] == [1, 1]
    assert load.stats().misses == 1
    assert len(made) == 5


def test_a_value_may_hold_the_cache_that_holds_it() -> None:
    cache = cachetools.LRUCache[Any, Any](50)

    @cached_singleflight(cache=cache, ttl=60)
    def load() -> Any:
        return [cache]

    load()
    for made in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        (entry,) = made.values()
        assert entry.value[0] is made
