"""The queue of the default cache, whatever strikes it: threads, interrupts, forks. Its bounds."""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from conftest import Caller, Clock, needs_fork, numbers, succeeds
from interrupter import OURS, Interrupter, everywhere
from properties.sieves import check, rests
from soloflight import SieveCache, cached_singleflight
from soloflight._entries.entry import Entry
from soloflight._locks import critical


class Subject:
    """A function, or a method, with room for four, and all that can happen to its cache."""

    def __init__(self, kind: str, *, ttl: Any = 10, maxsize: int | None = 4) -> None:
        self.clock = Clock()
        self.loads = 0
        options: Any = {"ttl": ttl, "timer": self.clock}
        if kind == "shared":
            options["cache"] = SieveCache(maxsize, self.size)
        else:
            options |= {"maxsize": maxsize, "getsizeof": self.size}

        class Repository:
            @cached_singleflight(**options)
            def get(repository, key: int) -> Any:
                return self.load(key)

        @cached_singleflight(**options)
        def plain(key: int) -> Any:
            return self.load(key)

        self.Repository = Repository
        self.instances: list[Any] = [Repository() for _ in range(3)]
        self.functions = [plain] if kind == "plain" else [Repository.get]
        self.functions += [plain] if kind == "shared" else []
        self.plain = None if kind == "methods" else plain
        # (Asked for in time: wrapt 1.14 swallows what interrupts a property.)
        self.cache = self.functions[0].cache
        self.sieve = self.cache._sieve
        self.shelves = [f._core.shelf for f in self.functions]

    def load(self, key: int) -> int:
        self.loads += 1
        return key % 3

    def size(self, value: int) -> int:
        return value

    def at(self, pick: int) -> Any:
        return self.plain or self.instances[pick % 3].get

    def indexes(self) -> list[Any]:
        return [index for shelf in self.shelves for index in (shelf.index, *shelf.instances())]

    def check(self) -> None:
        critical(self.sieve.lock, check, self.sieve, *self.indexes())

    def fill(self) -> None:
        """It is full; some of what is there was hit, some has expired, an instance has died."""
        for key in (2, 4, 6, 8):
            self.at(0)(key)
        self.at(0)(4)
        if self.plain is None or len(self.functions) > 1:
            self.instances[1].get(1)
            self.instances[1] = self.Repository()
        self.clock.advance(6)
        for key in (10, 13, 16):
            self.at(0)(key)
        self.clock.advance(5)
        self.at(0)(10)


