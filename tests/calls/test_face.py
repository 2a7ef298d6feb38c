"""Law 18: whatever asks the decorated thing what it is gets the loader's own answer."""

from __future__ import annotations

import asyncio
import doctest
import functools
import inspect
import logging
import pickle
import pydoc
import sys
import warnings
import weakref
from collections.abc import Callable
from functools import partial, wraps
from inspect import Parameter, Signature
from types import ModuleType
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec, patch

import pytest

from both_worlds import World, landed
from conftest import Clock
from soloflight import cached_singleflight, singleflight

cached = cached_singleflight(ttl=60)
DECORATORS = [singleflight, cached]


def load(user_id: int, region: str = "eu") -> str:
    """Loads a user.

    >>> 1 + 1
    2
    """
    return f"{user_id} of {region}"


async def load_async(user_id: int, region: str = "eu") -> str:
    """Loads a user."""
    return load(user_id, region)


class Tax:
    """Has a method of each kind."""

    @cached
    def method(self, country: str) -> str:
        """One of an instance."""
        return country

    @cached
    @classmethod
    def of_class(cls, country: str) -> tuple[type, str]:
        """One of a class."""
        return cls, country

    @cached
    @staticmethod
    def static(country: str) -> str:
        """One of nobody.

        >>> Tax.static("de")
        'de'
        """
        return country

    @cached
    @staticmethod
    async def static_async(country: str) -> str:
        """One that is awaited."""
        return country

    @cached
    @classmethod
    async def of_class_async(cls, country: str) -> str:
        """One that is awaited."""
        return country


METHODS = {"method": "method", "of_class": "class method", "static": "static method"}


# help(), and what shows what it shows


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize("loader", [load, load_async, partial(load, 1), len, str.upper])
def test_help_shows_what_it_shows_of_the_loader(decorate: Any, loader: Any) -> None:
    shown, own = (
        pydoc.render_doc(it, renderer=pydoc.plaintext) for it in (decorate(loader), loader)
    )
    assert (inspect.getdoc(loader) or "").splitlines()[0] in shown
    if not isinstance(loader, partial):
        assert shown.splitlines()[1:] == own.splitlines()[1:]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("of", [Tax, Tax()], ids=["unbound", "bound"])
def test_help_shows_the_docstring_of_a_method(of: Any, name: str) -> None:
    assert "One of" in pydoc.render_doc(getattr(of, name), renderer=pydoc.plaintext)


def test_help_shows_a_class_with_its_methods() -> None:
    shown = pydoc.render_doc(Tax, renderer=pydoc.plaintext)
    for heading, name in [("Class", "of_class"), ("Static", "static")]:
        assert name in shown.partition(f"{heading} methods defined here:")[2].partition("---")[0]
    assert "One of nobody." in shown


def test_a_docstring_that_is_set_later_is_shown_by_bound_methods() -> None:
    class Repo:
        @cached
        def get(self) -> int:
            """Old."""
            return 1

    repo = Repo()
    repo.get()
    Repo.get.__doc__ = "New."
    assert repo.get.__doc__ == Repo.get.__doc__ == "New."
    assert "New." in pydoc.render_doc(repo.get, renderer=pydoc.plaintext)


def test_doctest_finds_the_examples() -> None:
    found = doctest.DocTestFinder().find(Tax, "Tax", module=sys.modules[__name__])
    assert {test.name for test in found if test.examples} == {"Tax.static"}


@pytest.mark.parametrize("name", METHODS)
def test_a_class_shows_of_which_kind_its_methods_are(name: str) -> None:
    kinds = {attribute.name: attribute.kind for attribute in inspect.classify_class_attrs(Tax)}
    assert kinds[name] == METHODS[name]


