"""A process of the fleet: clients of its own and a cache of its own, with a tier or without.

What it is told comes in lines on its standard input, what it says goes as JSON in lines to its
standard output: that it is ready; that its clients have begun; each load, as it begins; how many
answers there are; and in the end all that the clients saw. It ends at once, whatever it is doing,
when its standard input closes: so it outlives its parent in no case, not even one that was killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from queue import Empty, SimpleQueue
from typing import Any

from soloflight import cached_singleflight, tiers
from soloflight.exceptions import RemoteLoadError

from ._load import Answer, Clients
from ._origin import Origin
from ._schemes import fetch
from ._settings import LEASE, Settings

TICK = 0.2
"""Seconds between two words on how many answers there are."""
TIMEOUT = 1.0
"""Seconds for which a store may be silent: on a busy machine some are."""

_saying = threading.Lock()


def main(scheme: str, place: str, port: int, settings: dict[str, Any]) -> None:
    """Be a worker until standard input closes. `place`: of what its tier stands on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when it ends
    told: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(told,), daemon=True).start()
    load = Settings(**settings)
    clients = Clients(load)
    read = reader(_tier(scheme, place), Origin(port), load.ttl)
    _say(ready=True)
    told.get()
    clients.start_threads(read)
    _say(began=clients.began)
    while True:
        _say(answers=clients.answers)
        with suppress(Empty):
            told.get(timeout=TICK)
            break
    clients.stop()
    _say(tallies=[(tally.answers, tally.failures) for tally in clients.tallies])
    threading.Event().wait()


def reader(tier: Any, origin: Origin, ttl: float) -> Callable[[str], Answer]:
    """What the clients call."""
    options: Any = {"tier": tier, "codec": "json"} if tier is not None else {}

    @cached_singleflight(ttl=ttl, **options)
    def load(key: str) -> dict[str, Any]:
        _say(load=time.monotonic())
        return asdict(fetch(origin, key))

    def read(key: str) -> Answer:
        try:
            return Answer(**load(key))
        except RemoteLoadError as error:
            raise OSError(str(error)) from error  # as it was there

    return read


def _tier(scheme: str, place: str) -> Any:
    if scheme == "HostTier":
        return tiers.HostTier(place, timeout=TIMEOUT)
    if scheme == "RedisTier":
        return tiers.RedisTier.from_url(place, lease=LEASE, timeout=TIMEOUT)
    return None


def _say(**what: Any) -> None:
    with _saying:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


def _listen(told: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        told.put(line)
    os._exit(0)
