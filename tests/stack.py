"""A call where the stack runs out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from soloflight._runners import me

DEPTH = 200  # frames; deeper than any other thread here


def with_room(frames: int, call: Callable[[], Any]) -> Any:
    """Call where the stack has room for so many more frames."""

    def descend(levels: int) -> Any:
        if levels:
            return descend(levels - 1)
        try:
            sys.setrecursionlimit(depth() + frames)
            return call()
        finally:
            sys.setrecursionlimit(limit)

    assert me.local.thread, "made at its first use, which needs room as well"
    limit = sys.getrecursionlimit()
    return descend(DEPTH)


def depth() -> int:
    frame: Any = sys._getframe()
    count = 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count
