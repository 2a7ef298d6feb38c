"""What an envelope says of its payload changes with what the payload is made of."""

from __future__ import annotations

import enum
import subprocess
import sys
import typing
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import pytest

from soloflight._tiers.shape import schema, shape

T = TypeVar("T")


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Node:
    value: int
    next: Node | None


@dataclass
class Page(Generic[T]):
    items: list[T]


class Point(NamedTuple):
    x: int


class Movie(TypedDict, total=False):
    name: str


Id = NewType("Id", int)


def old(annotation: str) -> Any:
    """As annotations were written before Python 3.10."""
    return eval(annotation, vars(typing))


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Any, "Any"),
        (None, "NoneType"),
        (int, "int"),
        (list, "list"),
        (list[int], "list[int]"),
        (old("List[int]"), "list[int]"),
        (old("Dict[str, List[int]]"), "dict[str, list[int]]"),
        (tuple[int, ...], "tuple[int, ellipsis]"),
        (old("Optional[int]"), "Union[NoneType, int]"),
        (int | None, "Union[NoneType, int]"),
        (old("Union[str, None, int]"), "Union[NoneType, int, str]"),
        (Literal["b", 1, True, Color.RED], "Literal[Color RED, bool True, int 1, str 'b']"),
        (Annotated[int, object()], "int"),
        (Id, "int"),
        (Color, "Color of [RED, BLUE]"),
        (Point, "Point of [x: int]"),
        (Movie, "Movie of [name: str, name]"),
        (Node, "Node of [value: int, next: Union[Node, NoneType]]"),
        (Page[int], "Page of [items: list[T]][int]"),
        (T, "T"),
        (Path, "Path"),
    ],
    ids=str,
)
def test_a_shape_is_the_same_on_every_python(annotation: Any, expected: str) -> None:
    assert shape(annotation) == expected


def made(*fields: tuple[str, Any]) -> type:
    return make_dataclass("Made", fields)


def test_a_shape_changes_with_the_fields() -> None:
    classes = [
        made(),
        made(("a", int)),
        made(("b", int)),
        made(("a", str)),
        made(("a", int), ("b", int)),
    ]
    # Whatever they are in.
    for within in (lambda cls: cls, lambda cls: list[cls], lambda cls: dict[str, cls | None]):
        assert len({schema("msgpack", within(cls)) for cls in classes}) == len(classes)
    assert shape(made(("a", int))) == shape(made(("a", int)))


def test_a_class_whose_hints_are_not_there_is_a_name() -> None:
    assert shape(made(("a", "Nowhere"))) == "Made"


def test_a_shape_changes_with_how_a_struct_is_written() -> None:
    msgspec = pytest.importorskip("msgspec", reason="there is no wheel of msgspec for this Python")

    def struct(**options: Any) -> Any:
        return msgspec.defstruct("Struct", [("a_b", int)], **options)

    ways: list[dict[str, Any]] = [{}, {"array_like": True}, {"tag": True}, {"rename": "camel"}]
    assert len({shape(struct(**options)) for options in ways}) == len(ways)
    assert shape(struct()) == shape(struct())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no such syntax before 3.12")
def test_a_type_alias_is_what_it_stands_for() -> None:
    space: dict[str, Any] = {}
    exec("type Ids = list[int]", space)
    assert shape(space["Ids"]) == "list[int]"


def test_codecs_have_schemas_of_their_own() -> None:
    found = {schema(codec, int) for codec in ("json", "msgpack", "json:int", "")}
    assert len(found) == 4
    assert {len(one) for one in found} == {4}


def test_a_schema_is_the_same_in_every_process() -> None:
    """Of what was stored before: what changes it makes one miss of every value."""
    assert schema("msgpack", dict[str, int | None]).hex() == "eccadd4c"
    program = (
        "from soloflight._tiers.shape import schema\n"
        "from typing import *\n"
        "print(schema('json', Union[int, str, None, Literal['a', 'b', 'c']]))"
    )
    path = str(Path(sys.modules["soloflight"].__file__ or "").parents[1])
    run = [sys.executable, "-c", program]
    found = {
        subprocess.run(
            run, env={"PYTHONHASHSEED": seed, "PYTHONPATH": path}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
