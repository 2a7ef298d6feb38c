"""The schemes: ways to read a slow origin through a cache whose values expire, in two scenes.

Each one puts its own `read` in front of the same two loaders, `fetch` and `fetch_async`, and starts
the clients on it. Nothing here is tuned for the demo: this is what one would write.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from http.client import HTTPConnection
from textwrap import fill

from cachetools import TTLCache, cached

from soloflight import cached_singleflight

from ._load import Answer, Clients, TurnedAway
from ._origin import HOST, Origin
from ._promises import (
    ALL_ANSWERED,
    HELD_OFF,
    NOBODY_WAITED,
    ONE_CALL_AT_A_TIME,
    ONE_CALL_PER_EXPIRY,
    Promise,
)
from ._settings import Settings


class Scene(Enum):
    """What happens to the hot key while a scheme serves it."""

    EXPIRY = "expiry"
    """It keeps expiring."""
    OUTAGE = "outage"
    """It keeps expiring, and for some time the origin fails."""
    FLEET = "fleet"
    """It keeps expiring, for several processes."""
    DAY = "day"
    """It keeps expiring; for some time the origin fails, and later on it hangs."""

    @property
    def fails(self) -> bool:
        """Whether the origin fails in it."""
        return self in (Scene.OUTAGE, Scene.DAY)


@dataclass(frozen=True)
class Scheme:
    """A named way to read in a scene, and by whom it is read; and what it promises."""

    scene: Scene
    name: str
    kind: str
    start: Callable[[Clients, Origin, Settings], None] | None
    """Sets clients on it; None: processes do that (`_worker`)."""
    promises: tuple[Promise, ...] = ()

    @property
    def meaning(self) -> str:
        return {**MEANINGS, **FLEET_MEANINGS, **DAY_MEANINGS}[self.name]

    @property
    def title(self) -> str:
        words = [self.name, self.kind]
        if self.scene is Scene.OUTAGE:
            words.append(self.scene.value)
        return ", ".join(words)


MEANINGS = {
    "no protection": "a TTL cache alone: who finds nothing calls the origin",
    "limit and retry": (
        "one client calls the origin; the others are turned away and try again"
        f" {Settings.retry * 1e3:g} ms later"
    ),
    "singleflight": "one client calls the origin, the others get its answer",
    "stale while revalidate": "all get the old value while one call fetches a new one",
    "early refresh": "one call fetches a new value before the old one expires",
    "stale if error": "where a reload fails, all get the old value; the next try is held off",
}
"""What each of them does: `--help`, the printed tables and the picture say so."""
FLEET_MEANINGS = {
    "no tier": "@cached_singleflight in each process: every one of them calls the origin",
    "HostTier": "one process calls the origin, all get its answer through a directory",
    "RedisTier": "one process calls the origin, all get its answer through a Redis or Valkey",
}
DAY_MEANINGS = {
    **{
        name: MEANINGS[name]
        for name in ("no protection", "singleflight", "stale while revalidate", "stale if error")
    },
    "limits": "nobody waits for long, and a load that hangs no longer keeps others from loading",
}
"""Of a bad day, on which each scheme has the options of those before it as well."""


def glossary(meanings: Mapping[str, str] = MEANINGS) -> str:
    """What schemes are, for a terminal of 80 columns."""
    return "\n".join(
        fill(f"{name:<22} {meaning}", 80, initial_indent="  ", subsequent_indent=" " * 25)
        for name, meaning in meanings.items()
    )


def fetch(origin: Origin, key: str) -> Answer:
    """The loader of the thread schemes: one HTTP GET. Raises `OSError`."""
    with closing(HTTPConnection(HOST, origin.port)) as connection:
        connection.request("GET", f"/item/{key}")
        response = connection.getresponse()
        return _answer(response.status, response.read())


async def fetch_async(origin: Origin, key: str) -> Answer:
    """The loader of the asyncio schemes: the same GET on a stream. Raises `OSError`."""
    reader, writer = await asyncio.open_connection(HOST, origin.port)
    try:
        writer.write(f"GET /item/{key} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
        response = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    if not response:
        raise ConnectionResetError("the origin went away")
    head, _, body = response.partition(b"\r\n\r\n")
    return _answer(int(head.split(None, 2)[1]), body)


def _answer(status: int, body: bytes) -> Answer:
    if status != 200:
        raise OSError(f"the origin answered {status}")
    content = json.loads(body)
    return Answer(content["body"], content["version"])


def no_protection(clients: Clients, origin: Origin, settings: Settings) -> None:
    """A plain TTL cache: whoever finds nothing goes to the origin."""

    @cached(TTLCache(maxsize=1024, ttl=settings.ttl), lock=threading.Lock())
    def read(key: str) -> Answer:
        return fetch(origin, key)

    clients.start_threads(read)


def limit_and_retry(clients: Clients, origin: Origin, settings: Settings) -> None:
    """One client goes to the origin, the others are turned away and try again."""
    cache: TTLCache[str, Answer] = TTLCache(maxsize=1024, ttl=settings.ttl)
    loading: set[str] = set()
    lock = threading.Lock()

    def read(key: str) -> Answer:
        with lock:
            answer: Answer | None = cache.get(key)
            if answer is not None:
                return answer
            if key in loading:
                raise TurnedAway
            loading.add(key)
        try:
            answer = fetch(origin, key)
            with lock:
                cache[key] = answer
            return answer
        finally:
            with lock:
                loading.remove(key)

    clients.start_threads(read)


def singleflight(clients: Clients, origin: Origin, settings: Settings) -> None:
    """One client leads, the others follow and get the leader's answer."""

    @cached_singleflight(ttl=settings.ttl)
    def read(key: str) -> Answer:
        return fetch(origin, key)

    clients.start_threads(read)


