"""Exceptions of other processes: rebuilt where that gives the same one, else what they said."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloflight._tiers.codec import Codec, Json, MsgPack, PickleCodec
from soloflight._tiers.errors import Failure, pack_error, unpack_error


class NotFound(LookupError):
    calls = 0

    def __init__(self, key: str, *, table: str) -> None:
        NotFound.calls += 1
        super().__init__(f"no {key} in {table}")
        self.key = key
        self.table = table


class Slotted(Exception):
    __slots__ = ("code", "unset")

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


@dataclass(frozen=True)
class Frozen(Exception):
    key: str


class Subclass(NotFound):
    pass


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def codecs() -> list[Any]:
    try:
        msgpack: Any = MsgPack()
    except ImportError:
        skip = pytest.mark.skip(reason="there is no wheel of msgspec for this Python")
        msgpack = pytest.param(None, marks=skip, id="msgpack")
    return [Json(), PickleCodec(key=b"k" * 32), msgpack]


@pytest.fixture(params=codecs(), ids=lambda codec: getattr(codec, "name", "msgpack"))
def codec(request: pytest.FixtureRequest) -> Any:
    return request.param


def travelled(error: Exception, codec: Codec, *named: type, hides: bool = False) -> Failure:
    found = unpack_error(pack_error(error, codec, hides=hides), codec, named)
    assert found is not None
    return found


BUILTIN = [
    KeyError("a"),
    ValueError("no", 1, None, [2.5]),
    RuntimeError(),
    FileNotFoundError(2, "no such file", "/tmp/x"),
    OSError("only a text"),
    ImportError("no", name="module", path="/tmp"),
    StopIteration(3),
    TimeoutError("late"),
]


@pytest.mark.parametrize("error", BUILTIN, ids=repr)
def test_one_of_pythons_own_is_the_same_again(error: Any, codec: Codec) -> None:
    found = travelled(error, codec)
    again: Any = found.exception
    assert found.type_name == f"builtins.{type(error).__name__}"
    assert found.says == str(error) == str(again)
    assert (type(again), again.args, vars(again)) == (type(error), error.args, vars(error))
    for name in ("errno", "filename", "name", "path", "value"):
        assert getattr(again, name, None) == getattr(error, name, None)
    assert again.__traceback__ is again.__cause__ is again.__context__ is None


def test_one_of_a_class_that_the_reader_names_is_the_same_again(codec: Codec) -> None:
    error = NotFound("ann", table="users")
    calls = NotFound.calls
    again: Any = travelled(error, codec, KeyError, NotFound).exception
    assert type(again) is NotFound
    assert (again.args, again.key, again.table) == (error.args, "ann", "users")
    assert NotFound.calls == calls  # it is not called: who knows what it does


@pytest.mark.parametrize(("error", "name"), [(Slotted(7), "code"), (Frozen("a"), "key")])
def test_what_is_in_its_attributes_comes_with_it(error: Any, name: str, codec: Codec) -> None:
    again = travelled(error, codec, type(error)).exception
    assert type(again) is type(error)
    assert getattr(again, name) == getattr(error, name)


def test_notes_come_with_it(codec: Codec) -> None:
    error = ValueError("no")
    error.__notes__ = ["while it rained"]
    again: Any = travelled(error, codec).exception
    assert again.__notes__ == ["while it rained"]


@pytest.mark.parametrize("named", [(), (KeyError,), (Subclass,), (Exception, LookupError), (int,)])
def test_any_other_is_what_it_said(named: tuple[type, ...], codec: Codec) -> None:
    found = travelled(NotFound("ann", table="users"), codec, *named)
    where = NotFound.__module__
    assert found == Failure(f"{where}.NotFound", "no ann in users", False, None)


def test_a_class_is_not_looked_for(codec: Codec) -> None:
    """Of a module that is imported already, even."""
    found = travelled(subprocess.CalledProcessError(1, "ls"), codec)
    assert found.type_name == "subprocess.CalledProcessError"
    assert found.exception is None


@pytest.mark.parametrize(
    "error",
    [KeyError((1, 2)), KeyError(object()), ValueError({1: 2}), ValueError(1.5, {1})],
    ids=["tuple", "object", "keys", "set"],
)
def test_what_the_codec_does_not_carry_is_not_half_rebuilt(error: Exception) -> None:
    found = travelled(error, Json())
    assert found.exception is None
    assert found.says == str(error)


def test_an_attribute_that_the_codec_does_not_carry_is_not_left_out(codec: Codec) -> None:
    error = ValueError("no")
    error.lock = subprocess.Popen  # type: ignore[attr-defined]
    error.made = lambda: 0  # type: ignore[attr-defined]
    found = travelled(error, codec)
    assert (found.exception, found.says) == (None, "no")


def test_a_codec_of_its_own_that_alters_things_is_noticed() -> None:
    class Lossy(Json):
        def decode(self, data: bytes, /) -> Any:
            return json.loads(data, parse_int=str)

    assert travelled(ValueError(1), Lossy()).exception is None
    assert travelled(ValueError("1"), Lossy()).exception is not None


def test_what_it_says_is_cut(codec: Codec) -> None:
    found = travelled(ValueError("ü" * 5000), codec)
    assert found.says == "ü" * 500
    large = pack_error(ValueError("x" * 20_000), codec)
    assert len(large) < 1200
    assert travelled(ValueError("x" * 20_000), codec).exception is None


@pytest.mark.parametrize("text", ["\ud800", "\0", "a\nb", ""])
def test_what_it_says_may_be_any_text(text: str, codec: Codec) -> None:
    assert travelled(RuntimeError(text), codec).says == text.replace("\ud800", "?")


def test_one_that_cannot_say_anything(codec: Codec) -> None:
    assert travelled(Speechless(), codec).says == "<its str raised RuntimeError>"


@pytest.mark.parametrize("hides", [False, True])
def test_whether_it_may_be_hidden_comes_with_it(hides: bool, codec: Codec) -> None:
    assert travelled(KeyError("a"), codec, hides=hides).hides is hides


def forged(head: object, parts: object = None) -> bytes:
    return (
        json.dumps(head).encode() + b"\0" + (b"" if parts is None else json.dumps(parts).encode())
    )


@pytest.mark.parametrize(
    "head",
    [
        [], {}, 1, ["a"], ["a", "b", "c"], ["a", "b", "c", 1], ["a", "b", "c", None],
        [1, "b", "c", True], ["a", None, "c", True], ["a", "b", ["c"], True],
    ],
)  # fmt: skip
def test_what_is_no_error_is_none(head: object) -> None:
    assert unpack_error(forged(head), Json()) is None


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("KeyError", 1), ("KeyError", [[]]), ("KeyError", [1, {}]), ("KeyError", [[], []]),
        ("KeyError", [[], {}, []]), ("KeyError", [[], {"args": 1}]),
        ("UnicodeDecodeError", [["a"], {}]), ("ExceptionGroup", [["a", []], {}]),
        ("SystemExit", [[1], {}]), ("KeyboardInterrupt", [[], {}]), ("GeneratorExit", [[], {}]),
        ("BaseException", [[], {}]), ("eval", [["1"], {}]), ("int", [["1"], {}]),
        ("OSError", [[2, "this would be a FileNotFoundError"], {}]), ("nothing", [[], {}]),
    ],
)  # fmt: skip
def test_what_makes_no_exception_of_that_class_is_only_what_it_said(
    name: str, parts: object
) -> None:
    data = forged(["builtins", name, "said", False], parts)
    assert unpack_error(data, Json()) == Failure(f"builtins.{name}", "said", False, None)


@pytest.mark.parametrize("name", ["__class__", "__dict__", "__traceback__", "__cause__"])
def test_nothing_but_attributes_is_set(name: str) -> None:
    data = forged(["builtins", "KeyError", "", False], [["a"], {name: None, "mine": 1}])
    found = unpack_error(data, Json())
    assert found is not None
    again: Any = found.exception
    assert vars(again) == {"mine": 1}


@given(st.binary(max_size=100), st.sampled_from([KeyError("a"), OSError(2, "no"), ValueError(1)]))
def test_anything_can_be_read(noise: bytes, error: Exception) -> None:
    codec = Json()
    unpack_error(noise, codec)
    data = pack_error(error, codec)
    for end in range(len(data)):
        found = unpack_error(data[:end] + noise, codec)
        assert found is None or isinstance(found.exception, (Exception, type(None)))
