"""The entries of one function, as its table and its wrappers see them.

They are looked at without a lock: an `Index` says what may be seen, and what is taken out of it is
gone at once. Whose cache it is, and so what is in the index, makes two kinds: `OwnShelf`, on a
`Sieve`, and `GivenShelf`, on any cache that the user gives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, MutableMapping
from math import inf
from typing import Any, Protocol

from .._interruptions import is_interruption
from .._locks import critical
from .._runners import RLock
from .._tally import Tally
from .entry import Aging, Entry, Plain, Raising
from .index import GONE, Index, Scoped
from .policy import Policy
from .sieve import BURIED
from .sieve_cache import WHOLE, SieveCache
from .storing import Right


class Ledger(Protocol):
    """Where what becomes of the entries is told."""

    def fail_to_store(self, error: Exception) -> None: ...
    def tell_once(self, text: str, *args: object, error: Exception | None = None) -> None: ...


class Counts(Protocol):
    """What has left a cache, but for what was dropped by hand."""

    evictions: int
    """To make room."""
    expired: int
    """As it had expired, where the cache tells the one from the other."""


class Shelf:
    """The entries of one function. What does not say otherwise needs the lock."""

    weak = False  # whether the index has references to entries
    ordered = False  # whether hits are noted for the cache
    sized = False  # whether entries have sizes of their own
    store: Callable[[Hashable, Entry[Any], Right | None], Entry[Any] | None]
    """Show an entry, and put it into the cache; where that refuses it, it is soon gone.

    Returns one that is to be let go of when no lock is held.
    """
    ttu: Any = None  # the cache's own "time to use" of an entry

    def __init__(
        self,
        name: str,
        policy: Policy,
        timer: Callable[[], float],
        *,
        cache: MutableMapping[Any, Any],
        lock: RLock,
        hits: Tally,
        counts: Counts | None,
        dead: deque[Index],
        shared: bool,
    ) -> None:
        self.name = name
        self.policy = policy
        self.timer = timer
        self.has_timer = True  # it was given one, or its cache has one
        self.cache = cache
        self.lock = lock
        self.hits = hits
        self.counts: Counts = self if counts is None else counts
        self.dead = dead  # the indexes of dead instances, until they are buried
        self.timed = policy.ttl != inf or policy.aging  # whether entries expire
        self.shared = shared  # whether it may hold entries of others: keys must be `Scoped`
        self.index = Index()
        self.index.owner = self
        self.instances: Callable[[], list[Index]] = list
        self.ledger: Ledger  # of the table that it belongs to
        self.evictions = self.expired = 0
        self.now = -inf
        """The time when it was asked last: it may be asked for no more, where the lock is held."""

    def names(self) -> dict[str, Any]:
        """What the generated hit path refers to."""
        return {
            "index": self.index,
            "get": self.index.get,
            "now": self.timer,
            "counter": self.hits.counter,
        }

    def size(self) -> float:
        """The size of what the cache holds."""
        raise NotImplementedError

    def find(self, key: Hashable) -> Entry[Any] | None:
        """The entry of `key`, fresh or not. Takes no lock."""
        raise NotImplementedError

    def alive(self, key: Hashable) -> Entry[Any] | None:
        """The entry of `key` if it may still be served, fresh or stale. Takes no lock."""
        now = self.timer()  # first: what is found then may have replaced what expires meanwhile
        entry = self.find(key)
        return entry if entry is not None and now < entry.until else None

    def look(self, key: Hashable) -> Entry[Any] | None:
        """A hit on an entry that is fresh, or behind which reloads are held off. Takes no lock."""
        raise NotImplementedError

    def measured(self, entry: Entry[Any]) -> Entry[Any] | None:
        """An entry with its size, where it is `sized`; None: it has none. Takes no lock."""
        return entry

    def limit(self, key: Hashable, entry: Entry[Any]) -> bool:
        """Have an entry expire when the cache's ``ttu`` says so; whether it is to be stored."""
        return True

    def put(self, key: Hashable, entry: Entry[Any] | None) -> Entry[Any] | None:
        """Show an entry, if there is one, and not what was there; returns that, or drops it."""
        raise NotImplementedError

    def drop(self, key: Hashable) -> Entry[Any] | None:
        """Hide and remove the entry of `key`; returns it."""
        raise NotImplementedError

    def tidy(self) -> None:
        """Nothing changes, but what dead instances left must not wait for a store."""

    def clear(self) -> None:
        """Hide and remove every entry."""
        raise NotImplementedError

    def keys(self, index: Index | None = None) -> list[Hashable]:
        """The keys of the entries in one index, or in all."""
        indexes = (self.index, *self.instances()) if index is None else (index,)
        return [
            key if index is self.index and not self.shared else Scoped(index, key)
            for index in indexes
            for key, shown in list(index.items())
            if type(shown) is not Plain  # of any kind
        ]

    def forked(self) -> None:
        """Make good in a child, where the fork may have struck in mid-change."""


