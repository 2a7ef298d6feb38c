"""Law 17: with the default cache, nobody else's code but a key's runs while a lock of ours is held.

Seen from that code: the destructors of values and of arguments, ``getsizeof``, ``ttl``, ``timer``,
``cache_if``, ``error_ttl``, ``copy``, handlers of log records, and whoever observes.
"""

from __future__ import annotations

import gc
import logging
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from both_worlds import Origin, World, landed
from conftest import Boom, Caller, Clock
from soloflight import SieveCache, _locks, cached_singleflight
from soloflight._locks import is_held
from soloflight._outcome import GIL


class Watch:
    """Looks, from code of the user's, whether a lock of ours is held."""

    def __init__(self) -> None:
        self.locks: list[Any] = []  # of caches that no function has
        self.alone = True  # no other thread is about: nobody at all must hold one
        self.seen: Counter[str] = Counter()
        self.held: Counter[str] = Counter()

    def look(self, what: str) -> None:
        if sys.is_finalizing():
            return  # then no thread starts, and Python 3.11 waits for it
        locks = [table.lock for table in _locks.tables()] + self.locks
        held = any(is_held(lock) for lock in locks)
        if self.alone and not held:
            held = not Caller(lambda: all(map(self.is_free, locks))).result()
        self.seen[what] += 1
        self.held[what] += held

    def is_free(self, lock: Any) -> bool:
        free: bool = lock.acquire(False)
        if free:
            lock.release()
        return free

    def saw(self, *what: str) -> None:
        """That each of these was run, and none under a lock."""
        gc.collect()
        assert not +self.held
        assert {one for one in what if not self.seen[one]} == set()


class Thing:
    """A value, or an argument, that looks when it ends."""

    size: Any = 1

    def __init__(self, watch: Watch, what: str = "value", name: object = None) -> None:
        self.watch, self.what, self.name = watch, what, name

    def __del__(self) -> None:
        self.watch.look(self.what)

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and self.name == other.name


