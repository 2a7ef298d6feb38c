"""Instances: none is confused with another, and nothing is left of the dead."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import cachetools
import pytest

from both_worlds import World
from conftest import Caller
from soloflight import cached_singleflight


@pytest.fixture(autouse=True)
def _no_other_collections() -> Iterator[None]:
    """The tests collect when they say so."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()
    kept.clear()


class Repo:
    """With a cached method that a finalizer in the same garbage cycle calls."""

    def __init__(self, tag: Any, finalizer: Callable[[Any], object] = id) -> None:
        self.tag = tag
        Session(self, finalizer)

    @cached_singleflight(ttl=None)
    def get(self) -> Any:
        return self.tag

    @cached_singleflight(ttl=None)
    async def get_async(self) -> Any:
        return self.tag


class Slotted(Repo):
    __slots__ = ("session", "tag")


class Session:
    def __init__(self, repo: Any, finalizer: Callable[[Any], object]) -> None:
        self.repo = repo
        repo.session = self
        self.finalizer = finalizer

    def __del__(self) -> None:
        self.finalizer(self.repo)


kept: list[Any] = []


def put_async(repo: Repo) -> None:
    repo.get_async.put(repo.tag)


def call_and_collect(repo: Repo) -> None:
    repo.get()
    gc.collect()
    repo.get()


def call_unheard(repo: Repo) -> None:
    gc.callbacks.clear()
    repo.get()


def call_others(repo: Repo) -> None:
    repo.get()
    kept.append([Repo(i).get() == i for i in range(3)])


def keep(repo: Repo) -> None:
    repo.get()
    kept.append(repo)


FINALIZERS: list[Callable[[Any], object]] = [
    lambda repo: repo.get(),
    lambda repo: repo.get.put(repo.tag),
    lambda repo: repo.get.refresh(),
    lambda repo: (repo.get.invalidate(), repo.get()),
    lambda repo: (weakref.finalize(repo, int), repo.get()),
    put_async,
    call_and_collect,
    call_unheard,
    call_others,
    keep,
]
NAMES = ["call", "put", "refresh", "invalidate", "finalize", "async", "collect", "unheard"]
NAMES += ["others", "resurrect"]


@pytest.mark.parametrize("generation", [0, 1, 2])
@pytest.mark.parametrize("cls", [Repo, Slotted])
@pytest.mark.parametrize("finalizer", FINALIZERS, ids=NAMES)
def test_no_instance_gets_the_value_of_one_that_a_finalizer_called(
    finalizer: Callable[[Any], object], cls: type[Repo], generation: int
) -> None:
    """CPython 3.14.8 and 3.15.0 do not call back the weak references made there."""
    for i in range(100):
        cls(i, finalizer)
    gc.collect(generation)
    kept.clear()
    gc.collect()
    repos = [cls(i) for i in range(1000, 1100)]
    assert [repo.get() for repo in repos] == [*range(1000, 1100)]
    assert [repo.get() for repo in repos] == [*range(1000, 1100)]
    assert [asyncio.run(repo.get_async()) for repo in repos] == [*range(1000, 1100)]
    assert all(all(one) for one in kept)


def test_no_instance_gets_the_value_of_one_whose_class_was_garbage_and_came_back() -> None:
    def make() -> None:
        class Local:
            def __init__(self, tag: int) -> None:
                self.tag, self.me = tag, self

            @cached_singleflight(ttl=None)
            def get(self) -> int:
                return self.tag

            def __del__(self) -> None:
                self.get()
                kept.append(self)

        for i in range(100):
            Local(i).get()

    make()
    for _ in range(2):  # the second time it has been garbage before
        gc.collect()
        cls = type(kept[0])
        for repo in kept:
            repo.get()
            repo.me = None
        kept.clear()
        fresh = [cls(i) for i in range(1000, 1100)]
        assert [repo.get() for repo in fresh] == [*range(1000, 1100)]
        del fresh, repo
        kept.clear()
        del cls
    kept.clear()


def test_an_instance_that_outlives_the_collection_keeps_its_entries() -> None:
    def finalizer(repo: Repo) -> None:
        repo.get()
        kept.append(repo)

    Repo(1, finalizer)
    gc.collect()
    (repo,) = kept
    kept.clear()
    before = Repo.get.stats().misses
    assert repo.get() == 1
    assert Repo.get.stats().misses == before
    Repo.get.clear()


