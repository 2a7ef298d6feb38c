"""How values travel: what is annotated comes back as it was, or is not shared."""

from __future__ import annotations

import asyncio
import functools
import math
import pickle
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict
from uuid import UUID

import pytest

from soloflight._tiers.codec import (
    CHECKED,
    Codec,
    Coder,
    Json,
    NotShared,
    PickleCodec,
    chosen,
    returned,
)

if TYPE_CHECKING:
    from somewhere import Session  # type: ignore[import-not-found]

KEY = b"k" * 32


@pytest.fixture
def msgpack() -> str:
    pytest.importorskip("msgspec", reason="there is no wheel of msgspec for this Python")
    return "msgpack"


@dataclass
class User:
    name: str
    tags: list[str]
    parent: User | None = None


class Point(NamedTuple):
    x: int
    y: int


class Row(TypedDict):
    id: UUID
    price: Decimal


class Plain:
    def __init__(self, n: int) -> None:
        self.n = n


def coder(codec: str | Codec, annotation: Any = Any) -> Coder:
    def load() -> Any: ...

    load.__annotations__["return"] = annotation
    made = Coder(codec, load)
    assert made.prepare() == ""
    return made


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (User, User("ann", ["a"], User("bob", []))),
        (list[User], [User("ann", [])]),
        (Point, Point(1, 2)),
        (Row, {"id": UUID(int=1), "price": Decimal("1.10")}),
        (tuple[int, ...], (1, 2)),
        (dict[str, set[int]], {"a": {1, 2}}),
        (dict[int, str], {1: "a"}),
        (datetime, datetime(2026, 1, 1, tzinfo=timezone.utc)),
        (int, 1),
        (float, 1.5),
        (None, None),
        (bytes, b"\xff"),
        (User | None, None),
        (Any, {"a": [1, 2.5, None, True, "b", b"c"]}),
    ],
    ids=str,
)
def test_what_is_annotated_comes_back_as_it_was(msgpack: str, annotation: Any, value: Any) -> None:
    made = coder(msgpack, annotation)
    for _ in range(CHECKED + 1):
        back = made.decode(made.encode(value))
        assert back == value
        assert type(back) is type(value)


@pytest.mark.parametrize(
    "value", [None, 1, "a", [1, {"a": None}], {"a": 1.5}, math.inf, [math.nan]]
)
@pytest.mark.parametrize("codec", [Json(), "json", PickleCodec(key=KEY)], ids=str)
def test_what_needs_no_annotation(codec: Any, value: Any) -> None:
    made = coder(codec)
    back = made.decode(made.encode(value))
    assert str(back) == str(value)
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("codec", "annotation", "value", "wrong"),
    [
        ("msgpack", Any, (1,), "it is of type tuple and comes back as list"),
        ("msgpack", Any, {"a": (1,)}, "it['a'] is of type tuple and comes back as list"),
        ("msgpack", Any, User("ann", []), "it is of type User and comes back as dict"),
        ("msgpack", Any, Point(1, 2), "it is of type Point and comes back as list"),
        ("msgpack", float, 1, "it is of type int and comes back as float"),
        ("msgpack", User, Plain(1), "TypeError: Encoding objects of type Plain is unsupported"),
        ("msgpack", User, None, "ValidationError: "),
        (
            "msgpack",
            list[User],
            [None],
            "ValidationError: ",
        ),
        ("msgpack", int, 2**70, "OverflowError: "),
        ("json", Any, (1,), "it is of type tuple and comes back as list"),
        ("json", Any, {1: 2}, "it's 1 does not come back"),
        ("json", Any, {1}, "TypeError: Object of type set is not JSON serializable"),
        (PickleCodec(key=KEY), Any, Plain, ""),
        (PickleCodec(key=KEY), Any, lambda: 0, "Error: "),
    ],
    ids=str,
)
def test_what_does_not_come_back_is_not_shared(
    codec: Any, annotation: Any, value: Any, wrong: str, request: pytest.FixtureRequest
) -> None:
    if codec == "msgpack":
        request.getfixturevalue("msgpack")
    made = coder(codec, annotation)
    if not wrong:
        assert made.decode(made.encode(value)) is value
        return
    for first in (True, False, False, False, False):  # it is never let pass, and said once
        with pytest.raises(NotShared) as caught:
            made.encode(value)
        assert caught.value.first is first
    said = str(caught.value)
    assert said.startswith("its codec ")
    assert wrong in said
    assert said.endswith("; annotate what is returned, or give codec=")


