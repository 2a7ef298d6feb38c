"""A token for each instance, and its end.

An instance is known by its address, which is reused after its death. So each gets a token that only
it ever has, found by its address until a weak reference sees it die; that happens before its memory
is free. The token is the `Index` of the instance's entries: what it leaves behind is at hand.
"""

from __future__ import annotations

from collections import deque
from typing import Any
from weakref import ref

from ._index import Index


class Instances:
    """The indexes of the instances whose methods one function is."""

    __slots__ = ("_dead", "_name", "_refs", "looks")

    def __init__(self, name: str, dead: deque[Index]) -> None:
        self._name = name
        self._dead = dead  # swept by the shelf at its next store
        self._refs: dict[Index, ref[object]] = {}
        self.looks: dict[int, Any] = {}
        """`id(instance)` -> `Index.get` of its index, ready for the hit path."""

    def enroll(self, instance: object) -> Any:
        """The `Index.get` of an instance that has none yet."""
        index = Index()
        address = id(instance)
        looks, refs, dead = self.looks, self._refs, self._dead

        # Runs wherever the instance happens to die, perhaps under a lock: single dict and deque
        # operations only.
        def end(_: object) -> None:
            refs.pop(index, None)
            looks.pop(address, None)
            dead.append(index)

        try:
            watch = ref(instance, end)
        except TypeError:
            raise TypeError(
                f"{self._name}: cannot tell when a {type(instance).__qualname__} dies; add "
                "'__weakref__' to its __slots__ (a dataclass: weakref_slot=True), or use "
                "per_instance=False or per_instance=<callable>"
            ) from None
        refs[index] = watch
        look = looks.setdefault(address, index.get)
        if look.__self__ is not index:  # another thread was faster
            del refs[index]
        return look

    def indexes(self) -> list[Index]:
        return [look.__self__ for look in list(self.looks.values())]
