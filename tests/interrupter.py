"""A `KeyboardInterrupt` at any line of ours, in a thread that ends with its role.

A trace function raises where no signal strikes as well: between two instructions that end an
`except`. CPython then keeps that exception, and all that its frames refer to, as the one that the
thread handles, until the thread ends.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dis import opmap
from pathlib import Path
from typing import Any

import soloflight
from conftest import Caller, numbers

NOP = opmap["NOP"]
OURS = str(Path(soloflight.__file__).parent)


class Interrupter:
    """Raises at the n-th line of ours that the call executes."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.where = ""

    def __call__(self, frame: Any, event: str, arg: object) -> Any:
        filename = frame.f_code.co_filename
        if not filename.startswith((OURS, "<soloflight")):
            return None
        # A `try:` alone does nothing, so no signal strikes there; nor does the block around it
        # cover it.
        if event == "line" and frame.f_code.co_code[frame.f_lasti] != NOP:
            if self.left == 0:
                self.where = f"{filename}:{frame.f_lineno}"
                self.left -= 1
                sys.settrace(None)
                raise KeyboardInterrupt
            self.left -= 1
        return self

    def run(self, call: Callable[[], Any]) -> None:
        """Run a call in this thread, interrupted on the way."""
        old = sys.gettrace()
        gc.disable()  # what it runs of ours is nobody's call, and swallows what is raised there
        sys.settrace(self)
        try:
            call()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(old)
            gc.enable()

    @property
    def struck(self) -> bool:
        return bool(self.where)


def everywhere(role: Callable[[Interrupter], None]) -> int:
    """Play a role for each line at which it can be interrupted; after how many there is none."""
    for at in numbers():
        interrupter = Interrupter(at)
        try:
            Caller(role, interrupter).result()
        except BaseException as error:
            raise AssertionError(f"interrupted at {interrupter.where} (line {at})") from error
        if not interrupter.struck:
            return at
    raise AssertionError("it never ends")
