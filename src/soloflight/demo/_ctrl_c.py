"""Ctrl-C as a flag, so that it never strikes between a measurement and its result."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class CtrlC:
    """Whether it was pressed."""

    pressed: bool = False


@contextmanager
def catching_ctrl_c() -> Iterator[CtrlC]:
    """Within the `with` block the first Ctrl-C sets `pressed`; the second interrupts as usual."""
    ctrl_c = CtrlC()

    def press(number: int, frame: FrameType | None) -> None:
        ctrl_c.pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = signal.signal(signal.SIGINT, press)
    try:
        yield ctrl_c
    finally:
        signal.signal(signal.SIGINT, previous)
