"""`singleflight` and `cached_singleflight`: options in, decorated function out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import Executor
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar, overload

from ._calls import bypasses, keys, loaders
from ._calls import unknown as _unknown
from ._calls.core import Core
from ._calls.function import CachedFunction, Function, decorated
from ._calls.options import Options
from ._calls.template import Spec
from ._entries import caches
from ._entries.shelf import Shelf
from ._flights.table import FlightTable
from ._given import UNSET
from ._shown import shown
from ._tiers.kinds import AnyTier, Codec
from ._worlds import pool
from ._worlds.tasks import Tasks
from ._worlds.threads import Threads

P = ParamSpec("P")
R = TypeVar("R")

Duration = float | timedelta
SELF = {"self", "cls"}
"""How methods name what they get first; whether a function is one is not known before a call."""


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
    **unknown: Any,
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
    _refuse_unknown(unknown, singleflight)
    options = Options(
        key=key, ignore=ignore, typed=typed, per_instance=per_instance, wait_timeout=wait_timeout,
        name=name,
    )  # fmt: skip
    decorate = partial(_decorate, options)
    return decorate if loader is None else decorate(loader)


def cached_singleflight(
    *misplaced: NoReturn,
    ttl: Duration | Callable[[Any], Duration | None] | None = UNSET,
    jitter: float = 0,
    stale_while_revalidate: Duration = 0,
    stale_if_error: Duration
    | Mapping[type[Exception], Duration | Callable[[Any], Duration | None]] = 0,
    retry_after: tuple[Duration, Duration] = UNSET,
    early_refresh: float = 0,
    error_ttl: Mapping[type[Exception], Duration | Callable[[Any], Duration | None]] | None = None,
    cache_if: Callable[[Any], object] | None = None,
    copy: Callable[[Any], Any] | None = None,
    executor: Executor | None = None,
    max_flight_age: Duration | None = None,
    max_abandoned: int = UNSET,
    cache: MutableMapping[Any, Any] | None = None,
    maxsize: float | None = UNSET,
    getsizeof: Callable[[Any], float] | None = None,
    timer: Callable[[], float] | None = None,
    tier: AnyTier | None = None,
    codec: str | Codec = UNSET,
    version: str = UNSET,
    key: Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    typed: bool = False,
    per_instance: bool | Callable[[Any], Any] | None = None,
    wait_timeout: Duration | None = None,
    name: str | None = None,
    **unknown: NoReturn,
) -> _CachedDecorator:
    """`singleflight` in front of a cache: an expiring hot key triggers exactly one reload.

    A call hits (an entry is fresh: no lock is taken, nothing else runs), follows a load in
    progress, or leads. Values are stored, ``None`` among them; exceptions are not, unless
    ``error_ttl`` says so. What began to load before an ``invalidate()``, ``clear()``, ``put()`` or
    ``forget()`` returned is not stored after it.

    All durations are seconds or a ``timedelta``.

    Args:
        ttl: for how long an entry is fresh, from the end of its load; ``None``: for ever; a
            callable gets the value and returns either; an error in it reaches the callers. Zero (of
            a callable, less as well): the value is handed to the callers and not stored. Default:
            the cache's own ``.ttl``.
        jitter: shortens each ttl by a random part, up to this one (0 to 1), so that what was loaded
            together does not expire together.
        stale_while_revalidate: for so long after it went stale, an entry is served at once, and
            exactly one refresh runs behind it (RFC 5861).
        stale_if_error: for so long after it went stale, an entry is served where a reload fails
            (RFC 5861). That hides every exception, also one that says that what was loaded is gone.
            Or ``{exception class: seconds}``, which hides these alone: what is not named reaches
            the callers at once, and the next call loads again. The most specific class wins. A
            callable gets the exception; what it gives as zero, less or ``None`` is not hidden. Then
            entries are kept for the longest duration that is given, or an hour where there are only
            callables; for so long they are also served to who runs out of patience.
        retry_after: ``(base, cap)``, default ``(1, 30)``: after a reload that failed, the next
            attempt has to wait while there is something to serve: between half of and all of
            base * 2**n, at random, and never longer than ``cap``. A success resets it.
        early_refresh: β, 1.0 say: a hit starts a refresh before the end of freshness, with a
            probability that rises with the nearness of that and with what the last load cost
            (XFetch; Vattani et al., VLDB 2015). Whoever starts it is served all the same. In one
            process there is one refresh; of many that know nothing of each other, e^(1/β) refresh
            on average.
        error_ttl: ``{exception class: seconds}``: these are cached, and each hit raises a copy with
            a traceback of its own. The most specific class wins. A callable gets the exception;
            what it gives as zero, less or ``None`` is not cached, nor is any `FlightError`. What is
            cached is an answer: ``stale_if_error`` does not hide it.
        cache_if: gets the value and says whether to store it.
        copy: ``copy.deepcopy`` say: each caller gets what this makes of the value, which stays
            as it was loaded.
        executor: a ``concurrent.futures.Executor`` with threads, for the refreshes of a plain
            function; with a ``wait_timeout``, for all of its loads, so that the caller that leads
            is patient for no longer than the others. Default: a small pool of daemon threads, one
            for the process, for refreshes alone.
        max_flight_age: a load that takes longer no longer owns its key: the next caller leads a new
            one. The old one still answers those who wait for it; it is not stored.
        max_abandoned: how many such loads of one key there may be; then callers get `WaitTimeout`,
            or the stale entry. Default 2.
        cache: any ``MutableMapping`` that returns the object it was given, such as those of
            cachetools, or a ``dict``; functions may share one. It holds `Entry` objects. Default: a
            `SieveCache` of ``maxsize``.
        maxsize: of the default cache; default 1024 entries; ``None``: no limit.
        getsizeof: for the default cache: the size of a value; ``maxsize`` limits the sum.
        timer: a monotonic clock, in seconds; default: the cache's own, else ``time.monotonic``.
        tier: one of ``soloflight.tiers``: the processes that have it share each load, and what came
            of it.
        codec: how values travel there: ``"msgpack"`` (by msgspec, decoded to the return
            annotation), ``"json"``, or an object with ``name``, ``encode`` and ``decode``. A value
            that does not come back as it was is not shared. Default ``"msgpack"``.
        version: to be changed with the meaning of the values, so that those of before a deploy and
            of after it are kept apart.
        wait_timeout: see `singleflight`; where there is a stale entry that may be served, the
            caller gets that instead of `WaitTimeout`, and the load goes on as a refresh.
        key, ignore, typed, per_instance, name: see `singleflight`.

    A refresh runs in a copy of the context of the caller that started it. One that fails leaves the
    entry as it is, and is seen in ``peek().last_error`` and in ``stats()``. The first one of an
    outage is logged (logger ``soloflight``), and at its end how many more have failed.

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
    _refuse_unknown(unknown, cached_singleflight)
    options = Options(
        cached=True, ttl=ttl, jitter=jitter, stale_while_revalidate=stale_while_revalidate,
        stale_if_error=stale_if_error, retry_after=retry_after, early_refresh=early_refresh,
        error_ttl=error_ttl, cache_if=cache_if, copy=copy, executor=executor,
        max_flight_age=max_flight_age, max_abandoned=max_abandoned,
        cache=cache, maxsize=maxsize, getsizeof=getsizeof, timer=timer,
        tier=tier, codec=codec, version=version,
        key=key, ignore=ignore, typed=typed, per_instance=per_instance, wait_timeout=wait_timeout,
        name=name,
    )  # fmt: skip
    _shelf(options, options.name or "cached_singleflight")  # refuse at once what cannot work
    return partial(_decorate, options)


