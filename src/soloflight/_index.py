"""Which entries may be seen, and which were hit lately: what is read and noted without a lock."""

from __future__ import annotations

from collections.abc import Hashable, MutableMapping
from typing import Any, NamedTuple
from weakref import ref

from ._entry import Entry
from ._shown import shown
from ._stats import Tally

RING = 8
"""How many hits are remembered for the replay: each costs the next miss half a microsecond."""


class Ref(ref):  # type: ignore[type-arg]
    """A weak reference to an entry, that knows the entry's key."""

    __slots__ = ("key",)
    key: Hashable


GONE: Ref = Ref(Entry(None, 0.0))
"""A dead reference: what an `Index` has for an unknown key."""


class Index(dict[Hashable, Ref]):
    """The entries of a function, or of one instance: what may be seen. Equal only to itself."""

    __slots__ = ("__weakref__",)
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __repr__ = object.__repr__

    def clear(self) -> None:
        """Remove every entry.

        One by one: a dict that is cleared while a key is compared for an insertion loses what is
        inserted (CPython 3.11 to 3.13, where keys are no strings); nobody finds it there any more.
        The room that they took is kept.
        """
        try:
            while True:
                self.popitem()
        except KeyError:
            pass  # it is empty


class Scoped(NamedTuple):
    """The key of an entry that shares its cache with entries of other functions or instances."""

    of: Index
    key: Hashable

    def __repr__(self) -> str:
        return shown(self.key)


UNUSED = [GONE] * RING


class Ring(Tally):
    """The last hits of one function, and how many there were.

    Noted without a lock: ``slots[next(counter) % RING] = ref``. The rest needs the lock of the
    cache.
    """

    __slots__ = ("__weakref__", "_replayed", "slots")

    def __init__(self) -> None:
        super().__init__()
        self.slots = UNUSED.copy()
        self._replayed = 0

    def replay(self, cache: MutableMapping[Any, Any]) -> None:
        """Tell the cache which keys were hit since the last time, unless it is `UNUSED` since."""
        now = self.total()
        last, slots = GONE, self.slots
        for i in range(max(self._replayed, now - RING), now):
            noted = slots[i % RING]
            if noted is not last and noted() is not None:
                last = noted
                try:
                    cache[noted.key]
                except KeyError:
                    pass  # expired
            slots[i % RING] = GONE  # or it would keep the key alive
        self._replayed = now

    def forget(self, gone: Ref) -> None:
        """Keep the key of an entry that is gone no longer."""
        for i, noted in enumerate(self.slots):
            if noted is gone:
                self.slots[i] = GONE

    def clear(self) -> None:
        self.slots[:] = UNUSED
