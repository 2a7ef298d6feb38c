"""The shape of an annotation: a text that changes with what its values are made of.

The same in every process, and on every Python as far as can be. So it has no names of modules, as
classes move; nothing that has to be shown by its ``repr``, which may be an address; and unions in
the order of the alphabet.
"""

from __future__ import annotations

import typing
from enum import Enum
from hashlib import blake2b
from types import UnionType
from typing import Annotated, Any, Literal, Union

from .alike import fields

SIZE = 4
"""Bytes of a schema."""


def schema(codec: str, annotation: Any) -> bytes:
    """What an envelope says of its payload: by which codec it was written, and of what shape."""
    text = f"{len(codec)}:{codec}:{shape(annotation)}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=SIZE).digest()


def shape(annotation: Any) -> str:
    return _shape(annotation, ())


def _shape(annotation: Any, inside: tuple[Any, ...]) -> str:
    """Of a class that it is `inside` of already, just the name."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _shape(args[0], inside)  # the rest only says which values are valid
    if origin is Literal:
        return _listed("Literal", sorted(map(_literal, args)))
    parts = [_shape(part, inside) for part in args]
    if origin in (Union, UnionType):
        return _listed("Union", sorted(parts))
    if origin is not None:
        # (Of a callable, say, the first argument is a list of them.)
        return _shape(origin, inside) + (_listed("", parts) if parts else "")
    if isinstance(annotation, (list, tuple)):
        return _listed("", [_shape(part, inside) for part in annotation])
    for meaning in ("__supertype__", "__value__"):  # `NewType`; ``type X = ...``
        if hasattr(annotation, meaning):
            return _shape(getattr(annotation, meaning), inside)
    name = _name(annotation)
    if not isinstance(annotation, type) or annotation in inside:
        return name
    return name + _members(annotation, (*inside, annotation))


def _literal(one: Any) -> str:
    return f"{type(one).__qualname__} {one.name if isinstance(one, Enum) else repr(one)}"


def _name(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    for said in ("__qualname__", "__forward_arg__", "__name__", "_name"):
        name = getattr(annotation, said, None)
        if isinstance(name, str):
            return name
    return type(annotation).__qualname__


def _members(cls: type, inside: tuple[Any, ...]) -> str:
    """What a class is made of, where it says so."""
    if issubclass(cls, Enum):
        return _listed(" of ", list(cls.__members__))
    if not (fields(cls) or typing.is_typeddict(cls) or hasattr(cls, "_fields")):
        return ""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception:
        return ""  # they name what is not there; whoever needs it will say so
    members = [f"{name}: {_shape(hint, inside)}" for name, hint in hints.items()]
    members += sorted(getattr(cls, "__optional_keys__", ()))
    config = getattr(cls, "__struct_config__", None)
    if config is not None:  # it says how it is written
        members += [*cls.__struct_encode_fields__]  # type: ignore[attr-defined]
        members += [f"{n}={getattr(config, n)}" for n in ("array_like", "tag_field", "tag")]
    return _listed(" of ", members)


def _listed(name: str, parts: list[str]) -> str:
    return f"{name}[{', '.join(parts)}]"
