"""Values that only one caller can use: whoever comes second would find them used up.

Generators, async generators and coroutines, of whatever make (Cython's, those that only look like
one), and the context managers that `contextlib` makes of generators. Iterators in general are not
told apart from what is meant to be shared; nor are futures and tasks, which many may await.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

_ForOne: Any = ABCMeta("_ForOne", (), {})  # it remembers of each class whether it is one
for _cls in (Generator, AsyncGenerator, Coroutine):
    _ForOne.register(_cls)
for _manager in (contextmanager, asynccontextmanager):
    _ForOne.register(type(_manager(lambda: None)()))  # type: ignore[arg-type, return-value]


PLAIN = frozenset({type(None), bool, int, float, str, bytes, tuple, list, dict, set, frozenset})
"""Classes whose values need no closer look: that is a part of every miss."""


def refusal(value: Any, name: str) -> TypeError | None:
    """The error of a value that only one caller can use. It is closed, so that nothing warns."""
    try:
        if not issubclass(type(value), _ForOne):  # a proxy would run code to say what it is
            return None
    except TypeError:
        return None  # its metaclass takes no part in that
    with suppress(Exception):
        value.close()  # async generators have none; one that was not begun needs none
    return TypeError(
        f"{name}: the value is a {type(value).__name__}, which only one caller can use, so it is "
        "neither shared nor cached: return what it yields, in a list, say (for a coroutine, "
        "decorate the async def itself, or use Group.do_async)"
    )
