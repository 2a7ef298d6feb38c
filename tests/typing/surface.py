"""Assertions for the type checkers: what decorated functions look like to those who use them.

`check.py` runs them all. A line that ends in ``# error`` is one that each of them must refuse, with
``# error: mypy`` one that this one refuses, as it cannot know better; all others are right.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from soloflight import (
    BoundCachedFunction,
    CachedFunction,
    CacheInfo,
    Clearable,
    Entry,
    FlightInfo,
    Group,
    RemoteLoadError,
    Stats,
    bypass,
    cached_singleflight,
    clear_all,
    registry,
    singleflight,
    testing,
)
from soloflight.testing import MemoryTier
from soloflight.tiers import Codec, HostTier, PickleCodec, RedisTier

if sys.version_info >= (3, 11):
    from typing import Self, assert_type
else:
    from typing_extensions import Self, assert_type


T = TypeVar("T")


class Lookup(Protocol):
    """What a function that takes a loader says of it."""

    def __call__(self, user_id: int) -> str: ...


class Lookups(Protocol):
    def get(self, user_id: int) -> str: ...


@singleflight
def bare(day: str, *, count: int = 1) -> float:
    return float(count)


@singleflight(wait_timeout=timedelta(seconds=1))
def called(day: str) -> float:
    return 1.0


@cached_singleflight(ttl=30)
def cached(user_id: int, *, region: str = "eu") -> str:
    return region


@cached_singleflight(ttl=None)
async def cached_async(user_id: int) -> str:
    return str(user_id)


@cached_singleflight(ttl=30)
def untyped(path: str) -> Any:
    return path


@cached_singleflight(ttl=30)
def generic(value: T) -> T:
    return value


@cached_singleflight(
    ttl=lambda article: timedelta(seconds=len(article)),
    jitter=0.1,
    stale_while_revalidate=timedelta(minutes=1),
    stale_if_error=3600,
    retry_after=(1, timedelta(seconds=30)),
    early_refresh=1,
    error_ttl={KeyError: 5, OSError: lambda error: error.errno, ValueError: timedelta(seconds=1)},
    cache_if=lambda article: article is not None,
    copy=copy.deepcopy,
    executor=ThreadPoolExecutor(),
    max_flight_age=30,
    max_abandoned=1,
    wait_timeout=0.5,
)
def fresh_as_can_be(slug: str) -> list[str]:
    return [slug]


class Repository:
    @cached_singleflight(ttl=30)
    def get(self, user_id: int) -> str:
        return str(user_id)

    @cached_singleflight(ttl=30)
    async def get_async(self, user_id: int, *, region: str = "eu") -> str:
        return region

    @singleflight
    def report(self, day: str) -> float:
        return 1.0

    @cached_singleflight(ttl=30, per_instance=False)
    def everything(self) -> list[str]:
        return []

    @cached_singleflight(ttl=30)
    def at(self, day: str) -> Self:
        return self

    @cached_singleflight(ttl=30)
    async def at_async(self, day: str) -> Self:
        return self

    @cached_singleflight(ttl=30)
    def of_type(self, kind: type[T], user_id: int) -> T:
        return kind()

    @cached_singleflight(ttl=30)
    @classmethod
    def of_class(cls, user_id: int) -> str:
        return str(user_id)

    @classmethod
    @cached_singleflight(ttl=30)
    def of_class_inside(cls, user_id: int) -> str:
        return str(user_id)

    @cached_singleflight(ttl=30)
    @classmethod
    async def of_class_async(cls, user_id: int) -> str:
        return str(user_id)

    @cached_singleflight(ttl=30)
    @classmethod
    def of_tenant(cls, tenant: str) -> Self:
        return cls()

    @cached_singleflight(ttl=30)
    @staticmethod
    def static(user_id: int) -> str:
        return str(user_id)

    @staticmethod
    @cached_singleflight(ttl=30)
    def static_inside(user_id: int) -> str:
        return str(user_id)

    @cached_singleflight(ttl=30)
    @staticmethod
    def static_of_all(value: object, depth: int) -> str:
        return str(value)


class Child(Repository): ...


class Box(Generic[T]):
    def __init__(self, content: T) -> None:
        self.content = content

    @cached_singleflight(ttl=30)
    def open(self, times: int) -> T:
        return self.content


def the_parameters_are_kept() -> None:
    assert_type(bare("monday", count=2), float)
    assert_type(called("monday"), float)
    assert_type(cached(1, region="us"), str)
    assert_type(cached(user_id=1), str)
    assert_type(list(map(cached, [1])), list[str])
    assert_type(cached.__name__, str)
    bare(1)  # error
    cached()  # error
    cached(1, "eu")  # error
    cached(1, zone="eu")  # error
    number: int = cached(1)  # error
    print(number)


def the_surface_has_the_types_of_the_loader() -> None:
    assert_type(cached.peek(1), Entry[str] | None)
    assert_type(cached.refresh(1), str)
    assert_type(cached.invalidate(1, region="us"), bool)
    assert_type(cached.forget(1), bool)
    assert_type(cached.stats(), Stats)
    assert_type(cached.cache_info(), CacheInfo)
    assert_type(cached.in_flight(), tuple[FlightInfo, ...])
    cached.invalidate("1")  # error
    cached.refresh()  # error
    cached.peek(1, zone="us")  # error
    cached.forget("1")  # error
    cached.cache_key(1, 2)  # error
    cached.no_such_thing(1)  # error
    bare.invalidate("monday")  # error


def a_value_that_is_put_has_the_type_of_the_loader() -> None:
    cached.put("eu", 1)
    cached.put("eu", user_id=1, region="us")
    cached_async.put("1", 1)
    untyped.put(1, "a")
    Repository().get.put("ada", 1)
    Repository().get_async.put("ada", 1, region="us")
    cached.put(1, 1)  # error
    cached.put("eu", "1")  # error
    cached.put("eu")  # error
    cached_async.put(1, 1)  # error
    cached_async.put(cached_async(1), 1)  # error
    Repository().get.put(1, 1)  # error
    Repository().get.put("ada", "1")  # error
    Repository().get_async.put(1, 1)  # error


def any_and_type_variables_are_kept() -> None:
    assert_type(untyped("a"), Any)
    untyped(1)  # error
    number: int = generic(3)
    assert_type(Box(b"").open(1), bytes)
    Box(b"").open("1")  # error
    text: str = Repository().of_type(str, number)
    Repository().of_type(str)  # error
    print(text)


def freshness_changes_no_types() -> None:
    assert_type(fresh_as_can_be("news"), list[str])
    entry = fresh_as_can_be.peek("news")
    assert_type(entry, Entry[list[str]] | None)
    if entry is not None:
        assert_type(entry.last_error, Exception | None)
        assert_type(entry.stale_until, float)
    assert_type(fresh_as_can_be.stats().load_seconds, float)
    assert_type(fresh_as_can_be.stats().stale_hits, int)


def options_have_types() -> None:
    cached_singleflight(ttl=30, stale_if_error={OSError: 5, KeyError: lambda error: None})
    cached_singleflight(ttl=30, stale_if_error={"KeyError": 5})  # error
    cached_singleflight(ttl=30, error_ttl={"KeyError": 5})  # error
    cached_singleflight(ttl=30, retry_after=1)  # error
    cached_singleflight(ttl="30")  # error
    cached_singleflight(30)  # error
    cached_singleflight(ttl=30, no_such_option=1)  # error
    cached_singleflight(ttl=30, cache=[])  # error
    cached_singleflight(ttl=30)(30)  # error
    singleflight(ttl=30)  # error
    singleflight(30)  # error


async def async_stays_async() -> None:
    coroutine: Coroutine[Any, Any, str] = cached_async(1)
    assert_type(await coroutine, str)
    assert_type(await cached_async(1), str)
    assert_type(await cached_async.refresh(1), str)
    assert_type(cached_async.peek(1), Entry[str] | None)
    text: str = cached_async(1)  # error
    number: int = await cached_async(1)  # error
    await cached_async("1")  # error
    await cached(1)  # error
    print(text, number)


async def methods_are_bound(repository: Repository) -> None:
    assert_type(repository.get(1), str)
    assert_type(repository.get(user_id=1), str)
    assert_type(await repository.get_async(user_id=1, region="us"), str)
    assert_type(repository.report("monday"), float)
    assert_type(repository.everything(), list[str])
    assert_type(Child().get(1), str)
    assert_type(Repository.get(repository, 1), str)
    repository.get("1")  # error
    repository.get()  # error
    repository.get(1, 2)  # error
    repository.get(repository, 1)  # error
    number: int = repository.get(1)  # error
    await repository.get_async("1")  # error
    text: str = repository.get_async(1)  # error
    repository.report(1)  # error
    Repository.get(1)  # error
    Repository.get(1, 1)  # error
    print(number, text)


async def what_is_bound_has_the_same_surface(repository: Repository) -> None:
    get = repository.get
    assert_type(get(1), str)
    assert_type(get.invalidate(1), bool)
    assert_type(get.peek(1), Entry[str] | None)
    assert_type(get.refresh(1), str)
    assert_type(get.__name__, str)
    assert_type(repository.get_async.peek(1), Entry[str] | None)
    assert_type(await repository.get_async.refresh(1), str)
    get("1")  # error
    get.invalidate("1")  # error
    get.peek()  # error
    get.refresh(1, 2)  # error
    repository.get_async.invalidate("1")  # error
    repository.report.invalidate("monday")  # error
    repository.report.forget(1)  # error


async def a_method_may_return_its_own_class(repository: Repository, child: Child) -> None:
    assert_type(repository.at("monday"), Repository)
    assert_type(child.at("monday"), Child)
    assert_type(child.at("monday").at("tuesday"), Child)
    assert_type(child.at.peek("monday"), Entry[Child] | None)
    assert_type(await child.at_async("monday"), Child)
    assert_type(Child.of_tenant("acme"), Child)
    child.at(1)  # error
    child.at()  # error
    Child.of_tenant(1)  # error
    text: str = child.at("monday")  # error
    print(text)


async def class_methods_are_bound_to_the_class(repository: Repository) -> None:
    assert_type(Repository.of_class(1), str)
    assert_type(Repository.of_class.invalidate(1), bool)
    assert_type(Repository.of_class_inside(1), str)
    assert_type(await Repository.of_class_async(1), str)
    assert_type(Child.of_class(1), str)
    assert_type(repository.of_class(1), str)
    assert_type(repository.of_class.invalidate(1), bool)
    assert_type(repository.of_class_inside(1), str)
    Repository.of_class("1")  # error
    Repository.of_class.invalidate("1")  # error
    Repository.of_class(Repository, 1)  # error
    Repository.of_class_inside("1")  # error
    await Repository.of_class_async("1")  # error
    repository.of_class("1")  # error


def static_methods_are_functions(repository: Repository) -> None:
    assert_type(Repository.static(1), str)
    assert_type(Repository.static.invalidate(1), bool)
    assert_type(Repository.static_inside(1), str)
    Repository.static("1")  # error
    Repository.static_inside("1")  # error
    Repository.static.peek()  # error
    # mypy does not tell a static method from others; nobody, one that would take a class.
    repository.static(1)  # error: mypy
    repository.static_inside(1)  # error: mypy
    Repository.static_of_all(1, 2)  # error


def they_stand_where_functions_do(repository: Repository) -> None:
    def look_up(how: Lookup) -> None: ...
    def look_up_all(how: Lookups) -> None: ...
    def call(how: Callable[[int], str]) -> None: ...

    look_up(cached)
    look_up(repository.get)
    call(cached)
    call(repository.get)
    look_up_all(repository)  # error: pyright, basedpyright
    look_up(cached_async)  # error
    look_up(repository.report)  # error
    call(repository.report)  # error
    call(bare)  # error


def they_can_be_cleared(repository: Repository) -> None:
    caches: list[Clearable] = [cached, cached_async, repository.get, Repository.of_class]
    for cache in caches:
        cache.clear()
        cache.cache_clear()
    functions: list[CachedFunction[..., Any]] = [cached, cached_async, generic]
    methods: list[BoundCachedFunction[..., Any]] = [repository.get, repository.get_async]
    caches += functions
    caches += methods
    caches.append(bare)  # error
    caches.append(repository.report)  # error
    caches.append(Group())  # error
    caches.append({})  # error


async def groups_return_what_the_function_returns() -> None:
    group = Group()
    assert_type(group.do("k", len, "abc"), int)
    assert_type(group.submit("k", len, "abc"), Future[int])
    assert_type(await group.do_async("k", cached_async, 1), str)
    assert_type(group.do("k", cached, 1, region="us"), str)
    group.do("k", cached, "1")  # error
    group.do("k", cached)  # error
    group.submit("k", cached, "1")  # error
    await group.do_async("k", cached_async, "1")  # error
    await group.do_async("k", cached, 1)  # error
    text: str = group.do("k", len, "abc")  # error
    print(text)


# Tiers


class Upper:
    """A codec of one's own."""

    name = "upper"

    def encode(self, value: Any) -> bytes:
        return str(value).upper().encode()

    def decode(self, payload: bytes) -> Any:
        return payload.decode()


