"""A token for each instance, and its end.

An instance is known by its address, which is reused after its death. So each gets a token that only
it ever has, found by its address until a weak reference sees it die; that happens before its memory
is free. The token is the `Index` of the instance's entries: what it leaves behind is at hand.

CPython's collector (from 3.14.8 on) does not tell of a death where the weak reference was made in a
finalizer of that very collection. So what is enrolled while it runs is not found by its address
alone until it has stopped: each call asks the weak reference.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from dataclasses import is_dataclass
from functools import partial
from operator import attrgetter
from typing import Any
from weakref import ref

from .._entries.index import Index


class Watch(ref):  # type: ignore[type-arg]
    """Sees an instance die, and knows its index."""

    __slots__ = ("index", "plain", "teller")
    index: Index
    plain: ref[object]
    teller: ref[object]


class _Guard:
    """Empties a dict in the collection that finds it to be garbage.

    The weak references are garbage there as well, and tell nobody what died; but a finalizer may
    bring all of it back. (In C, as an exception of a signal handler would be lost in here.)
    """

    __slots__ = ("getters",)
    __del__ = property(attrgetter("getters.clear"))

    def __init__(self, getters: dict[int, Any]) -> None:
        self.getters = getters


class Instances:
    """The indexes of the instances whose methods one function is."""

    __slots__ = (
        "__weakref__", "_dead", "_guard", "_name", "_owner", "_suspects", "_watches", "getters",
    )  # fmt: skip

    def __init__(self, name: str, dead: deque[Index], owner: object = None) -> None:
        self._name = name
        self._owner = owner  # of the indexes: the shelf, if there is one
        self._dead = dead  # buried by whoever comes next to the store
        # By `id(plain)`, where `plain` is the weak reference that all who ask for one get while the
        # instance lives, and that no other instance ever gets.
        self._watches: dict[int, Watch] = {}
        self._suspects: deque[Watch] = deque()  # their end may not have been told
        self.getters: dict[int, Any] = {}
        """`id(instance)` -> `Index.get` of its index, ready for the hit path.

        Only of those whose end will be told, in C and before their memory is free.
        """
        self._guard = _Guard(self.getters)

    def enroll(self, instance: object) -> Any:
        """The `Index.get` of an instance that is not in `getters`."""
        watch = self._find(instance)
        if watch is None:
            watch = self._watch(instance)
        getter = watch.index.get
        if not _collecting():
            if gc.is_finalized(self._guard):
                self._guard = _Guard(self.getters)
            self.getters[id(instance)] = getter
        return getter

    def index(self, instance: object) -> Index | None:
        """The index of an instance, if it has one."""
        watch = self._find(instance)
        return None if watch is None else watch.index

    def indexes(self) -> list[Index]:
        return [watch.index for watch in list(self._watches.values())]

    def _find(self, instance: object) -> Watch | None:
        try:
            # Held while its address is looked up, which would be another's as soon as it is gone.
            plain = ref(instance)
        except TypeError:
            kind = type(instance).__qualname__
            raise TypeError(
                f"{self._name}: cannot tell when a {kind} dies; {_advice(instance)}"
            ) from None
        watch = self._watches.get(id(plain))
        if watch is not None and watch() is not instance:
            self._end(watch)  # unseen: see `_Guard`
            return None
        return watch

    def _watch(self, instance: object) -> Watch:
        watch = Watch(instance, self._end)
        watch.index = Index(self._owner)
        watch.plain = ref(instance)
        # In C: an exception of a signal handler would be lost in a callback, and the end with it.
        watch.teller = ref(instance, partial(self.getters.pop, id(instance)))
        if _collecting():
            self._suspects.append(watch)
            _suspicious.append(ref(self))
        return self._watches.setdefault(id(watch.plain), watch)

    def _end(self, watch: Watch) -> None:
        # Runs wherever the instance happens to die, perhaps under a lock: single dict and deque
        # operations only.
        self._watches.pop(id(watch.plain), None)
        if watch.index:
            self._dead.append(watch.index)

    def settle(self) -> None:
        """See whether those that were enrolled during a collection have survived it."""
        suspects = self._suspects
        while suspects:
            watch = suspects.popleft()
            if watch() is None:
                self._end(watch)


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


_suspicious: deque[ref[Instances]] = deque()
_events: dict[str, Any] = {}
_note = _events.__setitem__  # in C, as an exception of a signal handler would be lost in a callback
_settled: object = None
"""The start of the last collection that is known to be over."""


def _settle(phase: str, info: object) -> None:
    global _settled
    if phase == "stop":
        started = _events.get("start")
        while _suspicious:
            instances = _suspicious.popleft()()
            if instances is not None:
                instances.settle()
        _settled = started


def _collecting() -> bool:
    """Whether a collection may be under way, in whichever thread.

    At the interpreter's end there is one that nobody is told of.
    """
    if _note not in gc.callbacks or _settle not in gc.callbacks:
        _listen()
    return _events.get("start") is not _settled or sys.is_finalizing()


def _listen() -> None:
    """Hear of collections again, where somebody has changed `gc.callbacks`."""
    global _settled
    _settled = _listen  # one may be under way unnoticed
    gc.callbacks.extend(heard for heard in (_note, _settle) if heard not in gc.callbacks)


gc.callbacks += [_note, _settle]
