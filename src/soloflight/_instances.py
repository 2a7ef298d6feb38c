"""A token for each instance, and its end.

An instance is known by its address, which is reused after its death. So each gets a token that only
it ever has, found by its address until a weak reference sees it die; that happens before its memory
is free. The token is the `Index` of the instance's entries: what it leaves behind is at hand.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import is_dataclass
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
            kind = type(instance).__qualname__
            raise TypeError(
                f"{self._name}: cannot tell when a {kind} dies; {_advice(instance)}"
            ) from None
        refs[index] = watch
        look = looks.setdefault(address, index.get)
        if look.__self__ is not index:  # another thread was faster
            del refs[index]
        return look

    def indexes(self) -> list[Index]:
        return [look.__self__ for look in list(self.looks.values())]


def _advice(instance: object) -> str:
    """What can be done about an instance that takes no weak references."""
    cls = type(instance)
    by_value = "per_instance=lambda self: self, which tells them apart by value"
    try:
        hash(instance)
    except Exception:
        by_value = "per_instance=<a callable that returns what tells them apart>"
    if hasattr(cls, "__struct_config__"):  # msgspec
        return f"define it with weakref=True, or use {by_value}"
    # What varies in size (tuple, int, bytes) takes none, nor do its subclasses; what is built in
    # cannot be changed.
    if cls.__itemsize__ or cls.__flags__ & (_HEAP | _IMMUTABLE) != _HEAP:
        return f"use {by_value}"
    slot = "add '__weakref__' to its __slots__"
    if is_dataclass(cls) and sys.version_info < (3, 11):
        slot = "let it inherit from a class with __slots__ = ('__weakref__',)"
    elif is_dataclass(cls) or hasattr(cls, "__attrs_attrs__"):
        slot = f"give its decorator weakref_slot=True where that has slots=True, else {slot}"
    return f"{slot}, or use {by_value}, or per_instance=False, which shares what is loaded"


_HEAP, _IMMUTABLE = 1 << 9, 1 << 8  # of ``__flags__``: made by a class statement, or not
