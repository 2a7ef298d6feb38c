"""What a decorated function offers, through other decorators and to its instances."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Collection, Iterable, Iterator
from typing import Any

import pytest

from both_worlds import World
from conftest import Boom, Clock, logged, until, waiters
from soloflight import Clearable, Group, cached_singleflight, singleflight
from soloflight._calls.instances import Instances
from soloflight._outcome import Error


def test_an_instance_that_is_enrolled_twice_at_once_has_one_index() -> None:
    """Two threads that meet at the first call of an instance agree on its index."""

    class Instance:
        __slots__ = ("__weakref__",)

    dead: Any = deque()
    instances = Instances("f", dead)
    instance = Instance()
    looks = [instances.enroll(instance) for _ in range(2)]
    assert looks[0].__self__ is looks[1].__self__
    assert instances.indexes() == [looks[0].__self__]
    del instance
    assert not (instances.getters or instances.indexes() or dead)
    assert not instances.getters


def test_an_entry_that_somebody_peeked_at_is_gone_with_the_cache() -> None:
    """Who looked at an entry does not keep it in sight."""

    @cached_singleflight(ttl=60)
    def load(key: str) -> str:
        return key

    load("k")
    entry = load.peek("k")
    del load.cache[load.cache_key("k")]
    assert entry is not None
    assert load.peek("k") is None


def test_an_instance_of_a_subclass_is_seen_through_another_decorator() -> None:
    """Under another decorator, an instance of a subclass is an instance."""

    class Base:
        @logged
        @cached_singleflight(ttl=60)
        def get(self, n: int) -> int:
            return n

        __hash__ = None  # type: ignore[assignment]

    class Derived(Base):
        pass

    assert Derived().get(1) == 1  # the very first call


def test_an_instance_of_a_class_of_the_same_name_elsewhere_is_an_argument() -> None:
    """A class of that name elsewhere is another one."""

    class Repo:
        @staticmethod
        @cached_singleflight(ttl=60)
        def load(what: Any) -> object:
            return object()

    elsewhere: Any = type(
        "Repo",
        (),
        {
            "__qualname__": Repo.__qualname__,
            "__module__": "elsewhere",
            "__eq__": lambda self, other: True,
            "__hash__": lambda self: 1,
        },
    )
    assert Repo.load(elsewhere()) is Repo.load(elsewhere())


def test_a_static_method_may_be_called_with_an_instance_of_its_class() -> None:
    """An instance of its own class is an argument like any other to a static method."""

    class Repo:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

        @staticmethod
        @cached_singleflight(ttl=60)
        def load(what: Any) -> object:
            return object()

    assert Repo.load(Repo()) is Repo.load(Repo())


def test_classes_are_told_apart_by_identity_under_an_outer_classmethod() -> None:
    """Under another decorator, a class in front is that of a class method."""

    class Meta(type):
        def __eq__(cls, other: object) -> bool:
            return True

        def __hash__(cls) -> int:
            return 1

    class Base(metaclass=Meta):
        @classmethod
        @logged
        @cached_singleflight(ttl=60)
        def load(cls) -> object:
            return cls

    class Derived(Base):
        pass

    assert Base.load() is Base
    assert Derived.load() is Derived


def test_a_wrong_call_of_the_surface_names_the_loader() -> None:
    """A wrong call of the surface is told in the loader's name."""

    @cached_singleflight(ttl=60)
    def load(n: int) -> int:
        return n

    with pytest.raises(TypeError, match=r"load\(\) takes 1 positional argument"):
        load.invalidate(1, 2)


def test_bound_functions_are_told_apart_by_identity() -> None:
    """Bound functions are equal by identity of their instances, hashable without their help."""

    class Repo:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

        @cached_singleflight(ttl=60)
        def get(self) -> int:
            return 1

        @cached_singleflight(ttl=60)
        def other(self) -> int:
            return 1

    one, two = Repo(), Repo()
    assert one.get == one.get and hash(one.get) == hash(one.get)
    assert one.get != two.get
    assert one.get != one.other


def test_binding_takes_no_instance_for_none() -> None:
    class Repo:
        def __len__(self) -> int:
            return 0

        @cached_singleflight(ttl=60)
        def get(self, n: int) -> int:
            return n

        @cached_singleflight(ttl=60)
        @classmethod
        def of_class(cls) -> type:
            return cls

    repo = Repo()
    assert repo.get(1) == 1  # although it is false
    assert vars(Repo)["of_class"].__get__(repo)() is Repo


def test_resetting_an_error_leaves_another_one_alone() -> None:
    """An interruption that strikes while the error is raised keeps a traceback of its own."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as interruption:
        Error(Boom(), None).reset(interruption)
        assert interruption.__traceback__ is not None


@pytest.mark.parametrize("abc", [Iterable, Collection, Awaitable, Iterator])
def test_a_function_looks_like_nothing_else(abc: type) -> None:
    assert not isinstance(Cleared.method, abc)
    with pytest.raises(TypeError):
        list(Cleared.method)


class Cleared:
    @cached_singleflight(ttl=30)
    def method(self) -> object:
        return object()

    @cached_singleflight(ttl=30)
    async def async_method(self) -> object:
        return object()

    @singleflight
    def uncached(self) -> object:
        return object()


@pytest.mark.parametrize("name", ["method", "async_method"])
@pytest.mark.parametrize("of", [Cleared, Cleared()], ids=["function", "bound"])
def test_what_has_entries_is_clearable(of: Any, name: str) -> None:
    assert isinstance(getattr(of, name), Clearable)


@pytest.mark.parametrize("thing", [Cleared.uncached, Cleared().uncached, Group(), {}])
def test_nothing_else_is_clearable(thing: object) -> None:
    assert not isinstance(thing, Clearable)


def test_invalidate_says_whether_there_was_anything(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, timer=clock)
    assert load.invalidate("k") is False
    world.call(load, "k")
    assert load.invalidate("k") is True
    assert load.invalidate("k") is False
    world.call(load, "k")
    clock.advance(10)
    assert load.invalidate("k") is False
    gate = origin.hold()
    slow = world.start(load, "slow")
    gate.arrived()
    assert load.invalidate("slow") is True
    gate.open()
    slow.result()


def test_put_stores_as_if_just_loaded(world: World, clock: Clock) -> None:
    load = world.cached(world.origin(), ttl=lambda value: value, timer=clock)
    load.put(5.0, "k")
    assert world.call(load, "k") == 5.0
    clock.advance(5)
    assert world.call(load, "k") == 1
    load.put(0.0, "k")  # over at once: there is no entry now
    assert load.peek("k") is None


def test_in_flight_shows_the_key_the_age_and_the_waiters(world: World) -> None:
    origin = world.origin()
    load = singleflight(world.loader(origin))
    gate = origin.hold()
    callers = [world.start(load, "k") for _ in range(3)]
    wait = 3 if world.name == "tasks" else 2  # a thread that leads runs the load itself
    until(lambda: waiters(load) == wait)
    (info,) = load.in_flight()
    assert info.key == load.cache_key("k")
    assert 0 <= info.age < 20
    assert info.waiters == wait
    gate.open()
    for caller in callers:
        caller.result()
    assert load.in_flight() == ()