def _refuse_unknown(given: Mapping[str, object], decorator: Callable[..., Any]) -> None:
    if given:
        own, cached = (d.__kwdefaults__ or {} for d in (decorator, cached_singleflight))
        _unknown.refuse(given, decorator.__name__, own, cached)


def _decorate(options: Options, loader: Any) -> Any:
    kind = type(loader) if isinstance(loader, (classmethod, staticmethod)) else None
    if kind is not None:
        loader = loader.__func__
    if not callable(loader):
        raise TypeError(f"the decorator takes a function, not {shown(loader)}")
    qualname, module = loaders.qualname(loader), loaders.module(loader)
    name = options.name or f"{module}.{qualname}"
    is_async = loaders.is_async(loader, name)
    params = keys.parameters(loader, name)
    keys.check_ignore(params, options.ignore, name)
    if is_async and options.executor is not None:
        raise ValueError(f"{name} is an async def, which loads in tasks: leave executor out")
    shelf = _shelf(options, name) if options.cached else None
    spec = Spec(
        name=name, qualname=qualname, module=module, params=params, is_async=is_async,
        ignore=options.ignore, typed=options.typed, key=options.key,
        per_instance=True if options.per_instance is None else options.per_instance,
        cached=options.cached, copied=options.copy is not None,
    )  # fmt: skip
    if shelf is not None:
        spec = spec._replace(
            scoped=shelf.shared,
            weak=shelf.weak,
            ordered=shelf.ordered,
            timed=shelf.timed,
            aging=shelf.policy.aging,
        )
    table = FlightTable(name, shelf, options.max_flight_age, options.max_abandoned)
    shared, around = None, None
    if options.tier is not None:
        from ._sources import tiered  # who has no tier does without that wing

        _check_instances(options, spec, kind)
        shared, around = tiered.shared(options, table, loader, is_async)
    world = _world(options, table, is_async, loader, around)
    for_methods = options.per_instance is not None
    core = Core(
        spec, table, world, loader, for_methods=for_methods, copy=options.copy, shared=shared
    )
    if options.key is not None:
        _check_key(options.key, core, kind)
    function = decorated(core, kind)
    bypasses.join(core)
    return function


