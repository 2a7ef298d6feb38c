"""Law 12: keys are the bound arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soloflight import cached_singleflight, singleflight

NAMES = ["a", "b", "c", "_sf_key", "e"]
VALUES = st.sampled_from([0, 1, 2, 1.0, True, "a", None, (1,), ("a", 1), frozenset({1})])


@st.composite
def signatures(draw: st.DrawFn) -> str:
    """Any parameters: positional-only, plain, ``*args``, keyword-only, ``**kwargs``, defaults."""
    names = draw(st.permutations(NAMES))
    only, plain, keyword = (draw(st.integers(0, 2)) for _ in range(3))
    keyword = min(keyword, 1)
    first_default = draw(st.integers(0, only + plain))
    parts = [n if i < first_default else f"{n}=0" for i, n in enumerate(names[: only + plain])]
    if only:
        parts.insert(only, "/")
    star = draw(st.sampled_from(["", "*args"]))
    if star or keyword:
        parts.append(star or "*")
    parts += [n + draw(st.sampled_from(["", "=0"])) for n in names[4 : 4 + keyword]]
    if draw(st.booleans()):
        parts.append("**kwargs")
    return ", ".join(parts)


calls = st.tuples(
    st.lists(VALUES, max_size=5),
    st.dictionaries(st.sampled_from([*NAMES, "other"]), VALUES, max_size=3),
)


def define(signature: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(f"def loader({signature}): return locals()", namespace)
    return namespace["loader"]


def bound(loader: Any, call: Any) -> dict[str, Any] | None:
    """The arguments as Python binds them (`inspect` errs on some signatures)."""
    try:
        return dict(loader(*call[0], **call[1]))
    except TypeError:
        return None


def typed(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same with the type of each argument."""
    return {
        name: [(type(v), v) for v in value]
        if name == "args"
        else {n: (type(v), v) for n, v in value.items()}
        if name == "kwargs"
        else (type(value), value)
        for name, value in arguments.items()
    }


@settings(max_examples=400, deadline=None)
@given(signatures(), calls, calls, st.booleans())
def test_keys_are_equal_exactly_where_the_bound_arguments_are(
    signature: str, first: Any, second: Any, is_typed: bool
) -> None:
    loader = define(signature)
    decorated = cached_singleflight(ttl=60, typed=is_typed)(loader)
    one, two = bound(loader, first), bound(loader, second)
    for call, arguments in ((first, one), (second, two)):
        if arguments is None:
            with pytest.raises(TypeError) as expected:
                loader(*call[0], **call[1])
            with pytest.raises(TypeError) as got:
                decorated(*call[0], **call[1])
            assert str(got.value) == str(expected.value)
        else:
            assert decorated.__wrapped__(*call[0], **call[1]) == decorated.refresh(
                *call[0], **call[1]
            )
    assert not decorated.in_flight()
    if one is not None and two is not None:
        same = typed(one) == typed(two) if is_typed else one == two
        keys = [decorated.cache_key(*call[0], **call[1]) for call in (first, second)]
        assert (keys[0] == keys[1]) is same


def test_the_order_of_keyword_arguments_does_not_matter() -> None:
    @cached_singleflight(ttl=60)
    def load(**fields: int) -> dict[str, int]:
        return fields

    assert load(a=1, b=2) is load(b=2, a=1)


def test_an_unhashable_argument_is_named() -> None:
    @cached_singleflight(ttl=60)
    def load(user: int, filters: list[int]) -> int:
        return user

    with pytest.raises(TypeError, match=r"load: argument 'filters' .* list .*key=.*ignore="):
        load(1, [2])
    assert not load.in_flight()


def test_an_unhashable_argument_is_named_without_a_cache() -> None:
    @singleflight
    def load(**filters: Any) -> int:
        return 1

    with pytest.raises(TypeError, match="argument 'name'"):
        load(name=[])


def test_ignored_parameters_are_no_part_of_the_key() -> None:
    @cached_singleflight(ttl=60, ignore={"session"})
    def load(session: object, user: int) -> object:
        return session

    assert load([], 1) is load({}, 1)
    assert load([], 2) is not load([], 1)


def test_key_gets_the_bound_arguments_without_self_and_with_defaults() -> None:
    seen = []

    def key(*args: Any, **kwargs: Any) -> int:
        seen.append((args, kwargs))
        return 1

    class Repo:
        @cached_singleflight(ttl=60, key=key)
        def get(self, a: int, b: int = 2, *, c: int = 3) -> int:
            return a

    Repo().get(b=5, a=1)
    assert seen[0] == ((1, 5), {"c": 3})


def test_key_replaces_the_derived_key() -> None:
    @cached_singleflight(ttl=60, key=str.lower)
    def load(name: str) -> object:
        return object()

    assert load("Ada") is load(name="ADA")


def test_a_key_function_that_returns_something_unhashable_is_named() -> None:
    @cached_singleflight(ttl=60, key=lambda name: [name])
    def load(name: str) -> str:
        return name

    with pytest.raises(TypeError, match="key= returned an unhashable list"):
        load("Ada")


@pytest.mark.parametrize("name", ["bind", "call", "_sf_get", "_sf_miss", "class"])
def test_a_loader_may_be_named_like_anything_of_ours(name: str) -> None:
    def loader(n: int) -> int:
        return n

    loader.__name__ = name
    loader.__qualname__ = f"outer.<locals>.{name}"
    load = cached_singleflight(ttl=60)(loader)
    assert [load(1), load(n=1)] == [1, 1]
    assert load.invalidate(1) is True
    with pytest.raises(TypeError, match=rf"{name}\(\) missing 1 required positional argument"):
        load()  # type: ignore[call-arg]


def test_the_key_of_another_function_is_a_key_like_any_other() -> None:
    """A key that says whose it is, of a cache that is shared, is taken for no key of ours."""

    @cached_singleflight(ttl=60, cache={})
    def first(n: int) -> str:
        return f"first {n}"

    @cached_singleflight(ttl=60)
    def second(key: Any) -> str:
        return "second"

    @cached_singleflight(ttl=60, key=first.cache_key)
    def third(n: int) -> str:
        return "third"

    assert second(first.cache_key(1)) == "second"
    assert third(1) == "third"
    assert first(1) == "first 1"
    assert second.invalidate(first.cache_key(1)) and third.invalidate(1)
    assert first.peek(1) is not None


def test_a_type_error_of_a_keys_comparison_is_its_own() -> None:
    """A TypeError of a key's __eq__ is its own."""

    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise TypeError("incomparable")

    @cached_singleflight(ttl=60)
    def load(key: Key) -> int:
        return 1

    load(Key())
    with pytest.raises(TypeError, match="incomparable"):
        load(Key())


def test_typed_tells_starred_arguments_apart() -> None:
    @cached_singleflight(ttl=60, typed=True, wait_timeout=0)
    def load(*args: Any) -> Any:
        return args

    assert load.cache_key(1) != load.cache_key(1.0)
    assert load.cache_key(1) == load.cache_key(1)


def test_typed_tells_starred_keyword_arguments_apart() -> None:
    @cached_singleflight(ttl=60, typed=True)
    def load(**kwargs: Any) -> Any:
        return kwargs

    assert load.cache_key(a=1) != load.cache_key(a=1.0)
