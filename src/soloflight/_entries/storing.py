"""Who stores something, and by what right."""

from __future__ import annotations

from typing import Any, Protocol

from .entry import Entry


class Right(Protocol):
    """That of a load to store what it brought."""

    fenced: bool
    """Whether it was lost meanwhile."""


class Owner(Protocol):
    """Who stores something: a function, or somebody by hand."""

    timed: bool
    """Whether entries expire."""
    uneven: bool
    """Whether what is stored later may expire sooner."""
    now: float
    """How late it is on its timer, about."""

    def tidy(self) -> None: ...
    def copes(self, error: BaseException) -> bool: ...

    def owns(self, node: Entry[Any]) -> bool: ...
