"""What the cases and the adapters share: a case, what it asks for, and a cached function.

A case sees a cached function only through `Made`, that is from outside. It is written once, as an
`async def` over a *world*, threads or asyncio: see `worlds`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worlds import World

THREADS, ASYNCIO = "threads", "asyncio"


class Hang(AssertionError):
    """Somebody waits for an answer that does not come."""


class Boom(Exception):
    """What a loader raises."""


@dataclass(frozen=True)
class Options:
    """What a case asks of a library; it has all of it or does not offer the case."""

    ttl: float = 600.0
    stale: float = 0.0
    """For so many seconds after its ttl a value is served while it is loaded anew."""
    typed: bool = False
    too_large: bool = False
    """Values are strings of 100 characters, too large for the cache."""


@dataclass(frozen=True)
class Made:
    """A cached function, and what else can be done with it; what is not offered is None."""

    call: Callable[..., Any]
    invalidate: Callable[..., Any] | None = None
    clear: Callable[[], Any] | None = None
    put: Callable[..., Any] | None = None
    """The value first, then the arguments of the call."""


@dataclass(frozen=True)
class Case:
    name: str
    law: int
    title: str
    why: str
    worlds: tuple[str, ...]
    needs: frozenset[str]
    run: Callable[[World], Coroutine[Any, Any, None]]


CASES: list[Case] = []


def case(
    law: int, why: str, needs: str = "", worlds: tuple[str, ...] = (THREADS, ASYNCIO)
) -> Callable[[Any], Any]:
    def register(run: Any) -> Any:
        name, title = run.__name__.replace("_", "-"), (run.__doc__ or "").strip()
        CASES.append(Case(name, law, title, why, worlds, frozenset(needs.split()), run))
        return run

    return register
