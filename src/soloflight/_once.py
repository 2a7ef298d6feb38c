"""Whoever comes first."""

from __future__ import annotations


class Once(dict[None, object]):
    """Something that only one of many may do: the first who takes it. True once somebody has."""

    __slots__ = ()

    def take(self, who: object) -> bool:
        """Whether it is `who` that has it: from now on, where nobody had. One atomic step."""
        return self.setdefault(None, who) is who

    def is_of(self, who: object) -> bool:
        return self.get(None) is who