# functools.wraps


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize(
    ("loader", "call"),
    [
        (partial(load, 1), lambda f: f("us")),
        (lambda *args: "1 of us", lambda f: f(1)),
        (MagicMock(return_value="1 of us"), lambda f: f(1)),
    ],
    ids=["partial", "function", "mock"],
)
def test_it_takes_the_face_of_another_function(decorate: Any, loader: Any, call: Any) -> None:
    before = getattr(loader, "__name__", None), getattr(loader, "__doc__", None)
    fast = wraps(load)(decorate(loader))
    assert call(fast) == "1 of us"
    assert (
        fast.__name__,
        fast.__qualname__,
        fast.__module__,
        fast.__doc__,
        fast.__annotations__,
    ) == (
        load.__name__,
        load.__qualname__,
        load.__module__,
        load.__doc__,
        load.__annotations__,
    )
    assert fast.__wrapped__ is load
    assert inspect.signature(fast) == inspect.signature(load)
    fast.__annotations__ = {}
    assert fast.__annotations__ == {}
    # That is its own: the loader looks as before.
    assert before == (getattr(loader, "__name__", None), getattr(loader, "__doc__", None))


def test_a_builtin_takes_the_face_of_another_function() -> None:
    def length(of: str) -> int:
        """How long it is."""
        return len(of)

    length.mark = 1  # type: ignore[attr-defined]
    try:
        fast: Any = wraps(length)(cached(len))
        assert (fast("abc"), fast.__name__, fast.mark) == (3, "length", 1)
    finally:
        len.__module__ = "builtins"  # wrapt sets that of what it wraps


def test_attributes_that_are_set_are_its_own() -> None:
    first: Any = cached(load)
    second: Any = cached(load)
    first.mark = 1
    first.__name__ = first.__qualname__ = "first"
    assert (first.mark, first.__name__, first.__qualname__) == (1, "first", "first")
    assert (second.__name__, load.__name__) == ("load", "load")
    assert not hasattr(second, "mark") and not hasattr(load, "mark")
    del first.mark
    assert not hasattr(first, "mark")
    with pytest.raises(AttributeError):
        del first.mark


def test_attributes_of_a_method_that_are_set_are_its_own() -> None:
    def get(self: object) -> int:
        return 1

    def decorated() -> Any:
        return cached_singleflight(ttl=60, per_instance=True)(get)

    first, second = decorated(), decorated()
    first.mark = 1
    first.__name__ = "first"
    assert (first.mark, first.__name__) == (1, "first")
    assert (second.__name__, get.__name__) == ("get", "get")
    assert not hasattr(second, "mark") and not hasattr(get, "mark")
    del first.mark, first.__name__
    assert not hasattr(first, "mark") and first.__name__ == "get"
    with pytest.raises(AttributeError):
        del first.mark


@pytest.mark.parametrize("name", ["method", "of_class", "static"])
@pytest.mark.parametrize("of", [Tax, Tax()], ids=["unbound", "bound"])
def test_others_take_its_face(of: Any, name: str) -> None:
    ours = getattr(of, name)

    @wraps(ours)
    def other(*args: Any) -> Any:
        return ours(*args)

    assert other.__name__ == name
    assert "One of" in (other.__doc__ or "")
    assert other.__annotations__["country"] == "str"
    assert inspect.signature(other) == inspect.signature(ours)


def test_what_its_loader_was_marked_with_is_passed_on() -> None:
    def marked() -> int:
        return 1

    marked.mark = "x"  # type: ignore[attr-defined]
    ours: Any = cached(marked)
    other: Any = wraps(ours)(lambda: 1)
    assert ours.mark == other.mark == vars(ours)["mark"] == "x"
    marked.mark = "set later"  # type: ignore[attr-defined]
    assert ours.mark == "x"  # as with functools.wraps


def test_what_a_method_is_marked_with_is_passed_on() -> None:
    def marked(self: object) -> int:
        return 1

    ours: Any = cached_singleflight(ttl=60, per_instance=True)(marked)
    marked.mark = "now"  # type: ignore[attr-defined]
    other: Any = wraps(ours)(lambda: 1)
    assert ours.mark == other.mark == vars(ours)["mark"] == "now"


def test_one_that_took_another_face_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(posing)) is posing


posing = wraps(load)(cached(partial(load, 1)))
posing.__qualname__ = "posing"


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return self.calls


def test_the_state_of_an_object_is_the_objects() -> None:
    counter = Counter()
    ours: Any = singleflight(counter)
    assert (ours(), ours(), ours.calls) == (1, 2, 2)
    ours.calls = 10
    assert (ours(), counter.calls) == (11, 11)


