"""How the object looks that stands for a loader.

It gives the loader's own answers. The names and the like that are set on it are its own, as with
`functools.wraps`, and so is what the loader does not have: which may be a builtin, or decorated
twice.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from .core import Core


class Own(dict[str, Any]):
    """The ``__dict__`` of a decorated function that is a plain one: what it offers, and the rest.

    No other function has this very dict (`functools.wraps` copies it), so it shows which one it is.
    """

    __slots__ = ("dressed", "kind", "offered")
    kind: type  # `CachedFunction` or `Function`
    offered: frozenset[str]
    dressed: bool  # whether `functools.wraps` had it look like another function

    def update(self, other: Mapping[str, Any]) -> None:  # type: ignore[override]
        """As `functools.wraps` does. What is offered stays; nor is that of another one taken on."""
        core = other.get("_core")
        hidden = self.offered | getattr(core, "offered", self.offered)
        super().update({name: other[name] for name in other if name not in hidden})
        self.dressed = True


class Kind(type):
    """The class of decorated functions, plain ones included, which are of no class of ours."""

    def __instancecheck__(cls, thing: object) -> bool:
        own = thing.__dict__ if type(thing) is FunctionType else None
        return issubclass(own.kind, cls) if type(own) is Own else super().__instancecheck__(thing)


OWN = {"__qualname__", "__type_params__", "__annotate__"}
"""What `functools.wraps` sets besides what is in `UNBOUND`."""

_WRAPS = ("__module__", "__name__", "__qualname__", "__doc__")
"""What `functools.wraps` has set when it sets ``__wrapped__``: by all of these we know it."""


def _shown(name: str) -> property:
    """An attribute of the loader's that would be found on our class first."""

    def give(function: Any, value: object) -> None:
        function._own[name] = value

    def take(function: Any) -> None:
        function._own.pop(name, None)

    return property(lambda function: function.__getattr__(name), give, take)


def _of_function(name: str) -> property:
    return property(lambda bound: getattr(bound.__func__, name))


def _load_with(function: Any, loader: object) -> None:
    """Set ``__wrapped__``: what is put there is called from now on."""
    core, own = function._core, function._own
    face = _face(loader)
    if face and all(name in own and own[name] == face[name] for name in face):
        core.load_with(core.loader)  # this is `functools.wraps`: it is to look like that one
    else:
        core.replace(loader)
    own["__wrapped__"] = loader


def turn(core: Core, function: Any, own: Own) -> None:
    """The same where it could be set unseen: a plain function is asked at each load."""
    loader = own.get("__wrapped__", core.loader)
    face = _face(loader)
    if own.dressed and face and all(getattr(function, name, None) == face[name] for name in face):
        core.load_with(core.loader)
    else:
        core.replace(loader)


def _face(loader: object) -> dict[str, Any]:
    return {name: getattr(loader, name) for name in _WRAPS if hasattr(loader, name)}


UNBOUND = {
    **{name: _shown(name) for name in ("__annotations__", "__doc__", "__module__", "__name__")},
    "__dict__": property(
        lambda function: ChainMap(function._own, getattr(function._core.loader, "__dict__", {}))
    ),
    "__wrapped__": property(
        lambda function: function._own["__wrapped__"],
        _load_with,
        lambda function: _load_with(function, function._core.loader),
    ),
}
BOUND = {name: _of_function(name) for name in ("__annotations__", "__doc__", "__module__")}
