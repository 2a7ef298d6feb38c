"""What is logged: with no lock of ours held, after the landing, and whatever handlers do."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from both_worlds import World, landed
from conftest import Caller, Clock, until, waiters
from soloflight import Group, _locks, cached_singleflight
from soloflight._locks import is_held

log = logging.getLogger("soloflight")


class Handler(logging.Handler):
    """Does something of the user's with each record, under a lock of its own, as all of them do."""

    def __init__(self, act: Callable[[logging.LogRecord], object]) -> None:
        super().__init__()
        self.act = act
        self.told: list[str] = []
        self.error: type[BaseException] | None = None  # (the exception itself would hold frames)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.told.append(record.getMessage())
            self.act(record)
        except BaseException as error:
            self.error = type(error)
            raise


@pytest.fixture
def handled() -> Iterator[Callable[[Callable[[logging.LogRecord], object]], Handler]]:
    added: list[Handler] = []

    def add(act: Callable[[logging.LogRecord], object]) -> Handler:
        added.append(Handler(act))
        log.addHandler(added[-1])
        return added[-1]

    yield add
    for handler in added:
        log.removeHandler(handler)


def unstorable(value: object) -> float:
    """A size of what is no size."""
    if value == "bad":
        raise ValueError(value)
    return 1


def test_a_handler_may_have_a_miss_of_the_function_that_could_not_store(
    world: World, handled: Any
) -> None:
    origin = world.origin()
    origin.answer = lambda number: "bad" if number == 1 else "good"
    load = world.cached(origin, ttl=60, getsizeof=unstorable)
    nested: list[Any] = []

    def act(record: logging.LogRecord) -> None:
        held = is_held(load._core.table.lock)
        # In a task it would block the loop that it needs; what is cached it gets everywhere.
        nested.append((held, load("other") if world.name == "threads" else load.peek("other")))

    handler = handled(act)
    assert world.call(load, "k") == "bad"
    until(lambda: nested)
    assert handler.error is None
    assert nested == [(False, "good" if world.name == "threads" else None)]


@pytest.mark.parametrize("how", ["same-key", "another-key"])
def test_a_thread_that_holds_the_handlers_lock_and_a_failed_store_do_not_wait_for_each_other(
    handled: Any, how: str
) -> None:
    """Whoever follows the flight has its value before anything is told."""
    handling = threading.Event()

    @cached_singleflight(ttl=60, getsizeof=unstorable)
    def load(key: str) -> str:
        if key == "bad":
            assert handling.wait(20)
            if how == "same-key":
                until(lambda: waiters(load) == 1)
        return key

    handler = handled(lambda record: None)
    stores = Caller(load, "bad")

    def logs() -> str:
        with handler.lock:  # type: ignore[union-attr]
            until(lambda: load.in_flight())
            handling.set()
            return load("bad" if how == "same-key" else "good")

    holder = Caller(logs)
    assert stores.result() == "bad"
    assert holder.result() == ("bad" if how == "same-key" else "good")
    until(lambda: len(handler.told) == 1)


def test_a_failed_reload_is_told_after_its_followers_have_their_answer(
    clock: Clock, handled: Any
) -> None:
    """So that a thread which has the handler's lock may follow that load."""
    failing, go = threading.Event(), threading.Event()

    @cached_singleflight(ttl=10, stale_if_error=600, timer=clock)
    def load() -> str:
        if clock.now == 1000:
            return "old"
        failing.set()
        assert go.wait(20)
        raise LookupError

    handler = handled(lambda record: None)
    assert load() == "old"
    clock.advance(20)
    leader = Caller(load)
    assert failing.wait(20)

    def logs() -> str:
        with handler.lock:  # type: ignore[union-attr]
            follower = Caller(load)
            until(lambda: waiters(load) == 1)
            go.set()
            return str(follower.result())

    assert Caller(logs).result() == "old"
    assert leader.result() == "old"
    assert [text.partition(": ")[2] for text in handler.told] == ["a reload failed"]


@pytest.mark.parametrize(
    "what", ["could not be stored", "a reload failed", "could not be started", "callback"]
)
def test_a_handler_that_raises_changes_nothing(clock: Clock, handled: Any, what: str) -> None:
    def act(record: logging.LogRecord) -> None:
        raise ConnectionError("the log server is down")

    handler = handled(act)
    if what == "could not be stored":
        load = cached_singleflight(ttl=60, getsizeof=unstorable)(lambda key: key)
        assert load("bad") == "bad"
        assert not load.in_flight()
    elif what == "callback":
        group = Group()
        go = threading.Event()
        futures = [group.submit("k", go.wait) for _ in range(2)]

        def raises(future: object) -> None:
            raise SystemExit

        futures[0].add_done_callback(raises)
        go.set()
        assert [future.result(20) for future in futures] == [True, True]
    else:

        @cached_singleflight(
            ttl=10, stale_while_revalidate=60, stale_if_error=60, timer=clock, executor=None
        )
        def stale() -> str:
            if clock.now > 1000:
                raise LookupError
            return "old"

        assert stale() == "old"
        if what == "could not be started":
            clock.advance(15)
            core = stale._core
            core.table.ledger.tell_once("a refresh could not be started", error=RuntimeError())
        else:
            clock.advance(65)
            assert stale() == "old"
        landed(stale)
    until(lambda: any(what in text for text in handler.told))
    assert handler.error is ConnectionError
    assert not _locks.me.local.thread.untold


def test_an_interruption_in_a_handler_passes_and_the_rest_is_told_later(handled: Any) -> None:
    raised: list[BaseException] = [KeyboardInterrupt()]

    def act(record: logging.LogRecord) -> None:
        if raised:
            raise raised.pop()

    handler = handled(act)
    load = cached_singleflight(ttl=60, getsizeof=unstorable)(lambda key: key)

    def calls() -> None:
        with pytest.raises(KeyboardInterrupt):
            load("bad")
        assert not load.in_flight()
        assert load("good") == "good"

    Caller(calls).result()
    assert len(handler.told) == 1


def test_nothing_is_told_while_a_lock_of_ours_is_held(handled: Any) -> None:
    """Not that of another function either, inside of whose change this one is called."""
    inner = cached_singleflight(ttl=60, getsizeof=unstorable)(lambda key: key)

    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if is_held(outer._core.table.lock):
                inner("bad")
            return self is other

    outer = cached_singleflight(ttl=60)(lambda key: key)
    held: list[bool] = []

    def act(record: logging.LogRecord) -> None:
        held.append(any(is_held(table.lock) for table in _locks.tables()))

    handled(act)
    outer(Key())
    outer(Key())
    until(lambda: held)
    assert held == [False]


def test_what_is_told_of_a_task_is_told_after_its_landing(clock: Clock, handled: Any) -> None:
    order: list[str] = []

    @cached_singleflight(ttl=10, stale_if_error=600, timer=clock)
    async def load() -> str:
        if clock.now > 1000:
            raise LookupError
        return "old"

    async def main() -> None:
        assert await load() == "old"
        clock.advance(20)
        handled(lambda record: order.append("in flight" if load.in_flight() else "landed"))
        assert await load() == "old"

    asyncio.run(main())
    assert order == ["landed"]
