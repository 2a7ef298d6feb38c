"""Law 18: decorating evaluates no annotation, and hands all of them on.

The loaders are text, for what cannot be evaluated cannot be in a module that Python 3.13 reads.
"""

from __future__ import annotations

import inspect
import sys
from functools import partial, partialmethod, wraps
from textwrap import dedent
from typing import Any

import pytest

from soloflight import cached_singleflight, singleflight

LAZY = sys.version_info >= (3, 14)
FUTURE = "" if LAZY else "from __future__ import annotations"


def told() -> Any:
    raise AssertionError("an annotation was evaluated")


def defined(source: str, **names: Any) -> dict[str, Any]:
    """What a program defines. Before Python 3.14 its annotations are strings."""
    scope = {"__name__": "program", "told": told, "partial": partial, "wraps": wraps, **names}
    scope["partialmethod"] = partialmethod
    exec(compile(f"{FUTURE}\n{dedent(source)}", "<program>", "exec", dont_inherit=True), scope)
    return scope


SHAPES = {
    "a function": """
        {def} load(x: {it} = 1, *, y: {it} = 2) -> {it}: ...
    """,
    "a wrapper": """
        {def} inner(x: {it} = 1, *, y: {it} = 2) -> {it}: ...
        @wraps(inner)
        {def} load(*args: {it}, **kwargs: {it}) -> {it}: ...
    """,
    "a partial": """
        {def} whole(w: {it}, x: {it} = 1, *, y: {it} = 2) -> {it}: ...
        load = partial(whole, 0)
    """,
    "a bound method": """
        class Loader:
            {def} method(self, x: {it} = 1, *, y: {it} = 2) -> {it}: ...
        load = Loader().method
    """,
    "a partial of a bound wrapper": """
        class Loader:
            {def} inner(self, w: {it}, x: {it} = 1, *, y: {it} = 2) -> {it}: ...
            @wraps(inner)
            {def} method(*args: {it}, **kwargs: {it}) -> {it}: ...
        load = partial(Loader().method, 0)
    """,
    "an object that calls a static method": """
        class Loader:
            @staticmethod
            {def} __call__(x: {it} = 1, *, y: {it} = 2) -> {it}: ...
        load = Loader()
    """,
    "an object that calls a class method": """
        class Loader:
            @classmethod
            {def} __call__(cls, x: {it} = 1, *, y: {it} = 2) -> {it}: ...
        load = Loader()
    """,
    "an object that calls a partial method": """
        class Loader:
            {def} method(self, w: {it}, x: {it} = 1, *, y: {it} = 2) -> {it}: ...
            __call__ = partialmethod(method, 0)
        load = Loader()
    """,
    "an object": """
        class Loader:
            {def} __call__(self, x: {it} = 1, *, y: {it} = 2) -> {it}: ...
        load = Loader()
    """,
}

ANNOTATIONS = [
    "Later",
    "module.Later[int]",
    "'Later' | None",
    "Annotated[str, f'{told()}', {**told()}]",
    "told()",
    "1 / 0",
]


