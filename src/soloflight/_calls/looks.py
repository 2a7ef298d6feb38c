"""How the object looks that stands for a loader.

It gives the loader's own answers. The names and the like that are set on it are its own, as with
`functools.wraps`, and so is what the loader does not have: which may be a builtin, or decorated
twice.
"""

from __future__ import annotations

from collections import ChainMap
from typing import Any

from . import loaders

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
    face = {name: getattr(loader, name) for name in _WRAPS if hasattr(loader, name)}
    if face and all(name in own and own[name] == face[name] for name in face):
        core.load_with(core.loader)  # this is `functools.wraps`: it is to look like that one
    elif loaders.is_async(loader, f"{core.spec.name}.__wrapped__") is core.spec.is_async:
        core.load_with(loader)
    else:
        kind = "an async def" if core.spec.is_async else "a plain function"
        raise TypeError(f"{core.spec.name} is {kind}: so must be what is put in its place")
    own["__wrapped__"] = loader


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
