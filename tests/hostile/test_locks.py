"""Locks and user code inside of them; law 14: what a child process starts with."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from types import CodeType
from typing import Any

import pytest
from cachetools import LRUCache, TLRUCache

from conftest import (
    KINDS,
    Boom,
    Caller,
    Clock,
    Gate,
    in_child,
    in_mid_change,
    in_ttl_cache,
    needs_fork,
    numbers,
    storing,
    succeeds,
    until,
    waiters,
)
from interrupter import OURS
from soloflight import Group, SieveCache, _locks, cached_singleflight, singleflight
from soloflight._entries.sieve import Sieve
from soloflight._flights.table import FlightTable
from soloflight._locks import is_held
from soloflight._worlds import threads

# User code that runs inside a lock


@pytest.fixture(params=["before", *KINDS])
def acting(request: pytest.FixtureRequest) -> Callable[[Callable[[], object]], tuple[Any, Any]]:
    """`storing`, for each cache; and what acts where the default one runs `getsizeof`: before."""

    def made(act: Callable[[], object]) -> tuple[Any, Any]:
        if request.param != "before":
            return storing(request.param, "outer", act)

        def getsizeof(value: str) -> int:
            if value == "outer":
                act()
            return 1

        return partial(cached_singleflight, getsizeof=getsizeof), "outer"

    return made


@pytest.mark.parametrize("change", ["load", "put"])
def test_user_code_inside_the_lock_may_follow_a_flight(
    acting: Any, gate: Gate, change: str
) -> None:
    """That flight needs the lock for its landing."""
    cached, key = acting(lambda: followed.append(load("slow")))
    followed: list[str] = []

    @cached(ttl=60)
    def load(key: str) -> str:
        if key == "slow":
            gate()
        return key

    load("k")
    slow = Caller(load, "slow")
    gate.arrived()
    outer = Caller(load.put, "outer", key) if change == "put" else Caller(load, key)
    until(lambda: any(info.waiters for info in load.in_flight()))
    gate.open()
    result = None if change == "put" else "outer"
    assert (slow.result(), outer.result(), followed) == ("slow", result, ["slow"])
    assert load.peek("slow") and load.peek(key)


def test_user_code_inside_the_lock_may_lead_and_holds_nobody_up(acting: Any, gate: Gate) -> None:
    cached, key = acting(lambda: load("nested"))

    @cached(ttl=60)
    def load(key: str) -> str:
        if key == "nested":
            gate()
        return key

    load("k")
    outer = Caller(load, key)
    gate.arrived()
    assert Caller(load, "other").result() == "other"
    assert Caller(load.invalidate, "other").result() is True
    gate.open()
    assert outer.result() == "outer"
    assert load.peek("nested") and load.peek(key)


def test_user_code_inside_a_lock_may_follow_a_flight_that_needs_it_elsewhere(
    acting: Any, gate: Gate
) -> None:
    cached, key = acting(lambda: other("slow"))

    @cached(ttl=60)
    def load(key: str) -> str:
        return key

    @cached_singleflight(ttl=60)
    def other(key: str) -> str:
        gate()
        return str(load(key))

    load("k")
    slow = Caller(other, "slow")
    gate.arrived()
    outer = Caller(load, key)
    until(lambda: waiters(other) == 1)
    gate.open()
    assert (slow.result(), outer.result()) == ("slow", "outer")


def test_user_code_inside_a_lock_may_lead_elsewhere_and_holds_nobody_up(
    acting: Any, gate: Gate
) -> None:
    cached, key = acting(lambda: other("nested"))

    @cached(ttl=60)
    def load(key: str) -> str:
        return key

    @cached_singleflight(ttl=60)
    def other(key: str) -> str:
        gate()
        return key

    load("k")
    outer = Caller(load, key)
    gate.arrived()
    assert Caller(load, "k").result() == "k"
    gate.open()
    assert outer.result() == "outer"
    assert other.peek("nested") and load.peek(key)


def test_user_code_inside_two_locks_may_change_what_the_other_one_guards(acting: Any) -> None:
    """Neither holds its own lock while it asks for the other's."""
    both_inside = threading.Barrier(2)

    def change(other: Any) -> None:
        both_inside.wait(10)
        other.invalidate("gone")
        other.put("new", "n")
        other("led")

    (cached_a, outer_a), (cached_b, outer_b) = acting(lambda: change(b)), acting(lambda: change(a))

    @cached_a(ttl=60)
    def a(key: str) -> str:
        return key

    @cached_b(ttl=60)
    def b(key: str) -> str:
        return key

    loads = [(a, outer_a), (b, outer_b)]
    for load, _ in loads:
        load("k")
        load("gone")
    callers = [Caller(load, outer) for load, outer in loads]
    assert [caller.result() for caller in callers] == ["outer", "outer"]
    for load, outer in loads:
        assert load.peek("gone") is None
        assert load.peek(outer) and load.peek("led")
        assert load.peek("n").value == "new"
        assert set(load.cache) == set(map(load.cache_key, ["k", outer, "led", "n"]))


