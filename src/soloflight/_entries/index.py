"""Which entries may be seen: what is read without a lock."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf
from typing import Any, NamedTuple
from weakref import ref

from .._public import MAKERS, unpickled
from .._shown import shown
from .entry import Entry, entry_of

DROPPED: Hashable = object()
"""As the key of a `Ref`: none any more, whoever still has noted it."""


class Ref(ref):  # type: ignore[type-arg]
    """A weak reference to an entry, that knows the entry's key."""

    __slots__ = ("key",)
    key: Hashable


DEAD: Ref = Ref(entry_of(None, 0.0))
"""A dead reference: what an `Index` of references has for an unknown key."""
DEAD.key = DROPPED

GONE: Entry[Any] = entry_of(None, -inf)
"""What any other `Index` has for an unknown key: it is never fresh."""


class Index(dict[Hashable, Any]):
    """The entries of a function, or of one instance: what may be seen. Equal only to itself.

    Of the default cache they are in here themselves; of a given one, `Ref` to them.
    """

    __slots__ = ("__weakref__", "owner", "used")

    def __init__(self, owner: Any = None) -> None:
        self.owner = owner  # the `Shelf` whose entries these are
        self.used = False  # whether what is or was in here had been hit, where marks do not say it

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def __repr__(self) -> str:
        return f"<Index at {id(self):#x}>"

    def __reduce__(self) -> Any:
        """Copied empty: part of keys, it tells entries apart; what it shows is of here."""
        return unpickled, ("Index",)

    def clear(self) -> None:
        """Remove every entry.

        One by one: a dict that is cleared while a key is compared for an insertion loses what is
        inserted (CPython 3.11 to 3.13, where keys are no strings); nobody finds it there any more.
        The room that they took is kept.
        """
        try:
            while True:
                self.popitem()[1].key = DROPPED
        except KeyError:
            pass  # it is empty


class Scoped(NamedTuple):
    """The key of an entry that shares its cache with entries of other functions or instances."""

    of: Index
    key: Hashable

    def __reduce__(self) -> Any:
        return unpickled, ("Scoped", *self)

    def __repr__(self) -> str:
        return shown(self.key)


MAKERS.update({"Index": Index, "Scoped": Scoped})
