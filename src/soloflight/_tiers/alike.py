"""Whether a value has come back as it was: equal, and of the same types at any depth.

Python's own ``==`` does not say it: ``1 == 1.0``, and an `OrderedDict` is equal to a dict.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from .._shown import shown


def difference(value: Any, back: Any) -> str:
    """What has come back otherwise, in words; nothing where all is as it was.

    What has parts that we know (containers, and records: dataclasses, structs, classes that do not
    say what they are equal to) is what its parts are; anything else is what its own ``==`` says,
    and where that says no plain False, as that of an array, its type must do. So a datetime may
    come back with another zone of the same offset.
    """
    return _difference(value, back, "it", set())


def _difference(one: Any, other: Any, place: str, seen: set[tuple[int, int]]) -> str:
    if other is _NOTHING:
        return f"{place} does not come back"
    if one is _NOTHING:
        return f"{place} was not there"
    cls = type(one)
    if type(other) is not cls:
        return f"{place} is of type {cls.__qualname__} and comes back as {type(other).__qualname__}"
    # Both are held by what was given: no other object gets their addresses meanwhile.
    pair = id(one), id(other)
    if one is other or pair in seen:
        return ""  # the pair is being compared: it is in itself
    seen.add(pair)
    parts = _parts(one, other, cls)
    if parts is None:
        if (one == other) is not False:
            return ""
        nans = (one == one) is False and (other == other) is False  # it has come back as one
        return "" if nans else f"{place} comes back as another {cls.__qualname__}"
    for name, mine, its in parts:
        found = _difference(mine, its, place + name, seen)
        if found:
            return found
    return ""


_NOTHING = type("nothing", (), {})()

Parts = list[tuple[str, Any, Any]]
"""How each part is called, what it was, and what it is."""


def _parts(one: Any, other: Any, cls: type) -> Parts | None:
    if issubclass(cls, (list, tuple)):
        both = zip_longest(one, other, fillvalue=_NOTHING)
        return [(f"[{i}]", mine, its) for i, (mine, its) in enumerate(both)]
    if issubclass(cls, (dict, set, frozenset)):
        keys = {key: key for key in other}
        parts: Parts = [(f"'s {shown(key)}", key, keys.pop(key, _NOTHING)) for key in one]
        parts += [(f"'s {shown(key)}", _NOTHING, key) for key in keys]
        if issubclass(cls, dict):
            parts += [(f"[{shown(key)}]", one[key], other.get(key, _NOTHING)) for key in one]
        return parts
    names = fields(cls)
    if names is None and cls.__eq__ is object.__eq__:
        names = [*(vars(one) | vars(other))] if hasattr(one, "__dict__") else []
    if names is None:
        return None
    return [
        (f".{name}", getattr(one, name, _NOTHING), getattr(other, name, _NOTHING)) for name in names
    ]


def fields(cls: Any) -> list[str] | None:
    """The names of the fields of a record."""
    if hasattr(cls, "__attrs_attrs__"):
        return [field.name for field in cls.__attrs_attrs__]
    for known in ("__struct_fields__", "__dataclass_fields__"):
        if hasattr(cls, known):
            return list(getattr(cls, known))
    return None