def test_changes_that_wait_for_each_other_are_all_made(cached: Any) -> None:
    """A destructor gives up the lock while others change the cache: nothing is lost."""
    first_inside, second_inside = threading.Event(), threading.Event()

    class Value:
        def __del__(self) -> None:
            other(1)

    @cached(ttl=60)
    def other(n: int) -> int:
        first_inside.set()
        assert second_inside.wait(20)
        return n

    @cached(ttl=60)
    def another(n: int) -> int:
        second_inside.set()
        return n

    def getsizeof(value: object) -> int:
        if value == "first":
            load.put(Value(), "dies")
            load.invalidate("dies")
        if value == "second":
            another(1)
        return 1

    @cached(ttl=60, getsizeof=getsizeof)
    def load(key: str) -> Any:
        return key

    def second() -> str:
        assert first_inside.wait(20)
        try:
            return str(load("second"))
        finally:
            second_inside.set()

    callers = [Caller(load, "first"), Caller(second)]
    assert [caller.result() for caller in callers] == ["first", "second"]
    assert set(load.cache) == {load.cache_key("first"), load.cache_key("second")}


class Doomed:
    """A value whose end asks another function, and so gives up the lock."""

    def __init__(self, last_words: Callable[[], object]) -> None:
        self.last_words = last_words

    def __del__(self) -> None:
        self.last_words()


@pytest.mark.parametrize("fence", ["invalidate", "clear", "put"])
def test_a_fence_holds_though_user_code_gives_up_the_lock_in_the_middle_of_it(
    cached: Any, fence: str
) -> None:
    in_user_code, old_landed, loading, goes_on = (threading.Event() for _ in range(4))

    @cached(ttl=60)
    def other() -> None:
        if armed:
            in_user_code.set()
            assert old_landed.wait(20)

    @cached(ttl=60)
    def load(key: str) -> object:
        if key == "k":
            loading.set()
            assert goes_on.wait(20)
            return "old"
        return Doomed(other)

    def fencing_thread() -> None:
        # Makes what it drops: without the interpreter lock, a value ends where it was made.
        load.put(Doomed(other), "k")
        load("doomed")
        made.set()
        assert fences.wait(20)
        if fence == "put":
            load.put("new", "k")
        else:
            load.invalidate("k") if fence == "invalidate" else load.clear()

    armed = False
    made, fences = threading.Event(), threading.Event()
    fencing = Caller(fencing_thread)
    assert made.wait(20)
    old = Caller(load.refresh, "k")
    assert loading.wait(20)
    armed = True
    fences.set()
    until(lambda: not load.in_flight())  # fenced
    if fence != "invalidate":  # that one releases the value when it has given up the lock for good
        assert in_user_code.wait(20)
    goes_on.set()
    assert old.result() == "old"
    old_landed.set()
    fencing.result()
    entry = load.peek("k")
    assert (entry and entry.value) == ("new" if fence == "put" else None)


