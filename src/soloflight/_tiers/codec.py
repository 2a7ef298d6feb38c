"""How the values of a function travel: as bytes, with a check that they come back as they were.

The only user of msgspec, which is imported where a function has that codec.
"""

from __future__ import annotations

import hmac
import json
import pickle
import sys
from collections.abc import Callable
from functools import partial
from inspect import unwrap
from types import FunctionType, MethodType
from typing import Any, get_type_hints

from .._shown import shown
from .alike import difference
from .kinds import Codec
from .shape import schema


class NotShared(Exception):
    """A value that does not travel: its codec refuses it, or gives back another one."""

    def __init__(self, why: str, first: bool) -> None:
        super().__init__(why)
        self.first = first
        """Whether it is the first of its function: that is worth a log record."""


class MsgPack:
    """MessagePack by msgspec, decoded to a type."""

    name = "msgpack"

    def __init__(self, annotation: Any = Any) -> None:
        msgspec = _msgspec()
        self.encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
        self.decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(annotation).decode


class Json:
    """The standard library's JSON: no types but its own."""

    name = "json"

    def encode(self, value: Any, /) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode()

    def decode(self, data: bytes, /) -> Any:
        return json.loads(data)


class PickleCodec:
    """Pickles, signed: whatever can be pickled travels, between those who have the key.

    Who can write pickles that are loaded can run code. So nothing is loaded, nor looked at, that
    was not signed (HMAC-SHA256) with `key`: 16 random bytes or more, which the store does not know.
    What was signed for one call and then moved to another in the store is not noticed.
    """

    name = "pickle"

    def __init__(self, *, key: bytes) -> None:
        if not isinstance(key, bytes):
            raise TypeError(f"the key of a PickleCodec must be bytes, not a {type(key).__name__}")
        if len(key) < 16:
            raise ValueError("the key of a PickleCodec must have 16 bytes or more: os.urandom(32)")
        self._sign = partial(hmac.digest, key, digest="sha256")

    def encode(self, value: Any, /) -> bytes:
        data = pickle.dumps(value, protocol=5)  # of whatever Python: the same for all of a fleet
        return self._sign(data) + data

    def decode(self, data: bytes, /) -> Any:
        signature, data = data[:32], data[32:]
        if not hmac.compare_digest(self._sign(data), signature):
            raise ValueError("a pickle that was not signed with this key")
        return pickle.loads(data)

    def __repr__(self) -> str:
        return "PickleCodec(key=...)"  # which is a secret


def _msgspec() -> Any:
    try:
        import msgspec
    except ImportError:
        raise ImportError(
            "values are shared as MessagePack by msgspec, which is not installed: install "
            "soloflight[redis] or soloflight[host], or give codec='json'"
        ) from None
    return msgspec


_CODES = {"msgpack": 1, "json": 2, "pickle": 3}
"""The byte of each codec in an envelope; 0 is any other."""


def chosen(codec: str | Codec) -> Codec:
    """The codec that an option asks for."""
    if isinstance(codec, str):
        if codec == "pickle":
            raise ValueError("pickles have to be signed: give codec=PickleCodec(key=...)")
        if codec not in _NAMED:
            raise ValueError(f"codec must be 'msgpack', 'json' or a codec, not {codec!r}")
        return _NAMED[codec]()
    calls = [getattr(codec, call, None) for call in ("encode", "decode")]
    if isinstance(codec, type) or not all(map(callable, calls)):
        raise TypeError(f"a codec is an object with encode and decode, not {shown(codec)}")
    if not isinstance(getattr(codec, "name", None), str):
        raise TypeError(f"a codec has a name, a str: {shown(codec)} has none")
    return codec


_NAMED: dict[str, Callable[[], Codec]] = {"msgpack": MsgPack, "json": Json}

CHECKED = 3
"""How many values of each type are decoded again, before a function's codec is trusted with it."""

_TYPES = 16
"""How many types are remembered as trusted. Where there are more, there may be any number."""


