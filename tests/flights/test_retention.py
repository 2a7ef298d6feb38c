"""Law 8 for failures that are kept: they keep no frame alive, neither the loader's nor a caller's.

A traceback holds its frames, these their locals, and from Python 3.11 on the frames that called
them. Nothing here waits for the collector: a reference cycle is a fault as well.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import iscoroutinefunction
from typing import Any

import pytest

from conftest import Boom, Caller, Clock, Gate, until, until_async, waiters
from soloflight import cached_singleflight, singleflight
from soloflight._outcome import GIL


class Mark:
    """A local of somebody's."""


class Odd(Boom, KeyError):
    """It cannot be copied."""

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no variables here")


def uncopied() -> None:
    raise Odd("no such row")


def uncopied_from_another() -> None:
    try:
        raise Odd("the cause")
    except KeyError as error:
        raise Odd("from another") from error


def with_an_original() -> None:
    try:
        raise KeyError("the original")
    except KeyError as error:
        wrapped = Boom("wrapped", error)
        wrapped.original = error  # type: ignore[attr-defined]
    try:
        raise wrapped
    finally:
        del wrapped


def alone() -> None:
    raise Boom("alone")


def from_another() -> None:
    try:
        raise KeyError("the cause")
    except KeyError as error:
        raise Boom("from another") from error


def beside_another() -> None:
    try:
        raise KeyError("the context")
    except KeyError:
        raise Boom("beside another")  # noqa: B904  # which is the case


HOW = pytest.mark.parametrize("fail", [alone, from_another, beside_another, with_an_original])
RELOAD = pytest.mark.parametrize("fail", [*HOW.args[1], uncopied, uncopied_from_another])


@pytest.fixture
def marks() -> Iterator[Marks]:
    logging.disable()  # a record holds the traceback that it tells
    gc.collect()
    gc.disable()
    yield Marks()
    gc.enable()
    logging.disable(logging.NOTSET)


class Marks:
    """Locals of loaders and callers; which of them are alive."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, weakref.ref[Mark]]] = []

    def new(self, whose: str) -> Mark:
        mark = Mark()
        self.seen.append((whose, weakref.ref(mark)))
        return mark

    def alive(self) -> list[str]:
        assert self.seen
        return [whose for whose, mark in self.seen if mark() is not None]

    def loader(self, fail: Callable[[], object]) -> Callable[..., str]:
        def load(key: str, argument: Mark) -> str:
            mark = self.new("loader's")
            fail()
            del mark
            return "value"

        return load

    def call(self, function: Any) -> None:
        """A call whose load fails."""
        mark = self.new("caller's")
        if iscoroutinefunction(function):
            asyncio.run(self._call_async(function))
        else:
            try:
                function("k", self.new("argument"))
            except Boom:
                pass
        del mark

    async def _call_async(self, function: Any) -> None:
        mark = self.new("caller's")
        try:
            await function("k", self.new("argument"))
        except Boom:
            pass
        await until_async(lambda: not function.in_flight())  # a refresh ends with its loop
        del mark


def cached(marks: Marks, fail: Callable[[], object], is_async: bool = False, **options: Any) -> Any:
    load = marks.loader(fail)

    async def load_async(key: str, argument: Mark) -> str:
        await asyncio.sleep(0)
        return load(key, argument)

    options = {"ttl": 10, "ignore": {"argument"}, **options}
    return cached_singleflight(**options)(load_async if is_async else load)


def stale(marks: Marks, fail: Callable[[], object], is_async: bool = False, **options: Any) -> Any:
    """A function with a stale entry."""
    clock = Clock()
    load = cached(marks, fail, is_async, timer=clock, **options)
    load.put("value", "k", None)
    clock.advance(20)
    return load


IS_ASYNC = pytest.mark.parametrize("is_async", [False, True])


@HOW
@IS_ASYNC
def test_a_cached_exception_keeps_no_frame_alive(
    marks: Marks, fail: Callable[[], None], is_async: bool
) -> None:
    load = cached(marks, fail, is_async, error_ttl={Boom: 60})
    for _ in range(3):
        marks.call(load)
    assert (load.stats().misses, load.stats().negative_hits) == (1, 2)
    assert marks.alive() == []


@RELOAD
@IS_ASYNC
def test_a_failed_reload_keeps_no_frame_alive(
    marks: Marks, fail: Callable[[], None], is_async: bool
) -> None:
    load = stale(marks, fail, is_async, stale_if_error=60)
    marks.call(load)
    assert load.peek("k", None).failures == 1
    assert marks.alive() == []


@RELOAD
@IS_ASYNC
def test_a_failed_refresh_keeps_no_frame_alive(
    marks: Marks, fail: Callable[[], None], is_async: bool
) -> None:
    with ThreadPoolExecutor(1) as executor:
        options = {} if is_async else {"executor": executor}
        load = stale(marks, fail, is_async, stale_while_revalidate=60, **options)
        marks.call(load)
    assert load.peek("k", None).failures == 1
    assert marks.alive() == []


@pytest.mark.skipif(not GIL, reason="an idle thread ends what it had last only later")
def test_a_refresh_of_the_default_pool_keeps_nothing_alive(marks: Marks) -> None:
    load = stale(marks, alone, stale_while_revalidate=60)
    marks.call(load)
    until(lambda: load.peek("k", None).failures == 1)
    until(lambda: not marks.alive())


def test_who_gets_the_stale_value_for_its_patience_keeps_nothing_alive(
    marks: Marks, gate: Gate
) -> None:
    """`WaitTimeout` was raised on the way, and had a traceback of its own."""
    with ThreadPoolExecutor(1) as executor:
        load = stale(marks, gate, stale_if_error=60, wait_timeout=0.01, executor=executor)
        marks.call(load)
        gate.open()
    assert load.stats().timeouts == 1
    assert marks.alive() == []


@pytest.mark.parametrize("option", ["ttl", "cache_if", "error_ttl", "copy"])
@IS_ASYNC
def test_an_option_that_raises_keeps_nothing_alive(
    marks: Marks, option: str, is_async: bool
) -> None:
    def raises(value: object) -> Any:
        mark = marks.new("option's")
        alone()
        return mark

    options = {option: {KeyError: raises} if option == "error_ttl" else raises}
    fail = {}.popitem if option == "error_ttl" else int
    marks.call(cached(marks, fail, is_async, **options))
    assert "option's" in {whose for whose, _ in marks.seen}
    assert marks.alive() == []


@HOW
def test_a_cached_exception_tells_the_same_to_each_caller(fail: Callable[[], None]) -> None:
    """Without the tracebacks: the first one's are the load's, the others' their own."""
    load = cached(Marks(), fail, error_ttl={Boom: 60})
    told, frames = [], []
    for _ in range(4):
        with pytest.raises(Boom) as caught:
            load("k", Mark())
        error = caught.value
        chain = repr(error.__cause__), repr(error.__context__), error.__suppress_context__
        told.append((repr(error), *chain))
        frames.append([frame.name for frame in traceback.extract_tb(error.__traceback__)])
    assert told == [told[0]] * 4
    assert frames[0][-1] == fail.__name__
    assert frames[1:] == [frames[1]] * 3
    assert fail.__name__ not in frames[1]