class Handler(logging.Handler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        self.watch.look("log")


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    handler = Handler(watch)
    _locks.log.addHandler(handler)
    yield watch
    _locks.log.removeHandler(handler)


def options(watch: Watch, clock: Clock) -> dict[str, Any]:
    """All that are callables."""

    def looks(what: str, answer: Any) -> Callable[..., Any]:
        def option(*args: object) -> Any:
            watch.look(what)
            return answer

        return option

    def timer() -> float:
        watch.look("timer")
        return clock()

    return {
        "getsizeof": looks("getsizeof", 1),
        "ttl": looks("ttl", 10),
        "timer": timer,
        "cache_if": looks("cache_if", True),
        "error_ttl": {Boom: looks("error_ttl", 10)},
    }


@pytest.fixture
def subject(world: World, watch: Watch, clock: Clock) -> tuple[Origin, Any]:
    """A function with room for three, all of whose options look."""
    origin = world.origin()
    origin.answer = lambda number: Thing(watch)
    load = world.cached(origin, maxsize=3, **options(watch, clock))
    load._core.table.ledger.observer = lambda event: watch.look("observer")
    return origin, load


STORES = "getsizeof", "ttl", "timer", "cache_if", "observer"


def key(watch: Watch, name: object) -> Thing:
    return Thing(watch, "argument", name)


def test_a_miss(world: World, watch: Watch, subject: tuple[Origin, Any]) -> None:
    _, load = subject
    for name in range(3):
        assert world.call(load, name) is world.call(load, name)
    watch.saw(*STORES)


def test_a_miss_that_evicts(world: World, watch: Watch, subject: tuple[Origin, Any]) -> None:
    _, load = subject
    for name in range(20):
        world.call(load, key(watch, name))
        if name % 3:
            world.call(load, key(watch, name))
    watch.saw(*STORES, "value", "argument")
    assert load.stats().evictions == 17


def test_put(world: World, watch: Watch, subject: tuple[Origin, Any]) -> None:
    _, load = subject
    for name in (*range(10), 9, 9):
        load.put(Thing(watch), key(watch, name))
    watch.saw("getsizeof", "ttl", "timer", "cache_if", "value", "argument")


def test_invalidate(world: World, watch: Watch, subject: tuple[Origin, Any]) -> None:
    _, load = subject
    for name in range(3):
        world.call(load, key(watch, name))
        assert load.invalidate(key(watch, name)) is True
    watch.saw(*STORES, "value", "argument")


def test_clear(world: World, watch: Watch, subject: tuple[Origin, Any]) -> None:
    _, load = subject
    for name in range(3):
        world.call(load, key(watch, name))
    load.clear()
    watch.saw(*STORES, "value", "argument")
    assert watch.seen["value"] == 3 or not GIL


def test_a_refresh(world: World, watch: Watch, subject: tuple[Origin, Any]) -> None:
    _, load = subject
    for _ in range(5):
        world.call(load.refresh, key(watch, "k"))
    watch.saw(*STORES, "value", "argument")


@pytest.mark.parametrize("fence", ["forget", "invalidate", "clear", "put"])
def test_a_load_that_is_fenced(
    world: World, watch: Watch, subject: tuple[Origin, Any], fence: str
) -> None:
    origin, load = subject
    watch.alone = False  # two threads land, and fence
    gate = origin.hold()
    call = world.start(load, key(watch, "k"))
    gate.arrived()
    if fence == "clear":
        load.clear()
    elif fence == "put":
        load.put(Thing(watch), key(watch, "k"))
    else:
        getattr(load, fence)(key(watch, "k"))
    gate.open()
    call.result()
    del call
    landed(load)
    watch.saw(*STORES, "argument")


def test_followers(world: World, watch: Watch, subject: tuple[Origin, Any]) -> None:
    origin, load = subject
    watch.alone = False
    gate = origin.hold()
    callers = [world.start(load, "k") for _ in range(5)]
    gate.arrived()
    gate.open()
    for caller in callers:
        caller.result()
    watch.saw(*STORES)


def test_what_has_expired(
    world: World, watch: Watch, subject: tuple[Origin, Any], clock: Clock
) -> None:
    _, load = subject
    for name in range(20):
        world.call(load, key(watch, name))
        clock.advance(5)
    watch.saw(*STORES, "value", "argument")
    assert load.stats().expired > 15


def test_exceptions(world: World, watch: Watch, subject: tuple[Origin, Any]) -> None:
    origin, load = subject
    origin.fail()
    for name in range(10):
        for _ in range(2):
            with pytest.raises(Boom):
                world.call(load, key(watch, name))
    watch.saw("error_ttl", "timer", "argument", "observer")
    assert load.stats().evictions == 7


def test_what_cannot_be_stored_is_told(
    world: World, watch: Watch, subject: tuple[Origin, Any]
) -> None:
    _, load = subject
    world.call(load, "k")
    cache: Any = load.cache
    cache._getsizeof = lambda value: "large"
    world.call(load.refresh, "k")
    load.put(Thing(watch), "put")
    watch.saw("log", "value")
    assert load.stats().store_errors == 2


def test_a_key_that_raises_in_the_middle_of_a_store_is_told(world: World, watch: Watch) -> None:
    class Raising(Thing):
        def __eq__(self, other: object) -> bool:
            if sys._getframe(1).f_code.co_name == "store":
                raise Boom
            return super().__eq__(other)

        __hash__ = Thing.__hash__

    origin = world.origin()
    origin.answer = lambda number: Thing(watch)
    load = world.cached(origin, ttl=None)
    for _ in range(3):
        world.call(load, Raising(watch, "argument", -1))
        world.call(load, Raising(watch, "argument", -2))  # of the same hash
    watch.saw("log", "value", "argument")
    assert load.stats().store_errors == 3


def test_a_key_that_stores_in_the_middle_of_a_store(world: World, watch: Watch) -> None:
    """What goes for that ends after the outer one, whose lock is held."""
    origin = world.origin()
    origin.answer = lambda number: Thing(watch)
    load = world.cached(origin, ttl=None, maxsize=3)
    numbers = iter(range(1000))

    class Storing(Thing):
        stores = False  # once: where a dict has changed meanwhile, it begins anew to look

        def __eq__(self, other: object) -> bool:
            where = sys._getframe(1).f_code.co_name
            if where in ("store", "_make_room") and Storing.stores:
                Storing.stores = False
                load.put(Thing(watch), next(numbers))
                if world.name == "threads":
                    world.call(load, next(numbers))
                load.cache["by hand", next(numbers)] = Thing(watch)
            return super().__eq__(other)

        __hash__ = Thing.__hash__

    world.call(load, Storing(watch, "argument", -1))
    for _ in range(20):
        Storing.stores = True
        world.call(load, Storing(watch, "argument", -2))  # of the same hash
        Storing.stores = False
        world.call(load, Storing(watch, "argument", -1))
        load.invalidate(Storing(watch, "argument", -2))
    assert next(numbers) > 10
    watch.saw("value", "argument")


def test_dead_instances(world: World, watch: Watch, clock: Clock) -> None:
    origin = world.origin()
    origin.answer = lambda number: Thing(watch)
    Repository = world.repository(origin, maxsize=1000, **options(watch, clock))
    for _ in range(130):  # and that is told
        repository = Repository()
        for name in range(2):
            world.call(repository.get, key(watch, name))
        del repository
    watch.saw("value", "argument", "log")
    Repository.get.clear()
    watch.saw("value")
    assert watch.seen["value"] == 260


def test_a_stale_value_and_what_replaces_it(world: World, watch: Watch, clock: Clock) -> None:
    origin = world.origin()
    origin.answer = lambda number: Thing(watch)
    watch.alone = False  # a refresh runs elsewhere
    load = world.cached(
        origin, stale_while_revalidate=10, copy=lambda value: (watch.look("copy"), value)[1],
        **options(watch, clock),
    )  # fmt: skip
    for _ in range(5):
        world.call(load, key(watch, "k"))
        clock.advance(12)
        world.call(load, key(watch, "k"))
        landed(load)
    watch.saw(*STORES[:-1], "value", "argument", "copy")
    assert load.stats().stale_hits


def test_by_hand(watch: Watch) -> None:
    def getsizeof(value: object) -> int:
        watch.look("getsizeof")
        return 1

    cache: SieveCache[Any, Any] = SieveCache(3, getsizeof)
    watch.locks.append(cache._sieve.lock)
    for name in range(10):
        cache[key(watch, name)] = Thing(watch)
        cache[key(watch, name)] = Thing(watch)
        cache.setdefault(key(watch, name), Thing(watch))
    assert watch.seen["value"] == 27
    cache.popitem()
    assert watch.seen["value"] == 28
    del cache[next(iter(cache))]
    cache.pop(next(iter(cache)))
    assert watch.seen["value"] == 30
    cache.update({key(watch, name): Thing(watch) for name in range(3)})
    cache.clear()
    assert watch.seen["value"] == 33
    watch.saw("getsizeof", "value", "argument")


class Mixture:
    """Functions of one cache, and what threads do with them."""

    def __init__(self, watch: Watch, kind: str) -> None:
        self.watch, self.clock = watch, Clock()
        made: Any = options(watch, self.clock)
        if kind == "shared":
            made["cache"] = SieveCache(20, made.pop("getsizeof"))
        else:
            made["maxsize"] = 20

        class Repository:
            @cached_singleflight(**made)
            def get(self, key: Thing) -> Thing:
                return Thing(watch)

        @cached_singleflight(**made)
        def load(key: Thing) -> Thing:
            return Thing(watch)

        self.made = load if kind == "plain" else Repository
        self.of: list[Any] = [load if kind == "plain" else Repository() for _ in range(3)]
        self.alone = load if kind == "shared" else None

    def act(self, dice: random.Random) -> None:
        names, weights = zip(*ACTS.items(), strict=True)
        (what,) = dice.choices(names, weights)
        pick = dice.randrange(3)
        function = getattr(self.of[pick], "get", self.of[pick])
        if self.alone is not None and pick == 0:
            function = self.alone
        name = key(self.watch, dice.randrange(40))
        if what == "wait":
            self.clock.advance(0.5)
        elif what == "die":
            self.of[pick] = self.made if self.made is self.of[pick] else type(self.of[pick])()
        elif what in ("pop", "popitem"):
            with suppress(KeyError):
                args = (function.cache_key(name),) if what == "pop" else ()
                getattr(function.cache, what)(*args)
        elif what == "put":
            function.put(Thing(self.watch), name)
        elif what == "clear":
            function.clear()
        else:
            getattr(function, what)(name)


ACTS = {
    "__call__": 70, "put": 10, "invalidate": 7, "refresh": 4, "forget": 2, "clear": 1, "wait": 3,
    "die": 2, "pop": 1, "popitem": 1,
}  # fmt: skip


@pytest.mark.skipif(
    not GIL, reason="without the interpreter lock a value ends where its maker next runs"
)
@pytest.mark.parametrize("kind", ["plain", "shared", "methods"])
def test_many_threads_do_all_of_it(watch: Watch, kind: str, thorough: bool) -> None:
    watch.alone = False
    mixture = Mixture(watch, kind)

    def member(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(5000 if thorough else 500):
            mixture.act(dice)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for one in [Caller(member, seed) for seed in range(8)]:
            one.result()
    finally:
        sys.setswitchinterval(interval)
    watch.saw("value", "argument", "getsizeof", "ttl", "timer", "cache_if")


def test_what_one_thread_drops_another_does_not_let_go_of(watch: Watch) -> None:
    """The first would be the last to hold it, and have it end under the lock."""
    watch.alone = False
    told, goes_on = threading.Event(), threading.Event()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()
            assert goes_on.wait(20)

    class Key(Thing):
        def __hash__(self) -> int:
            if told.is_set() and sys._getframe(1).f_code.co_name == "_make_room":
                goes_on.set()
                telling.result()
            return hash(self.name)

        def __eq__(self, other: object) -> bool:
            if sys._getframe(1).f_code.co_name == "store":
                raise Boom
            return False

    @cached_singleflight(ttl=None, maxsize=2, getsizeof=lambda value: value.size)
    def load(key: Any) -> Any:
        raise NotImplementedError

    load.put(Thing(watch), "first")
    load.put(Thing(watch), Key(watch, "argument", -1))
    handler = Slow()
    _locks.log.addHandler(handler)
    try:
        # One that cannot be stored, as a key of the same hash raises: that is told.
        telling = Caller(lambda: load.put(Thing(watch), -2))
        assert told.wait(20)
        large = Thing(watch)
        large.size = 2
        load.put(large, "large")  # both have to go, the first one before that key is asked
    finally:
        goes_on.set()
        _locks.log.removeHandler(handler)
    assert load.stats().evictions == 2
    watch.saw("value")
