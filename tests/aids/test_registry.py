"""`registry`, `clear_all` and `bypass`: what can be done with all functions at once."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import traceback
from typing import Any

import pytest

from both_worlds import World
from conftest import Boom, Caller, Gate, in_child, in_loop, needs_fork, until_gone
from soloflight import Group, bypass, cached_singleflight, clear_all, registry, singleflight
from soloflight._calls import bypasses
from soloflight._outcome import GIL
from soloflight.testing import MemoryTier

COLLECTS = GIL or sys.version_info >= (3, 14)
"""Without its lock, 3.13 keeps classes for ever."""


def known(name: str) -> Any:
    (found,) = [known for known in registry() if known.name == name]
    return found


def test_it_knows_every_function_and_group(gate: Gate) -> None:
    cache: dict[Any, Any] = {}

    @cached_singleflight(ttl=30, name="users", cache=cache)
    def users(key: str) -> str:
        return key

    @singleflight(name="reports")
    async def reports() -> None: ...

    class Repository:
        @cached_singleflight(ttl=30, name="repository.get")
        def get(self) -> None: ...

        @classmethod
        @singleflight(name="repository.all")
        def all(cls) -> None: ...

        @staticmethod
        @singleflight(name="repository.any")
        def any() -> None: ...

    group = Group("mails")
    users("k"), users("k")
    assert known("users").function is users
    assert known("users").cache is cache
    assert known("users").stats == users.stats()
    assert (known("users").stats.hits, known("users").in_flight) == (1, ())
    assert known("reports").function is reports
    assert known("reports").cache is None
    assert known("repository.get").function is Repository.get
    assert {known(f"repository.{name}").name for name in ("all", "any")}
    leader = Caller(group.do, "k", gate)
    gate.arrived()
    assert known("mails").function is group
    assert [flight.key for flight in known("mails").in_flight] == ["k"]
    gate.open()
    leader.result()


def test_it_holds_them_weakly() -> None:
    @cached_singleflight(ttl=30, name="short-lived")
    def load() -> None: ...

    class Repository:
        @cached_singleflight(ttl=30, name="short-lived method" if COLLECTS else "method")
        def get(self) -> None: ...

    group = Group("short-lived group")
    assert "short-lived" in {one.name for one in registry()}
    del load, Repository, group
    until_gone(lambda: [one.name for one in registry() if "short-lived" in one.name])


def test_all_are_cleared_and_their_loads_fenced(world: World) -> None:
    origin = world.origin()
    load, method = world.cached(origin, ttl=30), world.repository(origin, ttl=30)()
    assert (world.call(load), world.call(method.get)) == (1, 2)
    gate = origin.hold()
    late = world.start(load, "late")
    gate.arrived()
    clear_all()
    gate.open()
    assert late.result() == 3
    assert load.peek() is None
    assert method.get.peek() is None
    assert load.peek("late") is None


def test_with_a_tier_it_is_cleared_for_all() -> None:
    tier = MemoryTier()
    numbers = iter(range(9))
    decorate = cached_singleflight(ttl=30, tier=tier, name="load", codec="json")

    def load() -> int:
        return next(numbers)

    one, other = decorate(load), decorate(load)
    assert one() == other() == 0
    clear_all()
    assert one() == other() == 1
    tier.close()


# ---- bypass


def test_it_calls_the_loader_straight(world: World) -> None:
    origin = world.origin()
    load, method = world.cached(origin, ttl=30), world.repository(origin, ttl=30)()
    given = world.cached(origin, ttl=30, cache={})
    aging = world.cached(origin, ttl=30, stale_while_revalidate=5)
    functions = load, method.get, given, aging
    for function in functions:
        before = world.call(function), function.stats()

        def within(function: Any = function) -> Any:
            with bypass():
                return [function(), function(), function.refresh(), function("new")]

        async def within_task(function: Any = function) -> Any:
            with bypass():
                answers = [await function(), await function(), await function.refresh()]
                return [*answers, await function("new")]

        loads = origin.loads
        found = world.call(within if world.name == "threads" else within_task)
        assert found == [loads + 1, loads + 2, loads + 3, loads + 4]
        assert function.peek("new") is None
        assert (world.call(function), function.stats().misses) == (before[0], before[1].misses)


def test_others_hit_meanwhile(world: World) -> None:
    load, method = world.cached(world.origin(), ttl=30), world.repository(world.origin(), ttl=30)()
    for function in (load, method.get):
        assert world.call(function) == 1
        with bypass():
            assert Caller(world.call, function).result() == 1
        assert world.call(function) == 1


def test_what_is_decorated_in_there_is_bypassed() -> None:
    with bypass():

        @cached_singleflight(ttl=30)
        def load() -> object:
            return object()

        assert load() is not load()
    assert load() is load()


def test_it_is_over_when_the_outermost_is_left() -> None:
    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    first = load()
    with bypass():
        with bypass():
            assert load() is not first
        assert load() is not first
    assert load() is first


@in_loop
async def test_tasks_that_are_started_in_there_bypass_until_it_is_left() -> None:
    @cached_singleflight(ttl=30)
    async def load() -> object:
        return object()

    @cached_singleflight(ttl=30)
    def in_thread() -> object:
        return object()

    first = await load()
    began, left = asyncio.Event(), asyncio.Event()

    async def task() -> None:
        assert await load() is not first
        began.set()
        await left.wait()
        assert await load() is first

    with bypass():
        within = asyncio.create_task(task())
        await began.wait()
        assert await asyncio.to_thread(in_thread) is not await asyncio.to_thread(in_thread)
    left.set()
    await within


def test_threads_that_are_started_in_there() -> None:
    """They have the context of who starts them where Python says so."""

    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    first = load()
    found: list[object] = []
    with bypass():
        thread = threading.Thread(target=lambda: found.append(load()))
        thread.start()
        thread.join()
    assert (found[0] is not first) == bool(getattr(sys.flags, "thread_inherit_context", False))


def test_an_error_has_no_frame_of_ours() -> None:
    @cached_singleflight(ttl=30)
    def load() -> None:
        raise Boom

    def frames() -> list[str]:
        try:
            load()
        except Boom as error:
            return [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        raise AssertionError

    expected = frames()
    with bypass():
        assert frames() == expected


def test_what_was_put_in_the_place_of_the_loader_is_called() -> None:
    @cached_singleflight(ttl=30)
    def load() -> int:
        return 1

    load.__wrapped__ = lambda: 2
    with bypass():
        assert load() == 2


def test_it_leaves_wrappers_as_they_were(world: World) -> None:
    function = world.cached(world.origin(), ttl=30)
    cells = [cell.cell_contents for cell in function.__closure__]
    with bypass():
        assert [cell.cell_contents for cell in function.__closure__] != cells
    assert [cell.cell_contents for cell in function.__closure__] == cells
    assert "miss" not in repr(function._core.miss)


def test_a_generator_may_leave_it_in_another_context() -> None:

    def block() -> Any:
        with bypass():
            yield

    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    first = load()
    generator = block()
    contextvars.copy_context().run(next, generator)
    assert load() is first
    with pytest.raises(StopIteration):
        next(generator)
    assert load() is first


def test_a_context_of_a_block_that_was_left_hits() -> None:
    """Also while somebody else bypasses."""

    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    first = load()
    with bypass():
        context = contextvars.copy_context()
        assert context.run(load) is not first
    with bypass():
        assert load() is not first
        assert context.run(load) is first


def test_what_is_being_decorated_is_not_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes through all functions finds whole ones."""
    before = sys.getswitchinterval()
    stop = threading.Event()

    def decorate() -> None:
        while not stop.is_set():
            cached_singleflight(ttl=30)(lambda: None)

    threads = [Caller(decorate) for _ in range(3)]
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(300):
            clear_all()
            registry()
            with bypass():
                pass
    finally:
        sys.setswitchinterval(before)
        stop.set()
        for thread in threads:
            thread.result()


