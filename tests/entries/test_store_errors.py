"""What is raised while an entry is stored: of whom it is, and what becomes of the cache."""

from __future__ import annotations

import ctypes
import gc
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import cachetools
import pytest

from both_worlds import World
from conftest import Caller, numbers, until
from soloflight import cached_singleflight
from soloflight._entries import sieve


class Limit(Exception):
    """A soft time limit, say."""


def function(number: int, frame: FrameType | None) -> None:
    raise Limit


def forgetful(number: int, frame: FrameType | None) -> None:
    del frame
    raise Limit("with a word")


def variadic(*args: Any) -> None:
    raise Limit


def with_an_option(*args: Any, quiet: bool = False) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise Limit("with a word")


class Handler:
    def __call__(self, number: int, frame: FrameType | None) -> None:
        raise Limit("of an object")

    def method(self, number: int, frame: FrameType | None) -> None:
        self.nested()

    def nested(self) -> None:
        raise Limit("of a method")


def third(word: str, number: int, frame: FrameType | None) -> None:
    raise Limit(word)


HANDLERS: dict[str, Callable[..., None]] = {
    "function": function,
    "forgetful": forgetful,
    "variadic": variadic,
    "with-an-option": with_an_option,
    "object": Handler(),
    "method": Handler().method,
    "partial": partial(third, "of a partial"),
}

CACHES: dict[str, Callable[[], Any]] = {
    "default": lambda: None,
    "FIFOCache": lambda: cachetools.FIFOCache(4),
    "LFUCache": lambda: cachetools.LFUCache(4),
    "LRUCache": lambda: cachetools.LRUCache(4),
    "RRCache": lambda: cachetools.RRCache(4),
    "TTLCache": lambda: cachetools.TTLCache(4, 60),
    "TLRUCache": lambda: cachetools.TLRUCache(4, lambda key, entry, now: now + 60),
}


def decorated(cache: Any, loader: Callable[[Any], Any]) -> Any:
    options: dict[str, Any] = {"maxsize": 4} if cache is None else {"cache": cache}
    return cached_singleflight(ttl=60, **options)(loader)


@pytest.fixture
def handled() -> Iterator[Callable[[Callable[..., None]], None]]:
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler) and None
    signal.signal(signal.SIGINT, before)


def struck(call: Callable[[], Any], at: int, homes: tuple[str, ...], strike: Any) -> bool:
    """Call, and strike at the `at`-th line in files of these folders; whether there is one."""
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(homes) or "<" in frame.f_code.co_name:
            return None
        if event == "line":
            lines += 1
            if lines == at:
                sys.settrace(None)
                strike()
        return trace

    before = sys.gettrace()
    gc.disable()  # what it runs of ours is nobody's call, and swallows what is raised there
    sys.settrace(trace)
    try:
        # In a generator, which has what it handles to itself: what is raised in a trace function
        # can leave an exception being handled (CPython).
        next(call() for _ in "x")
    finally:
        sys.settrace(before)
        gc.enable()
    return lines >= at


HOME = os.path.dirname(cachetools.__file__)
OUR_OWN = os.path.dirname(sieve.__file__)


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("kind", CACHES)
@pytest.mark.parametrize("calls", [1, 2], ids=["stored", "hit"])
def test_an_exception_of_a_signal_handler_in_a_store_is_its_callers(
    handled: Any, kind: str, handler: str, calls: int
) -> None:
    homes = (OUR_OWN,) if kind == "default" else (HOME,)
    for at in numbers(200):
        handled(HANDLERS[handler])
        load = decorated(CACHES[kind](), lambda n: n)
        for n in (0, 1, 2, 3) * calls:
            load(n)
        try:
            if not struck(partial(load, 9), at + 1, homes, lambda: signal.raise_signal(2)):
                break
            pytest.fail(f"swallowed at line {at}")
        except Limit:
            pass
        assert load.stats().store_errors == 0
        assert not load.in_flight()
        # (What it struck in our own queue may take up room until the hand comes: if all are hit.)
        check_room(load, [*range(10, 22)], [*range(10)], calls)
    assert at > 3


