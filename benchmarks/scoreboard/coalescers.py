"""The coalescers on the board: concurrent calls share a load, and nothing is kept after it.

What some of them call `forget` is their `invalidate`: there is nothing else to drop.
"""

from __future__ import annotations

from typing import Any

from adapters import Library, text
from kit import THREADS, Made, Options


class Singleflight(Library):
    distribution = "singleflight"
    usage = "SingleFlight().call(loader, key, …)"
    threads = asyncio = ""

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from singleflight.asynchronous import SingleFlightAsync
        from singleflight.basic import SingleFlight

        group = SingleFlight() if world == THREADS else SingleFlightAsync()

        def call(*args: Any, **kwargs: Any) -> Any:
            return group.call(loader, text(*args, **kwargs), *args, **kwargs)

        return Made(call)


class Coalescer(Library):
    distribution = "coalescer"
    usage = "@coalesce()"
    threads = asyncio = "invalidate keys methods loops"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        import coalescer
        import coalescer.sync

        coalesce: Any = coalescer.sync.coalesce if world == THREADS else coalescer.coalesce
        f = coalesce()(loader)

        def forget(*args: Any) -> None:
            f.coalescer.forget(coalescer.default_key_builder(loader, *args))

        return Made(f, forget)


class Oneflight(Library):
    distribution = "oneflight"
    usage = "SingleFlight().wrap(), AsyncSingleFlight().wrap()"
    threads = asyncio = "invalidate keys methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from oneflight import AsyncSingleFlight, SingleFlight

        group: Any = SingleFlight() if world == THREADS else AsyncSingleFlight()
        return Made(group.wrap()(loader), lambda *args: group.forget(args))


class SharedCall(Library):
    distribution = "shared-call-py"
    usage = "@SharedCall().group(), @AsyncSharedCall().group()"
    threads = asyncio = "invalidate keys methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from shared_call_py import AsyncSharedCall, SharedCall
        from shared_call_py._core import generate_key

        group: Any = SharedCall() if world == THREADS else AsyncSharedCall()

        def forget(*args: Any) -> Any:
            return group.forget(f"{loader.__module__}.{loader.__name__}:{generate_key(*args)}")

        return Made(group.group()(loader), forget)


class Aiocoalesce(Library):
    distribution = "aiocoalesce"
    usage = "Coalescer().run(key, loader(…))"
    asyncio = ""

    def make(self, loader: Any, world: str, options: Options) -> Made:
        from aiocoalesce import Coalescer

        group = Coalescer()

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await group.run(text(*args, **kwargs), loader(*args, **kwargs))

        return Made(call)


COALESCERS: tuple[type[Library], ...] = (
    Singleflight,
    Coalescer,
    Oneflight,
    SharedCall,
    Aiocoalesce,
)