@pytest.mark.parametrize("annotation", ANNOTATIONS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("words", ["def", "async def"])
def test_decorating_evaluates_no_annotation(words: str, shape: str, annotation: str) -> None:
    source = SHAPES[shape].replace("{def}", words).replace("{it}", annotation)
    load = cached_singleflight(ttl=60)(defined(source)["load"])
    assert load.cache_key(1) == load.cache_key(x=1) == load.cache_key(y=2)
    assert load.cache_key(1) != load.cache_key(2)
    with pytest.raises(TypeError, match="positional"):
        load.cache_key(1, 2)


@pytest.mark.parametrize("annotation", ANNOTATIONS)
def test_a_key_that_does_not_fit_is_refused_whatever_its_annotations(annotation: str) -> None:
    program = defined(f"""
        def load(x, *, y=1): ...
        def fits(x: {annotation}, *, y: {annotation}) -> {annotation}: return x
        def does_not(x: {annotation}) -> {annotation}: return x
    """)
    load = cached_singleflight(ttl=60, key=program["fits"])(program["load"])
    assert load.cache_key(1, y=2) == load.cache_key(1)
    with pytest.raises(TypeError, match="key does not take"):
        cached_singleflight(ttl=60, key=program["does_not"])(program["load"])


@pytest.mark.parametrize("annotation", ["Later", "module.Later[int]", "told()"])
def test_nor_does_decorating_a_class(annotation: str) -> None:
    program = defined(f"""
        class Node:
            def __init__(self, value: {annotation} = 1) -> None: ...
    """)
    load = singleflight(program["Node"])
    assert load.cache_key(1) == load.cache_key(value=1) == load.cache_key()


def wrapped(call: Any) -> Any:
    @wraps(call)
    def wrapper(*args: Any) -> None: ...

    return wrapper


def seen(call: Any) -> list[Any]:
    """What there is to see of annotations as long as they cannot be evaluated."""
    from annotationlib import Format, get_annotations

    if isinstance(call, partial):
        return [str(inspect.signature(call, annotation_format=Format.STRING))]
    known = get_annotations(call, format=Format.FORWARDREF)
    return [
        {name: getattr(value, "__forward_arg__", value) for name, value in known.items()},
        get_annotations(call, format=Format.STRING),
        str(inspect.signature(call, annotation_format=Format.STRING)),
    ]


NODES = """
    class Node:
        {kind}
        {def} bare(me, x: Later = 1) -> Node: ...

        @decorator
        {kind}
        {def} above(me, x: Later = 1) -> Node: ...

        {kind}
        @decorator
        {def} below(me, x: Later = 1) -> Node: ...
"""


@pytest.mark.skipif(
    not LAZY, reason="before Python 3.14 annotations are evaluated where they stand"
)
@pytest.mark.parametrize("decorator", [singleflight, cached_singleflight(ttl=60)])
@pytest.mark.parametrize("words", ["def", "async def"])
@pytest.mark.parametrize("kind", ["", "@classmethod", "@staticmethod"])
@pytest.mark.parametrize("where", ["above", "below"])
@pytest.mark.parametrize("bound", [False, True], ids=["of the class", "of an instance"])
@pytest.mark.parametrize(
    "look", [lambda call: call, partial, wrapped], ids=["", "partial", "wraps"]
)
def test_annotations_are_handed_on_as_they_are(
    look: Any, bound: bool, where: str, kind: str, words: str, decorator: Any
) -> None:
    source = NODES.replace("{kind}", kind).replace("{def}", words)
    program = defined(source, decorator=decorator)
    node = program["Node"]() if bound else program["Node"]
    ours, bare = look(getattr(node, where)), look(node.bare)
    assert seen(ours) == seen(bare)
    with pytest.raises(NameError, match="Later"):
        inspect.signature(ours)
    program["Later"] = int
    assert inspect.signature(ours) == inspect.signature(bare)
    assert getattr(ours, "__annotations__", None) == getattr(bare, "__annotations__", None)


@pytest.mark.skipif(
    not LAZY, reason="before Python 3.14 annotations are evaluated where they stand"
)
@pytest.mark.parametrize("decorator", [singleflight, cached_singleflight(ttl=60)])
@pytest.mark.parametrize("words", ["def", "async def"])
@pytest.mark.parametrize(
    "look", [lambda call: call, partial, wrapped], ids=["", "partial", "wraps"]
)
def test_those_of_a_function_are_handed_on_as_they_are(
    look: Any, words: str, decorator: Any
) -> None:
    program = defined(f"{words} load(n: Later, m: int = 1) -> Later: ...")
    ours, bare = decorator(program["load"]), program["load"]
    assert ours.__annotate__ is bare.__annotate__
    assert seen(look(ours)) == seen(look(bare))
    with pytest.raises(NameError, match="Later"):
        ours.__annotations__  # noqa: B018
    program["Later"] = int
    assert inspect.signature(look(ours)) == inspect.signature(look(bare))
    assert ours.__annotations__ == bare.__annotations__
