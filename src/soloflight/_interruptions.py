"""Exceptions that come from outside: of a signal handler, or set by another thread.

They strike anywhere, so also where code of the user's runs that may raise: a key's ``__eq__``, a
given cache. That one's errors are ours to deal with; these are their caller's.
"""

from __future__ import annotations

import signal
import sys
from functools import partial
from importlib.machinery import BuiltinImporter, ExtensionFileLoader
from itertools import pairwise
from opcode import opmap
from types import CodeType, FrameType, TracebackType
from typing import Any

_RAISE = bytes([opmap["RAISE_VARARGS"]])
_VARIADIC = 0x04  # in `co_flags`


def is_interruption(error: BaseException) -> bool:
    """Whether an exception came from outside."""
    traceback, interrupted = error.__traceback__, None
    frame: FrameType | None = None
    try:
        if not isinstance(error, Exception):
            return True
        handlers = set(map(_code, filter(callable, map(signal.getsignal, range(1, signal.NSIG)))))
        while traceback is not None:
            frame = traceback.tb_frame
            # It may have let go of what it was called with.
            if frame.f_code in handlers or (interrupted and _handles(frame, interrupted)):
                return True
            interrupted = frame
            traceback = traceback.tb_next
        # Another thread sets a class: made without a word, and by no statement of where it strikes.
        # What C makes so is its own: the StopIteration of `next`, MemoryError, `queue.Empty`.
        return not error.args and not is_raised_by(error, None) and not _is_of_c(type(error))
    finally:
        del error, traceback, interrupted, frame  # breaks the ring (see Rings)


def _is_of_c(cls: type) -> bool:
    """Whether a class was defined in C, going by its module."""
    spec = getattr(sys.modules.get(cls.__module__), "__spec__", None)
    loader = getattr(spec, "loader", None)
    return loader is BuiltinImporter or isinstance(loader, ExtensionFileLoader)


def _handles(frame: FrameType, interrupted: FrameType) -> bool:
    """Whether a frame is that of a signal handler: called with the number, and the frame there."""
    code = frame.f_code
    # In `co_varnames` keyword-only ones come before ``*args``.
    count = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[: count + bool(code.co_flags & _VARIADIC)]
    seen: list[Any] = [frame.f_locals.get(name) for name in names]
    try:
        if code.co_flags & _VARIADIC and isinstance(seen[-1], tuple):
            seen[-1:] = seen[-1]
        return any(
            isinstance(number, int) and where is interrupted for number, where in pairwise(seen)
        )
    finally:
        del frame, interrupted, seen  # breaks the ring (see Rings)


def _code(handler: Any) -> CodeType | None:
    """The code of a signal handler, where that is Python."""
    while isinstance(handler, partial):
        handler = handler.func
    for function in (handler, getattr(handler, "__func__", None), type(handler).__call__):
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            return code
    return None


def is_raised_by(error: BaseException, codes: set[CodeType] | None) -> bool:
    """Whether a ``raise`` made it; where `codes` are given, one in a function of these."""
    last: TracebackType | None = error.__traceback__
    try:
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        if last is None:
            return False
        code = last.tb_frame.f_code
        raised = code.co_code[last.tb_lasti : last.tb_lasti + 1] == _RAISE
        return raised and (codes is None or code in codes)
    finally:
        del error, last  # breaks the ring (see Rings)


class UsersErrors:
    """A ``with`` block whose errors of the user's code do not matter; interruptions pass."""

    def __enter__(self) -> None: ...

    def __exit__(self, cls: object, error: BaseException | None, traceback: object) -> bool:
        try:
            return error is not None and not is_interruption(error)
        finally:
            del error, traceback  # breaks the ring (see Rings)


users_errors = UsersErrors()