def test_an_instance_dies_where_a_signal_handler_raises_in_the_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a callback raises is lost; so what must happen there is done in C."""

    class Plain:
        @cached_singleflight(ttl=None)
        def get(self) -> int:
            return 1

    plain = Plain()
    plain.get()
    getters = Plain.get._core.instances.getters
    assert id(plain) in getters
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: None)

    def handler(number: int, frame: Any) -> None:
        raise KeyError

    before = signal.signal(signal.SIGINT, handler)
    try:
        # Handled where the next Python function begins: the callback's.
        index = getters[id(plain)].__self__
        watch = next(iter(Plain.get._core.instances._watches.values()))
        assert watch.index is index
        monkeypatch.setattr(
            "soloflight._calls.instances.Instances._end", lambda self, watch: signal.raise_signal(2)
        )
        del plain
    finally:
        signal.signal(signal.SIGINT, before)
    assert not getters


def test_what_is_enrolled_during_a_collection_is_not_found_by_its_address() -> None:
    """Not until that is over: nobody may tell of its end."""

    def finalizer(repo: Repo) -> None:
        repo.get()
        getters = Repo.get._core.instances.getters
        kept.append((repo, id(repo) in getters))

    Repo(1, finalizer)
    gc.collect()
    ((repo, during),) = kept
    kept.clear()
    getters = Repo.get._core.instances.getters
    assert not during
    repo.get()
    assert id(repo) in getters
    Repo.get.clear()


# What the dead leave


def test_nothing_is_left_of_instances_that_stored_nothing() -> None:
    class Writer:
        @cached_singleflight(ttl=60)
        def get(self, n: int) -> int:
            return n

    def write(times: int) -> None:
        for n in range(times):
            Writer().get.invalidate(n)

    write(100)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        write(2000)
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert left / 2000 < 10


def failure(load: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        load("fails")


NEXT: dict[str, Callable[[Any], object]] = {
    "store": lambda load: load(object()),
    "put": lambda load: load.put(1, "k"),
    "invalidate": lambda load: load.invalidate("k"),
    "clear": lambda load: load.clear(),
    "failure": failure,
}


@pytest.mark.parametrize("comes", NEXT)
def test_who_comes_next_buries_some_of_the_dead(comes: str) -> None:
    cache: dict[Any, Any] = {}

    @cached_singleflight(cache=cache, ttl=60)
    def load(key: Any) -> float:
        return 1 / (key != "fails")

    class Many:
        @cached_singleflight(cache=cache, ttl=60)
        def get(self, n: int) -> int:
            return n

    repos = [Many() for _ in range(100)]
    for repo in repos:
        repo.get(1)
    del repo, repos

    def left() -> int:
        return sum(key.of is not load._core.shelf.index for key in cache)

    assert left() == 100
    NEXT[comes](load)
    assert 100 - 8 <= left() < 100
    for _ in range(30):
        NEXT[comes](load)
    assert left() == 0


class Broken(dict):  # type: ignore[type-arg]
    def pop(self, *args: Any) -> Any:
        raise OSError("backend is read only")


def test_what_cannot_be_buried_fails_no_store(caplog: pytest.LogCaptureFixture) -> None:
    class Many:
        @cached_singleflight(cache=Broken(), ttl=60)
        def get(self, n: int) -> int:
            return n

    alive, dead = Many(), Many()
    for n in range(3):
        dead.get(n)
    del dead
    for n in range(3):
        alive.get(n)
    assert [alive.get.peek(n) is not None for n in range(3)] == [True] * 3
    assert alive.get.stats().store_errors == 0
    assert caplog.text.count("OSError: backend is read only") == 1


# clear() of a bound method


class Tenant:
    def __init__(self, name: str = "") -> None:
        self.name = name


SHARING: dict[str, dict[str, Any]] = {
    "identity": {},
    "owner": {"per_instance": attrgetter("name")},
    "owner-and-key": {"per_instance": attrgetter("name"), "key": lambda n=0: n},
    "typed": {"per_instance": attrgetter("name"), "typed": True},
}


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("arguments", [(), (1,)], ids=["alone", "argument"])
@pytest.mark.parametrize("sharing", SHARING)
def test_clear_of_a_bound_method_is_for_its_instance(
    sharing: str, arguments: tuple[int, ...], given: bool
) -> None:
    options = SHARING[sharing] | ({"cache": cachetools.LRUCache(50)} if given else {})

    class Tenants(Tenant):
        if arguments:

            @cached_singleflight(ttl=60, **options)
            def get(self, n: int) -> object:
                return object()
        else:

            @cached_singleflight(ttl=60, **options)
            def get(self) -> object:
                return object()

    one, other, never = Tenants("a"), Tenants("b"), Tenants("c")
    ones, others = one.get(*arguments), other.get(*arguments)
    never.get.clear()
    one.get.clear()
    assert one.get.peek(*arguments) is None
    assert len(Tenants.get.cache) == 1
    assert other.get(*arguments) is others
    assert one.get(*arguments) is not ones
    if sharing != "identity":
        Tenants("a").get.clear()
        assert one.get.peek(*arguments) is None


@pytest.mark.parametrize("owner", [["a"], ("a", ["b"])])
def test_clear_of_a_bound_method_says_what_its_call_says(owner: object) -> None:
    class Tenants(Tenant):
        @cached_singleflight(ttl=60, per_instance=lambda self: owner)
        def get(self, n: int) -> object:
            return object()

    tenant = Tenants()
    with pytest.raises(TypeError, match="get: its per_instance= returned an unhashable") as called:
        tenant.get(1)
    for clear in (tenant.get.clear, tenant.get.cache_clear):
        with pytest.raises(TypeError) as caught:
            clear()
        assert str(caught.value) == str(called.value)
        assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_clear_of_a_bound_method_passes_on_what_its_option_raises() -> None:
    def per_instance(tenant: Tenant) -> str:
        raise TypeError("no tenant yet")

    class Tenants(Tenant):
        @cached_singleflight(ttl=60, per_instance=per_instance)
        def get(self, n: int) -> object:
            return object()

    with pytest.raises(TypeError, match=r"^no tenant yet$"):
        Tenants().get.clear()


def test_clear_of_a_bound_method_is_for_all_where_all_share() -> None:
    class Tenants(Tenant):
        @cached_singleflight(ttl=60, per_instance=False)
        def get(self) -> object:
            return object()

    one, other = Tenants(), Tenants()
    one.get()
    other.get.clear()
    assert one.get.peek() is None


def test_clear_of_a_plain_function_in_a_class_is_for_all() -> None:
    def loader(self: Any) -> object:
        return object()

    load = cached_singleflight(ttl=60)(loader)

    class Tenants(Tenant):
        get = load

    one, other = Tenants(), Tenants()
    one.get()
    other.get.clear()
    assert load.peek(one) is None


def test_clear_of_a_bound_class_method_is_for_its_class() -> None:
    class Base:
        @cached_singleflight(ttl=60)
        @classmethod
        def get(cls) -> object:
            return object()

    class Sub(Base):
        pass

    Base.get()
    subs = Sub.get()
    Base.get.clear()
    assert Base.get.peek() is None
    assert Sub.get() is subs


@pytest.mark.parametrize("sharing", ["identity", "owner"])
def test_clear_of_a_bound_method_fences_the_flights_of_its_instance(
    world: World, sharing: str
) -> None:
    origin = world.origin()
    cls = world.repository(origin, ttl=60, **SHARING[sharing])
    one, other = cls(), cls()
    one.name, other.name = "one", "other"
    gate = origin.hold()
    callers = [world.start(repo.get, "k") for repo in (one, other)]
    gate.arrived()
    gate.arrived()
    one.get.clear()
    assert len(cls.get.in_flight()) == 1
    assert cls.get.stats().fenced == 1
    gate.open()
    assert sorted(caller.result() for caller in callers) == [1, 2]
    assert one.get.peek("k") is None
    assert other.get.peek("k") is not None


# One ring for all who share a cache


@pytest.mark.parametrize("functions", [1, 50])
def test_a_store_looks_at_the_last_hits_of_the_cache_alone(functions: int) -> None:
    class Counting(cachetools.LRUCache[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            read.append(key)
            return super().__getitem__(key)

    read: list[Any] = []
    cache = Counting(1000)
    loads: list[Any] = [
        cached_singleflight(cache=cache, ttl=60, name=f"{n}")(lambda x: x) for n in range(functions)
    ]
    for load in loads:
        load(1)
    for load in loads:
        load(1)
    read.clear()
    loads[0](2)
    assert len(read) == min(functions, 8)
    assert [load.stats().hits for load in loads] == [1] * functions


def plain_class() -> Any:
    class Plain:
        def __init__(self, tag: Any) -> None:
            self.tag = tag

        @cached_singleflight(ttl=60)
        def get(self) -> Any:
            return self.tag

    return Plain


@pytest.mark.parametrize("free", range(6))
def test_an_instance_is_not_confused_with_one_enrolled_while_it_is_looked_up(free: int) -> None:
    """The address that its look-up has left free is given away soon after `free` others."""
    cls = plain_class()
    mine, other = cls("mine"), cls("other")
    spare = [weakref.ref(cls, id) for _ in range(free)]
    left = [other]

    class Watches(dict):  # type: ignore[type-arg]
        def get(self, address: int, default: Any = None) -> Any:
            if left:  # as another thread or a finalizer would, in here
                spare.clear()
                left.pop().get()
            return super().get(address, default)

    cls.get._core.instances._watches = Watches()
    assert mine.get() == "mine"
    assert other.get() == "other"


def test_instances_in_many_threads_are_not_confused() -> None:
    """Of each, the one weak reference that it had is gone as it is called."""
    cls = plain_class()
    wrong: list[Any] = []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(worker: int) -> None:
        for turn in range(300):
            plains = [cls((worker, turn, n)) for n in range(50)]
            watched = [weakref.ref(plain, id) for plain in plains]
            for plain in plains:
                watched.pop()
                if plain.get() != plain.tag:
                    wrong.append(plain.tag)
            if wrong:
                return

    workers = [Caller(work, worker) for worker in range(4)]
    try:
        for worker in workers:
            worker.result()
    finally:
        sys.setswitchinterval(before)
    assert not wrong
