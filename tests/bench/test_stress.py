"""Many threads on few keys: the laws that can be checked without stopping anybody.

Nobody takes turns here, and no test holds a lock: a clock ticks whenever somebody looks at it, and
values and changes are told apart by their ticks. A Python without an interpreter lock shows most;
the others switch threads as often as they can.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from conftest import PATIENCE, Caller, until
from soloflight import FlightDeadlock, Group, cached_singleflight, singleflight

THREADS = 64
KEYS = "abcd"


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Have the interpreter switch threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def seconds(thorough: bool) -> float:
    """How long a test goes on."""
    return 4.0 if thorough else 0.4


def crowd(
    seconds: float, act: Callable[[int, random.Random], object], threads: int = THREADS
) -> None:
    """Have threads, which start together, do something over and over."""
    start = threading.Barrier(threads)
    failed = threading.Event()

    def member(number: int) -> None:
        dice = random.Random(number)
        start.wait(PATIENCE)
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline and not failed.is_set():
                act(number, dice)
        except BaseException:
            failed.set()
            raise

    members = [Caller(member, number) for number in range(threads)]
    for each in members:
        each.join(seconds)
    for each in members:
        each.result()


class Watched:
    """A cached function whose loads and values tell when they were made.

    Values are ticks of one clock. For each key, changes are counted when they begin and when they
    have ended: two loads of a key may be in the air at once only where one came between them.
    """

    def __init__(self, cached: Any, **options: Any) -> None:
        self.clock = count(1)
        self.begun = {key: count() for key in KEYS}
        self.ended = {key: count() for key in KEYS}
        self.floor = dict.fromkeys(KEYS, 0)
        """The tick before which no value may be that a call gets from now on."""
        self.calls = count()
        self.refreshes = count()
        self.twice: deque[str] = deque()
        self._in_the_air: dict[str, dict[object, int]] = {key: {} for key in KEYS}
        self._mine = threading.local()
        self.load = cached(**options)(self.loader)

    def loader(self, key: str) -> int:
        tick = next(self.clock)
        in_the_air, load = self._in_the_air[key], object()
        in_the_air[load] = self._mine.ended
        all_of_them = list(in_the_air.values())
        if len(all_of_them) > 1 and tally(self.begun[key]) <= min(all_of_them):
            self.twice.append(key)
        if tick % 4 == 0:
            time.sleep(0.0001)  # some loads are slow, so that others follow
        del in_the_air[load]
        return tick

    def call(self, key: str, call: Callable[[str], int] | None = None) -> None:
        """A call, which must be as new as the changes that ended before it."""
        floor = self.floor[key]
        self._mine.ended = tally(self.ended[key])
        next(self.calls)
        if call is not None:
            next(self.refreshes)
        value = (call or self.load)(key)
        assert value >= floor, f"{key!r}: loaded at {value}, and fenced at {floor}"

    def change(self, key: str, change: Callable[..., object], *, fences: bool = True) -> None:
        """A change after which no call may see a value from before it (where it `fences`)."""
        next(self.begun[key])
        tick = next(self.clock)
        change(key)
        next(self.ended[key])
        if fences and self.floor[key] < tick:
            self.floor[key] = tick  # another thread's may be lost: the check is then milder

    def clear(self) -> None:
        for key in KEYS:
            next(self.begun[key])
        tick = next(self.clock)
        self.load.clear()
        for key in KEYS:
            next(self.ended[key])
            if self.floor[key] < tick:
                self.floor[key] = tick

    def check(self) -> None:
        """The counts are exact, nothing loaded twice, nothing is left."""
        assert not self.twice
        stats = self.load.stats()
        # A refresh may follow what turns out to be no load, and lead then.
        both = stats.hits + stats.misses + stats.joined - tally(self.calls)
        assert 0 <= both <= tally(self.refreshes)
        assert (stats.errors, stats.store_errors) == (0, 0)
        assert not self.load.in_flight()
        self.load.clear()
        until(lambda: not self.load.cache)


def tally(counter: count[int]) -> int:
    """What an `itertools.count` has come to, without counting."""
    return int(repr(counter)[len("count(") : -1])


@pytest.mark.parametrize("maxsize", [2, 1024], ids=["evicting", "roomy"])
def test_no_call_sees_what_was_loaded_before_the_last_change(
    cached: Any, seconds: float, maxsize: int
) -> None:
    """Law 7 and law 1, where everybody calls, refreshes, invalidates, forgets and clears."""
    watched = Watched(cached, ttl=None, maxsize=maxsize)
    load = watched.load

    def act(number: int, dice: random.Random) -> None:
        key, what = dice.choice(KEYS), dice.random()
        if what < 0.90:
            watched.call(key)
        elif what < 0.93:
            watched.call(key, load.refresh)
        elif what < 0.97:
            watched.change(key, load.invalidate)
        elif what < 0.99:
            watched.change(key, load.forget, fences=False)
        else:
            watched.clear()

    crowd(seconds, act)
    watched.check()


def test_no_call_sees_what_was_there_before_the_last_put(cached: Any, seconds: float) -> None:
    """The same with `put`. One thread changes each key: what others put meanwhile may be older."""
    watched = Watched(cached, ttl=None, maxsize=2)

    def put(key: str) -> None:
        watched.load.put(next(watched.clock), key)

    def act(number: int, dice: random.Random) -> None:
        if number >= len(KEYS) or dice.random() < 0.8:
            watched.call(dice.choice(KEYS))
        else:
            watched.change(KEYS[number], put if dice.random() < 0.7 else watched.load.invalidate)

    crowd(seconds, act)
    watched.check()


def test_what_stays_is_loaded_once(cached: Any, seconds: float) -> None:
    """No call falls between the end of a load and the cache (law 2), hot on its heels as it is."""
    calls = count()

    @cached(ttl=None, maxsize=None)  # a thread may be held up for very long
    def load(key: int) -> int:
        return key

    def act(number: int, dice: random.Random) -> None:
        key = next(calls) // 3  # so that calls of one key come close to each other
        assert load(key) == key

    crowd(seconds, act)
    assert load.stats().misses == -(-tally(calls) // 3)


def test_destructors_of_values_may_call_anything(cached: Any, seconds: float) -> None:
    """They run wherever a value ends: in a store, under the lock, in another thread."""
    lively = True

    class Last:
        def __init__(self, key: int) -> None:
            self.key = key

        def __del__(self) -> None:
            if lively and self.key % 3 == 0:
                load.invalidate(self.key)
            elif lively and self.key % 3 == 1:
                with suppress(FlightDeadlock):  # its thread may be in that very load
                    load(self.key + 1)

    @cached(ttl=None, maxsize=4)
    def load(key: int) -> Last:
        return Last(key)

    def act(number: int, dice: random.Random) -> None:
        key = dice.randrange(12)
        if dice.random() < 0.8:
            assert load(key).key == key
        elif dice.random() < 0.8:
            load.invalidate(key)
        else:
            load.clear()

    crowd(seconds, act)
    lively = False
    load.clear()
    until(lambda: not load.cache)
    assert (load.stats().errors, load.stats().store_errors) == (0, 0)


def test_no_instance_is_taken_for_another(cached: Any, seconds: float) -> None:
    """Law 13: instances come and go, and their addresses are used again at once."""

    class Repository:
        def __init__(self, number: int) -> None:
            self.number = number

        @cached(ttl=None, maxsize=16)
        def get(self, key: str) -> int:
            return self.number

    numbers = count()
    shared = [Repository(next(numbers)) for _ in range(4)]

    def act(number: int, dice: random.Random) -> None:
        mine = Repository(next(numbers))
        for repository in (mine, mine, dice.choice(shared)):
            assert repository.get(dice.choice(KEYS)) == repository.number
        if dice.random() < 0.2:
            shared[dice.randrange(4)] = mine  # another one ends, in whichever thread

    crowd(seconds, act)
    shared.clear()
    get: Any = vars(Repository)["get"]
    until(lambda: not get._core.shelf.instances())


def test_the_first_calls_of_a_function_may_come_at_once(seconds: float) -> None:
    """The first call of a function or a method, and its first binding, settle what it is."""
    start = threading.Barrier(THREADS)
    fresh: list[Any] = []

    def renew() -> None:
        class Fresh:
            @cached_singleflight(ttl=None)
            def method(self, key: int) -> int:
                return key

        fresh[:] = [cached_singleflight(ttl=None)(lambda key: key), Fresh.method, Fresh()]

    def member() -> None:
        deadline = time.monotonic() + seconds
        turn = 0
        going = True
        while going:
            turn += 1
            if start.wait(PATIENCE) == 0:
                renew()
                over.append(time.monotonic() >= deadline)
            start.wait(PATIENCE)
            function, unbound, instance = fresh
            going = not over[-1]
            assert (function(turn), instance.method(turn)) == (turn, turn)
            assert unbound(instance, turn) == turn
            assert function.stats().misses == 1
            assert instance.method.stats().misses == 1

    over: list[bool] = []
    members = [Caller(member) for _ in range(THREADS)]
    for each in members:
        each.join(seconds)
    for each in members:
        each.result()


def test_one_exception_may_be_raised_by_many_threads(seconds: float) -> None:
    """Law 4: one object for everyone aboard, and its traceback does not grow."""

    @singleflight
    def load() -> None:
        for _ in range(2000):  # others join meanwhile
            pass
        raise LookupError

    depths: set[int] = set()

    def depth(error: BaseException) -> int:
        steps, traceback = 0, error.__traceback__
        while traceback is not None:
            steps, traceback = steps + 1, traceback.tb_next
        return steps

    def act(number: int, dice: random.Random) -> None:
        try:
            load()
        except LookupError as error:
            depths.add(depth(error))
        else:
            raise AssertionError("it raises")

    crowd(seconds, act, threads=4)  # few, so that they are at it together
    assert max(depths) < 10


def test_threads_and_futures_share_the_flights_of_a_group(seconds: float) -> None:
    group = Group()
    done = count()

    def load(key: str) -> str:
        next(done)
        time.sleep(0.0001)
        return key

    def act(number: int, dice: random.Random) -> None:
        key = dice.choice(KEYS)
        if number % 2:
            assert group.do(key, load, key) == key
        else:
            future = group.submit(key, load, key)
            if dice.random() < 0.1:
                future.cancel()
            else:
                assert future.result(PATIENCE) == key
            if dice.random() < 0.01:
                group.forget(key)

    crowd(seconds, act)
    until(lambda: len(group) == 0)
    assert group._table.ledger.misses.total() >= tally(done)
