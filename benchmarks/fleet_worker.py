"""A worker process of `fleet`: one function, under one scheme, that is called as it is told.

It is told in lines of JSON on its standard input, and answers in the same way. It ends with its
input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TTL = 600


class Loader:
    """What the function does: take a while. Loads are told as they begin."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.tells = False
        self.ended: list[float] = []

    def begins(self, key: str) -> None:
        if self.tells:
            say(leads=key, at=time.monotonic())

    def load(self, key: str) -> str:
        self.begins(key)
        time.sleep(self.seconds)
        self.ended.append(time.monotonic())
        return "value of " + key

    async def load_later(self, key: str) -> str:
        self.begins(key)
        await asyncio.sleep(self.seconds)
        self.ended.append(time.monotonic())
        return "value of " + key


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def decorated(scheme: str, where: str, loader: Loader) -> Any:
    """The function, as users of each would write it."""
    if scheme.startswith("dogpile"):
        from dogpile.cache import make_region

        arguments = {"url": where, "distributed_lock": True, "thread_local_lock": False}
        if scheme == "dogpile-10ms":
            arguments["lock_sleep"] = 0.01
        region = make_region().configure(
            "dogpile.cache.redis", expiration_time=TTL, arguments=arguments
        )

        @region.cache_on_arguments()
        def load_once(key: str) -> str:
            return loader.load(key)

        return load_once
    if scheme == "cashews":
        from cashews import Cache

        cache = Cache()
        cache.setup(where)

        @cache(ttl=TTL, lock=True)
        async def load(key: str) -> str:
            return await loader.load_later(key)

        return load
    from soloflight import cached_singleflight
    from soloflight.tiers import HostTier, RedisTier

    # Thousands of tasks that ask at once wait for each other, and for a processor.
    patience = {"timeout": 30, "lease": 30} if "-many-" in scheme else {}
    if scheme.startswith("host"):
        tier: Any = HostTier(where, **patience)
    else:
        tier = RedisTier.from_url(where, **patience)
    decorate = cached_singleflight(ttl=TTL, maxsize=100_000, tier=tier, name="load")
    if not scheme.endswith("-tasks"):

        @decorate
        def load_now(key: str) -> str:
            return loader.load(key)

        return load_now

    @decorate
    async def load_later(key: str) -> str:
        return await loader.load_later(key)

    return load_later


def answer(loader: Loader, returned: list[float], began: float) -> None:
    say(
        first=min(returned),
        last=max(returned),
        calls=len(returned),
        ended=loader.ended,
        cpu=time.process_time() - began,
        peak=peak(),
    )


def peak() -> int:
    """The most bytes that this process has had in memory."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def found_and_led(scheme: str, where: str, number: int) -> None:
    """Seconds of calls, one after the other: led through the tier, and found in it by another."""
    loaders = Loader(), Loader()
    first, other = (decorated(scheme, where, loader) for loader in loaders)
    times: dict[str, list[float]] = {"led": [], "found": []}
    for i in range(number):
        for what, load in (("led", first), ("found", other)):
            start = time.perf_counter()
            load(f"found {i}")
            times[what].append(time.perf_counter() - start)
    assert len(loaders[0].ended) == number and not loaders[1].ended
    say(**times)


class Round:
    """What a worker is told to do: call each of some keys so many times, all at once."""

    def __init__(self, told: dict[str, Any], loader: Loader) -> None:
        self.keys = told["keys"] * told["callers"]
        self.at: float = told["at"]
        loader.seconds, loader.tells, loader.ended = told["seconds"], told["tells"], []


def serve_threads(load: Callable[[str], str], loader: Loader) -> None:
    pools: dict[int, ThreadPoolExecutor] = {}
    for line in sys.stdin:
        told = Round(json.loads(line), loader)
        number = len(told.keys)
        pool = pools.setdefault(number, ThreadPoolExecutor(number))
        began, together = time.process_time(), threading.Barrier(number)

        def call(key: str, at: float = told.at, together: Any = together) -> float:
            together.wait()
            time.sleep(max(at - time.monotonic(), 0))
            assert load(key) == "value of " + key
            return time.monotonic()

        answer(loader, list(pool.map(call, told.keys)), began)


async def serve_tasks(load: Any, loader: Loader) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        told = Round(json.loads(line), loader)
        began = time.process_time()

        async def call(key: str) -> float:
            assert await load(key) == "value of " + key
            return time.monotonic()

        await asyncio.sleep(max(told.at - time.monotonic(), 0))
        answer(loader, await asyncio.gather(*map(call, told.keys)), began)


def main(scheme: str, where: str, found: str = "") -> None:
    if found:
        found_and_led(scheme, where, int(found))
        return
    loader = Loader()
    load = decorated(scheme, where, loader)
    say(ready=True)
    if scheme == "cashews" or scheme.endswith("-tasks"):
        asyncio.run(serve_tasks(load, loader))
    else:
        serve_threads(load, loader)


if __name__ == "__main__":
    main(*sys.argv[1:])