host = HostTier("/run/app", namespace="app", lease=3, max_bytes=2**20)
fleet = RedisTier.from_url("redis://localhost/0", timeout=0.1, namespace="app")
own: Codec = Upper()


@cached_singleflight(ttl=30, tier=host, codec=own, version="2")
def shared(user_id: int) -> str:
    return "u"


@cached_singleflight(ttl=30, tier=fleet, codec="json", version="b")
async def shared_later(user_id: int) -> str:
    return "u"


cached_singleflight(ttl=30, tier=MemoryTier(), codec=PickleCodec(key=b"k" * 32))
cached_singleflight(ttl=30, tier="redis://localhost")  # error
cached_singleflight(ttl=30, tier=fleet, codec=1)  # error

assert_type(shared(1), str)
cached_singleflight(ttl=30, tier=fleet, version=2)  # error
assert_type(host.health().is_up, bool)
assert_type(fleet.flush(timeout=1), bool)


def waited_for(error: RemoteLoadError) -> None:
    assert_type(error.type_name, str)


async def ends() -> None:
    assert_type(await shared_later(1), str)
    async with RedisTier.from_url("redis://localhost") as tier:
        assert_type(tier, RedisTier)
        assert_type(await tier.aflush(1), bool)


# ---- what helps users

with bypass():
    assert_type(shared(1), str)
for known in registry():
    assert_type(known.name, str)
    assert_type(known.stats, Stats)
    assert_type(known.in_flight, tuple[FlightInfo, ...])
clear_all()

with testing.time() as clock:
    assert_type(clock, testing.ManualClock)
    assert_type(clock(), float)
    clock.advance(timedelta(minutes=1))
    clock.advance("a while")  # error
with testing.time(shared, shared_later):
    pass
with testing.hold(shared) as held:
    assert_type(held, testing.Hold)
    held.wait_for_waiters(3)
    held.fail(OSError())
    held.fail("down")  # error
assert_type(testing.stampede(shared, 1, callers=3), testing.Stampede[str])
testing.stampede(shared, 1, callers="3")  # error
testing.assert_no_flights(timeout=1)


async def a_test() -> None:
    with testing.hold(shared_later) as held:
        assert_type(held, testing.AsyncHold)
        await held.wait_for_waiters(3)
    herd = await testing.stampede(shared_later, 1)
    assert_type(herd, testing.Stampede[str])
    assert_type(herd.latencies, list[float])