@pytest.mark.parametrize("fence", ["invalidate", "clear", "put"])
def test_a_load_that_lands_in_the_middle_of_a_fence_is_fenced_already(fence: str) -> None:
    """The cache itself asks another function there, and so gives up the lock."""
    inside, old_landed, loading, goes_on = (threading.Event() for _ in range(4))

    @cached_singleflight(ttl=60)
    def other() -> None:
        inside.set()
        assert old_landed.wait(20)

    class Asking(LRUCache[Any, Any]):
        def pop(self, *args: Any) -> Any:
            if fence != "put":
                other()
            return super().pop(*args)

        def __setitem__(self, key: Any, entry: Any) -> None:
            if entry.value == "new":
                other()
            super().__setitem__(key, entry)

    @cached_singleflight(ttl=60, cache=Asking(10))
    def load(key: str) -> str:
        loading.set()
        assert goes_on.wait(20)
        return "old"

    goes_on.set()
    load("k")
    loading.clear()
    goes_on.clear()
    old = Caller(load.refresh, "k")
    assert loading.wait(20)
    if fence == "put":
        fencing = Caller(load.put, "new", "k")
    else:
        fencing = Caller(*((load.invalidate, "k") if fence == "invalidate" else (load.clear,)))
    assert inside.wait(20)
    goes_on.set()
    assert old.result() == "old"
    old_landed.set()
    fencing.result()
    entry = load.peek("k")
    assert (entry and entry.value) == ("new" if fence == "put" else None)


@pytest.mark.parametrize("fails", [False, True], ids=["value", "exception"])
def test_forget_holds_though_the_flight_is_landing(fails: bool) -> None:
    """With an exception, too, that is an answer and about to be stored."""
    inside, goes_on = threading.Event(), threading.Event()

    @cached_singleflight(ttl=60)
    def other() -> None:
        inside.set()
        assert goes_on.wait(20)

    is_first = iter([True])

    def getsizeof(_: object) -> int:
        if next(is_first, False):
            other()
        return 1

    loads = iter(["old", "new"])

    @cached_singleflight(cache=LRUCache(9, getsizeof), ttl=60, error_ttl={LookupError: 60})
    def load() -> str:
        value = next(loads)
        if fails and value == "old":
            raise LookupError(value)
        return value

    landing = Caller(load)
    assert inside.wait(20)
    assert load.forget() is True
    assert load() == "new"
    goes_on.set()
    if fails:
        with pytest.raises(LookupError):
            landing.result()
    else:
        assert landing.result() == "old"
    assert load.peek().value == "new"  # type: ignore[union-attr]


@pytest.mark.parametrize("fence", ["invalidate", "clear"])
def test_a_fence_holds_though_a_key_gives_up_the_lock_while_its_entry_is_shown(fence: str) -> None:
    """Of two that collide, the one that is stored gets compared, and its ``__eq__`` asks others."""
    asked, fenced, inside, goes_on = (threading.Event() for _ in range(4))

    @in_ttl_cache(ttl=60)
    def other(step: str) -> None:
        if step == "compare":
            asked.set()
            assert fenced.wait(20)
        else:
            inside.set()
            assert goes_on.wait(20)

    class Key:
        def __init__(self, name: str) -> None:
            self.name = name

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other_key: object) -> bool:
            if sys._getframe(1).f_code.co_name == "store" and not asked.is_set():
                other("compare")
            return isinstance(other_key, Key) and self.name == other_key.name

    def getsizeof(value: str) -> int:
        if value == "old":
            other("store")
        return 1

    value = "first"

    @in_ttl_cache(ttl=60, getsizeof=getsizeof)
    def load(key: Key) -> str:
        return value

    load(Key("a"))
    value = "old"
    landing = Caller(load, Key("b"))
    assert asked.wait(20)
    value = "new"
    if fence == "clear":
        load.clear()
    else:
        assert load.invalidate(Key("b")) is True
    fenced.set()
    until(lambda: inside.is_set() or not landing.is_alive())
    assert load(Key("b")) == "new"
    goes_on.set()
    assert landing.result() == "old"
    assert load(Key("b")) == "new"


