"""What schemes promise, and how a run's figures show that it was not kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ._figures import Figures


@dataclass(frozen=True)
class Promise:
    """A promise in words, and what these figures say against it: None, or why it was not kept."""

    words: str
    complaint: Callable[[Figures], str | None]


def _one_call_per_expiry(figures: Figures) -> str | None:
    if figures.failed:
        return f"{figures.failed} requests failed"
    if figures.calls != figures.expiries:
        return f"{figures.calls} calls to the origin for {figures.expiries} expiries"
    if figures.versions < figures.calls:
        return f"{figures.calls} calls to the origin, but clients saw {figures.versions} answers"
    if figures.expiries < 2:
        return "the value hardly ever expired, so nothing was shown"
    return None


ONE_CALL_PER_EXPIRY = Promise("exactly 1 call per expiry", _one_call_per_expiry)
