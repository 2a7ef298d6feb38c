"""The four schemes: four ways to read a slow origin through a cache whose values expire.

Each one puts its own `read` in front of the same two loaders, `fetch` and `fetch_async`, and starts
the clients on it. Nothing here is tuned for the demo: this is what one would write.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection

from cachetools import TTLCache, cached

from soloflight import cached_singleflight

from ._load import Answer, Clients, TurnedAway
from ._origin import HOST, Origin
from ._promises import ONE_CALL_PER_EXPIRY, Promise


@dataclass(frozen=True)
class Scheme:
    """A named way to read, for threads or for tasks, and what it promises."""

    name: str
    kind: str
    start: Callable[[Clients, Origin, float], None]
    promises: tuple[Promise, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.name}, {self.kind}"


def fetch(origin: Origin, key: str) -> Answer:
    """The loader of the thread schemes: one HTTP GET. Raises `OSError`."""
    with closing(HTTPConnection(HOST, origin.port)) as connection:
        connection.request("GET", f"/item/{key}")
        response = connection.getresponse()
        return _answer(response.status, response.read())


async def fetch_async(origin: Origin, key: str) -> Answer:
    """The loader of the asyncio scheme: the same GET on a stream. Raises `OSError`."""
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


def no_protection(clients: Clients, origin: Origin, ttl: float) -> None:
    """A plain TTL cache: whoever finds nothing goes to the origin."""

    def read(key: str) -> Answer:
        return fetch(origin, key)

    clients.start_threads(cached(TTLCache(maxsize=1024, ttl=ttl), lock=threading.Lock())(read))


def limit_and_retry(clients: Clients, origin: Origin, ttl: float) -> None:
    """One client goes to the origin, the others are turned away and try again."""
    cache: TTLCache[str, Answer] = TTLCache(maxsize=1024, ttl=ttl)
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


def singleflight_threads(clients: Clients, origin: Origin, ttl: float) -> None:
    """One client leads, the others follow and get the leader's answer."""

    @cached_singleflight(ttl=ttl)
    def read(key: str) -> Answer:
        return fetch(origin, key)

    clients.start_threads(read)


def singleflight_asyncio(clients: Clients, origin: Origin, ttl: float) -> None:
    """The same for tasks."""

    @cached_singleflight(ttl=ttl)
    async def read(key: str) -> Answer:
        return await fetch_async(origin, key)

    clients.start_tasks(read)


SCHEMES = (
    Scheme("no protection", "threads", no_protection),
    Scheme("limit and retry", "threads", limit_and_retry),
    Scheme("singleflight", "threads", singleflight_threads, (ONE_CALL_PER_EXPIRY,)),
    Scheme("singleflight", "asyncio", singleflight_asyncio, (ONE_CALL_PER_EXPIRY,)),
)