@pytest.mark.parametrize("time", [1, 2], ids=["looked-for", "shown"])
@pytest.mark.parametrize("fence", ["invalidate", "clear", "put", "forget"])
def test_a_fence_holds_though_a_key_gives_up_the_lock_in_a_store(fence: str, time: int) -> None:
    """In the default cache it is compared twice, if another one has its hash."""
    asked, fenced = threading.Event(), threading.Event()
    comparisons: list[int] = []

    @cached_singleflight(ttl=60)
    def other() -> None:
        asked.set()
        assert fenced.wait(20)

    class Key:
        def __init__(self, name: str) -> None:
            self.name = name

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other_key: object) -> bool:
            if armed and sys._getframe(1).f_code.co_name == "store":
                comparisons.append(1)
                if len(comparisons) == time:
                    other()
            return isinstance(other_key, Key) and self.name == other_key.name

    @cached_singleflight(ttl=60)
    def load(key: Key) -> str:
        return value

    value, armed = "first", False
    load(Key("a"))
    value, armed = "old", True
    landing = Caller(load, Key("b"))
    assert asked.wait(20)
    value = "new"
    if fence == "clear":
        load.clear()
    elif fence == "put":
        load.put("new", Key("b"))
    else:
        assert getattr(load, fence)(Key("b")) is True
    assert load(Key("b")) == "new"
    fenced.set()
    assert landing.result() == "old"
    assert load.peek(Key("b")) or time == 2  # what is there already, is not even touched
    assert load(Key("b")) == "new"


