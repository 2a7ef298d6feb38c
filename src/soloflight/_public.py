"""Files of ours may move: what names public things (reprs, pickles, links) says ``soloflight``."""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Iterable
from typing import Any

ROOT = "soloflight"

MAKERS: dict[str, Callable[..., Any]] = {}
"""What makes the private things that pickles hold, by the words that stand for them there."""


def unpickled(word: str, *parts: Any) -> Any:
    return MAKERS[word](*parts)


unpickled.__module__, unpickled.__qualname__ = ROOT, "_unpickled"


def publish(things: Iterable[Any]) -> None:
    """Have things say that they are of the root.

    Who looks there for the source finds none: `inspect.getsource` of a class is an `OSError`, and
    Sphinx sees neither overloads nor what is said below an attribute.
    """
    for thing in things:
        if isinstance(thing, type):
            if thing.__annotations__:  # `typing` would look there for what they name
                thing.__annotations__ = typing.get_type_hints(thing)
            if "__firstlineno__" in vars(thing):  # else only a class without a metaclass loses it
                type.__delattr__(thing, "__firstlineno__")
        elif sys.version_info >= (3, 11):
            for way in typing.get_overloads(thing):
                way.__module__ = ROOT
                typing.overload(way)  # `typing` knows it by that
        thing.__module__ = ROOT