def singleflight_async(clients: Clients, origin: Origin, settings: Settings) -> None:
    """The same for tasks."""

    @cached_singleflight(ttl=settings.ttl)
    async def read(key: str) -> Answer:
        return await fetch_async(origin, key)

    clients.start_tasks(read)


def stale_while_revalidate(clients: Clients, origin: Origin, settings: Settings) -> None:
    """Clients are served the old value while the new one is loaded behind it, on a thread."""

    @cached_singleflight(ttl=settings.ttl, stale_while_revalidate=60)
    def read(key: str) -> Answer:
        return fetch(origin, key)

    clients.start_threads(read)


def early_refresh_async(clients: Clients, origin: Origin, settings: Settings) -> None:
    """The new value is loaded, by a task, ahead of the end of the old one."""

    @cached_singleflight(ttl=settings.ttl, early_refresh=1.0)
    async def read(key: str) -> Answer:
        return await fetch_async(origin, key)

    clients.start_tasks(read)


def stale_if_error(clients: Clients, origin: Origin, settings: Settings) -> None:
    """Where a reload fails, the old value is served, and the next attempt held off."""

    @cached_singleflight(ttl=settings.ttl, stale_if_error=3600, retry_after=settings.retry_after)
    def read(key: str) -> Answer:
        return fetch(origin, key)

    clients.start_threads(read)


def stale_if_error_async(clients: Clients, origin: Origin, settings: Settings) -> None:
    """The same for tasks."""

    @cached_singleflight(ttl=settings.ttl, stale_if_error=3600, retry_after=settings.retry_after)
    async def read(key: str) -> Answer:
        return await fetch_async(origin, key)

    clients.start_tasks(read)


EXPIRY, OUTAGE, FLEET = Scene.EXPIRY, Scene.OUTAGE, Scene.FLEET
SCHEMES = (
    Scheme(EXPIRY, "no protection", "threads", no_protection),
    Scheme(EXPIRY, "limit and retry", "threads", limit_and_retry),
    Scheme(EXPIRY, "singleflight", "threads", singleflight, (ONE_CALL_PER_EXPIRY,)),
    Scheme(EXPIRY, "singleflight", "asyncio", singleflight_async, (ONE_CALL_PER_EXPIRY,)),
    Scheme(
        *(EXPIRY, "stale while revalidate", "threads", stale_while_revalidate),
        (ONE_CALL_PER_EXPIRY, NOBODY_WAITED),
    ),
    Scheme(EXPIRY, "early refresh", "asyncio", early_refresh_async, (ONE_CALL_AT_A_TIME,)),
    Scheme(OUTAGE, "no protection", "threads", no_protection),
    Scheme(OUTAGE, "singleflight", "threads", singleflight, (ONE_CALL_AT_A_TIME,)),
    Scheme(OUTAGE, "stale if error", "threads", stale_if_error, (ALL_ANSWERED, HELD_OFF)),
    Scheme(OUTAGE, "stale if error", "asyncio", stale_if_error_async, (ALL_ANSWERED, HELD_OFF)),
)
FLEET_SCHEMES = (
    Scheme(FLEET, "no tier", "processes", None),
    Scheme(FLEET, "HostTier", "processes", None, (ONE_CALL_PER_EXPIRY,)),
    Scheme(FLEET, "RedisTier", "processes", None, (ONE_CALL_PER_EXPIRY,)),
)
