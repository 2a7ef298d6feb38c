"""A cache, its lock, and every change that is made to it.

User code runs in the middle of a change: the destructor of an evicted value, a key's ``__eq__``,
``getsizeof``. Changes that are asked for meanwhile are made when that one is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, MutableMapping
from types import CodeType
from typing import Any, Protocol
from weakref import ref

from .._interruptions import is_interruption, is_raised_by
from .._locks import tell
from .._runners import RLock
from .entry import Entry
from .index import DEAD, DROPPED, Index, Ref, Scoped
from .sieve import BURIED

Cache = MutableMapping[Any, Any]

RING = 8
"""How many hits are remembered for the replay: each costs the next miss half a microsecond."""


class Owner(Protocol):
    """The function that a change is made for."""

    name: str

    def refused(self, key: Hashable, entry: Entry[Any]) -> None: ...
    def failed(self, error: Exception) -> None: ...
    def troubled(self, error: Exception) -> None: ...
    def hide_all(self) -> None: ...


ALL: Hashable = object()
"""As the key of a removal: every key."""
SIZE: Hashable = object()
"""As the key of a removal: none, but look how large the cache is (a TTLCache changes in that)."""
NONE: Hashable = object()
"""As the key of a removal: none, but bury what dead instances left."""


class Store:
    """A cache and its lock; one for all the functions that share the cache."""

    def __init__(
        self,
        cache: Cache,
        *,
        shared: bool,
        mend: Callable[[BaseException | None], bool | None],
        refusals: set[CodeType],
        ordered: bool = True,
        ttu: Callable[[Hashable, Any, float], float] | None = None,
    ) -> None:
        self.cache = cache
        self.shared = shared  # whether it may hold entries of others
        self.mend = mend  # makes the cache whole after an error, or empty: see `_mending`
        self.refusals = refusals  # what raises a `ValueError` for what is too large
        self.ordered = ordered  # whether reading a key from the cache changes what it evicts
        self.ttu = ttu  # the cache's own "time to use" of an entry
        self.lock: RLock = RLock()
        # Guarded by the lock:
        # The change under way, if any, by a reference to a local of it: that no interruption
        # leaves set.
        self.busy: ref[set[Any]] | None = None
        self.told = False  # that the cache may be broken
        self.size: float = 0  # when the cache was asked for it last
        # Changes asked for while another one is made; made after it.
        self.pending: deque[tuple[Owner, Hashable, Entry[Any] | None]] = deque()
        # Written by callbacks of weak references, without the lock, wherever they run:
        self.dead: deque[Index] = deque()  # of instances that are gone
        # Written by hits, without the lock. Of all who share the cache: what one of them stores
        # must not evict what another one has just hit.
        self.hit: deque[Ref] = deque(maxlen=RING)

    def change(self, owner: Owner, key: Hashable, entry: Entry[Any] | None) -> None:
        """Store an entry, or remove that of `key`. Raises only interruptions.

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
                change = self.pending.popleft()
            except IndexError:
                return  # user code that ran in between has made them
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
            if self.dead and (entry is not None or key is NONE):
                self._bury(owner)
            if entry is not None:
                if self.hit:
                    self._replay(owner)
                cache[key] = entry
            elif key is ALL:
                cache.clear()
            elif key is SIZE:
                size = getattr(cache, "currsize", None)
                self.size = len(cache) if size is None else size
            elif key is not NONE:
                cache.pop(key, None)
        except BaseException as error:
            if entry is not None:
                self.pending.appendleft((owner, key, None))  # what was there is out of date
                owner.refused(key, entry)
            if is_interruption(error):
                self._broke_off(owner, error)
                raise
            self._failed(owner, error, entry is not None)
        finally:
            if self.busy is mine:
                self.busy = None
        return True

    def _broke_off(self, owner: Owner, error: BaseException) -> None:
        if not self.mend(error):
            self._tell(owner)

    def _failed(self, owner: Owner, error: Any, storing: bool) -> None:
        """A change has failed: make the cache whole, and tell."""
        try:
            if isinstance(error, ValueError) and is_raised_by(error, self.refusals):
                return  # the cache's own word for a value that is too large
            self._mend(owner, error)
            if storing:
                owner.failed(error)
            else:
                owner.troubled(error)
        finally:
            del error  # breaks the ring (see Rings)

    def _mend(self, owner: Owner, error: Exception) -> None:
        try:
            # What is no cache of cachetools (None) raises as it likes, and is in order.
            if self.mend(error) is False:
                self._tell(owner)
        finally:
            del error  # breaks the ring (see Rings)

    def _tell(self, owner: Owner) -> None:
        if not self.told:
            self.told = True
            tell("%s: a change broke off in the middle; its cache may be broken", owner.name)

    def _replay(self, owner: Owner) -> None:
        """Tell the cache which keys were hit since the last time."""
        last = None
        for _ in range(RING):  # there may be hits meanwhile
            try:
                noted = self.hit.popleft()
            except IndexError:
                return
            key = noted.key
            if noted is last or noted() is None or key is DROPPED:
                continue
            last = noted
            try:
                self.cache[key]
            except Exception as error:
                if any(key is word for word in error.args):
                    continue  # the cache's own word for what it does not have any more
                if is_interruption(error):
                    raise
                self._mend(owner, error)
                if not isinstance(error, KeyError):
                    owner.troubled(error)

    def _bury(self, owner: Owner) -> None:
        """Remove some of what dead instances left behind."""
        for _ in range(BURIED):
            if not self.dead:
                return
            index = self.dead[0]
            short, shown = index.popitem() if index else (None, DEAD)
            if not index:
                self.dead.popleft()
            if shown() is None:
                continue  # it was evicted before
            try:
                self.cache.pop(Scoped(index, short), None)
            except Exception as error:
                if is_interruption(error):
                    raise
                self._mend(owner, error)
                owner.troubled(error)

    def forked(self, owner: Owner) -> None:
        if self.busy is not None and self.busy() is not None:
            self.busy = None
            self.pending.clear()
            owner.hide_all()
            if not self.mend(None):
                self.change(owner, ALL, None)
            tell("%s: a fork in mid-change; its cache starts anew, empty", owner.name)
