"""Entries in a cachetools cache, and the lock-free way to look at them.

The cache owns the entries and decides what stays. Beside it an `Index`, a plain dict of weak
references, says what may be seen: looking a key up there is one dict read and one dereference, with
no lock, and whatever drops an entry from the cache (LRU, TTL, ``del``, ``clear``, by whomever) ends
it in the index as well. The index is the truth: what is taken out of it is gone at once, even where
the cache has to wait for a change that is under way.

Which keys were hit lately is noted in a short ring and replayed into the cache before the next
store (Caffeine's read buffer), as reading a cachetools cache without its lock is not safe.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Hashable, MutableMapping
from contextlib import suppress
from math import inf
from threading import Lock, RLock
from typing import Any
from weakref import ref

from ._entry import Entry, lifetime
from ._index import GONE, Index, Ref, Ring, Scoped, replay
from ._outcome import Value

log = logging.getLogger("soloflight")


Cache = MutableMapping[Any, Any]


class Store:
    """A cache and its lock; one for all the functions that share the cache."""

    def __init__(
        self,
        cache: Cache,
        make: Callable[[], Cache] | None = None,
        *,
        ordered: bool = True,
        ttu: Callable[[Hashable, Any, float], float] | None = None,
    ) -> None:
        self.ordered = ordered  # whether reading a key from the cache changes what it evicts
        self.ttu = ttu  # the cache's own "time to use" of an entry
        self.lock: RLock = RLock()
        # Guarded by the lock:
        self.cache = cache
        self.make = make  # a default cache can be replaced; None: the cache was given
        self.changing = Lock()  # a flag that an interruption cannot leave set; nobody waits for it
        # Changes asked for by user code that ran inside of one; made after it.
        self.pending: deque[tuple[Shelf, Hashable, Entry[Any] | None]] = deque()
        # Of the functions that share the cache: what one of them stores must not evict what
        # another one has just hit. Shortened by callbacks, wherever they run.
        self.rings: list[ref[Ring]] = []

    def change(self, shelf: Shelf, key: Hashable, entry: Entry[Any] | None) -> None:
        """Store an entry, or remove that of `key` (`ALL`: all). Raises only interruptions."""
        if self.changing.locked():
            self.pending.append((shelf, key, entry))
            return
        with self.changing: shelf.apply(key, entry)  # fmt: skip
        while self.pending:
            try:
                later, key, entry = self.pending.popleft()
            except IndexError:
                return  # user code that ran in between has made the last one
            if entry is None or later.find(key) is entry:
                self.change(later, key, entry)

    def renew(self, shelf: Shelf) -> None:
        """Replace a cache of ours that an exception may have left broken."""
        if self.make is not None:
            self.cache = self.make()
            shelf.hide_all()
            log.warning("%s: interrupted in mid-change; its cache starts anew, empty", shelf.name)

    def forked(self, shelf: Shelf, lock: RLock) -> None:
        self.lock = lock
        if self.changing.locked():
            self.changing = Lock()
            self.pending.clear()
            if self.make is None:
                self.change(shelf, ALL, None)
            self.renew(shelf)


class SizeError(ValueError):
    """``getsizeof`` raised; the cache itself is whole."""


ALL: Hashable = object()


class Shelf:
    """The entries of one function. What does not say otherwise needs the store's lock."""

    def __init__(
        self,
        name: str,
        store: Store,
        *,
        ttl: Callable[[Any], object] | float,
        timer: Callable[[], float],
    ) -> None:
        self.name = name
        self._store = store
        self._ttl = ttl
        self._timer = timer
        self.index = Index()
        self.instances: Callable[[], list[Index]] = list
        self.ring = Ring()
        # Written by the callbacks of weak references, without a lock, wherever they run:
        self.dropped: deque[Ref] = deque()
        self.dead: deque[Index] = deque()
        self.failures = 0

    @property
    def lock(self) -> RLock:
        return self._store.lock

    @property
    def cache(self) -> Cache:
        return self._store.cache

    @property
    def hits(self) -> int:
        return self.ring.total()

    @property
    def ordered(self) -> bool:
        """Whether hits are noted for the cache."""
        return self._store.ordered

    @property
    def shared(self) -> bool:
        """Whether the cache may hold entries of others, so that keys must be `Scoped`."""
        return self._store.make is None

    def names(self) -> dict[str, Any]:
        """What the generated hit path refers to. From now on hits are noted."""
        rings = self._store.rings
        rings.append(ref(self.ring, rings.remove))
        return {
            "index": self.index,
            "get": self.index.get,
            "now": self._timer,
            "ring": self.ring.slots,
            "counter": self.ring.counter,
        }

    @property
    def timed(self) -> bool:
        """Whether entries expire."""
        return self._ttl != inf or self._store.ttu is not None

    def entry(self, value: Any) -> Value[Any]:
        """The entry of a value that was loaded just now; no entry where its ttl is over at once.

        Takes no lock: ``ttl`` and ``timer`` are the user's.
        """
        ttl = self._ttl
        if callable(ttl):
            ttl = lifetime(ttl(value), f"ttl() of {self.name}")
        return Entry(value, self._timer() + ttl if ttl != inf else inf) if ttl > 0 else Value(value)

    def find(self, key: Hashable) -> Entry[Any] | None:
        """The entry of `key`, fresh or not. Takes no lock."""
        index, short = key if type(key) is Scoped else (self.index, key)
        return index.get(short, GONE)()

    def fresh(self, key: Hashable) -> Entry[Any] | None:
        """The entry of `key` if it is fresh. Takes no lock."""
        entry = self.find(key)
        return entry if entry is not None and entry.is_fresh(self._timer()) else None

    def look(self, key: Hashable) -> Entry[Any] | None:
        """A hit."""
        index, short = key if type(key) is Scoped else (self.index, key)
        entry: Entry[Any] | None = index.get(short, GONE)()
        if entry is None or not self._timer() < entry.fresh_until:
            return None
        next(self.ring.counter)
        return entry

    def store(self, key: Hashable, entry: Entry[Any]) -> None:
        """Show an entry, and put it into the cache; where that refuses it, it is soon gone."""
        index, short = key if type(key) is Scoped else (self.index, key)
        shown = Ref(entry, self.dropped.append)
        shown.key = key
        try:
            ttu = self._store.ttu
            if ttu is not None:
                entry.fresh_until = min(entry.fresh_until, ttu(key, entry, self._timer()))
            index[short] = shown
        except Exception as error:  # of ttu, or of a key's __eq__
            with suppress(Exception):
                index.pop(short, None)  # rather nothing than what is older than this
            self._failed(error)
            return
        self._store.change(self, key, entry)
        dropped = self.dropped
        while dropped:
            try:
                gone = dropped.popleft()
            except IndexError:
                return  # user code that ran in between has swept
            key = gone.key
            index, short = key if type(key) is Scoped else (self.index, key)
            if index.get(short) is gone:
                index.pop(short, None)

    def drop(self, key: Hashable) -> Entry[Any] | None:
        """Hide and remove the entry of `key`; returns it if it was fresh."""
        index, short = key if type(key) is Scoped else (self.index, key)
        gone = index.pop(short, GONE)
        entry: Entry[Any] | None = gone()
        if entry is None:
            return None
        self.ring.forget(gone)
        self._store.change(self, key, None)
        return entry if entry.is_fresh(self._timer()) else None

    def clear(self) -> None:
        """Hide and remove every entry."""
        keys: list[Hashable] = [ALL]
        if self.shared:
            indexes = (self.index, *self.instances())
            keys = [Scoped(index, k) for index in indexes for k in list(index)]
        self.hide_all()
        for key in keys:
            self._store.change(self, key, None)

    def hide_all(self) -> None:
        for index in (self.index, *self.instances()):
            index.clear()
        self.dropped.clear()
        self.ring.clear()

    def apply(self, key: Hashable, entry: Entry[Any] | None) -> None:
        """Change the cache; by way of `Store.change` only. Any user code may run in here."""
        store = self._store
        cache = store.cache
        try:
            if entry is None:
                if key is ALL:
                    cache.clear()
                else:
                    cache.pop(key, None)
                return
            if self.dead:
                self._bury(cache)
            if store.ordered:
                replay(store.rings, cache)
            cache[key] = entry
        except ValueError as error:  # the cache's own word for a value that is too large
            self._refused(key, entry)
            if isinstance(error, SizeError):
                self._failed(error)
        except Exception as error:
            self._refused(key, entry)
            # A key's __eq__ raised, say: a linked cache may be half linked now, and for good.
            store.renew(self)
            self._failed(error)
        except BaseException:
            store.renew(self)
            if store.make is None:
                log.warning("%s: interrupted in mid-change; its cache may be broken", self.name)
            raise

    def _bury(self, cache: Cache) -> None:
        """Remove what dead instances left behind."""
        while self.dead:
            try:
                index = self.dead.popleft()
            except IndexError:
                return  # user code that ran in between has done it
            for short in list(index):  # a value's destructor may store
                cache.pop(Scoped(index, short), None)
            index.clear()

    def _refused(self, key: Hashable, entry: Entry[Any] | None) -> None:
        """No longer show an entry that the cache refused, even while somebody holds it."""
        index, short = key if type(key) is Scoped else (self.index, key)
        if entry is not None and self.find(key) is entry:
            index.pop(short, None)

    def _failed(self, error: Exception) -> None:
        """Count a store that failed, and warn of the first."""
        self.failures += 1
        if self.failures == 1:
            log.warning(
                "%s: a value was loaded but could not be stored (no further warnings)",
                self.name,
                exc_info=error,
            )

    def forked(self, lock: RLock) -> None:
        self._store.forked(self, lock)
