"""`bypass`: calls go straight to their loaders, for whoever is inside of the block.

A hit must not pay for what hardly anybody uses. So no wrapper asks whether its caller bypasses: as
long as there is a block, somewhere, wrappers refer to lookups that do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from threading import RLock
from typing import Any

from .._flights.flight import Call
from .._flights.landing import Outcome
from .._flights.table import FlightTable
from .._locks import all_of, outside
from .._outcome import Value, without_us
from .core import Core


class _Block:
    """One ``with bypass():``. Contexts that were copied in it know it, and that it is over."""

    __slots__ = ("goes_on",)

    def __init__(self) -> None:
        self.goes_on = True


_within: ContextVar[_Block | None] = ContextVar("soloflight_bypass", default=None)
_blocks: set[_Block] = set()
_lock = RLock()  # guards `_blocks`, and that wrappers look as it says


@contextmanager
def bypass() -> Iterator[None]:
    """Have decorated functions call their loaders straight, for who is inside of the ``with``.

    Nothing is looked up, shared, counted or stored: each call is one of the loader. ``refresh`` is
    too; ``invalidate``, ``put``, ``peek`` and their like do what they do. Other threads and tasks
    are not touched. It holds for the context: for what is awaited in the block and for tasks that
    are started there, until it is left; also for threads that are started with a copy of it
    (`asyncio.to_thread`; others where ``sys.flags.thread_inherit_context`` is set, from Python 3.14
    on). A `Group` is asked for by name, and is not bypassed.

    Where nobody is in such a block, it costs nothing; elsewhere hits take a little longer then.

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
    block, before = _Block(), _within.get()
    with _lock:
        _blocks.add(block)
        if len(_blocks) == 1:
            _each(_divert)
    _within.set(block)
    try:
        yield
    finally:
        block.goes_on = False
        with suppress(ValueError):  # a generator's block may be left in another context
            _within.set(before)
        with _lock:
            _blocks.discard(block)
            if not _blocks:
                _each(_restore)


def is_bypassing() -> bool:
    block = _within.get()
    return block is not None and block.goes_on


def join(core: Core) -> None:
    """A function was decorated; perhaps while somebody bypasses."""
    if _blocks:
        with _lock:
            if _blocks:
                _divert(core)


def _each(change: Callable[[Core], None]) -> None:
    for table in all_of(FlightTable):
        core = getattr(table.owner(), "_core", None)
        if core is not None:
            change(core)


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
    if not is_bypassing():
        outcome: Any = core.world.call(call)
        return outcome  # type: ignore[no-any-return]
    value = Value[Any]()
    try:
        value.value = outside(partial(core.world.loader, *call.args, **call.kwargs))
        return value
    except Exception as error:
        return without_us(error)
    finally:
        del core, call, value  # breaks the ring (see Rings)


async def _call_later(core: Core, call: Call) -> Outcome:
    if not is_bypassing():
        outcome: Any = await core.world.call(call)  # type: ignore[misc]
        return outcome  # type: ignore[no-any-return]
    value = Value[Any]()
    try:
        value.value = await core.world.loader(*call.args, **call.kwargs)
        return value
    except Exception as error:
        return without_us(error)
    finally:
        del core, call, value