class Coder:
    """How the values of one function travel.

    `prepare` comes first: annotations may name what is defined further below, so they are looked at
    with the first load and not at decoration.
    """

    __slots__ = (
        "_checked", "_codec", "_loader", "_said", "_why", "code", "schema", "untyped",
    )  # fmt: skip

    code: int
    """Of the codec, in an envelope."""
    schema: bytes
    """Four bytes of the codec's name and the annotation's shape."""
    untyped: Codec
    """For what has no annotation: the ``args`` of exceptions."""

    def __init__(self, codec: str | Codec, loader: Callable[..., Any]) -> None:
        self.untyped = self._codec = chosen(codec)
        self.code = _CODES.get(self._codec.name, 0)
        self._loader = loader
        self._why: str | None = None  # not known yet
        self._checked: dict[type, int] = {}
        self._said = False

    def prepare(self) -> str:
        """Why no value of this function can be shared; nothing where they can."""
        if self._why is None:
            self._why = self._prepared()
        return self._why

    def _prepared(self) -> str:
        typed, annotation, why = isinstance(self._codec, MsgPack), Any, ""
        try:
            annotation = returned(self._loader)
            if typed:
                self._codec = MsgPack(annotation)
        except Exception as error:
            # The other codecs do not need it. (The same in every process of the same program.)
            if typed:
                why = (
                    f"its codec has no use for its return annotation ({type(error).__name__}: "
                    f"{error}); mend it, or give codec="
                )
        self.schema = schema(self._codec.name, annotation)
        return why

    def encode(self, value: Any) -> bytes:
        """The bytes of a value, or `NotShared`."""
        cls = type(value)
        try:
            data = self._codec.encode(value)
            if type(data) is not bytes:
                wrong = f"it makes a {type(data).__name__}, not bytes"
            elif self._checked.get(cls, 0) >= CHECKED:
                return data
            else:
                wrong = difference(value, self._codec.decode(data))
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        if not wrong:
            self._trust(cls)
            return data
        first, self._said = not self._said, True
        raise NotShared(
            f"its codec {self._codec.name!r} does not carry it ({wrong}); annotate what is "
            "returned, or give codec=",
            first,
        )

    def _trust(self, cls: type) -> None:
        if cls in self._checked or len(self._checked) < _TYPES:
            self._checked[cls] = self._checked.get(cls, 0) + 1

    def decode(self, data: bytes) -> Any:
        """The value of some bytes. They may be anybody's: it raises whatever the codec does."""
        return self._codec.decode(data)


def returned(loader: Any) -> Any:
    """The return annotation of a loader, evaluated; of an ``async def`` it is that of its result.

    It alone: what its parameters are annotated with may be imported for type checkers only.
    """
    loader = _function(loader)
    if isinstance(loader, type):
        return loader
    if not isinstance(loader, FunctionType):
        return Any  # it is made in C, say
    annotations = _annotations(loader)
    if "return" not in annotations:
        return Any

    def bare() -> None: ...

    bare.__annotations__ = {"return": annotations["return"]}
    vars(bare)["__wrapped__"] = loader  # it has the globals
    parameters = {p.__name__: p for p in getattr(loader, "__type_params__", ())}
    return get_type_hints(bare, localns=parameters, include_extras=True)["return"]


def _function(loader: Any) -> Any:
    """What a loader calls in the end, whatever has been put round it."""
    inner = None
    while inner is not loader:
        inner = loader
        if isinstance(loader, partial):
            loader = loader.func
        elif isinstance(loader, MethodType):
            loader = loader.__func__
        elif not isinstance(loader, (FunctionType, type)) and not hasattr(loader, "__wrapped__"):
            loader = getattr(type(loader).__call__, "__func__", type(loader).__call__)
        loader = unwrap(loader)
    return loader


if sys.version_info >= (3, 14):
    import annotationlib

    def _annotations(loader: FunctionType) -> dict[str, Any]:
        # Names that are not there do not matter, unless the return annotation has them: then
        # its own evaluation fails.
        return annotationlib.get_annotations(loader, format=annotationlib.Format.FORWARDREF)
else:

    def _annotations(loader: FunctionType) -> dict[str, Any]:
        return loader.__annotations__