def test_a_mock_is_told_its_answer_through_it() -> None:
    mock = Mock()
    ours: Any = singleflight(mock)
    ours.return_value = "ada"
    assert ours() == "ada"
    ours.assert_called_once_with()
    ours.side_effect = ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        ours()


def test_the_code_of_its_loader_can_be_replaced() -> None:
    """As tools that reload modules do."""

    def before() -> str:
        return "before"

    def after() -> str:
        return "after"

    ours: Any = singleflight(before)
    ours.__wrapped__.__code__ = after.__code__
    assert ours() == "after"


# Weak references


@pytest.mark.parametrize("name", ["method", "of_class"])
def test_a_bound_method_can_be_held_weakly(name: str) -> None:
    bound = getattr(Tax(), name)
    held = weakref.ref(bound)
    assert held() is bound
    assert list(weakref.WeakSet([bound])) == [bound]
    assert weakref.WeakMethod(bound)() == bound
    del bound
    assert held() is None


# Mocks


class Service:
    def get(self, user_id: int, region: str = "eu") -> str:
        raise AssertionError

    async def get_async(self, user_id: int, region: str = "eu") -> str:
        raise AssertionError


def answering(mock: Any) -> Any:
    mock.return_value = "ada"
    return mock


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mock(return_value="ada"),
        lambda: MagicMock(return_value="ada"),
        lambda: Mock(spec=load, return_value="ada"),
        lambda: MagicMock(spec=load, return_value="ada"),
        lambda: create_autospec(load, return_value="ada"),
        lambda: answering(create_autospec(Service, instance=True).get),
        lambda: Mock(spec=Service, **{"get.return_value": "ada"}).get,
    ],
)
def test_mocks_are_loaders(make: Callable[[], Any]) -> None:
    mock = make()
    for decorate in DECORATORS:
        assert decorate(mock)(1) == "ada"
    ours = cached(mock)
    before = mock.call_count
    assert [ours(1), ours(1)] == ["ada", "ada"]
    assert mock.call_count == before + 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: AsyncMock(return_value="ada"),
        lambda: AsyncMock(spec=load_async, return_value="ada"),
        lambda: MagicMock(spec=load_async, return_value="ada"),
        lambda: create_autospec(load_async, return_value="ada"),
        lambda: answering(create_autospec(Service, instance=True).get_async),
        lambda: AsyncMock(spec=Service, **{"get_async.return_value": "ada"}).get_async,
    ],
)
def test_async_mocks_are_loaders(make: Callable[[], Any]) -> None:
    mock = make()
    ours = cached(mock)

    async def main() -> list[str]:
        return [await ours(1), await ours(1), await ours.refresh(1)]

    assert asyncio.run(main()) == ["ada"] * 3
    assert mock.await_count == 2


def test_a_call_of_a_mock_has_the_key_of_its_spec() -> None:
    mock = Mock(spec=load, return_value="ada")
    ours = cached(mock)
    assert [ours(1), ours(user_id=1), ours(1, "eu"), ours(1, region="eu")] == ["ada"] * 4
    assert mock.call_count == 1


@pytest.mark.parametrize("of", ["class", "instance"])
@pytest.mark.parametrize("name", ["method", "of_class", "static"])
def test_a_mock_of_a_class_takes_the_arguments_of_its_methods(of: str, name: str) -> None:
    mock = create_autospec(Tax) if of == "class" else create_autospec(Tax, instance=True)
    called = getattr(mock, name)
    called.return_value = 19
    assert called("de") == 19
    with pytest.raises(TypeError):
        called("de", 1)


def test_a_mock_of_a_class_is_async_where_its_methods_are() -> None:
    mock = create_autospec(Tax)
    mock.static_async.return_value = mock.of_class_async.return_value = 19

    async def main() -> list[Any]:
        return [await mock.static_async("de"), await mock.of_class_async("de")]

    assert asyncio.run(main()) == [19, 19]


# Static and class methods


