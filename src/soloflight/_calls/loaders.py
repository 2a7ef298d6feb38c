"""What a loader says of itself: its names, and of which kind it is.

Mocks are loaders as well. One with a spec looks like a function and has the code of none.
"""

from __future__ import annotations

import inspect
import sys
from asyncio import coroutines
from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from .._shown import shown

_BOUND = (MethodType,) if sys.version_info >= (3, 14) else (MethodType, partial)
"""What has a ``__get__`` that binds nothing (from Python 3.14 on, that of a partial does)."""
# What `asyncio.iscoroutinefunction` looks for, and `create_autospec` sets (before Python 3.14).
_MARK: Any = getattr(coroutines, "_is_coroutine", None)


def qualname(loader: Any) -> str:
    found = getattr(loader, "__qualname__", None)
    return found if isinstance(found, str) else type(loader).__qualname__


def module(loader: Any) -> str:
    found = getattr(loader, "__module__", None)
    return found if isinstance(found, str) else "?"


def scope(loader: Any) -> dict[str, Any]:
    """The globals of what stands for it: `warnings`, `logging` and others look there."""
    return loader.__globals__ if type(loader) is FunctionType else {"__name__": module(loader)}


def in_class(qualname: str) -> bool:
    """Whether a name is that of something defined in a class: before it is no ``<locals>``, say."""
    return qualname.rpartition(".")[0].rpartition(".")[2].isidentifier()


def binds(loader: Any) -> bool:
    """Whether it becomes a method where a class has it as an attribute."""
    return hasattr(type(loader), "__get__") and not isinstance(loader, _BOUND)


def is_async(loader: Any, name: str) -> bool:
    """Whether what it returns is to be awaited; what nobody can share is refused."""
    if not callable(loader):
        raise TypeError(f"{name} must be a function, not {shown(loader)}")
    while isinstance(loader, partial):
        loader = loader.func
    bodies = loader, type(loader).__call__  # the second one: of an object that is no function
    if _any(inspect.isgeneratorfunction, bodies) or _any(inspect.isasyncgenfunction, bodies):
        raise TypeError(f"{name} is a generator function: its items cannot be shared by callers")
    marked = _MARK is not None and getattr(loader, "_is_coroutine", None) is _MARK
    return marked or _any(inspect.iscoroutinefunction, bodies)


def _any(asks: Callable[[Any], bool], bodies: tuple[Any, ...]) -> bool:
    # The flags of a mock with a spec may be a mock, which is true.
    return any(
        isinstance(getattr(getattr(body, "__code__", None), "co_flags", 0), int) and asks(body)
        for body in bodies
    )
