"""Runs the schemes one after the other and says what came of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ._ctrl_c import CtrlC
from ._figures import Figures, Run, evaluate, seen
from ._load import Clients
from ._origin import Origin, running_origin
from ._progress import Live, live
from ._schemes import SCHEMES, Scene, Scheme
from ._settings import Settings

TICK = 0.2
"""Seconds between two looks at what is going on."""


@dataclass(frozen=True)
class Result:
    """One scheme's run, and its figures."""

    scheme: Scheme
    run: Run
    figures: Figures

    def complaints(self, settings: Settings) -> Iterator[str]:
        """Why this run does not show what the scheme promises; an interrupted one need not."""
        if not self.figures.interrupted:
            for promise in self.scheme.promises:
                if (complaint := promise.complaint(self.figures, settings)) is not None:
                    yield f"{self.scheme.title}: {complaint}"


def measure(settings: Settings, port: int, ctrl_c: CtrlC) -> Iterator[Result]:
    """The result of each scheme as soon as there is one; Ctrl-C makes the current one the last.

    Clients get the answers that they are waiting for in any case. A scheme that was interrupted
    before its first answer has no result. Raises `OriginError`.
    """
    with live(len(SCHEMES)) as progress:
        for scheme in SCHEMES:
            # An origin for each: what one scheme left under way cannot get into the next one's log.
            with running_origin(port, settings.capacity, settings.cost) as origin:
                if ctrl_c.pressed:
                    return
                run = _run(scheme, settings, origin, ctrl_c, progress)
            if run.answers:
                yield Result(scheme, run, evaluate(run, settings))


def _run(scheme: Scheme, settings: Settings, origin: Origin, ctrl_c: CtrlC, progress: Live) -> Run:
    progress.begin(scheme.title, settings.seconds)
    clients = Clients(settings)
    scheme.start(clients, origin, settings)
    try:
        if scheme.scene is Scene.OUTAGE:
            origin.fail(*(clients.began + moment for moment in settings.outage))
        while (elapsed := clients.elapsed) < settings.seconds and not ctrl_c.pressed:
            progress.update(elapsed, clients.answers, *origin.progress())
            time.sleep(min(TICK, settings.seconds - elapsed))
    finally:
        clients.stop()
    progress.update(elapsed, clients.answers, *origin.progress())
    return seen(clients, origin.calls(), elapsed)