@pytest.mark.parametrize("of", [Tax, Tax()], ids=["class", "instance"])
def test_what_stands_in_a_class_offers_what_the_method_does(of: Any) -> None:
    assert of.static("x") is of.static("x") and of.static.invalidate("x")
    assert of.of_class("x") is of.of_class("x") and of.of_class.invalidate("x")
    assert vars(Tax)["static"]("x") == "x"
    assert vars(Tax)["static"].invalidate("x")
    assert vars(Tax)["of_class"].cache_key(Tax, "x") == Tax.of_class.cache_key("x")
    assert isinstance(vars(Tax)["static"], staticmethod)
    assert isinstance(vars(Tax)["of_class"], classmethod)


def test_a_class_method_is_bound_to_the_class_that_asks() -> None:
    class Sub(Tax):
        @cached
        @classmethod
        def of_class(cls, country: str) -> Any:
            return super().of_class(country)

    assert Sub.of_class("de") == (Sub, "de")
    assert Tax.of_class("de") == (Tax, "de")


@pytest.mark.parametrize("decorate", DECORATORS)
def test_implicit_class_methods_work(decorate: Any) -> None:
    seen = []

    class Base:
        @decorate
        def __init_subclass__(cls, **options: Any) -> None:
            seen.append((cls.__name__, options))

        @decorate
        def __class_getitem__(cls, item: Any) -> Any:
            return cls, item

    class Derived(Base, option=1):
        pass

    assert seen == [("Derived", {"option": 1})]
    assert Base[int] == (Base, int)  # type: ignore[type-arg]
    assert Derived[int] == (Derived, int)  # type: ignore[type-arg]


def test_implicit_class_methods_work_under_an_explicit_decorator() -> None:
    class Base:
        @classmethod
        @cached
        def __class_getitem__(cls, item: Any) -> Any:
            return cls, item

    assert Base[int] == (Base, int)  # type: ignore[type-arg]


# Coroutine functions


class Repo:
    @cached
    async def get(self, n: int) -> int:
        return n

    @cached
    def plain(self, n: int) -> int:
        return n


@pytest.mark.parametrize("is_async", [True, False])
def test_refresh_is_a_coroutine_function_where_the_loader_is(is_async: bool) -> None:
    static, of_class = (
        (Tax.static_async, Tax.of_class_async) if is_async else (Tax.static, Tax.of_class)
    )
    for ours in (
        cached(load_async if is_async else load),
        cached(partial(load_async if is_async else load, 1)),
        Repo.get if is_async else Repo.plain,
        Repo().get if is_async else Repo().plain,
        static,
        of_class,
    ):
        assert inspect.iscoroutinefunction(ours.refresh) is is_async
        assert inspect.iscoroutinefunction(ours) is is_async
        if sys.version_info < (3, 14):
            assert asyncio.iscoroutinefunction(ours.refresh) is is_async
        assert ours.refresh.__name__ == "refresh" and ours.refresh.__doc__


def test_refresh_of_a_bound_async_method_loads() -> None:
    async def main() -> list[int]:
        repo = Repo()
        return [await repo.get.refresh(1), await repo.get(1), await Repo.get.refresh(repo, 1)]

    assert asyncio.run(main()) == [1, 1, 1]


# __wrapped__


def outcome(function: Any, *args: Any) -> Any:
    value = function(*args)
    return asyncio.run(value) if inspect.isawaitable(value) else value  # type: ignore[arg-type]


async def fake_async(*args: Any) -> str:
    return "fake"


