"""The entries of a function whose cache was given: any of cachetools, a `dict`, another mapping.

Such a cache owns the entries and decides what stays; to look at it without its lock is not safe.
Beside it an `Index` of weak references says what may be seen: looking a key up there is one dict
read and one dereference, with no lock, and whatever drops an entry from the cache (LRU, TTL,
``del``, ``clear``, by whomever) ends it in the index as well. The index is the truth: what is taken
out of it is gone at once, even where the cache has to wait for a change that is under way.

Which keys were hit lately is noted in a short ring, one for all who share the cache, and replayed
into the cache before the next store (Caffeine's read buffer).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from .._durations import number
from .._interruptions import is_interruption, users_errors
from .._tally import Tally
from .entry import Aging, Entry
from .index import DEAD, DROPPED, Ref, Scoped
from .policy import Policy
from .shelf import Shelf
from .store import NONE, SIZE, Store
from .storing import Right


class GivenShelf(Shelf):
    """On a cache that the user gives, beside an index of weak references."""

    weak = True

    def __init__(self, name: str, store: Store, policy: Policy, timer: Callable[[], float]) -> None:
        super().__init__(
            name, policy, timer, cache=store.cache, lock=store.lock, hits=Tally(), counts=None,
            dead=store.dead, shared=True,
        )  # fmt: skip
        self._store = store
        self.ordered = store.ordered
        self.ttu = store.ttu
        self.timed = self.timed or self.ttu is not None
        # Written by callbacks of weak references, without the lock, wherever they run:
        self.ended: deque[Ref] = deque()

    def names(self) -> dict[str, Any]:
        return super().names() | {"gone": DEAD, "note": self._store.hit.append}

    def size(self) -> float:
        """The size of what the cache holds; in the middle of a change, when it was asked last."""
        self._store.change(self, SIZE, None)
        return self._store.size

    def find(self, key: Hashable) -> Entry[Any] | None:
        """The entry of `key`, fresh or not. Takes no lock."""
        index, short = key if type(key) is Scoped else (self.index, key)
        entry: Entry[Any] | None = index.get(short, DEAD)()
        return entry

    def look(self, key: Hashable) -> Entry[Any] | None:
        """A hit on an entry that is fresh, or behind which reloads are held off. Takes no lock."""
        index, short = key if type(key) is Scoped else (self.index, key)
        entry: Entry[Any] | None = index.get(short, DEAD)()
        if entry is None:
            return None
        now = self.timer()
        if not now < entry.fresh_until and not (type(entry) is Aging and now < entry.calm_until):
            return None
        next(self.hits.counter)
        return entry

    def store(self, key: Hashable, entry: Entry[Any], right: Right | None = None) -> None:
        """Show an entry, and put it into the cache; where that refuses it, it is soon gone."""
        index, short = key if type(key) is Scoped else (self.index, key)
        shown = Ref(entry, self.ended.append)
        shown.key = key
        try:
            index[short] = shown
        except Exception as error:  # of a key's __eq__
            if is_interruption(error):
                raise
            self._hide(key, error)
            return
        if right is not None and right.fenced:  # by user code that ran in there
            self.refused(key, entry)
            return
        self._store.change(self, key, entry)
        while self.ended:
            try:
                gone = self.ended.popleft()
            except IndexError:
                return  # user code that ran in between has swept
            key = gone.key
            index, short = key if type(key) is Scoped else (self.index, key)
            try:  # no `users_errors`: this is a part of every miss
                if index.get(short) is gone:
                    index.pop(short, None)
                    self.evictions += 1
            except Exception as error:
                if is_interruption(error):
                    raise

    def limit(self, key: Hashable, entry: Entry[Any]) -> bool:
        """Have an entry expire when the cache's ``ttu`` says so; whether it is to be stored."""
        assert self.ttu is not None
        try:
            now = self.timer()
            entry.limit(number(self.ttu(key, entry, now), "what ttu() returns"))
        except Exception as error:
            if is_interruption(error):
                raise
            self._hide(key, error)
            self._store.change(self, key, None)
            return False
        if type(entry) is Aging:
            self.policy.calm(entry)
        if now < entry.until:
            return True
        self.drop(key)  # it is newer; before cachetools 7.1 a TLRUCache keeps the older one
        return False

    def _hide(self, key: Hashable, error: Exception) -> None:
        """A value cannot be stored: rather show nothing than what is older."""
        index, short = key if type(key) is Scoped else (self.index, key)
        with users_errors:
            index.pop(short, None)
        self.failed(error)

    def put(self, key: Hashable, entry: Entry[Any] | None) -> Entry[Any] | None:
        old = self.drop(key)
        if entry is not None and (self.ttu is None or self.limit(key, entry)):
            self.store(key, entry)
        else:
            self.tidy()
        return old

    def drop(self, key: Hashable) -> Entry[Any] | None:
        """Hide and remove the entry of `key`; returns it if it might still be served."""
        index, short = key if type(key) is Scoped else (self.index, key)
        gone = index.pop(short, DEAD)
        entry: Entry[Any] | None = gone()
        if entry is not None:
            gone.key = DROPPED  # who has noted a hit keeps the key alive no longer
            self._store.change(self, key, None)
        return entry

    def tidy(self) -> None:
        """Nothing changes, but what dead instances left must not wait for a store."""
        if self.dead:
            self._store.change(self, NONE, None)

    def clear(self) -> None:
        """Hide and remove every entry."""
        keys = self.keys()
        self.hide_all()
        for key in keys:
            self._store.change(self, key, None)
        self.tidy()

    def hide_all(self) -> None:
        for index in (self.index, *self.instances()):
            index.clear()
        self.ended.clear()

    def refused(self, key: Hashable, entry: Entry[Any]) -> None:
        """No longer show an entry that the cache refused, even while somebody holds it."""
        index, short = key if type(key) is Scoped else (self.index, key)
        with users_errors:
            if self.find(key) is entry:
                index.pop(short, None)

    def failed(self, error: Exception) -> None:
        """A store has failed."""
        self.ledger.fail_to_store(error)

    def troubled(self, error: Exception) -> None:
        """The cache raised where nothing was stored."""
        text = "its cache raised, but not for a value that was stored"
        self.ledger.tell_once(text, error=error)

    def forked(self) -> None:
        self._store.forked(self)