class Counted(Json):
    name = "counted"

    def __init__(self) -> None:
        self.decoded = 0

    def decode(self, data: bytes, /) -> Any:
        self.decoded += 1
        return super().decode(data)


def test_the_first_three_of_each_type_are_looked_at() -> None:
    """So a function that returned None at first is not trusted with its tuples."""
    codec = Counted()
    made = coder(codec)
    for _ in range(10):
        made.encode(None)
    assert codec.decoded == CHECKED == 3
    with pytest.raises(NotShared):
        made.encode((1,))
    for _ in range(10):
        made.encode([1])
    assert codec.decoded == 3 + 1 + 3


def test_types_are_not_remembered_without_end() -> None:
    class Any_(Counted):
        def encode(self, value: Any, /) -> bytes:
            self.value = value
            return b"1"

        def decode(self, data: bytes, /) -> Any:
            super().decode(data)
            return self.value

    codec = Any_()
    made = coder(codec)
    for i in range(30):
        value = type(f"C{i}", (), {})()
        for _ in range(5):
            made.encode(value)
    assert codec.decoded == 16 * 3 + 14 * 5


@pytest.mark.parametrize("made", [bytearray(b"1"), "1", None])
def test_what_makes_no_bytes_is_no_codec(made: Any) -> None:
    class Odd(Json):
        def encode(self, value: Any, /) -> bytes:
            result: bytes = made
            return result

    with pytest.raises(NotShared, match=f"it makes a {type(made).__name__}, not bytes"):
        coder(Odd()).encode(1)


def test_an_interruption_is_nobodys_fault() -> None:
    class Interrupted(Json):
        def encode(self, value: Any, /) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        coder(Interrupted()).encode(1)


# ---- annotations


def plain(session: Session, n: int) -> list[User]: ...


async def asynchronous(session: Session) -> User | None: ...


def bare(session: Session): ...  # type: ignore[no-untyped-def]


def quoted() -> list["User"]: ...  # noqa: UP037


def unknown() -> Session: ...


def within_unknown() -> list[Session]: ...


class Repo:
    def get(self, session: Session) -> Point: ...

    def __call__(self, session: Session) -> Point: ...

    @classmethod
    def of_class(cls) -> Point: ...

    @staticmethod
    def static() -> Point: ...


@functools.wraps(plain)
def wrapped(*args: Any, **kwargs: Any) -> Any: ...


@pytest.mark.parametrize(
    ("loader", "annotation"),
    [
        (plain, list[User]),
        (asynchronous, User | None),
        (bare, Any),
        pytest.param(
            quoted,
            list[User],
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11), reason="typing does not look into list[...] before 3.11"
            ),
        ),
        (wrapped, list[User]),
        (functools.lru_cache(plain), list[User]),
        (functools.partial(functools.partial(plain, 1), 2), list[User]),
        (functools.partial(Repo().get, 1), Point),
        (Repo.get, Point),
        (Repo().get, Point),
        (Repo(), Point),
        (Repo.of_class, Point),
        (Repo.static, Point),
        (User, User),
        (len, Any),
        (lambda: 0, Any),
        ("a b".split, Any),
    ],
    ids=str,
)
def test_the_return_annotation_is_found(loader: Any, annotation: Any) -> None:
    """Though the parameters are annotated with what only type checkers see."""
    assert returned(loader) == annotation


def test_the_annotation_may_name_what_is_defined_further_below(msgpack: str) -> None:
    space: dict[str, Any] = {}
    exec("from __future__ import annotations\ndef load() -> Later: ...", space)
    made = Coder(msgpack, space["load"])
    space["Later"] = User
    assert made.prepare() == ""
    assert made.decode(made.encode(User("ann", []))) == User("ann", [])


@pytest.mark.parametrize("loader", [unknown, within_unknown])
def test_an_annotation_that_is_not_there_is_said_once(msgpack: str, loader: Any) -> None:
    made = Coder(msgpack, loader)
    why = made.prepare()
    assert why == (
        "its codec has no use for its return annotation (NameError: name "
        "'Session' is not defined); mend it, or give codec="
    )
    assert made.prepare() is why
    # Others need none.
    assert Coder("json", loader).prepare() == ""


def test_an_annotation_that_the_codec_does_not_know(msgpack: str) -> None:
    def load() -> int | Point | tuple[int, ...]: ...

    assert Coder(msgpack, load).prepare().startswith("its codec has no use ")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no such syntax before 3.12")