def test_each_caller_has_an_exception_of_its_own() -> None:
    """What one of them chains to it, or notes on it, the others do not see."""
    load = cached(Marks(), alone, error_ttl={Boom: 60})

    def call() -> Any:
        try:
            raise LookupError("mine")
        except LookupError:
            try:
                load("k", Mark())
            except Boom as error:
                error.args += ("noted",)
                return error

    errors = [call()] + [Caller(call).result() for _ in range(3)]
    assert len(set(map(id, errors))) == 4
    assert {str(error.__context__) for error in errors} == {"mine"}
    assert len({id(error.__context__) for error in errors}) == 4
    assert [error.args for error in errors] == [("alone", "noted")] * 4


@pytest.mark.parametrize("what", ["stale_if_error", "timer"])
@IS_ASYNC
def test_what_raises_beside_a_stale_entry_keeps_nothing_alive(
    marks: Marks, what: str, is_async: bool
) -> None:
    """The flight lands with what was raised: no frame of that may hold the flight."""
    failed: list[bool] = []
    clock = Clock()

    def asked(option: str) -> None:
        if failed and option == what:
            failed.clear()  # once
            mark = marks.new("option's")
            alone()
            del mark

    def hidden(error: Exception) -> float:
        asked("stale_if_error")
        return 60

    def timer() -> float:
        asked("timer")
        return clock()

    def fail() -> None:
        failed.append(True)
        {}.popitem()

    load = cached(marks, fail, is_async, stale_if_error={KeyError: hidden}, timer=timer)
    load.put("value", "k", None)
    clock.advance(20)
    marks.call(load)
    assert "option's" in {whose for whose, _ in marks.seen}
    assert marks.alive() == []


def test_a_key_function_that_is_refused_keeps_nothing_alive(marks: Marks) -> None:
    def decorate(mark: Mark) -> None:
        try:
            cached_singleflight(ttl=10, key=lambda: 1)(len)
        except TypeError as error:
            assert "key does not take" in str(error)

    decorate(marks.new("caller's"))
    assert marks.alive() == []


@pytest.mark.parametrize("fails", [False, True])
def test_followers_keep_nothing_alive(fails: bool) -> None:
    class Value:
        pass

    gate = Gate()
    values: list[weakref.ref[Value]] = []

    @singleflight
    def load() -> Value:
        value = Value()
        values.append(weakref.ref(value))
        gate()
        if fails:
            raise Boom
        return value

    def call() -> None:
        try:
            load()
        except Boom:
            pass

    gc.disable()
    try:
        callers = [Caller(call) for _ in range(3)]
        until(lambda: waiters(load) == 2)
        gate.open()
        for caller in callers:
            caller.result()
        until(lambda: values[0]() is None)
    finally:
        gc.enable()
