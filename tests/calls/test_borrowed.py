"""Law 13: a function that a class only has as an attribute is a plain function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

import pytest

from both_worlds import World
from soloflight import cached_singleflight, singleflight


def class_body(function: Any) -> Any:
    class Owner:
        get = function

    return Owner


def set_later(function: Any) -> Any:
    class Owner:
        pass

    Owner.get = function  # type: ignore[attr-defined]
    return Owner


def inherited(function: Any) -> Any:
    return type("Derived", (class_body(function),), {})


HOWEVER: Any = pytest.mark.parametrize("put", [class_body, set_later, inherited])


def numbered(world: World) -> tuple[Any, list[Any]]:
    """A cached ``get(self, n)``, and what was loaded."""
    get, loads = loader(world)
    return cached_singleflight(ttl=60)(get), loads


def loader(world: World) -> tuple[Any, list[Any]]:
    loads: list[Any] = []

    def get(self: Any, n: int = 1) -> int:
        loads.append((self, n))
        return len(loads)

    async def get_in_task(self: Any, n: int = 1) -> int:
        return get(self, n)

    return (get_in_task if world.name == "tasks" else get), loads


class Binding:
    """As functions made by `functools.lru_cache` or Cython: no `def`, and yet bound in a class."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.__signature__ = inspect.signature(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)


class AsyncBinding(Binding):
    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await self.function(*args, **kwargs)


def numbered_object(world: World) -> tuple[Any, list[Any]]:
    """The same of a loader that is no function."""
    get, loads = loader(world)
    kind = AsyncBinding if world.name == "tasks" else Binding
    return cached_singleflight(ttl=60)(kind(get)), loads


@HOWEVER
@pytest.mark.parametrize("made", [numbered, numbered_object])
def test_one_call_has_one_key_by_whatever_way_it_is_made(world: World, put: Any, made: Any) -> None:
    get, loads = made(world)
    owner = put(get)
    one = owner()
    ways: list[Callable[[], Any]] = [
        lambda: world.call(one.get, 1),
        lambda: world.call(partial(one.get, n=1)),
        lambda: world.call(one.get),
        lambda: world.call(owner.get, one, 1),
        lambda: world.call(get, one, 1),
        lambda: world.call(partial(get, self=one, n=1)),
    ]
    assert [way() for way in ways] == [1] * 6
    assert owner.get.cache_key(one, 1) == get.cache_key(one, 1)
    assert world.call(owner().get, 1) == 2
    assert loads[0] == (one, 1)


@HOWEVER
@pytest.mark.parametrize("made", [numbered, numbered_object])
@pytest.mark.parametrize(
    "invalidate",
    [
        lambda owner, get, one: owner.get.invalidate(one, 1),
        lambda owner, get, one: one.get.__func__.invalidate(one, 1),
        lambda owner, get, one: get.invalidate(one, 1),
    ],
)
def test_whatever_way_it_is_invalidated_the_next_call_loads(
    world: World, put: Any, made: Any, invalidate: Any
) -> None:
    get, _ = made(world)
    owner = put(get)
    one = owner()
    assert world.call(one.get, 1) == 1
    assert invalidate(owner, get, one) is True
    assert world.call(owner.get, one, 1) == 2
    assert world.call(one.get, 1) == 2
    assert invalidate(owner, get, one) is True
    assert world.call(get, one, 1) == 3


def test_a_function_in_a_class_is_an_ordinary_method(world: World) -> None:
    """What it offers knows no instance: that is the first argument."""
    get, loads = numbered(world)
    owner = class_body(get)
    one = owner()
    assert type(one.get) is MethodType and one.get.__func__ is owner.get is get
    assert one.get.invalidate is get.invalidate
    assert world.call(one.get.refresh, one, 1) == 1
    assert one.get.peek(one).value == 1
    one.get.put(7, one)
    assert world.call(one.get) == 7
    assert loads == [(one, 1)]


def test_what_a_bound_one_offers_is_about_its_instance(world: World) -> None:
    get, loads = numbered_object(world)
    one = class_body(get)()
    assert world.call(one.get.refresh, 1) == 1
    assert one.get.peek(1).value == 1
    assert one.get.cache_key(1) == get.cache_key(one, 1)
    one.get.put(7, 1)
    assert world.call(get, one, 1) == 7
    assert world.call(one.get.refresh) == 2
    assert loads == [(one, 1)] * 2
    assert one.get.invalidate(1) and not get.invalidate(one, 1)


