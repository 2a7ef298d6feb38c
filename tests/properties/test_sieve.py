"""Any order of operations on the default cache, by keys that do what they like when they are asked.

A key's ``__hash__`` and ``__eq__`` store, invalidate, clear, raise, or make an instance die, in the
middle of a change. Whenever one is asked, the cache is whole; what was invalidated is not seen
again; hits are counted exactly; and nothing is left over afterwards.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import meeting
from conftest import Clock
from properties.sieves import check, rests
from soloflight import FlightDeadlock, SieveCache, cached_singleflight
from soloflight._entries.index import Index
from soloflight._runners import me

KINDS = ["plain", "method", "shared", "tenants"]
numbers = st.integers(0, 7)
owners = st.integers(0, 2)
acts = st.sampled_from([
    "call", "call", "call", "put", "refresh", "invalidate", "clear", "clear_of", "set", "del",
    "get", "popitem", "kill", "wait", "raise", "interrupt",
])  # fmt: skip
traps = st.lists(st.tuples(st.integers(0, 12), acts, owners, numbers), max_size=3)


class Nasty(Exception):
    """What keys raise."""


class Interruption(KeyboardInterrupt):
    """The same from outside."""


EXPECTED = (Nasty, Interruption, FlightDeadlock)


class Key:
    """One that is asked whom it equals, and does something first. All have one of two hashes."""

    def __init__(self, number: int, asked: Callable[[], None]) -> None:
        self.number = number
        self.asked = asked

    def __hash__(self) -> int:
        self.asked()
        return self.number % 2

    def __eq__(self, other: object) -> bool:
        self.asked()
        return isinstance(other, Key) and self.number == other.number

    def __repr__(self) -> str:
        return f"Key({self.number})"


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.traps: list[Any] = []
        self.sprung = False
        self.depth = 0
        self.numbers = count(1)  # of values, in the order in which they are made
        self.floor: dict[Any, int] = {}  # what came before it must not be seen
        self.loads: list[list[int]] = []  # those of each call under way
        self.hits = 0
        self.looks = True  # at what there is: keys do nothing

    @initialize(
        kind=st.sampled_from(KINDS),
        maxsize=st.sampled_from([0, 1, 2, 3, 4, 4, 6, None]),
        ttl=st.sampled_from([None, 10, "even", "stale"]),
        sized=st.booleans(),
    )
    def decorated(self, kind: str, maxsize: int | None, ttl: Any, sized: bool) -> None:
        self.kind = kind
        self.clock = Clock()
        getsizeof = (lambda value: value % 3) if sized else None
        cache: Any = SieveCache(maxsize, getsizeof) if kind == "shared" else None
        options: Any = {"ttl": ttl, "timer": self.clock}
        if ttl == "even":
            options["ttl"] = lambda value: 5 if value % 2 else 20
        elif ttl == "stale":
            options |= {"ttl": 10, "stale_if_error": 10}
        if cache is None:
            options |= {"maxsize": maxsize, "getsizeof": getsizeof}
        else:
            options["cache"] = cache
        load = self.load

        class Repository:
            tenant = 0

            @cached_singleflight(
                **options, per_instance=(lambda self: self.tenant) if kind == "tenants" else True
            )
            def get(self, key: Key) -> int:
                return load()

        self.Repository = Repository
        if kind == "plain":
            self.functions = [cached_singleflight(**options)(lambda key: load())]
        elif kind == "shared":
            self.functions = [cached_singleflight(**options)(lambda key: load()) for _ in range(2)]
        else:
            self.functions = [Repository.get]
        self.instances = [self.instance(owner) for owner in range(3)]
        self.cache = self.functions[0].cache
        self.sieve = self.cache._sieve
        self.shelves = [f._core.shelf for f in self.functions]
        self.shelves += [Repository.get._core.shelf] if kind == "shared" else []
        self.looks = False

    def instance(self, owner: int) -> Any:
        made = self.Repository()
        made.tenant = owner
        return made

    def load(self) -> int:
        self.loads[-1].append(next(self.numbers))
        return self.loads[-1][-1]

    # What keys do

    def asked(self) -> None:
        if self.looks:
            return
        self.whole()
        if not self.traps or self.depth >= 4:
            return
        left, *act = self.traps[0]
        if left:
            self.traps[0] = (left - 1, *act)
            return
        self.traps.pop(0)
        self.sprung = True
        self.act(*act)

    def act(self, act: str, owner: int, number: int) -> None:
        self.depth += 1
        try:
            if act == "raise":
                raise Nasty
            if act == "interrupt":
                raise Interruption
            getattr(self, act)(owner, number)
        finally:
            self.depth -= 1

    # Operations

    def at(self, owner: int, number: int) -> tuple[Any, Key, Any]:
        """A function, a key for it, and whose it is."""
        key = Key(number, self.asked)
        if self.kind in ("plain", "shared"):
            which = owner % len(self.functions)
            return self.functions[which], key, (which, number)
        return self.instances[owner].get, key, (owner, number)

    def call(self, owner: int, number: int) -> None:
        function, key, whose = self.at(owner, number)
        floor = self.floor.get(whose, 0)
        self.loads.append([])
        try:
            value = function(key)
            self.hits += not self.loads[-1]
        finally:
            self.loads.pop()
        assert value >= floor, "it had been invalidated"

    def refresh(self, owner: int, number: int) -> None:
        function, key, whose = self.at(owner, number)
        floor = self.floor.get(whose, 0)
        self.loads.append([])
        try:
            value = function.refresh(key)
            assert self.loads[-1] == [value]
        finally:
            self.loads.pop()
        assert value > floor

    def put(self, owner: int, number: int) -> None:
        function, key, whose = self.at(owner, number)
        value = next(self.numbers)
        function.put(value, key)
        self.floor[whose] = value  # whatever its key has put meanwhile

    def invalidate(self, owner: int, number: int) -> None:
        function, key, whose = self.at(owner, number)
        before = next(self.numbers)
        function.invalidate(key)
        self.fence(whose, before)

    def fence(self, whose: Any, value: int) -> None:
        self.floor[whose] = max(value, self.floor.get(whose, 0))

    def clear(self, owner: int, number: int) -> None:
        before = next(self.numbers)
        which = owner % len(self.functions)
        self.functions[which].clear()
        for other in range(3):
            for at in range(8):
                if self.kind != "shared" or other == which:
                    self.fence((other, at), before)

    def clear_of(self, owner: int, number: int) -> None:
        before = next(self.numbers)
        self.instances[owner].get.clear()
        if self.kind not in ("plain", "shared"):
            for at in range(8):
                self.fence((owner, at), before)

    def kill(self, owner: int, number: int) -> None:
        self.instances[owner] = self.instance(owner)
        if self.kind == "method":
            for at in range(8):
                self.floor.pop((owner, at), None)

    def wait(self, owner: int, number: int) -> None:
        self.clock.advance(number)

    # By hand

    def hand(self, owner: int, number: int) -> Any:
        function, key, _ = self.at(owner, number)
        return function.cache_key(key) if owner else key

    def set(self, owner: int, number: int) -> None:
        key = self.hand(owner, number)
        if self.cache.maxsize >= 1:
            self.cache[key] = 1

    def get(self, owner: int, number: int) -> None:
        self.cache.get(self.hand(owner, number))

    def del_(self, owner: int, number: int) -> None:
        self.cache.pop(self.hand(owner, number), None)

    locals()["del"] = del_

    def popitem(self, owner: int, number: int) -> None:
        try:
            self.cache.popitem()
        except KeyError:
            pass

    # Steps

    @rule(act=acts, owner=owners, number=numbers, traps=traps)
    def step(self, act: str, owner: int, number: int, traps: list[Any]) -> None:
        self.traps = list(traps)
        try:
            self.act(act, owner, number)
        except EXPECTED:
            pass
        self.traps = []

    @rule(owner=owners, keys=st.lists(numbers, min_size=3, max_size=12), traps=traps)
    def calls(self, owner: int, keys: list[int], traps: list[Any]) -> None:
        for number in keys:
            self.step("call", owner, number, traps)

    @precondition(lambda self: self.kind == "method")
    @rule(owner=owners, number=numbers)
    def renew(self, owner: int, number: int) -> None:
        self.kill(owner, number)

    # What holds

    def whole(self) -> None:
        """At every step."""
        self.looks = True
        try:
            check(self.sieve, *self.indexes())
        finally:
            self.looks = False

    def indexes(self) -> list[Any]:
        return [index for shelf in self.shelves for index in (shelf.index, *shelf.instances())]

    @invariant()
    def at_rest(self) -> None:
        self.looks = True
        unseen = rests(self.sieve, *self.indexes())
        # What a key has stored in the middle of a store of its own may be seen by nobody.
        assert unseen == 0 or self.sprung
        self.looks = False
        assert all(not function.in_flight() for function in self.functions)
        assert sum(function.stats().hits for function in self.functions) == self.hits


def test_keys_may_do_what_they_like(
    thorough: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Index, "__hash__", lambda index: 1)  # an address is another in each run
    caplog.set_level(logging.ERROR, "soloflight")  # it warns of keys that raise
    gc.collect()
    me.local.thread.dropped.clear()  # tests may use a queue by itself, and let go of nothing
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=3000 if thorough else 200 // meeting.share,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
        ),
    )
