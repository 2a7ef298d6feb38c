"""`SieveCache`, as it is used by hand: a cache of cachetools' family."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from .._durations import size
from .._given import check_callable
from .._locks import critical
from .._runners import me
from .entry import Entry, Plain
from .index import Scoped
from .sieve import FOLD, Sieve

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
R = TypeVar("R")

if TYPE_CHECKING:  # cachetools has no types
    from collections.abc import MutableMapping

    class Cache(MutableMapping[K, V]): ...
else:
    from cachetools import Cache

_MISSING: Any = object()
UNIT = 1 << 64
"""Sizes that are not all 1 are reckoned in parts of 2**-64."""
NUMBER_OR_NONE = "a number, or None for no limit"


class _ByHand:
    """Whoever puts something in by hand: see `sieve.Owner`."""

    uneven = False
    now = -inf

    def tidy(self) -> None: ...

    def copes(self, error: BaseException) -> bool:
        return False

    def owns(self, node: Entry[Any]) -> bool:
        return False


BY_HAND = _ByHand()


class SieveCache(Cache[K, V]):
    """The cache that `cached_singleflight` makes by default; a `cachetools.Cache`.

    It keeps `maxsize` entries, or as many as weigh that by `getsizeof`, which gets a value. Who
    goes is found by SIEVE (Zhang et al., NSDI 2024) and a rule that learns from keys that come
    back: on most workloads it loads less than LRU does, and no less where a loop or a scan is
    larger than the cache. A read moves nothing.

    It can be given to one or more functions (``cache=SieveCache(10_000)``), to
    `cachetools.cached`, or be used by hand, from any thread. Functions keep their own entries apart
    from each other's and from what is put in by hand, which they do not see. To `del` an entry, or
    `clear`, drops it and fences nothing: a load in progress may store it again (see
    ``f.invalidate``). Deadlines belong to the functions that stored the entries: by hand they are
    seen until they are dropped. A `popitem` that a subclass overrides is not asked.

    Args:
        maxsize: the largest sum of sizes; ``None``: no limit.
        getsizeof: the size of a value, 0 or more; default: 1 each.

    Raises:
        TypeError, ValueError: for what cannot be a size; `ValueError` where a value that is put in
            by hand is larger than the cache.

    >>> cache = SieveCache(2)
    >>> cache["a"], cache["b"] = 1, 2
    >>> cache["a"]
    1
    >>> cache["c"] = 3  # nobody has asked for "b"
    >>> list(cache)
    ['a', 'c']
    """

    def __init__(
        self, maxsize: float | None, getsizeof: Callable[[V], float] | None = None
    ) -> None:
        if getsizeof is not None:
            check_callable(getsizeof, "getsizeof")
        self._getsizeof = getsizeof
        self._maxsize = size(inf if maxsize is None else maxsize, "maxsize", NUMBER_OR_NONE)
        self._sieve = self._queue()

    def _queue(self) -> Sieve:
        return Sieve(_exact(self._maxsize, FOLD) if self.sized else self._maxsize)

    def getsizeof(self, value: V) -> float:
        """The size of a value."""
        return 1 if self._getsizeof is None else self._getsizeof(value)

    @property
    def sized(self) -> bool:
        """Whether values have sizes of their own."""
        return self._getsizeof is not None or type(self).getsizeof is not SieveCache.getsizeof

    def measured(self, value: V) -> float:
        """The size of a value, as the queue has it. This is user code: no lock is held."""
        if not self.sized:
            return 1
        return _exact(size(self.getsizeof(value), "what getsizeof() returns"), 1)

    @property
    def maxsize(self) -> float:
        """The largest sum of sizes; ``math.inf``: no limit."""
        return self._maxsize

    @property
    def currsize(self) -> float:
        """The sum of the sizes of what it holds."""
        total = self._sieve.total
        if not self.sized:
            return total
        whole, rest = divmod(total >> 32, UNIT)
        return whole + rest / UNIT if rest else whole

    def _change(self, section: Callable[..., R], *args: Any) -> R:
        return critical(self._sieve.lock, section, *args)

    def _own(self, key: Any) -> Any:
        """A key as the queue has it: that of a function with another cache is any key."""
        if type(key) is Scoped and getattr(key.of.owner, "sieve", None) is not self._sieve:
            return Scoped(self._sieve.index, key)
        return key

    def _find(self, key: Any) -> Any:
        index, short = key if type(key) is Scoped else (self._sieve.index, key)
        return index.get(short)

    def __getitem__(self, key: K) -> V:
        node: Any = self._change(self._use, self._own(key))
        if node is None:
            return self.__missing__(key)
        return node.value if type(node) is Plain else node  # type: ignore[no-any-return]

    def _use(self, key: K) -> Entry[Any] | None:
        node: Entry[Any] | None = self._find(key)
        if node is not None:
            uses = self._sieve.uses
            uses.besides += 1; node.visited = next(uses.counter)  # fmt: skip
        return node

    def __missing__(self, key: K) -> V:
        raise KeyError(key)

    def __setitem__(self, key: K, value: V) -> None:
        node = Plain(value)
        size = self.measured(value)
        if not size <= self._sieve.maxsize or size == inf:
            raise ValueError("value too large")
        node.size = size  # type: ignore[assignment]  # it is finite, and so an integer
        self._change(self._sieve.put, BY_HAND, self._own(key), node)

    def __delitem__(self, key: K) -> None:
        if self._change(self._sieve.drop, self._own(key)) is None:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self._find(self._own(key)) is not None

    def __len__(self) -> int:
        return self._sieve.count

    def __iter__(self) -> Iterator[K]:
        """The keys, from old to new, as they are now."""
        return iter([self._shown(node.key) for node in self._change(self._nodes)])

    def _nodes(self) -> list[Any]:
        """What is seen, from old to new."""
        nodes: list[Any] = []
        node = root = self._sieve.root
        while (node := node.newer) is not root:
            if node is None:  # a destructor that ran in here had it go
                return self._nodes()
            nodes.append(node)
        me.local.thread.dropped.append(nodes)  # some may go meanwhile, and must not end in the lock
        return [node for node in nodes if self._find(node.key) is node]

    def _shown(self, key: Any) -> Any:
        """The key of an entry as it was given: see `_own`."""
        return key.key if type(key) is Scoped and key.of is self._sieve.index else key

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, or the default."""
        node: Any = self._change(self._use, self._own(key))  # `__missing__` is not asked
        if node is None:
            return default
        return node.value if type(node) is Plain else node

    def pop(self, key: Any, default: Any = _MISSING) -> Any:
        """Remove a key and return its value, or the default; KeyError where neither is there."""
        node: Any = self._change(self._sieve.drop, self._own(key))
        if node is not None:
            return node.value if type(node) is Plain else node
        if default is _MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[K, V]:
        """Remove and return whom the hand takes next."""
        node: Any = self._change(self._next)
        if node is None:
            raise KeyError(f"{type(self).__name__} is empty")
        return self._shown(node.key), (node.value if type(node) is Plain else node)

    def _next(self) -> Entry[Any] | None:
        sieve = self._sieve
        while (node := sieve.pick()[0]) is not sieve.root:
            gone = sieve.drop(node.key)
            sieve.unlink(node)  # where it was in no index
            if gone is not None:
                return gone
        return None

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value of a key; if there is none, it is the default from now on."""
        value = self.get(key, _MISSING)
        if value is _MISSING:
            self[key] = value = default
        return value

    def clear(self) -> None:
        """Drop everything."""
        for key in self:
            self.pop(key, None)

    def __repr__(self) -> str:
        name = type(self).__name__
        items = {key: value for key, value, _ in self._items()}
        return f"{name}({items!r}, maxsize={self.maxsize!r}, currsize={self.currsize!r})"

    def _items(self) -> list[tuple[Any, Any, int]]:
        """What it holds, with the sizes: a copy measures nothing anew."""
        return [
            (self._shown(node.key), node.value if type(node) is Plain else node, node.size)
            for node in self._change(self._nodes)
        ]

    def __getstate__(self) -> Any:
        """As its items: neighbours in a queue would be pickled each inside of the other."""
        return {name: kept for name, kept in vars(self).items() if name != "_sieve"}, self._items()

    def __setstate__(self, state: Any) -> None:
        kept, items = state
        vars(self).update(kept)
        self._sieve = self._queue()
        for key, value, weight in items:
            node = Plain(value)
            node.size = weight
            self._change(self._sieve.put, BY_HAND, self._own(key), node)

    def __copy__(self) -> Any:
        copy = type(self).__new__(type(self))
        copy.__setstate__(self.__getstate__())
        return copy


def _exact(size: float, count: int) -> float:
    """A size as an integer, whose sums do not drift, and before it, how many entries it is of."""
    if size == inf:
        return size
    whole, rest = divmod(size, 1)
    return ((int(whole) * UNIT + round(rest * UNIT)) << 32) + count


WHOLE: Any = _exact(1, 1)
