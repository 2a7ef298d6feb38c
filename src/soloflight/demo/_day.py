"""One bad day, five times: the same clients and the same origin, each time with an option more.

The origin is well, fails for a while, is well, hangs for a while, and is well. A value may be
served behind a refresh for less long than either lasts: so each option has its part of the day.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachetools import TTLCache

from soloflight import cached_singleflight

from ._load import Answer, Clients
from ._origin import Origin
from ._promises import ALL_ANSWERED, HELD_OFF, NO_LONG_WAIT, ONE_CALL_AT_A_TIME
from ._schemes import Scene, Scheme, fetch_async
from ._settings import Settings

Options = dict[str, Any]


def no_protection(clients: Clients, origin: Origin, settings: Settings) -> None:
    """A plain TTL cache: whoever finds nothing goes to the origin."""
    cache: TTLCache[str, Answer] = TTLCache(maxsize=1024, ttl=settings.ttl)

    async def read(key: str) -> Answer:
        answer: Answer | None = cache.get(key)
        if answer is None:
            answer = cache[key] = await fetch_async(origin, key)
        return answer

    clients.start_tasks(read)


def more(settings: Settings) -> list[Options]:
    """The options of each step of the day that are new in it; the first one has none."""
    return [
        {},
        {"ttl": settings.ttl},
        {"stale_while_revalidate": settings.stale},
        {"stale_if_error": 3600, "retry_after": settings.retry_after},
        {"wait_timeout": settings.wait_timeout, "max_flight_age": settings.max_flight_age},
    ]


def in_code(settings: Settings, step: int) -> str:
    """What is new in a step, as one writes it; steps are counted from 0."""
    new = ", ".join(f"{name}={_shown(value)}" for name, value in more(settings)[step].items())
    if step == 0:
        return "no protection: a TTL cache"
    return f"@cached_singleflight({new})" if step == 1 else f"+ {new}"


def _shown(value: float | tuple[float, float]) -> str:
    return f"({value[0]:g}, {value[1]:g})" if isinstance(value, tuple) else f"{value:g}"


def _with_options(step: int) -> Callable[[Clients, Origin, Settings], None]:
    def start(clients: Clients, origin: Origin, settings: Settings) -> None:
        options: Options = {}
        for new in more(settings)[: step + 1]:
            options.update(new)

        @cached_singleflight(**options)
        async def read(key: str) -> Answer:
            return await fetch_async(origin, key)

        clients.start_tasks(read)

    return start


STEPS = (
    Scheme(Scene.DAY, "no protection", "asyncio", no_protection),
    Scheme(Scene.DAY, "singleflight", "asyncio", _with_options(1), (ONE_CALL_AT_A_TIME,)),
    Scheme(Scene.DAY, "stale while revalidate", "asyncio", _with_options(2), (ONE_CALL_AT_A_TIME,)),
    Scheme(
        *(Scene.DAY, "stale if error", "asyncio", _with_options(3)),
        (ONE_CALL_AT_A_TIME, ALL_ANSWERED, HELD_OFF),
    ),
    Scheme(
        *(Scene.DAY, "limits", "asyncio", _with_options(4)),
        (ALL_ANSWERED, HELD_OFF, NO_LONG_WAIT),
    ),
)
