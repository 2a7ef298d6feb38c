"""Fences of a function that has a tier: what `FlightTable` does, and that others are told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from functools import partial
from time import monotonic
from typing import Any

from .._entries.entry import Entry
from .._entries.shelf import Shelf
from .._flights.table import FlightTable
from .._locks import critical
from .codec import Coder, NotShared
from .leases import Debt
from .verbs import CLEARED, FORGOTTEN, INVALIDATED, PUT, REFRESHED


class Fences:
    """Each is owed to the store first, and made here second: see `owing`."""

    tier: Any
    table: FlightTable
    shelf: Shelf
    coder: Coder
    f: bytes
    on_loops: bool

    def known(self, key: Hashable) -> bytes:
        raise NotImplementedError

    def kept(self, token: bytes, entry: Any, payload: bytes) -> tuple[bytes, float]:
        raise NotImplementedError

    def invalidate(self, key: Hashable) -> bool:
        return bool(self._fence(INVALIDATED, key, partial(self.table.invalidate, key)))

    def forget(self, key: Hashable) -> bool:
        return bool(self._fence(FORGOTTEN, key, partial(self.table.forget, key)))

    def put(self, key: Hashable, entry: Entry[Any] | None) -> None:
        """An entry that does not travel raises what the codec says, and changes nothing."""
        if entry is None:
            self._fence(INVALIDATED, key, partial(self.table.put, key, entry))
            return
        try:
            data, keep = self.kept(self.tier.token(), entry, self.coder.encode(entry.value))
        except NotShared as refused:
            raise TypeError(
                f"{self.table.name}: what is put is for all processes, but {refused}"
            ) from None
        self._fence(PUT, key, partial(self.table.put, key, entry), data, monotonic() + keep)

    def clear(self, *_: object) -> None:
        """All of it, whoever's it is: keys have other digests from now on."""
        self._owe(Debt(CLEARED, self.f, of=self), self.table.clear)

    def _fence(
        self,
        kind: str,
        key: Hashable,
        strike: Callable[[], Any],
        envelope: bytes = b"",
        until: float = 0.0,
    ) -> Any:
        tier = self.tier
        if not (self.on_loops or tier.is_ready(self.f)):  # else it is paid once it is ready
            tier.ready(self.f)
        return self._owe(Debt(kind, self.known(key), envelope, until, key, self), strike)

    def _owe(self, debt: Debt, strike: Callable[[], Any]) -> Any:
        tier = self.tier
        tier.owe(debt)
        try:
            return strike()
        finally:
            if self.on_loops:
                tier.keeper.wake()  # no I/O on an event loop
            else:
                tier.pay(debt.d)

    def strike(self, kind: str, key: Hashable) -> None:
        """Another process has made a fence, or a value that is newer."""
        if kind == FORGOTTEN:
            self.table.forget(key)
        elif kind == REFRESHED:
            critical(self.table.lock, self.shelf.drop, key)
        else:
            self.table.invalidate(key)

    def lose(self, held: Collection[Hashable] = ()) -> None:
        """Drop all that is here; and fence all flights, but those of some keys."""
        if not held:
            self.table.clear()
            return
        self.table.clear(lambda key: key not in held)
        for key in held:
            critical(self.table.lock, self.shelf.drop, key)
