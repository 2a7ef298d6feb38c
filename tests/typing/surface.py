"""Assertions for the type checkers: what decorated functions look like to those who use them."""

from __future__ import annotations

import copy
import sys
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

from soloflight import Entry, Group, cached_singleflight, singleflight

if sys.version_info >= (3, 11):
    from typing import assert_type
else:
    from typing_extensions import assert_type


T = TypeVar("T")


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
    async def get_async(self, user_id: int) -> str:
        return str(user_id)

    @singleflight
    def report(self, day: str) -> float:
        return 1.0

    @cached_singleflight(ttl=30)
    @classmethod
    def of_class(cls, user_id: int) -> str:
        return str(user_id)

    @cached_singleflight(ttl=30)
    @staticmethod
    def static(user_id: int) -> str:
        return str(user_id)


def the_parameters_are_kept() -> None:
    assert_type(bare("monday", count=2), float)
    assert_type(called("monday"), float)
    assert_type(cached(1, region="us"), str)
    bare(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    cached()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    cached(1, zone="eu")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def the_surface_has_the_types_of_the_loader() -> None:
    assert_type(cached.peek(1), Entry[str] | None)
    assert_type(cached.refresh(1), str)
    assert_type(cached.invalidate(1, region="us"), bool)
    cached.put("eu", 1)
    cached.put(1, 1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    cached_async.put("1", 1)
    cached_async.put(1, 1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    cached.invalidate("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def any_and_type_variables_are_kept() -> None:
    assert_type(untyped("a"), Any)
    untyped(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert_type(generic(3), int)


def freshness_changes_no_types() -> None:
    assert_type(fresh_as_can_be("news"), list[str])
    entry = fresh_as_can_be.peek("news")
    assert_type(entry, Entry[list[str]] | None)
    if entry is not None:
        assert_type(entry.last_error, Exception | None)
        assert_type(entry.stale_until, float)
    assert_type(fresh_as_can_be.stats().load_seconds, float)
    assert_type(fresh_as_can_be.stats().stale_hits, int)
    cached_singleflight(ttl=30, stale_if_error={OSError: 5, KeyError: lambda error: None})
    cached_singleflight(ttl=30, stale_if_error={"KeyError": 5})  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]
    cached_singleflight(ttl=30, error_ttl={"KeyError": 5})  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]
    cached_singleflight(ttl=30, retry_after=1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def async_stays_async() -> None:
    coroutine: Coroutine[Any, Any, str] = cached_async(1)
    assert_type(await coroutine, str)
    assert_type(await cached_async(1), str)
    assert_type(await cached_async.refresh(1), str)
    assert_type(cached_async.peek(1), Entry[str] | None)


async def methods_are_bound() -> None:
    repository = Repository()
    assert_type(repository.get(1), str)
    assert_type(await repository.get_async(user_id=1), str)
    assert_type(repository.report("monday"), float)
    assert_type(repository.get.invalidate(1), bool)
    assert_type(repository.get.peek(1), Entry[str] | None)
    assert_type(Repository.get(repository, 1), str)
    repository.get("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert_type(repository.of_class(1), str)
    assert_type(repository.of_class.invalidate(1), bool)
    assert_type(Repository.static(1), str)
    # What no annotation of a descriptor can say to both checkers: class methods called on the
    # class, static methods on an instance.
    Repository.of_class(1)  # type: ignore[call-arg, arg-type] # pyright: ignore[reportCallIssue]
    repository.static(1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


async def groups_return_what_the_function_returns() -> None:
    group = Group()
    assert_type(group.do("k", len, "abc"), int)
    assert_type(group.submit("k", len, "abc"), Future[int])
    assert_type(await group.do_async("k", cached_async, 1), str)
