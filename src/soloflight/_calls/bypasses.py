"""`bypass`: calls go straight to their loaders, for whoever is inside of the block.

A hit must not pay for what hardly anybody uses. So no wrapper asks whether its caller bypasses: as
long as there is a block, somewhere, wrappers refer to lookups that do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from threading import RLock
from typing import Any

from .._flights.flight import Call
from .._flights.landing import Outcome
from .._flights.table import FlightTable
from .._locks import all_of, outside
from .._outcome import outcome_of, outcome_of_async
from .core import Core


class Bypass:
    """One block. Contexts that were copied in it know it, and those that it is in."""

    __slots__ = ("outer",)
    outer: Bypass | None

    def __enter__(self) -> None:
        if hasattr(self, "outer"):
            raise RuntimeError("a bypass() is for one block: write `with bypass():` each time")
        self.outer = _first_that_goes_on(_within.get())
        try:
            _blocks.add(self)
            _within.set(self)
            _arrange()
        except BaseException:  # an interruption
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        _blocks.discard(self)
        if _within.get() is self:  # else a generator is left in another context
            _within.set(_first_that_goes_on(self.outer))
        _arrange()


_within: ContextVar[Bypass | None] = ContextVar("soloflight_bypass", default=None)
_blocks: set[Bypass] = set()  # single operations only
_lock = RLock()  # guards that all wrappers are told the same


def bypass() -> Bypass:
    """Have decorated functions call their loaders straight, for who is inside of the ``with``.

    Nothing is looked up, shared, counted or stored: each call is one of the loader. ``refresh`` is
    too; ``invalidate``, ``put``, ``peek`` and their like do what they do. Other threads and tasks
    are not touched. It holds for the context: for what is awaited in the block and for tasks that
    are started there, until it is left; also for threads that are started with a copy of it
    (`asyncio.to_thread`; others where ``sys.flags.thread_inherit_context`` is set, from Python 3.14
    on). A `Group` is asked for by name, and is not bypassed.

    Where nobody is in such a block, it costs nothing. Elsewhere hits take a little longer then; and
    to enter the first one, or to leave the last, takes a few microseconds for each function that
    there is.

    >>> from soloflight import bypass, cached_singleflight
    >>> @cached_singleflight(ttl=30)
    ... def load() -> object:
    ...     return object()
    >>> load() is load()
    True
    >>> with bypass():
    ...     load() is load()
    False
    """
    return Bypass()


def is_bypassing() -> bool:
    return _first_that_goes_on(_within.get()) is not None


def _first_that_goes_on(block: Bypass | None) -> Bypass | None:
    """A block, or the first of those around it, that was not left."""
    while block is not None and block not in _blocks:
        block = block.outer
    return block


def join(core: Core) -> None:
    """A function was decorated; perhaps while somebody bypasses."""
    if core.is_diverted is not bool(_blocks):
        _arrange()


def _arrange() -> None:
    """Have all wrappers look whether their caller bypasses, or none: as long as somebody does."""
    with _lock:
        wanted = bool(_blocks)
        for table in all_of(FlightTable):
            core = getattr(table.owner(), "_core", None)
            # (Whatever an interruption has left undone is done here, by whoever comes next.)
            if core is not None and core.is_diverted is not wanted:
                core.is_diverted = None
                if wanted:
                    _divert(core)
                else:
                    _restore(core)
                core.is_diverted = wanted


def _forked() -> None:
    """A child has the thread alone that forked, and what that is in."""
    global _lock
    _lock = RLock()
    block, mine = _within.get(), set()
    while block is not None:
        mine.add(block)
        block = block.outer
    _blocks.intersection_update(mine)
    _arrange()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _divert(core: Core) -> None:
    core.miss = partial(_call_later if core.spec.is_async else _call, core)
    if core.spec.cached:
        instances = core.instances
        core.refer(
            get=partial(_get, core.shelf.index.get),
            getters=_Getters(instances.getters),
            enroll=partial(_enroll, instances.enroll),
        )


def _restore(core: Core) -> None:
    core.miss = core.world.call
    if core.spec.cached:
        instances = core.instances
        core.refer(get=core.shelf.index.get, getters=instances.getters, enroll=instances.enroll)


# What wrappers refer to meanwhile.


def _get(get: Callable[[Any, Any], Any], key: Any, gone: Any) -> Any:
    return gone if is_bypassing() else get(key, gone)


class _Nothing:
    """The ``get`` of an index, for who bypasses it."""

    __slots__ = ("__self__",)

    def __init__(self, get: Any) -> None:
        self.__self__ = get.__self__

    def __call__(self, key: Any, gone: Any) -> Any:
        return gone


class _Getters:
    """`Instances.getters`, for all."""

    __slots__ = ("_getters",)

    def __init__(self, getters: dict[int, Any]) -> None:
        self._getters = getters

    def __getitem__(self, number: int) -> Any:
        get = self._getters[number]
        return _Nothing(get) if is_bypassing() else get


def _enroll(enroll: Callable[[object], Any], instance: object) -> Any:
    get = enroll(instance)
    return _Nothing(get) if is_bypassing() else get


def _call(core: Core, call: Call) -> Outcome:
    world: Any = core.world
    try:
        if is_bypassing():
            return outcome_of(outside, partial(world.loader, *call.args, **call.kwargs))
        outcome: Outcome = world.call(call)
        return outcome
    finally:
        del core, call, world  # breaks the ring (see Rings)


async def _call_later(core: Core, call: Call) -> Outcome:
    world: Any = core.world
    try:
        if is_bypassing():
            return await outcome_of_async(world.loader, *call.args, **call.kwargs)
        outcome: Outcome = await world.call(call)
        return outcome
    finally:
        del core, call, world
