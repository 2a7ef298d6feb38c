"""Law 15: what only one caller can use is a TypeError for everyone aboard, in both worlds."""

from __future__ import annotations

import asyncio
import gc
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import (
    AsyncExitStack,
    ExitStack,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
    nullcontext,
    redirect_stdout,
)
from io import StringIO
from typing import Any

import pytest

from both_worlds import World
from conftest import Clock, Gate
from soloflight import Group, cached_singleflight
from soloflight._flights import landing
from soloflight._sources import for_one

WORDS = "which only one caller can use"


def generator() -> Iterator[int]:
    yield 1


def begun() -> Any:
    made = generator()
    next(made)
    return made


async def asyncgen() -> AsyncIterator[int]:
    yield 1


async def coroutine() -> int:
    return 1


@types.coroutine
def old_coroutine() -> Generator[None, None, int]:
    yield
    return 1


@contextmanager
def manager() -> Iterator[int]:
    yield 1


@asynccontextmanager
async def async_manager() -> AsyncIterator[int]:
    yield 1


class Duck(Coroutine[Any, Any, int]):
    """As aiohttp's ``session.get()``: it wraps a coroutine, and is closed like one."""

    def __init__(self) -> None:
        self._made = coroutine()

    def send(self, value: Any) -> Any:
        return self._made.send(value)

    def throw(self, *args: Any) -> Any:
        return self._made.throw(*args)

    def close(self) -> None:
        self._made.close()

    def __await__(self) -> Any:
        return self._made.__await__()


class Structural:
    """A generator by its looks: Cython's are no others."""

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> int:
        return 1

    def send(self, value: object) -> int:
        return 1

    def throw(self, *error: object) -> int:
        return 1

    def close(self) -> None:
        raise RuntimeError("generator ignored GeneratorExit")


FOR_ONE: list[Callable[[], Any]] = [
    generator,
    begun,
    lambda: (n for n in range(3)),
    asyncgen,
    coroutine,
    old_coroutine,
    manager,
    async_manager,
    Duck,
    Structural,
    lambda: closing(StringIO()),
    lambda: aclosing(asyncgen()),
    ExitStack,
    AsyncExitStack,
]


@pytest.fixture(autouse=True)
def nothing_warns() -> Iterator[None]:
    """Of a coroutine that was never awaited, say: a warning is an error here."""
    yield
    gc.collect()


class Unhashable(type):
    def __eq__(cls, other: object) -> bool:
        return cls is other


class OfUnhashableClass(metaclass=Unhashable):
    pass


@pytest.mark.parametrize("make", FOR_ONE, ids=lambda make: make.__name__)
def test_it_is_refused_for_everyone_aboard(world: World, make: Callable[[], Any]) -> None:
    origin = world.origin()
    origin.answer = lambda number: make()
    load = world.cached(origin, ttl=60)
    gate = origin.hold()
    callers = world.aboard(3, load)
    gate.open()
    for caller in callers:
        with pytest.raises(TypeError, match=WORDS):
            caller.result()
    with pytest.raises(TypeError, match=WORDS):
        world.call(load)
    with pytest.raises(TypeError, match=WORDS):
        world.call(load.refresh)
    assert load.peek() is None
    assert load.stats().errors == 3


@pytest.mark.parametrize("make", FOR_ONE, ids=lambda make: make.__name__)
def test_it_is_not_put(world: World, make: Callable[[], Any]) -> None:
    load = world.cached(world.origin(), ttl=60)
    with pytest.raises(TypeError, match=WORDS):
        load.put(make())
    assert load.peek() is None


@pytest.mark.parametrize("make", FOR_ONE, ids=lambda make: make.__name__)
def test_no_group_shares_it(make: Callable[[], Any]) -> None:
    async def load() -> Any:
        return make()

    group = Group()
    with pytest.raises(TypeError, match=WORDS):
        asyncio.run(group.do_async("k", load))
    with pytest.raises(TypeError, match=WORDS):
        group.do("k", lambda: make())
    with pytest.raises(TypeError, match=WORDS):
        group.submit("k", lambda: make()).result()


def test_a_stack_that_is_refused_stays_open() -> None:
    closed: list[int] = []
    stack = ExitStack()
    stack.callback(closed.append, 1)
    with pytest.raises(TypeError, match=WORDS):
        cached_singleflight(ttl=60)(lambda: stack)()
    assert not closed


def test_the_stale_value_is_served_in_its_place(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=1, stale_if_error=9, timer=clock)
    assert world.call(load) == 1
    origin.answer = lambda number: generator()
    clock.advance(2)
    assert world.call(load) == 1


def test_the_error_has_no_frame_of_ours_but_the_callers(world: World) -> None:
    origin = world.origin()
    origin.answer = lambda number: generator()
    load = world.cached(origin, ttl=60, name="load")
    with pytest.raises(TypeError, match=r"^load: the value is a generator") as caught:
        world.call(load)
    files = {str(entry.path) for entry in caught.traceback}
    assert not files & {landing.__file__, for_one.__file__}


@pytest.mark.parametrize(
    "make",
    [
        lambda: iter([1]),
        lambda: map(int, "1"),
        lambda: [1],
        lambda: nullcontext(1),
        lambda: redirect_stdout(StringIO()),
        lambda: generator,
        OfUnhashableClass,
    ],
)
def test_iterators_in_general_are_allowed(world: World, make: Callable[[], Any]) -> None:
    made = make()
    origin = world.origin()
    origin.answer = lambda number: made
    load = world.cached(origin, ttl=60)
    assert world.call(load) is world.call(load) is made


def test_a_future_may_be_awaited_by_many() -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()

        @cached_singleflight(ttl=60)
        async def load() -> Any:
            return future

        assert await load() is await load() is future

    asyncio.run(main())


def test_a_proxy_is_not_asked_what_it_stands_for(gate: Gate) -> None:
    class Lazy:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise AssertionError("it would ask the database")

    made = Lazy()
    load = cached_singleflight(ttl=60)(lambda: made)
    assert load() is made