FAKES = [
    (load, lambda *args: "fake"),
    (load, Mock(return_value="fake")),
    (load_async, fake_async),
    (load_async, AsyncMock(return_value="fake")),
    (partial(load, 1), lambda *args: "fake"),
    (partial(load_async, 1), fake_async),
]


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize(("loader", "fake"), FAKES)
def test_a_leader_calls_what_wrapped_is(decorate: Any, loader: Any, fake: Any) -> None:
    ours = decorate(loader)
    real = outcome(ours, 1)
    with patch.object(ours, "__wrapped__", fake):
        if decorate is cached:
            assert outcome(ours, 1) == real  # an entry is one
            ours.clear()
        assert outcome(ours, 1) == "fake"
        assert ours.__wrapped__ is fake
    if decorate is cached:
        assert outcome(ours.refresh, 1) == real
    assert outcome(ours, 1) == real
    assert ours.__wrapped__ is loader


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize("loader", [load, load_async])
def test_what_was_put_in_its_place_can_be_taken_away(decorate: Any, loader: Any) -> None:
    ours = decorate(loader)
    ours.__wrapped__ = fake_async if loader is load_async else Mock(return_value="fake")
    assert outcome(ours, 1) == "fake"
    del ours.__wrapped__
    assert outcome(ours, 2) == "2 of eu"


ALIKE = [("__doc__",), ("__module__",), ("__name__",), ("__module__", "__name__", "__doc__")]


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize("names", ALIKE)
@pytest.mark.parametrize("loader", [load, partial(load)])
def test_a_fake_may_be_like_what_was_set_before(
    decorate: Any, names: tuple[str, ...], loader: Any
) -> None:
    """It is not `functools.wraps`, which sets all of them."""

    def fake(*args: object) -> str:
        return "fake"

    ours: Any = decorate(loader)
    for name in names:
        setattr(ours, name, getattr(fake, name))
    ours.__wrapped__ = fake
    assert ours(1) == "fake"
    del ours.__wrapped__
    assert ours(2) == load(2)


@pytest.mark.parametrize("name", ["__doc__", "__module__"])
def test_a_fake_without_a_name_may_be_like_what_was_set_before(name: str) -> None:
    class Fake:
        def __call__(self, *args: object) -> str:
            return "fake"

    ours: Any = cached(lambda number: number)
    setattr(ours, name, getattr(Fake, name))
    ours.__wrapped__ = Fake()
    assert ours(1) == "fake"


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize("other", [partial(load, 3), Mock()])
def test_it_takes_the_face_of_what_has_no_name(decorate: Any, other: Any) -> None:
    ours: Any = decorate(lambda number: number)
    ours.__name__ = "set_before"
    assert wraps(other)(ours)(1) == 1


def test_a_refresh_behind_a_stale_value_calls_what_wrapped_is(world: World, clock: Clock) -> None:
    real, fake = world.origin(), world.origin()
    fake.answer = lambda number: "fake"
    ours = world.cached(real, ttl=10, stale_while_revalidate=60, timer=clock)
    assert world.call(ours) == 1
    clock.advance(10)
    ours.__wrapped__ = world.loader(fake)
    assert world.call(ours) == 1
    landed(ours)
    assert world.call(ours) == "fake"


def test_a_leader_calls_what_wrapped_is_of_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    tax = Tax()
    Tax.static.cache_clear()
    assert tax.method("fake") == Tax.static("fake") == "fake"
    monkeypatch.setattr(Tax.method, "__wrapped__", lambda self, country: (self, country))
    monkeypatch.setattr(Tax.static, "__wrapped__", lambda country: 1)
    monkeypatch.setattr(Tax.of_class.__func__, "__wrapped__", lambda cls, country: 2)
    assert tax.method.refresh("fake") == (tax, "fake")
    assert tax.method.__wrapped__("x") == (tax, "x")
    assert Tax.static.refresh("fake") == 1
    assert Tax.of_class("fake") == 2
    with pytest.raises(AttributeError):
        tax.method.__wrapped__ = load  # type: ignore[misc]
    monkeypatch.undo()
    assert tax.method.refresh("fake") == Tax.static.refresh("fake") == "fake"
    Tax.of_class.cache_clear()


@pytest.mark.parametrize(
    ("loader", "fake", "message"),
    [
        (load, load_async, "is a plain function: so must be"),
        (load, AsyncMock(), "is a plain function: so must be"),
        (load_async, load, "is an async def: so must be"),
        (load_async, Mock(), "is an async def: so must be"),
        (load, 1, "must be a function, not 1"),
        (load, None, "must be a function, not None"),
        (load, lambda: (yield), "is a generator function"),
    ],
)
def test_a_fake_of_the_wrong_kind_is_refused(loader: Any, fake: Any, message: str) -> None:
    ours: Any = cached(loader)
    ours.__wrapped__ = fake
    for call in (ours, ours.refresh):
        with pytest.raises(TypeError, match=message):
            outcome(call, 1)
    del ours.__wrapped__
    assert outcome(ours, 1) == "1 of eu"


