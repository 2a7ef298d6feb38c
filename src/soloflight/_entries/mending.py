"""What becomes of a cache of cachetools where a change of it broke off in the middle.

Mostly nothing, as nothing is half done. Else what is not everywhere where it belongs goes, which is
at most what was being stored, evicted or removed. The rest stays as it is, in its order and with
its deadlines; of the user's code only the keys' ``__hash__`` and ``__eq__`` run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, MutableMapping
from math import isclose
from operator import attrgetter
from types import FrameType, TracebackType
from typing import Any

from .._interruptions import is_interruption

_KEYED = [
    "_Cache__size", "_FIFOCache__order", "_LFUCache__links", "_LRUCache__order", "_MRUCache__order",
    "_RRCache__index", "_TLRUCache__items", "_TTLCache__links",
    "_LFUCache__counter",  # before cachetools 6
]  # fmt: skip
"""Where besides the data something is kept for each key."""


def mend(cache: MutableMapping[Any, Any], error: BaseException | None) -> bool | None:
    """Make a cache whole after an `error` in a change; without one, after a fork, make it empty.

    Returns True; False where its class has methods of its own, which may know of things that are
    gone; None for a kind of cache that we do not know.
    """
    frame = None if error is None else _deepest(error)
    try:
        if isinstance(cache, dict):
            if error is None:
                cache.clear()
            return True
        own = vars(cache) if hasattr(cache, "__dict__") else {}
        if "_Cache__data" not in own:
            return None
        timer: Any = own.get("_TimedCache__timer")
        # Only where the timer's own methods broke off: elsewhere it may rightly stand still, as
        # while somebody iterates over the cache.
        entering = frame is not None and frame.f_code.co_name in ("__enter__", "__exit__")
        if timer is not None and (error is None or entering):
            timer._Timer__nesting = 0
        if error is not None and (_is_asking(frame, own) or _is_whole(own)):
            return True
        try:
            _trim(own, keep=error is not None)
        except BaseException as again:  # user code: rather empty than broken
            _trim(own, keep=False)
            if is_interruption(again):
                raise
        return all(
            getattr(getattr(type(cache), name), "__module__", None) == "cachetools"
            for name in ("__setitem__", "__delitem__", "popitem")
        )
    finally:
        del error, frame  # breaks the ring (see Rings)


def _deepest(error: BaseException) -> FrameType | None:
    """The frame of cachetools that an error came out of."""
    frame: FrameType | None = None
    traceback: TracebackType | None = error.__traceback__
    try:
        while traceback is not None:
            if traceback.tb_frame.f_globals.get("__name__") == "cachetools":
                frame = traceback.tb_frame
            traceback = traceback.tb_next
        return frame
    finally:
        del error, traceback, frame  # breaks the ring (see Rings)


def _is_asking(frame: FrameType | None, own: dict[str, Any]) -> bool:
    """Whether a store was still asking ``getsizeof``, which comes before all that it changes."""
    try:
        return (
            own.get("_Cache__size") is not None
            and frame is not None
            and frame.f_code.co_name == "__setitem__"
            and "diffsize" in frame.f_code.co_varnames  # that of the base class
            and "diffsize" not in frame.f_locals
        )
    finally:
        del frame  # breaks the ring (see Rings)


def _parts(own: dict[str, Any]) -> list[Any]:
    return [own[name] for name in _KEYED if own.get(name) is not None]


def _size(own: dict[str, Any]) -> Any:
    sizes = own.get("_Cache__size")
    return len(own["_Cache__data"]) if sizes is None else sum(sizes.values())


def _is_whole(own: dict[str, Any]) -> bool:
    """Whether nothing is half done. One key at a time is changed, so that counting will do."""
    count = len(own["_Cache__data"])
    if any(len(part) != count for part in [*_parts(own), own.get("_RRCache__keys", range(count))]):
        return False
    if not isclose(own["_Cache__currsize"], _size(own), abs_tol=1e-9):
        return False
    if "_TLRUCache__order" in own:
        return count == sum(not item.removed for item in own["_TLRUCache__order"])
    if "_TTLCache__root" in own:
        return _ids(own["_TTLCache__root"]) == set(map(id, own["_TTLCache__links"].values()))
    if "_LFUCache__root" in own:
        links = {id(link): len(link.keys) for link in _ring(own["_LFUCache__root"])}
        whole = None not in _ids(own["_LFUCache__root"])
        return whole and links == Counter(map(id, own["_LFUCache__links"].values()))
    return True


def _ring(root: Any) -> Iterator[Any]:
    link = root.next
    while link is not root:
        yield link
        link = link.next


def _ids(root: Any) -> set[int | None]:
    """Those of all links; only None: two neighbours do not agree."""
    agreed = all(getattr(link.next, "prev", None) is link for link in (root, *_ring(root)))
    return {id(link) for link in _ring(root)} if agreed else {None}


def _tie(root: Any, links: Iterable[Any]) -> None:
    last = root
    for link in links:
        last.next, link.prev = link, last
        last = link
    last.next, root.prev = root, last


def _trim(own: dict[str, Any], *, keep: bool) -> None:
    """Remove what is not everywhere where it belongs, or all; and tie the rest together anew."""
    data, parts = own["_Cache__data"], _parts(own)
    links: dict[Any, Any] = own.get("_TTLCache__links", {})
    if keep:
        everywhere = {key for key in data if all(key in part for part in parts)}
        everywhere.difference_update([k for k, link in links.items() if link.expires is None])
        for part in (data, *parts):
            for key in [key for key in part if key not in everywhere]:
                del part[key]
    else:
        for part in (data, *parts):
            part.clear()
    if "_TTLCache__root" in own:
        _tie(own["_TTLCache__root"], sorted(links.values(), key=attrgetter("expires")))
    if "_TLRUCache__order" in own:
        items = own["_TLRUCache__items"].values()
        for item in items:
            item.removed = False
        own["_TLRUCache__order"][:] = sorted(items)  # a heap
    if "_LFUCache__root" in own:
        _tie(own["_LFUCache__root"], _by_count(own["_LFUCache__links"]))
    if "_RRCache__keys" in own:
        own["_RRCache__keys"][:] = data
        own["_RRCache__index"].update((key, at) for at, key in enumerate(data))
    own["_Cache__currsize"] = _size(own)


def _by_count(links: dict[Any, Any]) -> list[Any]:
    """The links of an LFUCache, each with the keys that are its own."""
    distinct = {id(link): link for link in links.values()}.values()
    for link in distinct:
        mine = [key for key in link.keys if links.get(key) is link]
        link.keys = type(link.keys)(dict.fromkeys(mine))  # a set, or an ordered dict
    for key, link in links.items():
        link.keys.update({key: None})
    return sorted(distinct, key=attrgetter("count"))