def test_what_was_put_over_its_clear_is_not_called() -> None:
    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    first = load()
    load.clear = lambda: None
    clear_all()
    assert load() is not first


def test_a_block_inside_of_another_may_end_first() -> None:
    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    first = load()
    with bypass():
        with bypass():
            context = contextvars.copy_context()
        assert context.run(load) is not first
    assert context.run(load) is first


def test_blocks_may_end_in_any_order() -> None:
    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    first = load()
    one, other = bypass(), bypass()
    one.__enter__()
    other.__enter__()
    one.__exit__()
    assert load() is not first
    other.__exit__()
    assert load() is first


def test_it_is_for_one_block_and_no_decorator() -> None:
    block = bypass()
    with block:
        pass
    with pytest.raises(RuntimeError, match=r"write `with bypass\(\):` each time"):
        block.__enter__()
    with pytest.raises(TypeError, match="not callable"):

        @bypass()  # type: ignore[operator]
        async def load() -> None: ...


@needs_fork
def test_a_child_bypasses_where_it_does_itself(gate: Gate) -> None:
    """Not as another thread of its parent's did, nor does it wait for one."""

    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    first = load()

    def other() -> None:
        with bypass(), bypasses._lock:
            gate()

    thread = Caller(other)
    gate.arrived()

    def alone() -> bool:
        with bypass():
            again = load()
        return load() is first and again is not first and not load._core.is_diverted

    in_child(alone)
    gate.open()
    thread.result()

    def within() -> bool:
        return load() is not first

    with bypass():
        in_child(within)
    assert load() is first


def test_an_interruption_leaves_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    first, refer, strikes = load(), load._core.refer, iter([False, True])

    def strike(**values: Any) -> None:
        if next(strikes, False):
            raise KeyboardInterrupt
        refer(**values)

    monkeypatch.setattr(load._core, "refer", strike)
    with pytest.raises(KeyboardInterrupt), bypass():
        pass
    with bypass():
        assert load() is not first
    assert load() is first


def test_blocks_of_generators_do_not_pile_up() -> None:
    def block() -> Any:
        while True:
            with bypass():
                yield

    for _ in range(50):
        one, other = block(), block()
        next(one), next(other)
        one.close(), other.close()
    with bypass():
        block_ = bypasses._within.get()
        assert block_ is not None
        assert block_.outer is None