@pytest.mark.parametrize(
    ("fake", "message"),
    [(load_async, "is a plain function: so must be"), (None, "must be a function, not None")],
)
def test_a_fake_of_the_wrong_kind_is_refused_where_it_is_put_into_a_method(
    fake: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        Repo.plain.__wrapped__ = fake
    assert Repo().plain(1) == 1


def test_the_face_is_taken_off_where_a_fake_is_put_in() -> None:
    """What was only posed as is not called, what is put there is."""
    fast: Any = wraps(load)(cached(lambda n: n))
    assert fast(1) == 1
    with patch.object(fast, "__wrapped__", lambda n: "fake"):
        assert fast(2) == "fake"
    assert fast(3) == 3
    assert fast.__wrapped__ is load


# Parameters that no def could have


def disguised(*params: Parameter) -> Any:
    def loader(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    loader.__signature__ = Signature(params)  # type: ignore[attr-defined]
    return loader


only, either = Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize("name", ["from", "lambda", "async", "None", "_sf_key", "call", "self"])
def test_a_positional_parameter_may_be_named_like_a_keyword(decorate: Any, name: str) -> None:
    ours = decorate(disguised(Parameter(name, only), Parameter("to", either, default=2)))
    assert ours(1) == ((1, 2), {})
    assert ours(1, to=3) == ((1, 3), {})
    with pytest.raises(TypeError, match=rf"missing 1 required positional argument: '{name}'"):
        ours()
    with pytest.raises(TypeError, match=f"argument {name!r} is an unhashable list"):
        ours([])


def test_a_parameter_named_like_a_keyword_is_known_to_the_options() -> None:
    loader = disguised(Parameter("from", only), Parameter("to", only))
    ignoring = cached_singleflight(ttl=60, ignore={"from"})(loader)
    assert ignoring(1, 2) is ignoring(3, 2)
    keyed = cached_singleflight(ttl=60, key=lambda from_, to: to)(loader)
    assert keyed(1, 2) is keyed(3, 2)

    class Range:
        get = cached_singleflight(ttl=60, per_instance=True)(loader)

    one, other = Range(), Range()
    assert one.get(1) is one.get(1) and Range.get(one, 1) is one.get(1)
    assert one.get(1) is not other.get(1)


# The wrapper's own globals


@pytest.mark.parametrize("kind", ["function", "method", "async"])
def test_who_looks_for_the_module_of_a_caller_finds_that_of_the_loader(kind: str) -> None:
    module = ModuleType("elsewhere")
    source = "async def get(n): return n" if kind == "async" else "def get(n): return n"
    exec(source, vars(module))
    ours = cached(vars(module)["get"])
    call = ours._core.face("method")[0] if kind == "method" else ours
    assert call.__globals__["__name__"] == call.__module__ == "elsewhere"


@pytest.mark.parametrize("loader", [partial(load, 1), Counter()])
def test_where_there_is_no_function_its_module_is_found_all_the_same(loader: Any) -> None:
    call = cached(loader)._core.face("plain")[0]
    assert call.__globals__["__name__"] == loader.__module__


def test_a_warning_of_a_key_function_names_the_module() -> None:
    def key(n: int, region: str) -> int:
        warnings.warn("told", UserWarning, stacklevel=2)
        logging.getLogger("test").debug("logged", stacklevel=2)
        return n

    ours = cached_singleflight(ttl=60, key=key)(load)
    with pytest.warns(UserWarning, match="told"):
        ours(1)


def test_update_wrapper_takes_some_of_the_face() -> None:
    ours: Any = cached(load)
    face = ("__module__", "__name__", "__qualname__", "__doc__")
    functools.update_wrapper(ours, load_async, assigned=face)
    assert (ours.__name__, ours.__wrapped__, ours(1)) == ("load_async", load_async, "1 of eu")
