"""Entries are made here: each ends as soon as nobody holds it, whichever thread lets it go.

The index holds entries weakly: what the cache has dropped must end at once, or it is still seen.
With the interpreter lock it does. Without it, an object belongs to the thread that made it, and
when another one lets it go, it ends as late as its owner next runs. But one that its finalizer has
brought back belongs to nobody (CPython's `_PyObject_ResurrectEnd`; that happens once). So there:

1. An object of a class with a finalizer is made, and let go: its finalizer puts it on a list.
2. It is taken from the list, and becomes an entry: it gets the class of one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from .._outcome import GIL
from .._public import MAKERS
from .entry import Aging, Entry, Raising

E = TypeVar("E", bound=Entry[Any])

if GIL:

    def blank(cls: type[E]) -> E:
        """An entry with nothing in it yet."""
        return cls.__new__(cls)

else:
    _brought_back: dict[Any, list[Any]] = {}
    _ending: dict[Any, Any] = {}
    for _cls in (Entry, Aging, Raising):
        _brought_back[_cls] = []
        # In C, as what a signal handler raises would be lost in a finalizer: getting this property
        # of an object makes a `partial` that appends it.
        _end = property(partial(partial, _brought_back[_cls].append))
        _ending[_cls] = type("Ending", (_cls,), {"__slots__": (), "__del__": _end})

    def blank(cls: type[E]) -> E:
        while True:
            try:
                entry = _brought_back[cls].pop()
                break
            except IndexError:  # there is none, or another thread has taken it
                _ending[cls].__new__(_ending[cls])  # ends at once, and is back
        entry.__class__ = cls
        return cast("E", entry)


new_entry: Callable[[], Entry[Any]] = Entry if GIL else partial(blank, Entry)

MAKERS.update({cls.__name__: partial(blank, cls) for cls in (Entry, Aging, Raising)})
