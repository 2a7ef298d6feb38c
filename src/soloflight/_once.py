"""Whoever comes first."""

from __future__ import annotations


class Once:
    """Something that only one of many may do: the first who takes it, in one atomic step."""

    __slots__ = ("_by",)

    def __init__(self) -> None:
        self._by: dict[None, object] = {}

    def take(self, who: object) -> bool:
        """Whether it is `who` that has it: from now on, where nobody had."""
        return self._by.setdefault(None, who) is who

    def is_of(self, who: object) -> bool:
        return self._by.get(None) is who

    def __bool__(self) -> bool:
        """Whether somebody has it."""
        return bool(self._by)