def check_room(load: Any, keys: list[Any], old: list[Any], calls: int = 1) -> None:
    """Four keys are kept, and none fails to be stored."""
    before = load.stats().store_errors
    for key in keys:
        for _ in range(calls):
            load(key)
    assert load.stats().store_errors == before
    assert len(load.cache) == 4
    assert sum(load.peek(key) is not None for key in keys + old) == 4


def test_an_exception_of_a_signal_handler_costs_nobody_elses_entry(handled: Any) -> None:
    handled(function)

    class Struck(cachetools.LRUCache[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, value)
            if value.value == 9:
                signal.raise_signal(signal.SIGINT)

    load = decorated(Struck(4), lambda n: n)
    load(1)
    load(2)
    with pytest.raises(Limit):
        load(9)
    assert load.peek(1) and load.peek(2) and not load.peek(9)


@pytest.mark.parametrize("where", ["__eq__", "__hash__", "getsizeof", "ttu"])
def test_a_signal_handler_that_strikes_in_code_of_the_users(handled: Any, where: str) -> None:
    handled(function)
    armed: list[int] = []

    def strike() -> None:
        if armed and not armed.pop():
            signal.raise_signal(signal.SIGINT)

    class Key:
        def __hash__(self) -> int:
            if where == "__hash__":
                strike()
            return 1

        def __eq__(self, other: object) -> bool:
            if where == "__eq__":
                strike()
            return self is other

    def getsizeof(entry: Any) -> int:
        if where == "getsizeof":
            strike()
        return 1

    def ttu(key: Any, entry: Any, now: float) -> float:
        if where == "ttu":
            strike()
        return now + 60

    cache = cachetools.TLRUCache(4, ttu, getsizeof=getsizeof)

    def loader(key: Key) -> int:
        armed.append(0)  # whatever comes next is a part of storing it
        return 1

    load = decorated(cache, loader)
    key = Key()
    load.put(1, Key())
    with pytest.raises(Limit):
        load(key)
    armed.clear()
    assert load.stats().store_errors == 0
    assert not load.in_flight()
    where = ""
    assert load.refresh(key) == 1
    armed.clear()
    assert load.peek(key) is not None


def test_a_signal_handler_that_strikes_in_getsizeof_of_the_default_cache(handled: Any) -> None:
    handled(function)

    def getsizeof(value: int) -> int:
        if value == 2:
            signal.raise_signal(signal.SIGINT)
        return 1

    @cached_singleflight(ttl=60, getsizeof=getsizeof)
    def load(n: int) -> int:
        return n

    load(1)
    with pytest.raises(Limit):
        load(2)
    assert load.peek(1)
    assert load.stats().store_errors == 0


def test_who_follows_a_load_whose_store_was_struck_gets_its_value(handled: Any) -> None:
    handled(function)
    inside: list[int] = []

    class Struck(cachetools.LRUCache[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            signal.raise_signal(signal.SIGINT)

    def loader(n: int) -> int:
        inside.append(1)
        until(lambda: load.in_flight()[0].waiters == 1)
        return n

    load = decorated(Struck(4), loader)

    def follow() -> Any:
        until(lambda: inside)
        return load(1)

    follower = Caller(follow)
    with pytest.raises(Limit):
        load(1)
    assert follower.result() == 1
    assert len(inside) == 1


@pytest.mark.parametrize("kind", ["TTLCache", "LRUCache", "LFUCache"])
def test_an_exception_that_another_thread_sets_in_a_store_is_its_callers(kind: str) -> None:
    def strike() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(threading.get_ident()), ctypes.py_object(Limit)
        )

    class Key:
        def __init__(self, n: int) -> None:
            self.n = n

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if armed:
                armed.clear()
                strike()
                for _ in range(3):
                    pass
            return self is other

    armed: list[int] = []

    def loader(key: Key) -> int:
        armed.append(1)
        return key.n

    load = decorated(CACHES[kind](), loader)
    first = Key(1)
    load.put(1, first)
    with pytest.raises(Limit):
        load(Key(2))
    assert load.stats().store_errors == 0
    assert load.peek(first)


# Errors of the user's code


class Key:
    countdown = 0
    error: Callable[[], Exception] = partial(ValueError, "truth value is ambiguous")

    def __init__(self, n: int) -> None:
        self.n = n

    def __hash__(self) -> int:
        return self.n % 3

    def __eq__(self, other: object) -> bool:
        Key.countdown -= 1
        if Key.countdown == 0:
            raise Key.error()
        return isinstance(other, Key) and self.n == other.n


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "error",
    [partial(ValueError, "ambiguous"), ValueError, partial(KeyError, "k"), OSError],
    ids=["said", "ValueError", "KeyError", "OSError"],
)
@pytest.mark.parametrize("kind", CACHES)
def test_a_comparison_that_raises_in_a_store_leaves_the_cache_its_room(
    kind: str,
    error: Callable[[], Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL", "soloflight")  # a record would hold frames, and these entries
    monkeypatch.setattr(Key, "error", error)
    failed = 0
    for at in range(1, 60):
        load = decorated(CACHES[kind](), lambda key: key.n)
        for n in range(4):
            load(Key(n))
            load(Key(n))
        Key.countdown = at
        try:
            assert load(Key(5)) == 5
        except type(error()):
            pass  # as it looked the key up
        Key.countdown = 0
        failed += load.stats().store_errors
        check_room(load, [Key(n) for n in range(10, 22)], [Key(n) for n in range(10)])
    assert failed


@pytest.mark.parametrize("own", [True, False], ids=["its-own-word", "another"])
def test_a_value_error_is_a_refusal_where_the_cache_says_it(
    own: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def getsizeof(entry: Any) -> int:
        if not own:
            raise ValueError("no size")
        return 9

    load = decorated(cachetools.LRUCache(4, getsizeof=getsizeof), lambda n: n)
    assert [load(1), load(1)] == [1, 1]
    assert load.stats().misses == 2
    assert load.stats().store_errors == (0 if own else 2)
    assert len(caplog.records) == (0 if own else 1)


@pytest.mark.parametrize(
    "wordless",
    [
        lambda: next(iter([])),
        lambda: b"x" * (1 << 62),
        lambda: queue.SimpleQueue().get_nowait(),  # type: ignore[var-annotated]
    ],
    ids=["StopIteration", "MemoryError", "queue.Empty"],
)
@pytest.mark.parametrize("where", ["default", "getsizeof", "ttu", "__setitem__", "__eq__"])
def test_an_error_that_c_makes_without_a_word_is_no_interruption(
    world: World, where: str, wordless: Callable[[], Any]
) -> None:
    class Raising(cachetools.LRUCache[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            wordless()

    class Odd:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if sys._getframe(1).f_code.co_filename.startswith(HOME):
                wordless()
            return self is other

    options: dict[str, dict[str, Any]] = {
        "default": {"ttl": 60, "getsizeof": lambda _: wordless()},
        "getsizeof": {"cache": cachetools.TTLCache(4, 60, getsizeof=lambda _: wordless())},
        "ttu": {"cache": cachetools.TLRUCache(4, lambda *_: wordless())},
        "__setitem__": {"cache": Raising(4), "ttl": 60},
        "__eq__": {"cache": cachetools.LRUCache(4), "ttl": 60},
    }
    load = world.cached(world.origin(), **options[where])
    keys = [Odd(), Odd()]
    assert [world.call(load, key) for key in keys] == [1, 2]
    assert load.stats().store_errors


def test_what_is_mended_keeps_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cachetools.TTLCache(4, 60)
    load = decorated(cache, lambda key: key.n)
    keys = [Key(n) for n in range(3)]
    for key in keys:
        load(key)
    Key.countdown = 8
    load(Key(5))
    Key.countdown = 0
    assert load.stats().store_errors
    assert all(load.peek(key) for key in keys)


def test_a_hit_that_cannot_be_replayed_fails_no_store(caplog: pytest.LogCaptureFixture) -> None:
    class Unreadable(cachetools.LRUCache[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            raise OSError("cannot read")

    load = decorated(Unreadable(4), lambda n: n)
    for n in (1, 1, 2, 2, 3):
        load(n)
    assert all(load.peek(n) for n in (1, 2, 3))
    assert load.stats().store_errors == 0
    assert caplog.text.count("OSError: cannot read") == 1
