"""Loads, and what runs them: threads, and event loops, which we hold weakly.

A *runner* is what has to go on for a load to go on. Whoever waits asks it whether it still can.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable
from sys import is_finalizing
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from threading import RLock as RLock
else:
    RLock = type(threading.RLock())
    """That of now: gevent may patch threads later, and `_locks.is_held` knows one kind."""


class Runner(Hashable, Protocol):
    """A thread or an event loop."""

    def is_gone(self) -> bool:
        """Whether it will never run again."""
        ...

    def is_frozen(self) -> bool:
        """Whether the interpreter's end has frozen it; what it runs never ends."""
        ...


class Load:
    """Who runs the load of a flight. A flight always has one.

    The table and those who wait ask it what they need to know, and never of what kind it is: so a
    load that runs elsewhere, in a batch say, is another class, and no other branch in their code.
    What is here is said of one that its caller runs itself.
    """

    __slots__ = ()
    runner: Any
    """The `Runner` that has to go on for it to go on."""

    def goes_on(self) -> bool:
        """Whether it does when nobody waits for it any more."""
        return True

    def is_on_its_own(self) -> bool:
        """Whether it begins, or has begun, without the caller that started it."""
        return False

    def withdraw(self) -> bool:
        """Whether it has not begun; then it never will."""
        return False

    def hurry(self) -> float:
        """Get it a thread, where it has waited for one for more than so many seconds; else 0."""
        return 0.0

    def cancel(self) -> None:
        """End it, where that can be done."""

    def interruption(self) -> BaseException | None:
        """What it was interrupted by, once, for the caller that started it."""
        return None


class Thread(Load):
    """A thread as we know it. (Its ident may be that of one which ended.)

    It is the load of the flights that it leads itself: nothing is made for that.
    """

    __slots__ = ("dropped", "eager", "flight", "lock", "untold", "works")

    def __init__(self) -> None:
        self.lock = RLock()  # the one of ours that it holds, if it holds any
        self.untold: deque[Callable[[], object]] = deque()  # see `_locks.tell`
        self.dropped: list[Any] = []  # to be let go of when it holds no lock (`_locks.critical`)
        self.flight: Any = None  # the innermost one that it loads, not in a task
        self.eager = False  # a task of ours takes its first step on its stack
        self.works = False  # it runs a load for an executor

    runner = property(lambda self: self)

    def is_gone(self) -> bool:
        return False

    def is_frozen(self) -> bool:
        return is_finalizing() and self not in (me.local.thread, NOBODY)


class _Me:
    """``me.local.thread`` is this thread; under gevent, this greenlet."""

    def __init__(self) -> None:
        self.adapt()

    def adapt(self) -> None:
        """Tell greenlets apart, where gevent has patched threads after we were imported."""
        self.kind = kind = threading.local

        class Local(kind):  # type: ignore[valid-type, misc]
            # No `__init__`, which runs once: what strikes in the middle of it would find nothing.
            def __getattr__(self, name: str) -> Any:
                if name != "thread":
                    raise AttributeError(name)
                return self.__dict__.setdefault(name, Thread())

        self.local: Any = Local()


me = _Me()
NOBODY = Thread()
"""What runs a load that still waits for its thread."""


class Home(ref[Any]):
    """An event loop; there is one for each, equal only to itself. Calling it gives the loop."""

    __slots__ = ("since",)
    since: float  # when we first saw it

    __hash__ = object.__hash__  # that of a loop is gone with it
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def is_gone(self) -> bool:
        loop = self()
        return loop is None or loop.is_closed()

    def is_frozen(self) -> bool:
        return is_finalizing() and asyncio._get_running_loop() is not self()

    def age(self) -> float:
        """For how many seconds we have known it."""
        return monotonic() - self.since


class Held:
    """What a loop holds, as asyncio itself holds tasks weakly, and nothing else of ours does.

    So who waits in a loop lives as long as the loop, and a loop that is dropped takes it along.
    """

    __slots__ = ("board", "home", "signals", "tasks")

    def __init__(self, loop: Any) -> None:
        self.home = Home(loop)
        self.home.since = monotonic()
        self.board: Any = None  # what makes its tasks wait, once that is known
        self.tasks: dict[Any, Any] = {}  # each task that runs a load -> its flight
        self.signals: set[Any] = set()  # the futures that callers wait on


HELD = "_soloflight"  # the attribute of a loop that has it


def held_by(loop: Any) -> Held:
    held: Held | None = getattr(loop, HELD, None)
    if held is None:
        held = Held(loop)
        try:
            setattr(loop, HELD, held)
        except AttributeError:  # one of somebody's that takes none: it is kept until it is closed
            held = _elsewhere.setdefault(loop, held)
    return held


_elsewhere: WeakKeyDictionary[Any, Held] = WeakKeyDictionary()


def runners_here() -> tuple[Runner, ...]:
    """What waits where this thread does: itself, and the event loop that it runs."""
    loop = asyncio._get_running_loop()
    return (me.local.thread,) if loop is None else (me.local.thread, held_by(loop).home)


SHORT_LIVED, LONG_LIVED = 0.1, 60.0
"""Seconds. Where an event loop has ended with a refresh in it, another one is trusted with one once
it is older than the first plus twice the age of that; after the second, whatever there was."""


class Trust:
    """Which event loops a function leaves a refresh to: those that live for longer than a call."""

    __slots__ = ("_last", "_proven")

    def __init__(self) -> None:
        self._last: Home | None = None  # that a refresh ended with
        self._proven = 0.0  # the age from which on another loop is trusted

    def lost_in(self, loop: Home) -> None:
        """A refresh has ended with its event loop, or as if it had."""
        self._last = loop
        self._proven = max(self._proven, min(SHORT_LIVED + 2 * loop.age(), LONG_LIVED))

    def is_hurt(self) -> bool:
        """Whether a refresh was ever lost."""
        return self._last is not None

    def may_end_early(self, loop: Home) -> bool:
        """Whether a refresh in this event loop may be lost, as loops live no longer than a call."""
        # (That of the last one lives on: there the refresh itself was cancelled.)
        return loop is not self._last and loop.age() < self._proven
