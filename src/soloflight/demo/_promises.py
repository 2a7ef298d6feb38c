"""What schemes promise, and how a run's figures show that it was not kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ._figures import Figures
from ._settings import Settings


@dataclass(frozen=True)
class Promise:
    """A promise in words, and what figures say against it: None, or why it was not kept."""

    words: str
    complaint: Callable[[Figures, Settings], str | None]


def _one_call_per_expiry(figures: Figures, settings: Settings) -> str | None:
    if figures.failed:
        return f"{figures.failed} requests failed"
    calls = figures.calls - figures.failed_calls  # that of a process that was killed fails
    if calls != figures.expiries:
        return f"{calls} calls to the origin for {figures.expiries} expiries"
    if figures.versions < calls:
        return f"{calls} calls to the origin, but clients saw {figures.versions} answers"
    if figures.expiries < 2:
        return "the value hardly ever expired, so nothing was shown"
    return None


def _one_call_at_a_time(figures: Figures, settings: Settings) -> str | None:
    return f"{figures.at_once} calls at a time" if figures.at_once > 1 else None


def _nobody_waited(figures: Figures, settings: Settings) -> str | None:
    # Among those who wait for a call is the one who makes it, and that takes at least its cost. A
    # client that the machine has put to sleep just as the new value came may look as if it waited.
    if figures.waited and figures.latency_max >= settings.cost:
        return f"{figures.waited} answers had to wait for a reload"
    return None


def _all_answered(figures: Figures, settings: Settings) -> str | None:
    if figures.failed:
        return f"{figures.failed} requests failed"
    if not figures.failed_calls:
        return "no call failed, so nothing was shown"
    return None


def _no_long_wait(figures: Figures, settings: Settings) -> str | None:
    # Room for a busy machine, on which who is woken has to wait for its turn.
    if figures.longest_wait >= 5 * settings.wait_timeout:
        return f"somebody waited for {figures.longest_wait:.3g} s"
    return None


def _held_off(figures: Figures, settings: Settings) -> str | None:
    return f"{figures.too_soon} calls too soon after a failed one" if figures.too_soon else None


ONE_CALL_PER_EXPIRY = Promise("exactly 1 call per expiry", _one_call_per_expiry)
ONE_CALL_AT_A_TIME = Promise("never more than 1 call at a time", _one_call_at_a_time)
NOBODY_WAITED = Promise("nobody waited for a reload", _nobody_waited)
ALL_ANSWERED = Promise("every request was answered", _all_answered)
NO_LONG_WAIT = Promise("nobody waited for long", _no_long_wait)
HELD_OFF = Promise("later attempts were held off", _held_off)