def test_several_classes_may_have_it(world: World) -> None:
    get, _ = numbered(world)
    owners = [class_body(get), set_later(get), inherited(get)]
    instances = [owner() for owner in owners]
    assert [world.call(one.get, 1) for one in instances] == [1, 2, 3]
    assert [world.call(get, one, 1) for one in instances] == [1, 2, 3]


def test_an_option_says_that_it_is_a_method(world: World) -> None:
    async def in_task(self: Any) -> object:
        return object()

    def in_thread(self: Any) -> object:
        return object()

    loader = in_task if world.name == "tasks" else in_thread
    get: Any = cached_singleflight(ttl=60, per_instance=True)(loader)
    owner = set_later(get)
    equal = type("Equal", (owner,), {"__eq__": lambda *_: True, "__hash__": lambda _: 1})
    one, other = equal(), equal()
    assert world.call(one.get) is world.call(owner.get, one) is world.call(get, one)
    assert world.call(one.get) is not world.call(other.get)
    assert one.get.invalidate() and not owner.get.invalidate(one)


def test_a_method_that_is_decorated_in_its_class_later_is_one() -> None:
    class Repo:
        def get(self, n: int) -> object:
            return object()

    ours: Any = cached_singleflight(ttl=60)(Repo.get)
    Repo.get = ours  # type: ignore[method-assign]
    first, then = Repo(), Repo()
    assert ours.__get__(first)(1) is Repo.get(first, 1) is first.get(1)
    assert then.get(1) is not first.get(1)


class Stranger:
    pass


def test_a_method_stays_one_though_somebody_called_it_oddly_before() -> None:
    class Repo:
        def get(self, n: int = 0) -> object:
            return object()

    ours: Any = cached_singleflight(ttl=60)(Repo.get)
    one = Repo()
    Repo.get = ours  # type: ignore[method-assign]
    assert one.get(1) is ours(one, 1)
    Repo.get(Stranger())  # type: ignore[arg-type]
    assert one.get(1) is ours(one, 1)


def test_an_error_of_a_borrowed_function_has_no_frame_of_ours() -> None:
    @singleflight
    def get(self: object) -> int:
        raise ZeroDivisionError

    one = class_body(get)()
    with pytest.raises(ZeroDivisionError) as caught:
        one.get()
    files = {str(entry.path) for entry in caught.traceback}
    assert files == {__file__} or sys.version_info < (3, 11)


@pytest.mark.filterwarnings("ignore:functools.partial will be a method descriptor:FutureWarning")
@pytest.mark.parametrize("decorate", [singleflight, cached_singleflight(ttl=60)])
@pytest.mark.parametrize(
    "loader",
    [
        lambda *args: args,
        partial(lambda *args: args, 0),
        "abc".replace,
        len,
        str.upper,
        type("Loader", (), {"__call__": lambda self, *args: args})(),
        MethodType(lambda self, *args: args, 0),
    ],
    ids=["function", "partial", "builtin method", "builtin", "slot", "object", "bound"],
)
def test_it_is_bound_where_its_loader_would_be(decorate: Any, loader: Any) -> None:
    class Plain(str):
        get = loader

    class Ours(str):
        get = decorate(loader)

    for arguments in [(), ("a",), ("a", "b"), ("a", "b", "c")]:
        outcomes = []
        for owner in (Plain, Ours):
            try:
                outcomes.append(repr(owner("x").get(*arguments)).replace("Ours", "Plain"))
            except TypeError:
                outcomes.append("TypeError")
        assert outcomes[0] == outcomes[1]


def test_a_bound_one_looks_like_a_method() -> None:
    @cached_singleflight(ttl=60)
    def get(self: object, n: int) -> int:
        """Own words."""
        return n

    one = class_body(get)()
    assert inspect.ismethod(one.get) and one.get.__func__ is get
    assert str(inspect.signature(one.get)) == "(n: 'int') -> 'int'"
    assert one.get.__doc__ == "Own words."
