"""Which flights are on a table: at most one for each key.

No dict of keys: where a key's ``__eq__`` is Python, other threads run in the middle of a dict
operation, so that two of them may both find nothing and both insert. A dict of *hashes* compares
integers, and each operation on it is one atomic step. Keys are compared outside of those; whoever
then acts on what was found says which flight that was, and learns whether it is still there. Nor
does a landing run any code of a key's, whose hash may have changed since.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from .._locks import locked
from .._runners import RLock
from .flight import Flight

Found = Flight | tuple[Flight, ...]
"""What is there under one hash; usually one flight."""


class Flights(dict[int, Found]):
    """The flights of a table, by the hash of their keys.

    Entering takes no lock, unless keys share a hash; removal needs that of the table. The table
    does in line what nearly always will do; the rest is here.
    """

    __slots__ = ("_lock",)

    def __init__(self, lock: RLock) -> None:
        self._lock = lock

    def enter(self, mine: Flight) -> Flight:
        """The flight of its key: `mine` from now on, unless there was one."""
        found = self.setdefault(mine.hash, mine)
        return mine if found is mine else self.entered(found, mine)

    def entered(self, found: Found, mine: Flight) -> Flight:
        """The same where something was `found` under its hash."""
        while found is not mine:
            flight = _of_key(found, mine.key)
            if flight is not None:
                return flight
            if locked(self._lock, self._beside, found, mine):
                break
            found = self.setdefault(mine.hash, mine)
        return mine

    def _beside(self, found: Found, mine: Flight) -> bool:
        """Put `mine` beside those of other keys, unless that has changed since they were found."""
        both, key = (*_each(found), mine), mine.hash
        if key in self and self[key] is found: self[key] = both; return True  # fmt: skip
        return False  # (in one line: see `remove`)

    def of(self, key: Hashable) -> Flight | None:
        """The flight of `key`."""
        found = self.get(hash(key))
        return None if found is None else _of_key(found, key)

    def has(self, flight: Flight) -> bool:
        """Whether this very flight is there."""
        found = self.get(flight.hash)
        return found is flight or (type(found) is tuple and flight in found)

    def remove(self, flight: Flight) -> bool:
        """Remove this very flight; whether it was there."""
        key = flight.hash
        while self.has(flight):
            # Look and change in one line without a call: a signal handler strikes before it, or
            # after it.
            if key in self and self[key] is flight: del self[key]; return True  # fmt: skip
            found = self.get(key)
            if type(found) is tuple and flight in found:
                others = tuple(other for other in found if other is not flight)
                left = others if len(others) > 1 else others[0]
                if key in self and self[key] is found: self[key] = left; return True  # fmt: skip
        return False

    def all(self) -> Iterator[Flight]:
        for found in list(self.values()):
            yield from _each(found)


def _each(found: Found) -> tuple[Flight, ...]:
    return found if isinstance(found, tuple) else (found,)


def _of_key(found: Found, key: Hashable) -> Flight | None:
    for flight in _each(found):
        if flight.key is key or flight.key == key:
            return flight
    return None
