"""What is given as an option: whether it was, and can be called."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

from ._shown import shown

UNSET: Any = type("UNSET", (), {"__repr__": lambda self: "<unset>"})()
"""The default of options for which ``None`` has a meaning, or that have none without others."""


def check_callable(option: object, what: str, kind: str = "a callable") -> None:
    """Refuse what is no plain callable; `what` names it in the error."""
    if not callable(option):
        raise TypeError(f"{what} must be {kind}, not {shown(option)}")
    if iscoroutinefunction(option) or iscoroutinefunction(type(option).__call__):
        raise TypeError(f"{what} must be a plain function, not an async def: nobody awaits it")