CHANGES: dict[str, Callable[[Subject], Any]] = {
    "miss": lambda subject: subject.at(0)(20),
    "large": lambda subject: subject.at(0)(23),
    "reload": lambda subject: subject.at(0).refresh(10),
    "put": lambda subject: subject.at(0).put(2, 13),
    "invalidate": lambda subject: subject.at(0).invalidate(13),
    "clear": lambda subject: subject.functions[0].clear(),
    "clear of an instance": lambda subject: subject.at(0).clear(),
    "forget": lambda subject: subject.at(0).forget(13),
    "by hand": lambda subject: subject.cache.update({"a": 1, "b": 2}),
    "popitem": lambda subject: subject.cache.popitem(),
    "clear by hand": lambda subject: subject.cache.clear(),
}
KINDS = ["plain", "methods", "shared"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_at_any_line_leaves_it_whole(kind: str, change: str) -> None:
    def role(interrupter: Interrupter) -> None:
        subject = Subject(kind, ttl=lambda value: 10)
        subject.fill()
        interrupter.run(lambda: CHANGES[change](subject))
        subject.check()
        for key in range(30, 50):
            subject.at(key)(key)
            subject.at(key)(key - 1)
        subject.check()
        assert subject.sieve.total <= subject.sieve.maxsize
        unseen = rests(subject.sieve, *subject.indexes())
        assert unseen <= 1, "what was in the queue and in no index has gone, but perhaps the last"
        for index in subject.indexes():
            assert len(index) <= subject.sieve.count

    assert everywhere(role) > 5


class Stopper:
    """Holds a thread at the n-th line of ours that it comes to in a critical section."""

    def __init__(self, at: int, lock: Any) -> None:
        self.left = at
        self.lock = lock
        self.there = threading.Event()
        self.goes_on = threading.Event()
        self.over = False

    def __call__(self, frame: Any, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line" and self.lock._is_owned():
            if self.left == 0:
                sys.settrace(None)
                self.there.set()
                assert self.goes_on.wait(20)
            self.left -= 1
        return self

    def run(self, call: Callable[[], Any]) -> None:
        sys.settrace(self)
        try:
            call()
        finally:
            sys.settrace(None)
            self.over = not self.there.is_set()
            self.there.set()


@needs_fork
@pytest.mark.parametrize("change", ["large", "reload", "invalidate", "clear"])
@pytest.mark.parametrize("kind", ["plain", "methods"])
def test_a_child_that_is_forked_at_any_line_of_a_change_has_a_whole_queue(
    kind: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the lock cannot be had in time."""
    monkeypatch.setattr("soloflight._locks.PATIENCE", 0.0)
    for at in numbers():
        subject = Subject(kind, ttl=lambda value: 10)
        subject.fill()
        stopper = Stopper(at, subject.sieve.lock)
        thread = Caller(stopper.run, partial(CHANGES[change], subject))
        assert stopper.there.wait(20)
        if stopper.over:
            break
        child = os.fork()
        if child == 0:
            whole = False
            with suppress(BaseException):
                check(subject.sieve, *subject.indexes())
                assert [subject.at(0)(key) for key in (100, 101)] == [1, 2]
                check(subject.sieve, *subject.indexes())
                whole = subject.sieve.total <= subject.sieve.maxsize
            os._exit(0 if whole else 1)
        stopper.goes_on.set()
        succeeds(child)
        thread.result()
        subject.check()
    assert at > 5


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_storm_it_is_whole_and_hits_are_exact(kind: str, thorough: bool) -> None:
    subject = Subject(kind, maxsize=20)
    start = threading.Barrier(8)

    def member(seed: int) -> int:
        dice, calls = random.Random(seed), 0
        start.wait(20)
        for _ in range(20_000 if thorough else 1000):
            function, key, what = subject.at(dice.randrange(3)), dice.randrange(60), dice.random()
            if what < 0.85:
                function(key)
                calls += 1
            elif what < 0.9:
                function.put(key % 3, key)
            elif what < 0.95:
                function.invalidate(key)
            elif what < 0.96:
                function.clear()
            elif what < 0.98:
                subject.clock.advance(0.5)
            elif what < 0.99:
                subject.instances[dice.randrange(3)] = subject.Repository()
            else:
                function.cache.get(function.cache_key(key))
            assert subject.sieve.count < 500  # those without a size are not limited
        return calls

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        calls = sum(one.result() for one in [Caller(member, seed) for seed in range(8)])
    finally:
        sys.setswitchinterval(interval)
    subject.check()
    assert rests(subject.sieve, *subject.indexes()) == 0
    stats = [function.stats() for function in subject.functions]
    assert sum(one.hits + one.misses + one.joined for one in stats) == calls
    assert sum(one.misses for one in stats) == subject.loads


# Bounds

ENTRIES = 30_000
"""More than the hand unmarks in all the stores of a test."""


class Looked(Entry[Any]):
    """One that notes whoever looks whether it was hit, or has expired."""

    __slots__ = ()
    seen: set[int]


def _noting(name: str) -> property:
    slot = vars(Entry)[name]

    def get(entry: Looked) -> Any:
        Looked.seen.add(id(entry))
        return slot.__get__(entry)

    return property(get, slot.__set__)


for name in ("visited", "fresh_until"):
    setattr(Looked, name, _noting(name))


@pytest.mark.parametrize("expired", [False, True], ids=["fresh", "expired"])
@pytest.mark.parametrize("size", [1, 7])
def test_a_store_looks_at_few_entries_however_many_are_marked(size: int, expired: bool) -> None:
    """Besides those that go: 64 that the hand unmarks, two at the end, two of the finger."""
    clock = Clock()

    @cached_singleflight(
        ttl=lambda value: 10, maxsize=ENTRIES, timer=clock, getsizeof=lambda value: value
    )
    def load(key: int) -> Any:
        raise NotImplementedError

    shelf = load._core.shelf
    sieve = shelf.sieve
    Looked.seen = set()

    def store(key: int, weight: int) -> Looked:
        node = Looked()
        node.value, node.fresh_until = key, clock.now + 10
        node.size = shelf.cache.measured(weight)
        sieve.store(shelf, key, node)
        return node

    for key in range(ENTRIES):
        store(key, 1).visited = next(sieve.uses.counter)
    if expired:
        clock.advance(20)
        shelf.now = clock.now
    for key in range(ENTRIES, ENTRIES + 300):
        Looked.seen = set()
        before = sieve.evictions + sieve.expired
        node = store(key, size)
        gone = sieve.evictions + sieve.expired - before
        assert len(Looked.seen - {id(node)}) - gone <= 68
        if expired:
            assert gone >= 2
    check(sieve)
    assert sieve.total <= sieve.maxsize


def test_what_dead_instances_left_is_buried_in_bounded_steps() -> None:
    subject = Subject("methods", ttl=None, maxsize=None)
    for key in range(1000):
        subject.at(0)(key)
    subject.instances[0] = None
    gc.collect()
    for key in range(50):
        before = subject.sieve.count
        subject.at(1)(key)
        assert subject.sieve.count == before + 1 - 8
        subject.check()