def test_what_a_key_fences_while_it_is_shown_is_seen_by_nobody_after_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who looks takes no lock: it must not be there until the landing is over."""
    comparisons: list[int] = []
    seen: list[object] = []

    class Key:
        def __init__(self, name: str) -> None:
            self.name = name

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if sys._getframe(1).f_code.co_name == "store":
                comparisons.append(1)
                if len(comparisons) == 2:  # first it is looked for, second it is shown
                    load.invalidate(Key("b"))
            return isinstance(other, Key) and self.name == other.name

    @cached_singleflight(ttl=60)
    def load(key: Key) -> str:
        return key.name

    store = Sieve.store

    def stored(*args: Any) -> Any:
        gone = store(*args)
        seen.append(load.peek(Key("b")))
        return gone

    load(Key("a"))
    monkeypatch.setattr(Sieve, "store", stored)
    assert load(Key("b")) == "b"
    assert len(comparisons) >= 2
    assert seen == [None]


def test_a_caches_own_clock_for_entries_cannot_bring_back_what_was_fenced() -> None:
    inside, goes_on = threading.Event(), threading.Event()

    @cached_singleflight(ttl=60)
    def other() -> None:
        inside.set()
        assert goes_on.wait(20)

    def ttu(key: object, entry: Any, now: float) -> float:
        if entry.value == "old":
            other()
        return now + 60

    loads = iter(["old", "new"])

    @cached_singleflight(cache=TLRUCache(10, ttu))
    def load() -> str:
        return next(loads)

    landing = Caller(load)
    assert inside.wait(20)
    assert load.invalidate() is True
    assert load() == "new"
    goes_on.set()
    assert landing.result() == "old"
    assert load.peek().value == "new"  # type: ignore[union-attr]


# Fork


def test_what_a_change_drops_ends_in_no_lock_though_another_thread_lets_go_meanwhile() -> None:
    told, compared = Gate(), Gate()
    held: list[bool] = []

    class Value:
        def __init__(self, size: int) -> None:
            self.size = size

        def __del__(self) -> None:
            held.append(is_held(load._core.table.lock))

    class Key:
        armed = False

        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if Key.armed and isinstance(other, Key) and other.number == 2:  # the third has gone
                compared()
            return self is other

    class Raises:
        def __hash__(self) -> int:
            return hash("k")

        def __eq__(self, other: object) -> bool:
            raise Boom

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told()

    @cached_singleflight(ttl=None, maxsize=4, getsizeof=lambda value: value.size)
    def load(key: object) -> Any:
        return Value(3 if key == "large" else 1)

    for key in ("k", *map(Key, (1, 2, 3))):
        load(key)
    handler = Handler()
    _locks.log.addHandler(handler)
    try:
        failing = Caller(load.put, Value(1), Raises())
        told.arrived()
        Key.armed = True
        evicting = Caller(load, "large")
        compared.arrived()
        told.open()
        failing.result()
        compared.open()
        evicting.result()
    finally:
        _locks.log.removeHandler(handler)
    assert held == [False] * 3


class Acting:
    """Does something at the n-th line of ours, as a signal handler may."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        self.left, self.act = at, act

    def __call__(self, frame: Any, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith((OURS, "<soloflight")):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                self.act()
        return self


@pytest.mark.parametrize("fence", ["invalidate", "clear", "forget", "put"])
@pytest.mark.parametrize("beside", [False, True])
def test_a_signal_handler_may_fence_a_load_at_any_line(fence: str, beside: bool) -> None:
    class Key:
        def __hash__(self) -> int:
            return 1

    keys = Key(), Key()

    @cached_singleflight(ttl=60)
    def load(key: Key) -> int:
        if beside and key is keys[0]:  # another one of that hash is under way
            return load(keys[1])
        return 1

    def act() -> None:
        args = {"clear": (), "put": (1, keys[1])}.get(fence, (keys[1],))
        getattr(load, fence)(*args)

    def call(at: int) -> bool:
        load.clear()
        acting = Acting(at, act)
        sys.settrace(acting)
        try:
            value = load(keys[0] if beside else keys[1])
        finally:
            sys.settrace(None)
        assert value == 1
        assert not load.in_flight()
        return acting.left <= 0

    def calls() -> int:
        at = 1
        while call(at):
            at += 1
        return at

    assert Caller(calls).result() > 20


def test_a_signal_handler_may_clear_at_any_line_of_a_store() -> None:
    @cached_singleflight(ttl=60, maxsize=2)
    def load(key: str) -> str:
        return key

    def calls() -> int:
        at = 0
        while True:
            at += 1
            for key in ("k", "other", "k", "other"):
                load(key)
            acting = Acting(at, load.clear)
            sys.settrace(acting)
            try:
                assert load("new") == "new"
            finally:
                sys.settrace(None)
            assert load.stats().store_errors == 0
            if acting.left > 0:
                return at
            load.clear()

    assert Caller(calls).result() > 20


@needs_fork
def test_a_child_does_not_wait_for_a_load_of_its_parent(gate: Gate) -> None:
    group = Group()
    parent = Caller(group.do, "k", gate)
    gate.arrived()
    in_child(lambda: len(group) == 0 and group.do("k", lambda: 1) == 1)
    gate.open()
    parent.result()


@needs_fork
def test_a_child_has_the_entries_of_its_parent() -> None:
    @cached_singleflight(ttl=60)
    def load(key: str) -> int:
        return os.getpid()

    parent = load("k")
    in_child(lambda: load("k") == parent and load("other") == os.getpid())


@needs_fork
def test_a_child_never_gets_a_lock_that_a_thread_of_its_parent_holds(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soloflight._locks.PATIENCE", 0.01)
    gate = Gate()

    load, key, slow = in_mid_change(gate, kind)
    in_child(lambda: load("new") == "new" and load.invalidate("new") and load("k") == "k")
    gate.open()
    assert slow.result() == "slow"
    assert load.peek(key) is not None


@needs_fork
def test_a_child_never_gets_the_lock_of_a_cache_that_is_used_by_hand(
    monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    monkeypatch.setattr("soloflight._locks.PATIENCE", 0.01)
    cache: SieveCache[Any, Any] = SieveCache(10)

    class Key:
        def __hash__(self) -> int:
            return hash("k")

        def __eq__(self, other: object) -> bool:
            gate()
            return False

    def change() -> bool:
        cache["new"] = 1
        return cache["new"] == cache.pop("k")

    cache["k"] = 1
    slow = Caller(cache.pop, Key(), None)
    gate.arrived()
    in_child(change)
    gate.open()
    assert slow.result() is None
    assert cache["k"] == 1


@needs_fork
def test_the_parent_goes_on_as_before() -> None:
    @cached_singleflight(ttl=60)
    def load(key: str) -> str:
        return key

    load("k")
    in_child(lambda: True)
    assert load.invalidate("k") is True
    assert Caller(load, "k").result() == "k"


def test_groups_may_be_made_while_another_thread_forks() -> None:
    stop = threading.Event()

    def make() -> None:
        while not stop.is_set():
            groups = [Group() for _ in range(20)]
            del groups

    groups = [Group() for _ in range(200)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    makers = [Caller(make) for _ in range(2)]
    try:
        for _ in range(300):
            _locks._before()
            assert len(_locks._forking.taken) >= len(groups)
            _locks._release()
    finally:
        stop.set()
        sys.setswitchinterval(interval)
    for maker in makers:
        maker.result()


@needs_fork
def test_threads_may_fork_at_the_same_time() -> None:
    @cached_singleflight(ttl=60)
    def load(key: int) -> int:
        return key

    both = threading.Barrier(2)

    def fork(n: int) -> None:
        for i in range(20):
            both.wait()
            in_child(lambda: load(-1) == -1)
            load(n * 100 + i)

    for caller in [Caller(fork, n) for n in (1, 2)]:
        caller.result()
    assert Caller(load.invalidate, 100).result() is True


@needs_fork
def test_a_child_does_not_get_the_lock_back_that_a_thread_of_its_parent_holds(
    acting: Any, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    """Forked by user code inside of a lock, which another thread has taken meanwhile."""
    monkeypatch.setattr("soloflight._locks.PATIENCE", 0.01)
    children: list[int] = []

    class Key:
        def __hash__(self) -> int:
            return hash("slow")

        def __eq__(self, other: object) -> bool:
            gate()
            return False

    @cached_singleflight(ttl=60)
    def other() -> None:
        slow = Caller(load.invalidate, Key())  # holds the lock of `load`
        gate.arrived()
        children.append(os.fork())
        if children[0]:
            gate.open()
            slow.result()

    cached, key = acting(other)

    @cached(ttl=60)
    def load(key: str) -> str:
        return key

    def outer() -> None:
        assert load(key) == "outer"
        if children == [0]:
            os._exit(0)

    load("slow")
    load("k")
    forking = Caller(outer)
    until(lambda: children)
    succeeds(children[0])
    forking.result()


@needs_fork
def test_a_fork_waits_for_the_end_of_a_change(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork waits for a change that is nearly done."""

    gate, main = Gate(), threading.get_ident()

    def clock() -> float:
        now = monotonic()
        if threading.get_ident() == main:
            gate.open()  # the fork has begun
        return now

    load, key, slow = in_mid_change(gate, kind)
    monkeypatch.setattr(_locks, "monotonic", clock)
    in_child(lambda: load.peek("k") is not None and load.peek(key) is not None)
    assert slow.result() == "slow"


@needs_fork
def test_functions_that_share_a_cache_share_a_lock_in_a_child() -> None:

    cache: dict[Any, Any] = {}

    @cached_singleflight(cache=cache)
    def a() -> int:
        return 1

    @cached_singleflight(cache=cache)
    def b() -> int:
        return 1

    def check() -> bool:
        @cached_singleflight(cache=cache)
        def c() -> int:
            return 1

        # ST27: c, which is decorated in the child, too
        return a._core.table.lock is b._core.table.lock is c._core.table.lock

    in_child(check)


def test_the_patience_before_a_fork_is_one_for_all_the_locks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The patience is one for all the locks."""
    clock = Clock()
    monkeypatch.setattr(_locks, "monotonic", clock)
    asked: list[float] = []

    class Held:
        """A lock that somebody else holds for ever."""

        @property
        def lock(self) -> Any:
            return self

        def acquire(self, timeout: float) -> bool:
            asked.append(timeout)
            clock.advance(max(timeout, 0.5))
            return False

    monkeypatch.setattr(_locks, "tables", lambda: [Held(), Held(), Held()])
    _locks._before()
    assert asked == [_locks.PATIENCE, 0.0, 0.0]
    assert not _locks._forking.taken


@pytest.mark.parametrize("act", ["load", "invalidate"])
def test_a_signal_handler_may_ask_for_a_lock_while_its_thread_waits_for_one(
    acting: Any, gate: Gate, act: str
) -> None:
    """Between "this thread asks for that lock" and having it."""

    cached, key = acting(lambda: other("slow"))

    @cached(ttl=60)
    def load(key: str) -> str:
        return key

    @cached_singleflight(ttl=60)
    def other(key: str) -> str:
        if key == "slow":
            gate()
            load("x")
        return key

    struck: list[bool] = []

    def trace(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code is not FlightTable.land.__code__:
            return trace if frame.f_code is threads.Threads.call.__code__ else None
        thread, table = frame.f_locals.get("thread"), load._core.table
        if event == "line" and thread is not None and thread.lock is table.lock and not struck:
            struck.append(True)
            sys.settrace(None)
            if act == "load":
                other("signal")
            else:
                other.invalidate("signal")
        return trace

    def outer() -> str:
        sys.settrace(trace)
        try:
            return str(load(key))
        finally:
            sys.settrace(None)

    load("k")
    slow = Caller(other, "slow")
    gate.arrived()
    caller = Caller(outer)
    until(lambda: waiters(other) == 1)
    gate.open()
    assert (slow.result(), caller.result()) == ("slow", "outer")
    assert struck


@contextmanager
def interrupted(code: CodeType, at: int) -> Iterator[list[int]]:
    """Raise at that line of a function; yields how many there have been, in a list."""
    lines = [0]

    def trace(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code is not code:
            return None
        if event == "line":
            lines[0] += 1
            if lines[0] == at:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(None)


@needs_fork
@pytest.mark.parametrize("hook", ["_before", "_release"])
def test_an_interruption_in_a_hook_of_a_fork_leaves_no_lock_taken(
    hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of its lines: what a hook raises is swallowed, and the fork goes on."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    code = getattr(_locks, hook).__code__
    functions: Any = [cached_singleflight(ttl=60)(lambda: 1), singleflight(lambda: 1)]
    locks = [function._core.table.lock for function in functions]

    def fork(at: int) -> bool:
        """Fork, interrupted at that line of the hook; whether it has so many."""
        with interrupted(code, at) as lines:
            child = os.fork()
        if child == 0:
            os._exit(0)
        succeeds(child)
        return lines[0] >= at

    def forks() -> int:
        for at in numbers():
            if not fork(at + 1):
                return at
            for lock in locks:
                assert not is_held(lock), f"taken after an interruption at line {at}"
            assert not _locks._forking.taken
        raise AssertionError("it never ends")

    assert Caller(forks).result() > 2


@needs_fork
def test_an_interruption_in_the_hook_of_a_child_leaves_it_whole(
    monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    """It begins without the flights of its parent, and can load."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    code = _locks._in_child.__code__
    load = cached_singleflight(ttl=60)(lambda key: key)
    other = singleflight(lambda: gate())
    leader = Caller(other)
    gate.arrived()

    def fork(at: int) -> None:
        with interrupted(code, at):
            in_child(lambda: load(at) == at and not other.in_flight())

    def forks() -> None:
        for at in range(1, 12):
            fork(at)

    Caller(forks).result()
    gate.open()
    leader.result()
