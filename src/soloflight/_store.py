"""A cache, its lock, and every change that is made to it.

User code runs in the middle of a change: the destructor of an evicted value, a key's ``__eq__``,
``getsizeof``. Changes that are asked for meanwhile are made when that one is over.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Hashable, MutableMapping
from threading import Lock, RLock
from typing import Any, Protocol
from weakref import ref

from ._entry import Entry
from ._index import UNUSED, Index, Ring, Scoped

log = logging.getLogger("soloflight")

Cache = MutableMapping[Any, Any]


class Owner(Protocol):
    """The function that a change is made for."""

    name: str

    def find(self, key: Hashable) -> Entry[Any] | None: ...
    def refused(self, key: Hashable, entry: Entry[Any]) -> None: ...
    def failed(self, error: Exception) -> None: ...
    def hide_all(self) -> None: ...


class SizeError(ValueError):
    """``getsizeof`` raised; the cache itself is whole."""


ALL: Hashable = object()
"""As the key of a removal: every key."""


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
        self.busy: list[Hashable] | None = None  # the same, read without a call; may be left set
        # Changes asked for while another one is made; made after it.
        self.pending: deque[tuple[Owner, Hashable, Entry[Any] | None]] = deque()
        # Written by callbacks of weak references, without the lock, wherever they run:
        self.dead: deque[Index] = deque()  # of instances that are gone
        # The hits of all who share the cache: what one of them stores must not evict what another
        # one has just hit.
        self.rings: list[ref[Ring]] = []

    def join(self, ring: Ring) -> None:
        """Have the hits that are noted there replayed."""
        if self.ordered:
            self.rings.append(ref(ring, self.rings.remove))

    def change(self, owner: Owner, key: Hashable, entry: Entry[Any] | None) -> None:
        """Store an entry, or remove that of `key` (`ALL`: all). Raises only interruptions.

        Whoever finds another change under way leaves its own to it: a change of the same thread, or
        of one that runs user code in there and has given up the lock meanwhile (see `_locks`).
        """
        # There is no call between finding nobody at it and being at it: a signal handler could run
        # there and give up the lock, and another thread be at it when this one has the lock again.
        if self.pending or (self.busy is not None and self.changing.locked()):
            self.pending.append((owner, key, entry))
        else:
            self.busy = mine = [key]
            with self.changing: self._apply(owner, key, entry)  # fmt: skip
            if self.busy is mine:
                self.busy = None
        if self.pending:
            self._make_pending()

    def _make_pending(self) -> None:
        while self.pending and not (self.busy is not None and self.changing.locked()):
            self.busy = mine = [ALL]
            with self.changing: self._catch_up()  # fmt: skip
            if self.busy is mine:
                self.busy = None

    def _catch_up(self) -> None:
        """Make the change that waits for the longest time."""
        try:
            owner, key, entry = self.pending.popleft()
            if entry is not None and owner.find(key) is not entry:
                return  # another one has taken its place
        except Exception:
            return  # user code that ran in between has made it; or a key's __eq__ raised
        self._apply(owner, key, entry)

    def _apply(self, owner: Owner, key: Hashable, entry: Entry[Any] | None) -> None:
        """Any user code may run in here."""
        cache = self.cache
        try:
            if entry is not None:
                if self.dead:
                    self._bury()
                for alive in self.rings:
                    ring = alive()
                    if ring is not None and ring.slots != UNUSED:
                        ring.replay(cache)
                cache[key] = entry
            elif key is ALL:
                cache.clear()
            else:
                cache.pop(key, None)
        except ValueError as error:  # the cache's own word for a value that is too large
            if entry is not None:
                owner.refused(key, entry)
            if isinstance(error, SizeError):
                owner.failed(error)
        except Exception as error:
            if entry is not None:
                owner.refused(key, entry)
            # A key's __eq__ raised, say: a linked cache may be half linked now, and for good.
            self._renew(owner, repr(error))
            owner.failed(error)
        except BaseException:
            self._renew(owner, "an interruption")
            if self.make is None:
                log.warning("%s: interrupted in mid-change; its cache may be broken", owner.name)
            raise

    def _bury(self) -> None:
        """Remove what dead instances left behind."""
        while self.dead:
            try:
                index = self.dead.popleft()
            except IndexError:
                return  # user code that ran in between has done it
            for short in list(index):  # a value's destructor may store
                self.cache.pop(Scoped(index, short), None)
            index.clear()

    def _renew(self, owner: Owner, cause: str) -> None:
        """Replace a cache of ours that may have been left broken."""
        if self.make is not None:
            self.cache = self.make()
            owner.hide_all()
            log.warning("%s: %s in mid-change; its cache starts anew, empty", owner.name, cause)

    def size(self) -> float | None:
        """What the cache says of its size; ``None`` in the middle of a change."""
        if self.busy is not None and self.changing.locked():
            return None
        self.busy = mine = [ALL]
        with self.changing: size = self._size()  # fmt: skip
        if self.busy is mine:
            self.busy = None
        self._make_pending()
        return size

    def _size(self) -> float:
        size = getattr(self.cache, "currsize", None)
        return len(self.cache) if size is None else size

    def forked(self, owner: Owner) -> None:
        if self.changing.locked():
            self.changing = Lock()
            self.pending.clear()
            if self.make is None:
                self.change(owner, ALL, None)
            self._renew(owner, "a fork")