def test_type_parameters_are_found(msgpack: str) -> None:
    space: dict[str, Any] = {}
    exec(
        "def load[T: int](n: T) -> list[T]: ...\ntype Ids = list[int]\ndef ids() -> Ids: ...", space
    )
    for name in ("load", "ids"):
        made = Coder(msgpack, space[name])
        assert made.prepare() == ""
        assert made.decode(made.encode([1, 2])) == [1, 2]


def test_what_a_task_awaits_is_what_is_annotated(msgpack: str) -> None:
    made = Coder(msgpack, asynchronous)
    assert made.prepare() == ""
    value = asyncio.run(asynchronous(None))
    assert made.decode(made.encode(value)) is None
    assert made.decode(made.encode(User("ann", []))) == User("ann", [])


# ---- options


@pytest.mark.parametrize(
    ("codec", "error", "says"),
    [
        ("yaml", ValueError, "codec must be 'msgpack', 'json' or a codec, not 'yaml'"),
        ("pickle", ValueError, "pickles have to be signed: give codec=PickleCodec(key=...)"),
        (None, TypeError, "a codec is an object with encode and decode, not None"),
        (pickle, TypeError, "a codec is an object with encode and decode, not <module 'pickle'"),
        (Json, TypeError, "a codec is an object with encode and decode, not <class"),
        (functools.partial(int), TypeError, "a codec is an object with encode and decode, not"),
    ],
    ids=str,
)
def test_what_is_no_codec_is_refused(codec: Any, error: Any, says: str) -> None:
    with pytest.raises(error) as caught:
        chosen(codec)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("name", [None, b"mine", 1])
def test_a_codec_has_a_name(name: Any) -> None:
    codec: Any = Counted()
    codec.name = name
    with pytest.raises(TypeError, match="a codec has a name, a str"):
        chosen(codec)


def test_the_public_protocol_is_what_is_asked_for() -> None:
    class Mine:
        name = "mine"

        def encode(self, value: Any, /) -> bytes:
            return repr(value).encode()

        def decode(self, data: bytes, /) -> Any:
            return eval(data)

    codec: Codec = Mine()
    made = coder(codec)
    assert made.decode(made.encode((1, {2}))) == (1, {2})
    assert made.untyped is codec
    assert made.code == 0
    assert [coder("json").code, coder(PickleCodec(key=KEY)).code] == [2, 3]


def test_without_msgspec_it_is_said_what_to_install() -> None:
    """Where the function is decorated; and nothing of ours imports it before."""
    program = (
        "import sys\n"
        "from soloflight._tiers import codec, digest, envelope, errors\n"
        "assert 'msgspec' not in sys.modules\n"
        "codec.Coder('json', len)\n"
        "assert 'msgspec' not in sys.modules\n"
        "sys.modules['msgspec'] = None\n"
        "try: codec.Coder('msgpack', len)\n"
        "except ImportError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == (
        "values are shared as MessagePack by msgspec, which is not installed: install "
        "soloflight[redis] or soloflight[host], or give codec='json'\n"
    )


# ---- pickles


def test_a_pickle_brings_what_can_be_pickled() -> None:
    made = coder(PickleCodec(key=KEY))
    back = made.decode(made.encode({"a": (Plain(3), User)}))
    assert back["a"][0].n == 3
    assert back["a"][1] is User


def test_a_pickle_of_another_key_is_not_loaded() -> None:
    data = PickleCodec(key=b"x" * 32).encode(1)
    with pytest.raises(ValueError, match="a pickle that was not signed with this key"):
        PickleCodec(key=KEY).decode(data)


@pytest.mark.parametrize(
    "data", [b"", b"a", bytes(32), pickle.dumps(1), bytes(32) + pickle.dumps(1)]
)
def test_what_is_not_signed_is_not_loaded(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle, "loads", lambda data: pytest.fail("loaded"))
    with pytest.raises(ValueError, match="a pickle that was not signed with this key"):
        PickleCodec(key=KEY).decode(data)


@pytest.mark.parametrize(("key", "error"), [("k" * 32, TypeError), (b"short", ValueError)])
def test_a_key_is_long_enough(key: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="the key of a PickleCodec must"):
        PickleCodec(key=key)


def test_a_key_is_not_shown() -> None:
    assert "kkkk" not in repr(PickleCodec(key=KEY))
