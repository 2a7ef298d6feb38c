"""Event loops, which we hold weakly, and what each of them holds for us."""

from __future__ import annotations

from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary, ref


class Home(ref[Any]):
    """An event loop; there is one for each, equal only to itself. Calling it gives the loop."""

    __slots__ = ("since",)
    since: float  # when we first saw it

    __hash__ = object.__hash__  # that of a loop is gone with it
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def is_gone(self) -> bool:
        """Whether it will never run again: it was closed, or dropped."""
        loop = self()
        return loop is None or loop.is_closed()

    def age(self) -> float:
        """For how many seconds we have known it."""
        return monotonic() - self.since


class Held:
    """What a loop holds, as asyncio itself holds tasks weakly, and nothing else of ours does.

    So who waits in a loop lives as long as the loop, and a loop that is dropped takes it along.
    """

    __slots__ = ("home", "signals", "tasks")

    def __init__(self, loop: Any) -> None:
        self.home = Home(loop)
        self.home.since = monotonic()
        self.tasks: dict[Any, Any] = {}  # each task that runs a load -> its flight
        self.signals: set[Any] = set()  # the futures that callers wait on


def held_by(loop: Any) -> Held:
    held: Held | None = getattr(loop, "_soloflight", None)
    if held is None:
        held = Held(loop)
        try:
            loop._soloflight = held
        except AttributeError:  # one of somebody's that takes none: it is kept until it is closed
            held = _elsewhere.setdefault(loop, held)
    return held


_elsewhere: WeakKeyDictionary[Any, Held] = WeakKeyDictionary()
