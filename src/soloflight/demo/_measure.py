"""Runs the schemes one after the other and says what came of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from . import _day, _fleet
from ._ctrl_c import CtrlC
from ._figures import Figures, Run, count_expiries, evaluate, seen
from ._load import Clients
from ._origin import Origin, running_origin
from ._progress import Live, live
from ._schemes import FLEET_SCHEMES, SCHEMES, Scene, Scheme
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

    def per_expiry(self, until: float, settings: Settings) -> float:
        """Calls to the origin for each expiry of the time until then."""
        log = [call for call in self.run.log if call.arrival < until]
        calls = sum(call.arrival >= 0 for call in log)
        warming = log[: len(log) - calls]
        expiries = count_expiries(log, settings.ttl) - count_expiries(warming, settings.ttl)
        return calls / expiries if expiries else 0.0


@dataclass(frozen=True)
class LeftOut:
    """A scheme that cannot be run here."""

    scheme: Scheme
    why: str

    def __str__(self) -> str:
        return f"{self.scheme.name} is left out: {self.why}"


def planned(settings: Settings) -> tuple[Scheme, ...]:
    """The schemes that are to be run."""
    if settings.day:
        return _day.STEPS
    return SCHEMES + FLEET_SCHEMES if settings.processes else SCHEMES


def measure(settings: Settings, port: int, ctrl_c: CtrlC) -> Iterator[Result | LeftOut]:
    """The result of each scheme as soon as there is one; Ctrl-C makes the current one the last.

    Clients get the answers that they are waiting for in any case. A scheme that was interrupted
    before its first answer has no result. Raises `ChildError`.
    """
    schemes = planned(settings)
    with live(len(schemes)) as progress:
        for scheme in schemes:
            if (why := _fleet.why_not(scheme)) is not None:
                yield LeftOut(scheme, why)
                continue
            # An origin for each: what one scheme left under way cannot get into the next one's log.
            with running_origin(port, settings.capacity, settings.cost) as origin:
                if ctrl_c.pressed:
                    return
                if scheme.scene is Scene.FLEET:
                    load = settings.fleet
                    run = _fleet.run(scheme, load, origin, ctrl_c, progress)
                else:
                    load = settings
                    run = _run(scheme, load, origin, ctrl_c, progress)
            if run.answers:
                yield Result(scheme, run, evaluate(run, load))


def _run(scheme: Scheme, settings: Settings, origin: Origin, ctrl_c: CtrlC, progress: Live) -> Run:
    progress.begin(scheme.title, settings.seconds)
    clients = Clients(settings)
    assert scheme.start is not None
    scheme.start(clients, origin, settings)
    try:
        if scheme.scene.fails:
            origin.fail(*(clients.began + moment for moment in settings.outage))
        if scheme.scene is Scene.DAY:
            origin.hang(*(clients.began + moment for moment in settings.hang))
        while (elapsed := clients.elapsed) < settings.seconds and not ctrl_c.pressed:
            progress.update(elapsed, clients.answers, *origin.progress())
            time.sleep(min(TICK, settings.seconds - elapsed))
    finally:
        clients.stop()
    progress.update(elapsed, clients.answers, *origin.progress())
    return seen(clients.began, clients.tallies, origin.calls(), elapsed)
