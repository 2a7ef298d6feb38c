"""Plain functions: what the user holds is the generated wrapper, and what it offers are attributes.

It is a function then for all who ask, and there is nothing between a call and the hit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from operator import attrgetter
from types import FunctionType
from typing import Any
from weakref import ref

from .._flights.flight import Call, call_of
from .core import Core
from .looks import Own, turn
from .surface import AwaitedSurface, CachedSurface, FlightSurface


class _Offer(FlightSurface[..., Any]):
    """What one function offers. It does not hold the function: there is no ring to collect."""

    __slots__ = ("_bind", "_core", "_function")

    def __init__(self, core: Core, bind: Callable[..., Call], function: FunctionType) -> None:
        self._core = core
        self._bind = bind
        self._function = ref(function)

    def __reduce__(self) -> Any:
        return attrgetter("forget.__self__"), (self._function(),)

    def __repr__(self) -> str:
        return f"<soloflight of {self._core.spec.name}>"


class _CachedOffer(_Offer, CachedSurface[..., Any]):
    __slots__ = ()


class _AwaitedOffer(AwaitedSurface, _CachedOffer):
    __slots__ = ()


_NAMES = {
    offer: frozenset(name for name in dir(offer) if not name.startswith("_"))
    for offer in (_Offer, _CachedOffer, _AwaitedOffer)
}


def plain(core: Core, kind: type) -> Any:
    """The function that stands for a loader from now on. `kind`: what `isinstance` takes it for."""
    offer = _Offer
    if core.spec.cached:
        offer = _AwaitedOffer if core.spec.is_async else _CachedOffer
    function, bind = core.wrapper("plain", core.spec._replace(held=True))
    held = offer(core, bind, function)
    core.table.owner = held._function
    function.__dict__ = own = Own()
    own.kind = kind
    own.offered = core.offered = _NAMES[offer] | {"_core"}
    dict.update(own, {name: getattr(held, name) for name in _NAMES[offer]}, _core=core)

    def turned() -> Callable[..., Call]:
        loads = own.get("__wrapped__")
        turn(core, held._function(), own)
        core.loads = loads  # where it was set in between, the next load asks again
        return call_of

    core.wrapped, core.turned = own.get, turned
    update_wrapper(function, core.loader)
    if getattr(core.loader, "__annotate__", own) is None:  # Python 3.14, and they may have been set
        function.__annotations__ = core.loader.__annotations__
    own.dressed = False
    return function
