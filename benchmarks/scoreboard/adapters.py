"""What an adapter is, and ours. The rivals' are in `caches`, `layers` and `coalescers`.

A library is used as its own documentation says for stampedes. What it does not have, or says that
it does not do, is not offered: that counts neither for nor against it.
"""

from __future__ import annotations

from typing import Any

from kit import Case, Made, Options

MAXSIZE = 1024
SMALL = 10
"""The size of a cache that refuses the values of a case for that."""


class Library:
    """One library, as the kit sees it.

    The words: ``cache`` keeps results, ``ttl`` for a time; ``invalidate``, ``clear`` and ``put``
    are those of `Made`; ``stale`` serves the old value while it loads anew; ``weigh`` limits the
    size of values; ``typed`` tells types apart; ``keys`` makes the keys from the arguments itself;
    ``methods`` works on methods; ``loops`` works in several event loops at once.
    """

    distribution: str
    usage: str
    threads: str | None = None
    asyncio: str | None = None
    """What it offers there; None: it does not share loads there."""
    declines: tuple[str, ...] = ()
    """Cases that its documentation rules out; the note says how."""
    pace: int = 1
    """How many times as long its ttls are, where they must be whole seconds."""
    note: str = ""

    def offers(self, case: Case, world: str) -> bool:
        words: str | None = getattr(self, world)
        if words is None or world not in case.worlds or case.name in self.declines:
            return False
        return case.needs <= set(words.split())

    def make(self, loader: Any, world: str, options: Options) -> Made:
        raise NotImplementedError

    def repository(self, get: Any, world: str) -> Any:
        """A class with a name and a cached method ``get``."""

        class Repository:
            def __init__(self, name: str) -> None:
                self.name = name

        cached = self.make(get, world, Options()).call
        return type("Repository", (Repository,), {"get": cached})


def text(*args: Any, **kwargs: Any) -> str:
    """The key of a call, for libraries that want one from their user, as a string."""
    return repr((args, sorted(kwargs.items())))


class Soloflight(Library):
    distribution = "soloflight"
    usage = "@cached_singleflight(ttl=…)"
    threads = asyncio = "cache ttl stale invalidate clear put weigh typed keys methods loops"
    more: dict[str, Any] = {}  # noqa: RUF012
    """Options that a test adds, such as a clock of its own."""

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from soloflight import cached_singleflight

        more = self.more | ({"maxsize": SMALL, "getsizeof": len} if options.too_large else {})
        if options.stale:
            more["stale_while_revalidate"] = options.stale
        f: Any = cached_singleflight(ttl=options.ttl, typed=options.typed, **more)(loader)
        return Made(f, f.invalidate, f.clear, f.put)