def _shelf(options: Options, name: str) -> Shelf:
    return caches.shelf(
        name, options.policy, cache=options.cache, maxsize=options.maxsize,
        getsizeof=options.getsizeof, timer=options.timer,
    )  # fmt: skip


def _check_key(key: Callable[..., Any], core: Core, kind: type | None) -> None:
    """Refuse a ``key=`` that fits no way in which the function may turn out to be called.

    Whether it is a method may show only at the first call; `generate` checks the way that it is.
    """
    params = core.spec.params
    ways = [params, keys.without_self(params)]
    if kind is staticmethod or not (core.for_methods or core.defined_in_class()):
        del ways[1]
    elif kind is classmethod or core.for_methods or (params and params[0].name in SELF):
        del ways[0]
    keys.check_key(key, ways, core.spec.name)


def _check_instances(options: Options, spec: Spec, kind: type | None) -> None:
    """Refuse keys with an instance in them, which only this process knows."""
    in_class = kind is not staticmethod and loaders.in_class(spec.qualname)
    if options.per_instance is True or (options.per_instance is None and in_class):
        raise ValueError(
            f"{spec.name} is a method: an instance is known in its own process only, so with a "
            "tier give per_instance=False, or a callable that says what instances have in common"
        )


def _world(
    options: Options,
    table: FlightTable,
    is_async: bool,
    loader: Callable[..., Any],
    around: Any = None,
) -> Tasks | Threads:
    """What leads and waits for the calls of a function. `around`: put round what loads."""
    if is_async:
        return Tasks(table, loader, options.wait_timeout, around)
    submit = pool.Line(pool.pool) if options.executor is None else options.executor.submit
    # Callers that lead are to be patient, too: only an executor can see to that.
    elsewhere = options.executor is not None and options.wait_timeout is not None
    return Threads(table, loader, options.wait_timeout, submit, elsewhere, around)
