"""A decorated function without its looks: its table, its loader, its generated wrappers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from .._entries.index import Scoped
from .._entries.shelf import Shelf
from .._flights.flight import Call, call_of
from .._flights.table import FlightTable
from .._worlds.tasks import Tasks
from .._worlds.threads import Threads
from . import keys, loaders
from .instances import Instances
from .template import Face, Spec, cells, generate, is_owner_alone

if TYPE_CHECKING:
    from .._tiers.function import Shared

NOT_FOR_FUNCTIONS = "per_instance is for methods of instances and classes; leave it out"


class Core:
    """A decorated function without its looks."""

    def __init__(
        self,
        spec: Spec,
        table: FlightTable,
        world: Tasks | Threads,
        loader: Callable[..., Any],
        *,
        for_methods: bool,
        copy: Callable[[Any], Any] | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.spec = spec
        self.table = table
        self.loader = loader
        self.world = world
        self.fences: FlightTable | Shared = table if shared is None else shared
        """What a fence is made with: of the other processes too, where there is a tier."""
        self.miss: Callable[..., Any] = world.call
        self.serve_stale: Callable[..., Any] = world.serve
        self.copy: Callable[[Any], Any] = copy or (lambda value: value)
        self.function: Any = None  # what stands for the loader
        self.for_methods = for_methods  # an option was given that has a meaning only there
        self.in_classmethod = False  # `classmethod` is outermost, and binds without asking us
        self._faces: dict[Face, tuple[Any, Callable[..., Call]]] = {}
        # What wrappers ask for where they miss:
        self.call, self.new, self.Scoped = call_of, tuple.__new__, Scoped
        self.nothing: dict[str, Any] = {}
        self.explain = keys.explain
        # Of a `plain` function: its ``__dict__.get``, what its ``__wrapped__`` was, and what to do
        # where that has changed.
        self.wrapped: Callable[[str], Any]
        self.loads: Any = loader
        self.turned: Callable[[], Callable[..., Call]]
        self.offered: frozenset[str] = frozenset()
        """The attributes that `function` has of ours, where it is the generated wrapper itself."""
        names: dict[str, Any] = {"core": self}
        dead: deque[Any] = deque(maxlen=0)  # without a cache nothing is left behind
        shelf = table.shelf
        self.shelf = cast("Shelf", shelf)  # who has none never asks
        if shelf is not None:
            dead = shelf.dead
            names |= shelf.names() | {
                "stale": table.ledger.stale_hits.counter,
                "on_error": table.ledger.stale_on_error.counter,
                "copy": copy,
            }
        self.is_diverted: bool | None = False  # by `bypasses`; None: it is about to change
        self.instances = Instances(spec.name, dead, shelf)
        names |= {"getters": self.instances.getters, "enroll": self.instances.enroll}
        self.cells = cells(**names)
        """What wrappers refer to, by its name. All faces have the same ones."""
        if shelf is not None:
            shelf.instances = self.instances.indexes

    def __reduce__(self) -> Any:  # cloudpickle, say, that takes a function to pieces
        raise TypeError(f"{self.spec.name} has locks: it can be pickled by its name only")

    def refer(self, **values: Any) -> None:
        """Have the wrappers refer to something else by these names, from the next call on."""
        for name, value in values.items():
            self.cells[name].cell_contents = value

    def load_with(self, loader: Any) -> None:
        """Have the next load, and all after it, call this loader."""
        self.world.load_with(loader)

    def replace(self, loader: Any) -> None:
        """The same for one that somebody put in the place of `loader`: it must be of its kind."""
        name, is_async = self.spec.name, self.spec.is_async
        if loaders.is_async(loader, f"{name}.__wrapped__") is not is_async:
            kind = "an async def" if is_async else "a plain function"
            raise TypeError(f"{name} is {kind}: so must be what is put in its place")
        self.load_with(loader)

    def clear_of(self, instance: object) -> None:
        """Clear what was called on an instance, or on those that share its keys."""
        per_instance = self.spec.per_instance
        if per_instance is True:
            index = self.instances.index(instance)
            if index is not None:  # or it was never called on
                self.fences.clear(lambda key: isinstance(key, Scoped) and key.of is index, index)
        elif callable(per_instance):
            owner = per_instance(instance)
            try:
                owners = {owner}
            except TypeError as error:
                keys.explain(self.spec.name, error, {}, {"per_instance": owner})
            alone = is_owner_alone(self.spec)

            def belongs(key: Any) -> bool:
                parts = key.key if self.spec.scoped or type(key) is Scoped else key
                return (parts if alone else parts[0]) in owners

            self.fences.clear(belongs)
        else:
            self.fences.clear()

    def face(self, face: Face) -> tuple[Any, Callable[..., Call]]:
        """The generated wrapper and binder of one way of calling."""
        made = self._faces.get(face)
        if made is None:
            made = self._faces[face] = self.wrapper(face, self.spec)
        return made

    def wrapper(self, face: Face, spec: Spec) -> tuple[Any, Callable[..., Call]]:
        """The same, made anew."""
        call, bind = generate(spec, face, self.cells, loaders.scope(self.loader))
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            shown = getattr(self.loader, name, None)
            if isinstance(shown, str):
                setattr(call, name, shown)
                setattr(bind, name, shown)
        return call, bind

    def defined_in_class(self) -> bool:
        return loaders.in_class(self.spec.qualname) and loaders.binds(self.loader)

    def faced(self, args: tuple[Any, ...]) -> Face:
        """Whether a call of the unbound function with `args` has an instance in front.

        It has where the loader was defined in a class body and `args` starts with an instance of
        that class, or the class itself: another decorator on top of ours calls like that.
        """
        if args and self.defined_in_class():
            owner, _, name = self.spec.qualname.rpartition(".")
            module = self.spec.module
            first = args[0] if isinstance(args[0], type) else type(args[0])
            for cls in first.__mro__:
                ours = cls.__qualname__ == owner and cls.__module__ == module
                found = vars(cls).get(name)
                if ours and not isinstance(found, staticmethod):
                    self.in_classmethod = isinstance(found, classmethod)
                    return "method"
        if self.for_methods:
            raise TypeError(f"{self.spec.name}: {NOT_FOR_FUNCTIONS}")
        return "plain"
