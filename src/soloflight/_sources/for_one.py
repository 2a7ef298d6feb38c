"""Values that only one caller can use: whoever comes second would find them used up.

Generators, async generators and coroutines, of whatever make (Cython's, those that only look like
one), and the context managers of `contextlib` that are left once: those that it makes of
generators, `closing` and `ExitStack` with their async twins. Iterators in general are not told
apart from what is meant to be shared; nor are futures and tasks, which many may await.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import (
    AsyncExitStack,
    ExitStack,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from typing import Any

_ForOne: Any = ABCMeta("_ForOne", (), {})  # it remembers of each class whether it is one
_managers: tuple[type, ...] = (closing, aclosing, ExitStack, AsyncExitStack)
for _cls in (Generator, AsyncGenerator, Coroutine, *_managers):
    _ForOne.register(_cls)
for _manager in (contextmanager, asynccontextmanager):
    _ForOne.register(type(_manager(lambda: None)()))  # type: ignore[arg-type, return-value]


PLAIN = frozenset({type(None), bool, int, float, str, bytes, tuple, list, dict, set, frozenset})
"""Classes of nearly all values: the closer look would slow every miss."""


def refusal(value: Any, name: str) -> TypeError | None:
    """The error of a value that only one caller can use. It is closed, so that nothing warns."""
    try:
        if not issubclass(type(value), _ForOne):  # a proxy would run code to say what it is
            return None
    except TypeError:
        return None  # its metaclass takes no part in that
    with suppress(Exception):
        if not issubclass(type(value), ExitStack):  # which would close what is used, perhaps
            value.close()  # async generators have none; one that was not begun needs none
    return TypeError(
        f"{name}: the value is a {type(value).__name__}, which only one caller can use, so it is "
        "neither shared nor cached: return what it yields, in a list, say, or what it manages (for "
        "a coroutine, decorate the async def itself, or use Group.do_async)"
    )
