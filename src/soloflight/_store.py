"""A cache, its lock, and every change that is made to it.

User code runs in the middle of a change: the destructor of an evicted value, a key's ``__eq__``,
``getsizeof``. Changes that are asked for meanwhile are made when that one is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, MutableMapping
from typing import Any, Protocol
from weakref import ref

from ._entry import Entry
from ._index import UNUSED, Index, Ring, Scoped
from ._locks import RLock, tell
from ._shown import shown

Cache = MutableMapping[Any, Any]


class Owner(Protocol):
    """The function that a change is made for."""

    name: str

    def find(self, key: Hashable) -> Entry[Any] | None: ...
    def refused(self, key: Hashable, entry: Entry[Any]) -> None: ...
    def failed(self, error: Exception) -> None: ...
    def hide_all(self) -> None: ...


class SizeError(ValueError):
    """``getsizeof`` gave no size; the cache itself is whole."""


ALL: Hashable = object()
"""As the key of a removal: every key."""
SIZE: Hashable = object()
"""As the key of a removal: none, but look how large the cache is (a TTLCache changes in that)."""


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
        # To something that lives as long as the call that makes a change: no interruption can leave
        # it alive.
        self.busy: ref[set[Any]] | None = None
        self.size: float = 0  # when the cache was asked for it last
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
        if self.pending or not self._apply(owner, key, entry):
            self.pending.append((owner, key, entry))
        if self.pending:
            self._catch_up()

    def _catch_up(self) -> None:
        """Make the changes that were left to others, in their order."""
        while self.pending:
            try:
                change = owner, key, entry = self.pending.popleft()
                if entry is not None and owner.find(key) is not entry:
                    continue  # another one has taken its place
            except Exception:
                continue  # user code that ran in between has made it; or a key's __eq__ raised
            if not self._apply(*change):
                self.pending.appendleft(change)
                return

    def _apply(self, owner: Owner, key: Hashable, entry: Entry[Any] | None) -> bool:
        """Make a change, unless another one is under way; any user code may run in here."""
        alive: set[Any] = set()
        mine = ref(alive)
        if self.busy is not None and self.busy() is not None:
            return False
        # Between finding nobody at it and being at it nothing is called or made, so that no signal
        # handler or destructor runs there.
        self.busy = mine
        cache = self.cache
        try:
            if entry is not None:
                if self.dead:
                    self._bury()
                for ring_of in self.rings:
                    ring = ring_of()
                    if ring is not None and ring.slots != UNUSED:
                        ring.replay(cache)
                cache[key] = entry
            elif key is ALL:
                cache.clear()
            elif key is SIZE:
                size = getattr(cache, "currsize", None)
                self.size = len(cache) if size is None else size
            else:
                cache.pop(key, None)
        except ValueError as error:  # the cache's own word for a value that is too large
            if entry is not None:
                owner.refused(key, entry)
                self.pending.appendleft((owner, key, None))  # what was there before is out of date
            if isinstance(error, SizeError):
                owner.failed(error)
        except Exception as error:
            if entry is not None:
                owner.refused(key, entry)
                self.pending.appendleft((owner, key, None))
            # A key's __eq__ raised, say: a linked cache may be half linked now, and for good.
            self._renew(owner, shown(error))
            owner.failed(error)
        except BaseException:
            self._renew(owner, "an interruption")
            if self.make is None:
                tell("%s: interrupted in mid-change; its cache may be broken", owner.name)
            raise
        finally:
            if self.busy is mine:
                self.busy = None
        return True

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
            tell("%s: %s in mid-change; its cache starts anew, empty", owner.name, cause)

    def forked(self, owner: Owner) -> None:
        if self.busy is not None and self.busy() is not None:
            self.busy = None
            self.pending.clear()
            if self.make is None:
                self.change(owner, ALL, None)
            self._renew(owner, "a fork")
