"""Runs the schemes one after the other and says what came of each."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ._ctrl_c import CtrlC
from ._figures import Result, evaluate
from ._load import Clients
from ._origin import Origin
from ._report import live
from ._schemes import SCHEMES
from ._settings import Settings

TICK = 0.2
"""Seconds between two looks at what is going on."""


def measure(settings: Settings, origin: Origin, ctrl_c: CtrlC) -> Iterator[Result]:
    """The result of each scheme as soon as there is one; Ctrl-C makes the current one the last.

    Clients get the answers that they are waiting for in any case. A scheme that was interrupted
    before its first answer has no result. Raises `OriginError`.
    """
    with live(len(SCHEMES)) as progress:
        for scheme in SCHEMES:
            if ctrl_c.pressed:
                return
            progress.begin(f"{scheme.name}, {scheme.detail}", settings.seconds)
            clients = Clients(settings)
            scheme.start(clients, origin, settings.ttl)
            try:
                while (elapsed := clients.elapsed) < settings.seconds and not ctrl_c.pressed:
                    progress.update(elapsed, clients.answers, *origin.progress())
                    time.sleep(min(TICK, settings.seconds - elapsed))
            finally:
                clients.stop()
            progress.update(elapsed, clients.answers, *origin.progress())
            calls = origin.take_calls()
            if clients.answers:
                yield evaluate(scheme, clients, calls, settings, elapsed)
