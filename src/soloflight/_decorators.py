"""`singleflight` and `cached_singleflight`: options in, decorated function out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, MutableMapping
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar, overload

from . import _caches, _keys, _tasks, _threads
from ._caches import UNSET
from ._entry import check_callable, seconds
from ._function import CachedFunction, Function, decorated
from ._outcome import Value
from ._shelf import Shelf
from ._surface import Core
from ._table import FlightTable
from ._template import Spec

P = ParamSpec("P")
R = TypeVar("R")

Duration = float | timedelta


class _CachedDecorator(Protocol):
    def __call__(self, loader: Callable[P, R], /) -> CachedFunction[P, R]: ...


class _Decorator(Protocol):
    def __call__(self, loader: Callable[P, R], /) -> Function[P, R]: ...


@overload
def singleflight(loader: Callable[P, R], /) -> Function[P, R]: ...
@overload
def singleflight(
    *,
    key: Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    typed: bool = False,
    per_instance: bool | Callable[[Any], Any] | None = None,
    wait_timeout: Duration | None = None,
    name: str | None = None,
) -> _Decorator: ...
def singleflight(
    loader: Any = None,
    /,
    *,
    key: Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    typed: bool = False,
    per_instance: bool | Callable[[Any], Any] | None = None,
    wait_timeout: Duration | None = None,
    name: str | None = None,
) -> Any:
    """Let concurrent identical calls share one execution. Nothing is cached.

    The first caller of a key leads: it runs the loader. Whoever calls with the same key meanwhile
    follows and gets the same value, or the same exception with the loader's traceback. When the
    load has ended, the next call starts a new one.

    Works for ``def``, on threads, and for ``async def``, where the load runs in a task of its own:
    cancelling any caller changes nothing for the others, and when the last one has left, the load
    is cancelled. Bare (``@singleflight``) or with options.

    Args:
        key: replaces the derived key. Called with the bound arguments without ``self``, defaults
            filled in: positional(-or-keyword) parameters by position, keyword-only ones by keyword.
        ignore: names of parameters that are no part of the key.
        typed: ``1``, ``1.0`` and ``True`` are different keys.
        per_instance: for methods. ``True`` (the default): instances are told apart by identity and
            not kept alive; ``False``: one key for all instances; a callable: instances for which it
            returns the same share.
        wait_timeout: seconds (or a ``timedelta``) that a caller waits for a load which it does not
            run itself, before it gets `WaitTimeout` and leaves. A thread's flight goes on; one of
            an ``async def`` is cancelled when its last caller has left.
        name: names the function in errors and logs; default ``module.qualname``.

    Raises:
        TypeError, ValueError: at decoration, for what cannot work.

    >>> @singleflight
    ... def report(day: str) -> str:
    ...     return f"report of {day}"
    >>> report("monday")
    'report of monday'
    >>> report.stats().misses
    1

    After Go's ``golang.org/x/sync/singleflight``.
    """
    options = _Options(key, ignore, typed, per_instance, wait_timeout, name)
    decorate = partial(_decorate, options, None)
    return decorate if loader is None else decorate(loader)


def cached_singleflight(
    *misplaced: NoReturn,
    ttl: Duration | Callable[[Any], Duration | None] | None = UNSET,
    cache: MutableMapping[Any, Any] | None = None,
    maxsize: float | None = UNSET,
    getsizeof: Callable[[Any], float] | None = None,
    timer: Callable[[], float] | None = None,
    key: Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    typed: bool = False,
    per_instance: bool | Callable[[Any], Any] | None = None,
    wait_timeout: Duration | None = None,
    name: str | None = None,
) -> _CachedDecorator:
    """`singleflight` in front of a cache: an expiring hot key triggers exactly one reload.

    A call hits (an entry is fresh: no lock is taken, nothing else runs), follows a load in
    progress, or leads. Values are stored, ``None`` among them; exceptions are not. What began to
    load before an ``invalidate()``, ``clear()``, ``put()`` or ``forget()`` returned is not stored
    after it.

    Args:
        ttl: seconds (or a ``timedelta``) for which an entry is fresh, from the end of its load;
            ``None``: for ever; a callable gets the value and returns either. Zero (of a callable,
            less as well): the value is handed to the callers and not stored. Default: the cache's
            own ``.ttl``.
        cache: any ``MutableMapping`` that returns the object it was given, such as those of
            cachetools, or a ``dict``; functions may share one. It holds `Entry` objects. Default:
            ``TTLCache(maxsize, ttl)``, or a ``TLRUCache`` where ``ttl`` is a callable.
        maxsize: of the default cache; default 1024 entries; ``None``: no limit.
        getsizeof: for the default cache: the size of a value; ``maxsize`` limits the sum.
        timer: a monotonic clock, in seconds; default: the cache's own, else ``time.monotonic``.
        key, ignore, typed, per_instance, wait_timeout, name: see `singleflight`.

    Raises:
        TypeError, ValueError: at decoration, for what cannot work.

    >>> @cached_singleflight(ttl=30)
    ... def load_user(user_id: int, *, region: str = "eu") -> str:
    ...     return f"user {user_id} of {region}"
    >>> load_user(1), load_user(user_id=1), load_user(1, region="eu")
    ('user 1 of eu', 'user 1 of eu', 'user 1 of eu')
    >>> load_user.cache_info()
    CacheInfo(hits=2, misses=1, maxsize=1024, currsize=1)
    >>> load_user.invalidate(1)
    True
    """
    if misplaced:
        raise TypeError(
            "write @cached_singleflight(ttl=...): it needs a ttl or a cache, and takes options by "
            "name only"
        )
    options = _Options(key, ignore, typed, per_instance, wait_timeout, name)
    make_shelf = partial(
        _caches.shelf, cache=cache, ttl=ttl, maxsize=maxsize, getsizeof=getsizeof, timer=timer
    )
    make_shelf(name or "cached_singleflight")  # refuse at once what cannot work
    return partial(_decorate, options, make_shelf)


class _Options:
    """The options that both decorators have, checked."""

    def __init__(
        self,
        key: Any,
        ignore: Any,
        typed: Any,
        per_instance: Any,
        wait_timeout: Any,
        name: Any,
    ) -> None:
        if key is not None:
            check_callable(key, "key")
        if isinstance(ignore, str) or not isinstance(ignore, Iterable):
            raise TypeError(f"ignore must be a set of parameter names, not {ignore!r}")
        self.ignore = frozenset(ignore)
        if not all(isinstance(parameter, str) for parameter in self.ignore):
            raise TypeError(f"ignore must be a set of parameter names, not {ignore!r}")
        if not isinstance(typed, bool):
            raise TypeError(f"typed must be a bool, not {typed!r}")
        if key is not None and (self.ignore or typed):
            raise ValueError(
                "key replaces the derived key: ignore and typed have no meaning with it"
            )
        if not (per_instance is None or isinstance(per_instance, bool)):
            check_callable(per_instance, "per_instance", "a bool or a callable")
        if not (name is None or isinstance(name, str)):
            raise TypeError(f"name must be a str, not {name!r}")
        if name == "":
            raise ValueError("name must not be empty")
        self.wait_timeout = None
        if wait_timeout is not None:
            self.wait_timeout = seconds(wait_timeout, "wait_timeout")
            if self.wait_timeout < 0:
                raise ValueError(f"wait_timeout must not be negative, but is {wait_timeout}")
        self.key = key
        self.typed = typed
        self.per_instance = per_instance
        self.name = name


def _decorate(options: _Options, make_shelf: Callable[[str], Shelf] | None, loader: Any) -> Any:
    kind = type(loader) if isinstance(loader, (classmethod, staticmethod)) else None
    if kind is not None:
        loader = loader.__func__
    if not callable(loader):
        raise TypeError(f"the decorator takes a function, not {loader!r}")
    qualname = getattr(loader, "__qualname__", type(loader).__qualname__)
    name = options.name or f"{getattr(loader, '__module__', '?')}.{qualname}"
    bodies = loader, type(loader).__call__  # the second one: of an object that is no function
    if any(inspect.isgeneratorfunction(b) or inspect.isasyncgenfunction(b) for b in bodies):
        raise TypeError(f"{name} is a generator function: its items cannot be shared by callers")
    params = _keys.parameters(loader, name)
    _keys.check_ignore(params, options.ignore, name)
    is_async = any(inspect.iscoroutinefunction(b) for b in bodies)
    shelf = None if make_shelf is None else make_shelf(name)
    spec = Spec(
        name=name,
        title=qualname.rpartition(".")[2],
        params=params,
        is_async=is_async,
        ignore=options.ignore,
        typed=options.typed,
        key=options.key,
        per_instance=True if options.per_instance is None else options.per_instance,
        cached=shelf is not None,
        scoped=shelf is not None and shelf.shared,
        timed=shelf is not None and shelf.timed,
        ordered=shelf is not None and shelf.ordered,
    )
    table = FlightTable(name, shelf)
    miss = partial(
        _tasks.call if is_async else _threads.call,
        table,
        Value if shelf is None else shelf.entry,
        loader,
        options.wait_timeout,
    )
    core = Core(spec, table, miss, loader, for_methods=options.per_instance is not None)
    return decorated(core, kind)
