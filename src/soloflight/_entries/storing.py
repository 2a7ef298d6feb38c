"""Who stores something, and by what right."""

from __future__ import annotations

from typing import Any, Protocol

from .entry import Entry


class Right(Protocol):
    """That of a load to store what it brought."""

    hash: int
    """That of its key."""
    fenced: bool
    """Whether it was lost meanwhile."""


class Owner(Protocol):
    """Who stores something: a function, or somebody by hand."""

    uneven: bool
    """Whether entries expire, and what is stored later perhaps sooner."""
    now: float
    """How late it is on its timer, about."""

    def tidy(self) -> None: ...
    def copes(self, error: BaseException) -> bool: ...

    def owns(self, node: Entry[Any]) -> bool: ...
