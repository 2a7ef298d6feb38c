"""Assertions for the type checkers: what decorated functions look like to those who use them."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

from soloflight import Entry, Group, cached_singleflight, singleflight

if sys.version_info >= (3, 11):
    from typing import assert_type
else:
    from typing_extensions import assert_type


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
    cached.invalidate("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def async_stays_async() -> None:
    assert_type(await assert_type(cached_async(1), Coroutine[Any, Any, str]), str)
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


async def groups_return_what_the_function_returns() -> None:
    group = Group()
    assert_type(group.do("k", len, "abc"), int)
    assert_type(group.submit("k", len, "abc"), Future[int])
    assert_type(await group.do_async("k", cached_async, 1), str)
