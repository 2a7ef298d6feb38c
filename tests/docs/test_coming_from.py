"""docs/coming-from.md: what it says of other libraries, of them and of us, by its own examples.

The examples "before" are the ```py blocks of the page: they run here, where the library is there.
Those "after" are the ```python blocks. Both read what they load from an `Origin`.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import pytest
from cachetools import LRUCache, TTLCache

from meeting import (
    PATIENCE,
    AsyncGate,
    Boom,
    Caller,
    Clock,
    Gate,
    until,
    until_async,
    waiters,
)
from soloflight import cached_singleflight

PAGE = Path(__file__).parents[2] / "docs/coming-from.md"
BLOCK = re.compile(r"^```(py|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CALLERS = 5

T = TypeVar("T")


class Origin:
    """What the examples of the page load from. It counts, can be held, and can fail."""

    def __init__(self) -> None:
        self.loads: list[Any] = []
        self.gate: Any = None
        self.error: Exception | None = None
        self.answer: Callable[..., Any] = lambda user_id, tenant: {"id": user_id, "tenant": tenant}

    def select_user(self, user_id: Any, tenant: str = "main") -> Any:
        gate = self._load(user_id)
        if gate is not None:
            gate()
        return self._end(user_id, tenant)

    async def fetch_user(self, user_id: Any, tenant: str = "main") -> Any:
        gate = self._load(user_id)
        if gate is not None:
            await gate()
        return self._end(user_id, tenant)

    def _load(self, user_id: Any) -> Any:
        self.loads.append(user_id)
        return self.gate

    def _end(self, user_id: Any, tenant: str) -> Any:
        if self.error is not None:
            raise self.error
        return self.answer(user_id, tenant)


class Side:
    """What the examples of one section define, theirs or ours, and what they load from."""

    def __init__(
        self, section: str, language: str, *changes: tuple[str, str], **names: Any
    ) -> None:
        self.origin = Origin()
        self.names: dict[str, Any] = names | {
            "__name__": "__main__",
            "asyncio": asyncio,
            "select_user": self.origin.select_user,
            "fetch_user": self.origin.fetch_user,
        }
        for line, source in blocks(section, language):
            for written, here in changes:
                assert written in source
                source = source.replace(written, here)
            exec(compile("\n" * line + source, str(PAGE), "exec", dont_inherit=True), self.names)
        if language == "python":
            self["load_user"].cache_clear()
        self.origin.loads.clear()

    def __getitem__(self, name: str) -> Any:
        return self.names[name]

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(inspect.unwrap(self["load_user"]))

    async def load(self, *args: Any, **kwargs: Any) -> Any:
        """One call; of a plain function on a thread."""
        if self.is_async:
            return await self["load_user"](*args, **kwargs)
        return await asyncio.to_thread(self["load_user"], *args, **kwargs)

    def hold(self) -> Any:
        self.origin.gate = AsyncGate() if self.is_async else Gate()
        return self.origin.gate

    async def herd(self, loads: int) -> list[Any]:
        """What five callers get who miss at one moment, once so many of them load."""
        gate = self.hold()
        calls = [asyncio.ensure_future(self.load(1)) for _ in range(CALLERS)]
        await until_async(lambda: gate.arrivals == loads)
        if hasattr(self["load_user"], "in_flight"):
            await until_async(lambda: waiters(self["load_user"]) >= CALLERS - 1)
        await everybody()
        gate.open()
        return await asyncio.gather(*calls, return_exceptions=True)


def sections() -> dict[str, tuple[int, str]]:
    """The sections of the page, and where they start."""
    text = PAGE.read_text(encoding="utf-8")
    heads = list(re.finditer(r"^## (.+)$", text, re.MULTILINE))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return {
        head[1]: (text.count("\n", 0, head.start()), text[head.start() : end])
        for head, end in zip(heads, ends, strict=True)
    }


def blocks(section: str, language: str) -> list[tuple[int, str]]:
    start, text = sections()[section]
    found = [block for block in BLOCK.finditer(text) if block[1] == language]
    return [(start + text.count("\n", 0, block.start(2)), block[2]) for block in found]


async def everybody() -> None:
    """Everyone who can has his turn in this loop."""
    for _ in range(100):
        await asyncio.sleep(0)


# What the page says of each.


class Says(NamedTuple):
    """What a library does with its example, in loads unless it says otherwise. Ours is the default.

    modules: what it needs. spellings: of `f(1)`, `f(user_id=1)` and `f(1, "main")`. herd: of five
    callers at one moment. failing: of these, where loads fail. none: of two calls that get None.
    types: of `f(1)` and `f("1")`. unhashable: whether a list can be an argument. stored: whether
    what was loading while the key was dropped is stored.
    """

    modules: tuple[str, ...] = ()
    spellings: int = 1
    herd: int = 1
    failing: int = 1
    none: int = 1
    types: int = 2
    unhashable: bool = False
    stored: bool = False


OURS = Says()
THEIRS = {
    "functools": Says(spellings=3, herd=5, failing=5, stored=True),
    "cachetools": Says(("cachetools",), spellings=3, failing=5, stored=True),
    "async-lru": Says(("async_lru",), spellings=3),
    "aiocache": Says(("aiocache",), spellings=3, failing=5, none=2, unhashable=True, stored=True),
    "dogpile.cache": Says(("dogpile.cache",), failing=5, types=1, unhashable=True, stored=True),
    "cashews": Says(("cashews",), spellings=2, types=1, unhashable=True, stored=True),
    "fastapi-cache": Says(
        ("fastapi", "httpx", "fastapi_cache"),
        spellings=3, herd=5, failing=5, unhashable=True, stored=True,
    ),
}  # fmt: skip


for says in THEIRS.values():
    for module in says.modules:
        with suppress(ImportError):
            import_module(module)  # here, as `conftest` looks at what tests leave behind


def both(section: str) -> tuple[Side, Side]:
    """What the examples of a section make, theirs and ours; skip where theirs is not there."""
    for module in THEIRS[section].modules:
        pytest.importorskip(module, reason=f"{module} is not there", exc_type=ImportError)
    if section == "cachetools":
        from cachetools import cached

        if "condition" not in inspect.signature(cached).parameters:
            pytest.skip("this cachetools has no condition=")
    if section == "fastapi-cache":
        from fastapi_cache import FastAPICache
        from fastapi_cache.backends.inmemory import InMemoryBackend

        FastAPICache.reset()  # there is one for a process,
        InMemoryBackend._store.clear()  # and so there is of what is in memory
    return Side(section, "py"), Side(section, "python")


def ask(section: str, question: Callable[[str, Side, Says], Awaitable[None]]) -> None:
    """Ask both sides the same. `section` is that of the page, and empty for ours."""
    theirs, ours = both(section)

    async def asked() -> None:
        await question(section, theirs, THEIRS[section])
        await at_the_end(theirs)

    run(asked())
    run(question("", ours, OURS))


async def at_the_end(theirs: Side) -> None:
    if "cashews" in str(type(theirs.names.get("cache"))):
        await theirs["cache"].clear()
        await theirs["cache"].close()


def run(coroutine: Awaitable[T]) -> T:
    """In a loop of its own; what hangs, fails."""

    async def patiently() -> T:
        return await asyncio.wait_for(coroutine, PATIENCE)

    return asyncio.run(patiently())


async def drop(section: str, side: Side) -> None:
    """Drop user 1 by what the page names, or as near as they come to it."""
    load = side["load_user"]
    if not section:
        load.invalidate(1)
    elif section in ("functools", "cachetools"):
        load.cache_clear()
    elif section == "async-lru":
        assert load.cache_invalidate(1)
    elif section == "aiocache":
        await load.cache.clear()
    elif section == "dogpile.cache":
        load.invalidate(1, "main")
    elif section == "cashews":
        await side["cache"].delete("user:1:main")
    else:
        await side["FastAPICache"].clear(namespace="users")


of_each = pytest.mark.parametrize("section", THEIRS)


@of_each
def test_a_call_loads_and_the_next_one_hits(section: str) -> None:
    async def question(section: str, side: Side, says: Says) -> None:
        assert await side.load(1) == await side.load(1) == {"id": 1, "tenant": "main"}
        assert side.origin.loads == [1]
        await drop(section, side)
        await side.load(1)
        assert side.origin.loads == [1, 1]

    ask(section, question)


@of_each
def test_spellings_of_one_call(section: str) -> None:
    async def question(section: str, side: Side, says: Says) -> None:
        await side.load(1)
        await side.load(user_id=1)
        await side.load(1, "main")
        assert len(side.origin.loads) == says.spellings

    ask(section, question)


@of_each
def test_arguments_that_are_written_alike(section: str) -> None:
    async def question(section: str, side: Side, says: Says) -> None:
        await side.load(1)
        await side.load("1")
        assert len(side.origin.loads) == says.types

    ask(section, question)


@of_each
def test_a_list_as_an_argument(section: str) -> None:
    async def question(section: str, side: Side, says: Says) -> None:
        if says.unhashable:
            assert (await side.load([1]))["id"] == [1]
        else:
            with pytest.raises(TypeError, match="unhashable"):
                await side.load([1])

    ask(section, question)


@of_each
def test_none_as_a_value(section: str) -> None:
    async def question(section: str, side: Side, says: Says) -> None:
        side.origin.answer = lambda *args: None
        assert [await side.load(1), await side.load(1)] == [None, None]
        assert len(side.origin.loads) == says.none

    ask(section, question)


@of_each
def test_callers_who_miss_at_one_moment(section: str) -> None:
    async def question(section: str, side: Side, says: Says) -> None:
        assert await side.herd(says.herd) == [{"id": 1, "tenant": "main"}] * CALLERS
        assert len(side.origin.loads) == says.herd

    ask(section, question)


@of_each
def test_a_load_that_fails(section: str) -> None:
    async def question(section: str, side: Side, says: Says) -> None:
        side.origin.error = Boom()
        assert [type(error) for error in await side.herd(says.herd)] == [Boom] * CALLERS
        assert len(side.origin.loads) == says.failing
        side.origin.error = side.origin.gate = None
        assert (await side.load(1))["id"] == 1  # and is not kept

    ask(section, question)


@of_each
def test_dropped_while_it_loads(section: str) -> None:
    async def question(section: str, side: Side, says: Says) -> None:
        gate = side.hold()
        call = asyncio.ensure_future(side.load(1))
        await until_async(lambda: gate.arrivals)
        await drop(section, side)
        gate.open()
        assert (await call)["id"] == 1
        await side.load(1)
        assert len(side.origin.loads) == (1 if says.stored else 2)

    ask(section, question)


# What it says of one alone.


@pytest.mark.parametrize("section", ["functools", "cachetools", "dogpile.cache"])
def test_an_async_def_under_what_is_for_threads(section: str) -> None:
    theirs, _ = both(section)

    async def load(user_id: int) -> dict[str, int]:
        return {"id": user_id}

    decorator = {
        "functools": lambda: theirs["lru_cache"],
        "cachetools": lambda: theirs["cached"](theirs["TTLCache"](1024, 30)),
        "dogpile.cache": lambda: theirs["region"].cache_on_arguments(),
    }[section]()
    of_theirs, of_ours = decorator(load), cached_singleflight(ttl=30)(load)

    async def main() -> None:
        await of_theirs(1)
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await of_theirs(1)
        assert await of_ours(1) is await of_ours(1)

    run(main())


@pytest.mark.parametrize("section", ["aiocache", "cashews"])
def test_a_plain_def_under_what_is_for_tasks(section: str) -> None:
    theirs, _ = both(section)

    def load(user_id: int) -> int:
        return user_id

    decorator = theirs["cached_stampede" if section == "aiocache" else "cache"](ttl=30)
    assert cached_singleflight(ttl=30)(load)(1) == 1

    async def main() -> None:
        with pytest.raises(TypeError, match="await"):
            await decorator(load)(1)
        await at_the_end(theirs)

    run(main())


@pytest.mark.parametrize("section", ["cachetools", "async-lru", "aiocache"])
def test_what_key_is_called_with(section: str) -> None:
    """The call as it was written; with us the bound arguments, without `self`."""
    theirs, _ = both(section)
    seen: list[Any] = []

    def key(*args: Any, **kwargs: Any) -> str:
        seen.append((args, kwargs))
        return "key"

    decorator = {
        "cachetools": lambda: theirs["cached"]({}, key=key),
        "async-lru": lambda: theirs["alru_cache"](ttl=30, key=key),
        "aiocache": lambda: theirs["cached_stampede"](ttl=30, key_builder=key),
    }[section]()
    origin = theirs.origin

    class Users:
        if theirs.is_async:

            @decorator
            async def of_theirs(self, user_id: int, tenant: str = "main") -> Any:
                return await origin.fetch_user(user_id)

            @cached_singleflight(ttl=30, key=key)
            async def of_ours(self, user_id: int, tenant: str = "main") -> Any:
                return await origin.fetch_user(user_id)

        else:

            @decorator
            def of_theirs(self, user_id: int, tenant: str = "main") -> Any:
                return origin.select_user(user_id)

            @cached_singleflight(ttl=30, key=key)
            def of_ours(self, user_id: int, tenant: str = "main") -> Any:
                return origin.select_user(user_id)

    async def main() -> None:
        users = Users()
        for load in (users.of_theirs, users.of_ours):
            answer = load(user_id=1)
            assert (await answer if theirs.is_async else answer)["id"] == 1
        given = (users,) if section != "aiocache" else (Users.of_theirs.__wrapped__, users)
        assert seen[0] == (given, {"user_id": 1})
        assert seen[-1] == ((1, "main"), {})

    run(main())


def test_the_sizes_that_are_named() -> None:
    assert Side("functools", "py")["lru_cache"](lambda: 0).cache_info().maxsize == 128
    assert cached_singleflight(ttl=None)(lambda: 0).cache_info().maxsize == 1024
    theirs, _ = both("async-lru")
    assert theirs["alru_cache"](theirs.origin.fetch_user).cache_info().maxsize == 128
    pytest.importorskip("cashews", reason="cashews is not there")
    from cashews.backends.memory import Memory

    assert Memory().size == 1000


def test_async_lru_jitter_is_something_else() -> None:
    theirs, _ = both("async-lru")
    assert theirs["alru_cache"](ttl=1, jitter=5)  # seconds, more than the ttl
    with pytest.raises(ValueError, match="jitter"):
        cached_singleflight(ttl=1, jitter=5)


@pytest.mark.parametrize("section", ["functools", "async-lru"])
def test_instances_that_are_kept_alive(section: str) -> None:
    theirs, _ = both(section)
    decorator = theirs["lru_cache"] if section == "functools" else theirs["alru_cache"](ttl=30)
    assert lives_on(decorator, theirs.is_async)
    assert not lives_on(cached_singleflight(ttl=30), theirs.is_async)


def lives_on(decorator: Any, is_async: bool) -> bool:
    if is_async:

        class Users:
            @decorator
            async def get(self, user_id: int) -> int:
                return user_id

        async def call(users: Users) -> None:
            await users.get(1)

    else:

        class Users:  # type: ignore[no-redef]
            @decorator
            def get(self, user_id: int) -> int:
                return user_id

        async def call(users: Users) -> None:
            users.get(1)

    users = Users()
    run(call(users))
    there = weakref.ref(users)
    del users
    gc.collect()
    return there() is not None


def test_cachetools_with_a_lock_alone() -> None:
    theirs, _ = both("cachetools")
    cached, cache = theirs["cached"], theirs["TTLCache"](1024, 30)
    theirs.names["load_user"] = cached(cache, lock=Lock())(theirs.origin.select_user)
    run(theirs.herd(CALLERS))
    assert len(theirs.origin.loads) == CALLERS


def test_cachetools_functions_that_share_a_cache() -> None:
    theirs, ours = both("cachetools")
    cache: dict[Any, Any] = {}
    load_order = theirs["cached"](cache)(lambda order_id: {"id": order_id})
    load_invoice = theirs["cached"](cache)(lambda invoice_id: {"invoice": invoice_id})
    assert load_order(1) == load_invoice(1) == {"id": 1}
    assert ours["load_order"](1) == {"id": 1}
    assert ours["load_invoice"](1) == {"invoice": 1}


def test_cachetools_methods() -> None:
    for side in both("cachetools"):
        users, others = side["Users"](), side["Users"]()
        side.origin.loads.clear()
        assert users.get(1) is users.get(1) is not others.get(1)
        if hasattr(users, "cache"):
            users.cache.pop(users.get.cache_key(1), None)
        else:
            users.get.invalidate(1)
        assert users.get(1) is not others.get(1)
        assert len(side.origin.loads) == 3  # the one of the other instance was still there
        users.get.cache_clear()
        assert users.get(1) is not others.get(1)
        assert len(side.origin.loads) == 4


@pytest.mark.parametrize("by_hand", [True, False])
def test_cachetools_what_is_deleted_by_hand_while_it_loads_is_stored(
    by_hand: bool, gate: Gate
) -> None:
    cache: Any = TTLCache(1024, 30)

    @cached_singleflight(cache=cache)
    def load(user_id: int) -> int:
        gate()
        return user_id

    caller = Caller(load, 1)
    gate.arrived()
    if by_hand:
        cache.pop(load.cache_key(1), None)
    else:
        load.invalidate(1)
    gate.open()
    assert caller.result() == 1
    assert (load.cache_key(1) in cache) is by_hand


def test_cachetools_what_a_cache_of_ours_holds() -> None:
    sizes: list[Any] = []

    def size(entry: Any) -> int:
        sizes.append(entry.value)
        return 1

    cache: Any = LRUCache(100, getsizeof=size)
    load = cached_singleflight(cache=cache)(lambda name: name)
    assert load("abc") == cache[load.cache_key("abc")].value == sizes[0] == "abc"


@pytest.mark.parametrize("section", ["async-lru", "aiocache", "cashews"])
def test_the_first_caller_is_cancelled(section: str) -> None:
    theirs, ours = both(section)

    async def question(side: Side) -> list[Any]:
        gate = side.hold()
        calls = [asyncio.ensure_future(side.load(1)) for _ in range(3)]
        await gate.arrived()
        await everybody()
        calls[0].cancel()
        await everybody()
        gate.open()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        if side is theirs:
            await at_the_end(side)
        return answers[1:]

    got = run(question(theirs))
    if section == "cashews":
        assert all(isinstance(answer, asyncio.CancelledError) for answer in got)
    else:
        assert [answer["id"] for answer in got] == [1, 1]
    # async-lru goes on; with aiocache, both of those who waited load.
    assert len(theirs.origin.loads) == {"async-lru": 1, "aiocache": 3, "cashews": 1}[section]
    assert [answer["id"] for answer in run(question(ours))] == [1, 1]
    assert len(ours.origin.loads) == 1


def test_async_lru_an_old_load_that_fails_takes_the_new_entry() -> None:
    async def entry_survives(side: Side, drop: Any, there: Any) -> bool:
        old = side.hold()
        call = asyncio.ensure_future(side.load(1))
        await old.arrived()
        drop(1)
        side.origin.gate = None
        await side.load(1)
        side.origin.error = Boom()
        old.open()
        with pytest.raises(Boom):
            await call
        await everybody()
        return bool(there(1))

    theirs, ours = both("async-lru")
    load = theirs["load_user"]
    assert not run(entry_survives(theirs, load.cache_invalidate, load.cache_contains))
    load = ours["load_user"]
    assert run(entry_survives(ours, load.invalidate, load.peek))


def test_async_lru_counts_and_what_is_still_loading() -> None:
    async def contains(side: Side, there: Any) -> bool:
        gate = side.hold()
        call = asyncio.ensure_future(side.load(2))
        await gate.arrived()
        contains = bool(there(2))
        gate.open()
        await call
        side["load_user"].cache_clear()
        await side.herd(1)
        return contains

    theirs, ours = both("async-lru")
    assert run(contains(theirs, theirs["load_user"].cache_contains))
    assert theirs["load_user"].cache_info()[:2] == (CALLERS - 1, 1)
    assert not run(contains(ours, ours["load_user"].peek))
    assert ours["load_user"].cache_info()[:2] == (0, 1)
    assert ours["load_user"].stats().joined == CALLERS - 1


def test_async_lru_another_loop() -> None:
    theirs, ours = both("async-lru")
    run(theirs.load(1))
    with pytest.warns(UserWarning, match="event loop change"):
        run(theirs.load(1))
    assert len(theirs.origin.loads) == 2
    run(ours.load(1))
    run(ours.load(1))
    assert len(ours.origin.loads) == 1


def test_aiocache_cached_shares_nothing_and_its_cache_read() -> None:
    theirs, ours = both("aiocache")
    from aiocache import cached

    theirs.names["load_user"] = cached(ttl=30)(theirs.origin.fetch_user)

    async def main() -> None:
        await theirs.herd(CALLERS)
        assert len(theirs.origin.loads) == CALLERS
        await theirs["load_user"](1, cache_read=False)
        assert len(theirs.origin.loads) == CALLERS + 1
        await ours.load(1)
        await ours["load_user"].refresh(1)
        assert len(ours.origin.loads) == 2

    run(main())


def test_aiocache_when_a_lease_ends_everyone_loads() -> None:
    theirs, _ = both("aiocache")
    cached = theirs["cached_stampede"](ttl=30, lease=0.05)
    theirs.names["load_user"] = cached(theirs.origin.fetch_user)
    run(theirs.herd(CALLERS))
    assert len(theirs.origin.loads) == CALLERS


def test_aiocache_in_memory_nothing_expires_whose_loop_has_ended() -> None:
    theirs, _ = both("aiocache")
    theirs.names["load_user"] = theirs["cached_stampede"](ttl=0.01)(theirs.origin.fetch_user)
    run(theirs.load(1))
    end = time.monotonic() + 0.03
    until(lambda: time.monotonic() > end)
    run(theirs.load(1))
    assert len(theirs.origin.loads) == 1


@pytest.mark.parametrize("section", ["aiocache", "cashews"])
def test_an_instance_at_the_address_of_another(section: str) -> None:
    theirs, _ = both(section)
    name = "cached_stampede" if section == "aiocache" else "cache"

    async def confused(decorator: Any) -> bool:
        class Users:
            def __init__(self, tenant: int) -> None:
                self.tenant = tenant

            @decorator
            async def get(self, user_id: int) -> int:
                return self.tenant

        for tenant in range(100):
            if await Users(tenant).get(1) != tenant:
                return True
        return False

    async def main() -> None:
        assert await confused(theirs[name](ttl=30))
        assert not await confused(cached_singleflight(ttl=30))
        await at_the_end(theirs)

    run(main())


def an_hour_later(theirs: Side) -> None:
    """What dogpile.cache has in memory is an hour older."""
    for value in theirs["region"].backend._cache.values():
        value.metadata["ct"] -= 3600
    theirs.origin.loads.clear()


def test_dogpile_who_finds_a_value_expired(clock: Clock) -> None:
    """One loads and waits; the others get the old value meanwhile. With us that one does too."""
    theirs, _ = both("dogpile.cache")
    theirs["load_user"](1)
    an_hour_later(theirs)

    async def main() -> None:
        gate = theirs.hold()
        theirs.origin.answer = lambda *args: "new"
        leader = asyncio.ensure_future(theirs.load(1))
        await until_async(lambda: gate.arrivals)
        assert (await theirs.load(1))["id"] == 1
        assert not leader.done()
        gate.open()
        assert await leader == await theirs.load(1) == "new"

    run(main())

    ours = Side("dogpile.cache", "python", ("ttl=30", "timer=clock, ttl=30"), clock=clock)
    ours["load_user"](1)
    clock.advance(60)
    gate = ours.hold()
    ours.origin.answer = lambda *args: "new"
    assert ours["load_user"](1)["id"] == 1
    gate.arrived()
    gate.open()
    until(lambda: ours["load_user"](1) == "new")
    clock.advance(30 + 3600)
    ours.origin.answer = lambda *args: "newer"
    assert ours["load_user"](1) == "newer"


def test_dogpile_a_reload_that_fails(clock: Clock) -> None:
    """It reaches the caller that runs it; with us, nobody while there is something to serve."""
    theirs, _ = both("dogpile.cache")
    theirs["load_user"](1)
    an_hour_later(theirs)
    theirs.origin.error = Boom()
    with pytest.raises(Boom):
        theirs["load_user"](1)

    ours = Side("dogpile.cache", "python", ("ttl=30", "timer=clock, ttl=30"), clock=clock)
    load = ours["load_user"]
    load(1)
    clock.advance(60)
    ours.origin.error = Boom()
    assert load(1)["id"] == 1
    until(lambda: load.peek(1).last_error)
    assert load(1)["id"] == 1
    assert load.stats().errors == 1


def test_dogpile_a_region_is_invalidated_while_it_loads() -> None:
    theirs, _ = both("dogpile.cache")

    async def main() -> None:
        for change in (
            theirs["region"].invalidate,
            lambda: theirs["load_user"].set("set", 1, "main"),
        ):
            gate = theirs.hold()
            call = asyncio.ensure_future(theirs.load(1))
            await until_async(lambda: gate.arrivals)  # noqa: B023
            change()
            gate.open()
            assert await call is await theirs.load(1)
            theirs["load_user"].invalidate(1, "main")
        assert len(theirs.origin.loads) == 2

    run(main())


def test_dogpile_fills_in_no_defaults_for_invalidate() -> None:
    theirs, ours = both("dogpile.cache")
    load = theirs["load_user"]
    user = load(1)
    load.invalidate(1)
    assert load(1) is user
    load.invalidate(1, "main")
    assert load(1) is not user
    with pytest.raises(ValueError, match="does not accept keyword arguments"):
        load.invalidate(user_id=1)

    load = ours["load_user"]
    for spelling in ({"user_id": 1}, {"user_id": 1, "tenant": "main"}):
        user = load(1)
        assert load.invalidate(**spelling) is True
        assert load(1) is not user


def test_dogpile_methods() -> None:
    theirs, ours = both("dogpile.cache")
    users, others = theirs["Users"](), theirs["Users"]()

    user = users.get(1)
    assert others.get(1) is user
    users.get.invalidate(1)
    assert users.get(1) is user  # the 1 stood for self

    def get(self: Any, order_id: int) -> str:
        return "an order"

    get.__module__ = "__main__"  # as Users.get
    orders = type("Orders", (), {"get": theirs["region"].cache_on_arguments()(get)})()
    assert orders.get(1) is user
    users.get.invalidate(users, 1)
    assert users.get(1) is not user

    users, others = ours["Users"](), ours["Users"]()
    user = users.get(1)
    assert others.get(1) is user
    assert others.get.invalidate(1) is True
    assert users.get(1) is not user


def test_cashews_a_call_after_a_delete_joins_the_old_load() -> None:
    theirs, ours = both("cashews")

    async def loads(section: str, side: Side) -> int:
        gate = side.hold()
        calls = [asyncio.ensure_future(side.load(1))]
        await gate.arrived()
        await drop(section, side)
        calls.append(asyncio.ensure_future(side.load(1)))
        await everybody()
        gate.open()
        await asyncio.gather(*calls)
        await at_the_end(side)
        return len(side.origin.loads)

    assert run(loads("cashews", theirs)) == 1
    assert run(loads("", ours)) == 2


@pytest.mark.parametrize("whose", ["theirs", "ours"])
def test_cashews_a_task_of_another_loop(whose: str, gate: Gate) -> None:
    both("cashews")
    from cashews import Cache

    async def load(user_id: int) -> int:
        await gate.in_task()
        return user_id

    if whose == "theirs":
        cache = Cache()
        cache.setup("mem://?check_interval=0")  # nothing runs there that is of a loop
        load = cache(ttl=30)(load)
    else:
        load = cached_singleflight(ttl=30)(load)
    first = Caller(lambda: run(load(1)))
    gate.arrived()
    second = Caller(lambda: run(load(1)))
    if whose == "theirs":
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            second.result()
    else:
        until(lambda: waiters(load) == 2)
    gate.open()
    assert first.result() == 1
    assert whose == "theirs" or second.result() == 1
    assert gate.arrivals == 1


def test_cashews_keys_are_texts() -> None:
    theirs, _ = both("cashews")

    async def main() -> None:
        for alike in ((1, "1", [1]), (None, "")):
            theirs.origin.loads.clear()
            for user_id in alike:
                await theirs.load(user_id)
            assert len(theirs.origin.loads) == 1
        first = await theirs.load(2)
        assert await theirs.load(2) is not first  # a copy
        await at_the_end(theirs)

    run(main())
    with pytest.raises(TypeError, match="ttl"):
        cached_singleflight(ttl="10m")  # type: ignore[arg-type]


def test_cashews_early(clock: Clock) -> None:
    """An entry past its early_ttl is served, with one load behind it."""
    theirs, _ = both("cashews")

    async def main() -> None:
        await theirs["load_early"](1)
        await past(theirs["cache"], "early:v2:1")
        await served_and_reloaded(theirs, "load_early")
        await at_the_end(theirs)

    run(main())

    ours = Side("cashews", "python", ("ttl=20", "timer=clock, ttl=20"), clock=clock)

    async def main() -> None:
        await ours["load_early"](1)
        clock.advance(21)
        await served_and_reloaded(ours, "load_early")

    run(main())


async def past(cache: Any, key: str) -> None:
    """The first deadline of an entry of cashews is over."""
    _, value = await cache.get(key)
    await cache.set(key, [datetime.now(timezone.utc) - timedelta(seconds=1), value], expire=40)


async def served_and_reloaded(side: Side, name: str) -> None:
    gate = side.hold()
    side.origin.answer = lambda *args: "new"
    assert [(await side[name](1))["id"] for _ in range(3)] == [1, 1, 1]
    await gate.arrived()
    gate.open()
    await everybody()
    assert await side[name](1) == "new"
    assert gate.arrivals == 1


def test_cashews_soft_and_failover(clock: Clock) -> None:
    """Where a reload fails, the old value is served."""
    theirs, _ = both("cashews")

    async def fails(side: Side, name: str) -> int:
        """How often three calls that are served an old value have asked."""
        side.origin.error = Boom()
        side.origin.loads.clear()
        assert [(await side[name](1))["id"] for _ in range(3)] == [1, 1, 1]
        return len(side.origin.loads)

    async def of_theirs() -> None:
        await theirs["load_soft"](1)
        await past(theirs["cache"], "soft:1")
        await theirs["load_or_old"](1)
        assert await fails(theirs, "load_soft") == 3
        assert await fails(theirs, "load_or_old") == 3
        await at_the_end(theirs)

    run(of_theirs())

    ours = Side(
        "cashews", "python", ("ttl=20", "timer=clock, ttl=20"), ("ttl=1,", "timer=clock, ttl=1,"),
        clock=clock,
    )  # fmt: skip

    async def of_ours() -> None:
        await ours["load_soft"](1)
        await ours["load_or_old"](1)
        clock.advance(21)
        assert await fails(ours, "load_soft") == 1
        assert await fails(ours, "load_or_old") == 1
        clock.advance(40)
        with pytest.raises(Boom):
            await ours["load_soft"](1)

    run(of_ours())


def test_fastapi_cache_requests() -> None:
    """Of five at one moment: the loads, the answers, and the headers that there are not."""
    theirs, ours = both("fastapi-cache")

    async def main() -> None:
        for side, loads in ((theirs, CALLERS), (ours, 1)):
            gate = side.hold()
            async with client(side["app"]) as browser:
                requests = [asyncio.ensure_future(browser.get("/users/1")) for _ in range(CALLERS)]
                await until_async(lambda: gate.arrivals == loads)  # noqa: B023
                await everybody()
                gate.open()
                answers = await asyncio.gather(*requests)
                again = await browser.get("/users/1")
                assert [answer.json() for answer in answers] == [again.json()] * CALLERS
                assert len(side.origin.loads) == loads
                if side is theirs:
                    assert again.headers["X-FastAPI-Cache"] == "HIT"
                    assert again.headers["Cache-Control"].startswith("max-age=")
                    seen = {"If-None-Match": again.headers["ETag"]}
                    assert (await browser.get("/users/1", headers=seen)).status_code == 304
                    anew = {"Cache-Control": "no-cache"}
                    await browser.get("/users/1", headers=anew)
                    assert len(side.origin.loads) == loads + 1
                else:
                    assert "Cache-Control" not in again.headers

    run(main())


def client(app: Any) -> Any:
    import httpx

    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def test_fastapi_cache_what_a_hit_returns() -> None:
    theirs, ours = both("fastapi-cache")

    async def main() -> None:
        for side, kinds in ((theirs, [tuple, list]), (ours, [tuple, tuple])):
            side.origin.answer = lambda *args: args
            assert [type(await side.load(1)), type(await side.load(1))] == kinds

    run(main())


def test_fastapi_cache_a_dependency() -> None:
    """With theirs an object of each request makes its key; with us it is named, and left out."""
    theirs, _ = both("fastapi-cache")
    from fastapi import Depends, FastAPI

    class Session: ...

    sessions: list[Session] = []

    def session() -> Session:
        sessions.append(Session())  # so that no address is used again
        return sessions[-1]

    async def loads(decorator: Any) -> int:
        count = 0
        app = FastAPI()

        @app.get("/users/{user_id}")
        @decorator
        async def read_user(user_id: int, session: Session = Depends(session)) -> int:  # noqa: B008
            nonlocal count
            count += 1
            return user_id

        async with client(app) as browser:
            for _ in range(3):
                assert (await browser.get("/users/1")).json() == 1
        return count

    async def main() -> None:
        assert await loads(theirs["cache"](expire=30)) == 3
        assert await loads(cached_singleflight(ttl=30, ignore={"session"})) == 1

    run(main())


def test_fastapi_cache_a_plain_def() -> None:
    theirs, _ = both("fastapi-cache")

    def load(user_id: int) -> int:
        return user_id

    assert inspect.iscoroutinefunction(theirs["cache"](expire=30)(load))
    assert not inspect.iscoroutinefunction(cached_singleflight(ttl=30)(load))


# The tables.


def names(section: str, column: int) -> list[str]:
    """The `name=`, `f.name` in one column of the tables of a section."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", sections()[section][1], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]*)`", row[column])]


@of_each
def test_the_tables_name_what_there_is(section: str) -> None:
    theirs, ours = both(section)
    options = set(inspect.signature(cached_singleflight).parameters)
    for name in names(section, 1):
        if option := re.match(r"(\w+)=", name):
            assert option[1] in options, name
        if attribute := re.search(r"\bf\.(\w+)", name):
            assert hasattr(ours["load_user"], attribute[1]), name
    options = set().union(*(inspect.signature(of).parameters for of in takers(section, theirs)))
    for name in names(section, 0):
        for option in re.findall(r"(\w+)=", name):
            if option != "cache_read":  # of the call
                assert option in options, name
        if attribute := re.search(r"\bf\.(\w+)", name):
            assert hasattr(theirs["load_user"], attribute[1]), name
        if attribute := re.match(r"(?:await )?(region|cache|FastAPICache)\.(\w+)", name):
            assert hasattr(theirs[attribute[1]], attribute[2]), name


def takers(section: str, theirs: Side) -> list[Any]:
    """What takes the options that the table of a section names."""
    if section == "functools":
        return [theirs["lru_cache"]]
    if section == "cachetools":
        import cachetools

        return [theirs["cached"], theirs["TTLCache"], cachetools.TLRUCache]
    if section == "async-lru":
        return [theirs["alru_cache"]]
    if section == "aiocache":
        from aiocache import cached

        return [cached, theirs["cached_stampede"]]
    if section == "dogpile.cache":
        region = theirs["region"]
        return [type(region), region.configure, region.cache_on_arguments]
    if section == "cashews":
        cache = theirs["cache"]
        return [type(cache).__call__, cache.early, cache.soft, cache.failover]
    return [theirs["cache"], theirs["FastAPICache"].init]


def test_every_section_of_the_page_is_tested() -> None:
    assert list(sections())[1:] == list(THEIRS)
    for section in THEIRS:
        assert blocks(section, "py") and blocks(section, "python")
