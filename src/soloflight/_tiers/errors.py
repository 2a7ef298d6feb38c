"""How an exception travels: by the name of its class, and what it was made of.

It is rebuilt where it is one of Python's own, or of a class that the reader named, and where the
codec carries its ``args`` and attributes. Nothing is imported for it, and its class is not called.
Everywhere else there remains what it said.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable
from contextlib import suppress
from types import MemberDescriptorType
from typing import Any, NamedTuple

from .._outcome import base_of
from .alike import difference
from .kinds import Codec

WORDS = 1000
"""Bytes of what an exception says that travel."""

PARTS = 16 * 1024
"""Bytes of the ``args`` and attributes that travel: more than that is no error, but a value."""


_END = b"\0"
"""After the names and the words. It is not in them, and in no JSON: so this is never a value."""


class Failure(NamedTuple):
    """An exception that came from another process."""

    type_name: str
    """Its class, with the module."""
    says: str
    hides: bool
    """Whether, as its leader sees it, a stale value may be served in its place."""
    exception: Exception | None
    """The same again, where it could be rebuilt."""


def pack_error(error: BaseException, codec: Codec, *, hides: bool = False) -> bytes:
    """The bytes of an exception. `codec` is the one for what has no annotation."""
    cls = type(error)
    try:
        says = str(error)
    except Exception as another:
        says = f"<its str raised {type(another).__name__}>"
    says = says.encode("utf-8", "replace")[:WORDS].decode("utf-8", "ignore")
    head = json.dumps([cls.__module__, cls.__qualname__, says, hides])
    return head.encode() + _END + _parts(error, codec)


def _parts(error: BaseException, codec: Codec) -> bytes:
    """What it can be rebuilt from; nothing where the codec does not carry that."""
    base = base_of(type(error))
    try:
        # Not the class's own: whoever wrote that decided what it does.
        _, args, *state = base.__reduce__(error)
        parts = [list(args), {**(state[0] if state else {}), **_slots(error, base)}]
        data = codec.encode(parts)
        carried = len(data) <= PARTS and not difference(parts, codec.decode(data))
    except Exception:
        carried = False
    return data if carried else b""


def _slots(error: BaseException, base: type) -> dict[str, Any]:
    """What stands in slots. (Those of Python's own classes are in what `base` reduces it to.)"""
    found: dict[str, Any] = {}
    for cls in type(error).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, MemberDescriptorType) and not issubclass(base, cls):
                with suppress(AttributeError):  # it is not set
                    found[name] = member.__get__(error)
    return found


def unpack_error(data: bytes, codec: Codec, named: Iterable[type] = ()) -> Failure | None:
    """An exception of another process; None where the bytes are damaged.

    `named` are the classes that the options of the function name.
    """
    head, _, parts = data.partition(_END)
    try:
        module, name, says, hides = json.loads(head)
    except Exception:
        return None
    if not all(isinstance(one, str) for one in (module, name, says)) or type(hides) is not bool:
        return None
    exception = None
    cls = _class(module, name, named) if parts else None
    if cls is not None:
        try:
            exception = _rebuilt(cls, codec.decode(parts))
        except Exception:
            pass  # whatever it was made of: it cannot be made of that here
    return Failure(f"{module}.{name}", says, hides, exception)


def _class(module: str, name: str, named: Iterable[type]) -> Any:
    own = vars(builtins).get(name) if module == "builtins" else None
    for cls in (own, *named):
        if not isinstance(cls, type) or not issubclass(cls, Exception):
            continue  # those that are no `Exception` are somebody's interruptions
        if (cls.__module__, cls.__qualname__) == (module, name):
            return cls
    return None


def _rebuilt(cls: Any, parts: Any) -> Exception:
    args, state = parts
    base = base_of(cls)
    made: Exception = base.__new__(cls, *args)
    base.__init__(made, *args)
    if type(made) is not cls:
        raise TypeError("what is made of an errno is a class of its own")
    for name, value in state.items():
        if not name.startswith("__") or name == "__notes__":
            object.__setattr__(made, name, value)  # plain assigning might be refused
    return made