IN_VAIN = 100
"""So many instances in a row that died with entries which nobody had hit are told of."""


class OwnShelf(Shelf):
    """On a `SieveCache`, whose entries are in the index themselves."""

    def __init__(
        self,
        name: str,
        policy: Policy,
        timer: Callable[[], float],
        cache: SieveCache[Any, Any],
        *,
        shared: bool,
    ) -> None:
        self.sieve = sieve = cache._sieve
        super().__init__(
            name, policy, timer, cache=cache, lock=sieve.lock, counts=sieve, dead=sieve.dead,
            hits=Tally() if shared else sieve.uses, shared=shared,
        )  # fmt: skip
        if not shared:
            self.index = sieve.index
            self.index.owner = self
        else:
            sieve.uses.within.append(self.hits)  # they may be those of a function's default cache
        self.sized = cache.sized
        self.uneven = self.timed and (shared or not policy.plain)
        self.in_vain = 0  # instances that have died, and nobody had hit what was theirs

    def names(self) -> dict[str, Any]:
        return super().names() | {"gone": GONE, "uses": self.sieve.uses.counter}

    def owns(self, node: Entry[Any]) -> bool:
        """Whether an entry in the queue is one of this function's."""
        index = node.key.of if type(node.key) is Scoped else self.sieve.index
        return type(node) is not Plain and index.owner is self

    def size(self) -> float:
        cache: Any = self.cache
        size: float = cache.currsize
        return size

    def find(self, key: Hashable) -> Entry[Any] | None:
        index, short = key if type(key) is Scoped else (self.index, key)
        entry: Entry[Any] | None = index.get(short)
        return entry

    def look(self, key: Hashable) -> Entry[Any] | None:
        index, short = key if type(key) is Scoped else (self.index, key)
        entry: Entry[Any] | None = index.get(short)
        if entry is None:
            return None
        now = self.timer()
        if not now < entry.fresh_until and not (type(entry) is Aging and now < entry.calm_until):
            return None
        entry.visited = next(self.sieve.uses.counter)
        if self.shared:
            next(self.hits.counter)
        return entry

    def measured(self, entry: Entry[Any]) -> Entry[Any] | None:
        cache: Any = self.cache
        try:
            # An exception has no size that `getsizeof` could know.
            entry.size = WHOLE if type(entry) is Raising else cache.measured(entry.value)
            return entry if entry.size < inf else None
        except Exception as error:
            if is_interruption(error):
                raise
            critical(self.lock, self.ledger.fail_to_store, error)
        return None

    def store(
        self, key: Hashable, entry: Entry[Any], right: Right | None = None
    ) -> Entry[Any] | None:
        return self.sieve.store(self, key, entry, right)

    def copes(self, error: BaseException) -> bool:
        """Whether a store that has failed is to be told of, and no more: a key has raised."""
        if is_interruption(error):
            return False
        self.ledger.fail_to_store(error)  # type: ignore[arg-type]
        return True

    def put(self, key: Hashable, entry: Entry[Any] | None) -> None:
        if entry is None:
            self.drop(key)
            self.tidy()
        else:
            self.sieve.put(self, key, entry)

    def drop(self, key: Hashable) -> Entry[Any] | None:
        return self.sieve.drop(key)

    def tidy(self) -> None:
        sieve, most = self.sieve, BURIED
        for _ in range(BURIED):
            if not (most and sieve.dead):
                return
            index, most = self._bury(most)
            if index is not None:
                owner = index.owner
                owner.in_vain = 0 if index.used else owner.in_vain + 1
                if owner.in_vain == IN_VAIN:
                    owner.ledger.tell_once(ADVICE, IN_VAIN)

    def _bury(self, most: int) -> tuple[Index | None, int]:
        """Drop some of what a dead instance left: its index, if that was all; how many more may go.

        At the `most`, so many entries.
        """
        sieve = self.sieve
        index = sieve.dead[0]
        while index and most:
            most -= 1
            node = index.popitem()[1]
            sieve.unlink(node)
            if node.visited > 0:
                index.used = True
        if index or not sieve.dead or sieve.dead[0] is not index:
            return None, most
        return sieve.dead.popleft(), most

    def clear(self) -> None:
        for index in (self.index, *self.instances()):
            self.sieve.empty(index)
        self.tidy()


ADVICE = (
    "%s instances have died, one after the other, with entries that nobody had hit. If one is made "
    "for each request, have them share what is loaded: per_instance=False, or a callable that says "
    "what they have in common"
)
