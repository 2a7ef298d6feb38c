"""What the demo says when it is done: the tables on stdout, and JSON on request."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import __version__
from ._figures import Figures
from ._measure import LeftOut, Result, planned
from ._schemes import DAY_MEANINGS, FLEET_MEANINGS, Scene, glossary
from ._settings import LEASE, Settings

KILLED = f"""
killed: calls whose process was killed; what its clients saw is lost with it
another led: how long after that the next call came; RedisTier has a lease of {LEASE:g} s"""


def by_scene(results: Sequence[Result]) -> list[tuple[Scene, list[Result]]]:
    """The results of each scene."""
    groups = groupby(results, lambda result: result.scheme.scene)
    return [(scene, list(group)) for scene, group in groups]


def title(scene: Scene, settings: Settings) -> str:
    """What happens in a scene."""
    if scene is Scene.EXPIRY:
        return f"One hot key with a ttl of {settings.ttl:g} s"
    if scene is Scene.FLEET:
        each = f"{settings.processes} processes of {settings.threads} clients each"
        killed = "; with a tier one is killed while it loads" if settings.kill_leader else ""
        return f"The same hot key, {each}{killed}"
    begin, end = settings.outage
    if scene is Scene.DAY:
        hangs, well = settings.hang
        return (
            f"A bad day: ttl {settings.ttl:g} s; the origin fails from {begin:.3g} to {end:.3g} s"
            f" and hangs from {hangs:.3g} to {well:.3g} s"
        )
    return f"The same, and for {end - begin:.3g} s the origin fails"


def conditions(settings: Settings) -> str:
    """What is the same for every scheme."""
    return (
        f"{settings.clients} clients, an HTTP origin that serves {settings.capacity} calls at a"
        f" time, {settings.cost * 1e3:g} ms each"
    )


def interruption(
    results: Sequence[Result], settings: Settings, left_out: Sequence[LeftOut]
) -> str | None:
    """What is missing, where the run did not get to its end."""
    last, every = results[-1], len(planned(settings))
    missing = every - len(results) - len(left_out)
    if last.figures.interrupted:
        where = f"{last.scheme.title}: interrupted after {last.figures.seconds:.3g} s"
    elif missing:
        where = f"interrupted after {last.scheme.title}"
    else:
        return None
    return f"{where}; {missing} of {every} schemes are missing" if missing else where


def print_tables(
    results: Sequence[Result], settings: Settings, left_out: Sequence[LeftOut]
) -> None:
    """The figures of each scene side by side, one column for each scheme."""
    console = Console(highlight=False)
    console.print()
    console.print(conditions(settings))
    for scene, group in by_scene(results):
        console.print(f"\n[bold]{title(scene, settings)}[/]\n")
        console.print(_table(scene, group))
    for each in left_out:
        console.print(f"\n{each}", markup=False, soft_wrap=True)
    if (cut_short := interruption(results, settings, left_out)) is not None:
        console.print(f"\n[bold red]{cut_short}[/]")
    fleet = f"{glossary(FLEET_MEANINGS)}\n" if settings.processes else ""
    with_option = "with the option so named."
    if settings.day:
        with_option = "with all options so far."
    console.print(
        f"\n[dim]{glossary(DAY_MEANINGS) if settings.day else glossary()}\n"
        f"From singleflight on it is @cached_singleflight, {with_option}\n"
        f"{fleet}\n"
        "no answer: how long a client that wanted one had none, on average\n"
        "in error: how much of that came after an error\n"
        "oldest: the age of the oldest answer\n"
        "origin full: the longest time without a free place\n"
        "too soon: calls that came at once after a failed one, not held off"
        f"{KILLED if settings.kill_leader else ''}[/]\n",
        soft_wrap=True,
    )


def _table(scene: Scene, results: Sequence[Result]) -> Table:
    # Narrow: a terminal of 80 columns holds it.
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("", no_wrap=True)
    for result in results:
        heading = f"{fill(result.scheme.name, 12)}\n{result.scheme.kind}"
        table.add_column(heading, justify="right", vertical="bottom", no_wrap=True)
    for label, cells in _rows(scene, [result.figures for result in results]):
        table.add_row(label, *cells)
    return table


def _rows(scene: Scene, figures: Sequence[Figures]) -> Iterator[tuple[str, list[str | Text]]]:
    def row(label: str, cell: Callable[[Figures], str | Text]) -> tuple[str, list[str | Text]]:
        return label, [cell(each) for each in figures]

    yield row("answers", lambda each: f"{each.answers:,}")
    if any(each.turned_away for each in figures):
        yield row("turned away", lambda each: f"{each.turned_away:,}")
    yield row("no answer", lambda each: duration(each.no_answer))
    if scene.fails:
        yield row("in error", lambda each: _good(_or_never(each.in_error), not each.failed))
    if not scene.fails and any(each.failed for each in figures):
        yield row("errors", lambda each: _good(f"{each.failed:,}", not each.failed))
    yield row("origin calls", lambda each: f"{each.calls:,}")
    if any(each.takeover is not None for each in figures):
        yield row("killed", lambda each: f"{each.failed_calls:,}")
        yield row("another led", lambda each: _after(each.takeover))
    if scene.fails:
        yield row("calls failed", lambda each: f"{each.failed_calls:,}")
        yield row("too soon", lambda each: _good(f"{each.too_soon:,}", not each.too_soon))
    else:
        yield row("expiries", lambda each: f"{each.expiries:,}")
        yield row("calls/expiry", _calls_per_expiry)
    yield row("oldest", lambda each: duration(each.oldest))
    yield row("latency p50", lambda each: duration(each.latency_p50))
    yield row("latency p99", lambda each: duration(each.latency_p99))
    yield row("latency max", lambda each: duration(each.latency_max))
    yield row("origin full", lambda each: _or_never(each.saturated))


def _calls_per_expiry(figures: Figures) -> str | Text:
    if figures.calls_per_expiry is None:
        return "-"
    return _good(f"{figures.calls_per_expiry:.3g}", figures.calls_per_expiry == 1)


def _after(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _or_never(seconds: float) -> str:
    return duration(seconds) if seconds else "never"


def _good(text: str, good: bool) -> Text:
    return Text(text, style="bold green" if good else "bold red")


def duration(seconds: float) -> str:
    """Three digits and the unit that suits them: `4.1 µs`, `52.3 ms`, `1.20 s`."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds:.2f} s"


def write_json(
    path: Path, results: Sequence[Result], settings: Settings, left_out: Sequence[LeftOut]
) -> None:
    """All figures, what they were measured on and with, and the origin's log behind them."""
    content = described(results, settings, left_out)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def described(
    results: Sequence[Result], settings: Settings, left_out: Sequence[LeftOut]
) -> dict[str, Any]:
    """The same as what JSON can hold."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "soloflight": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
        "parameters": {
            **asdict(settings),
            "outage": settings.outage,
            "retry_after": settings.retry_after,
        },
        "interruption": interruption(results, settings, left_out),
        "left_out": {each.scheme.name: each.why for each in left_out},
        "schemes": [
            {
                "scene": result.scheme.scene.value,
                "scheme": result.scheme.name,
                "kind": result.scheme.kind,
                "promises": [promise.words for promise in result.scheme.promises],
                **asdict(result.figures),
                "origin_log": [
                    {name: round(value, 6) for name, value in call._asdict().items()}
                    for call in result.run.log
                ],
            }
            for result in results
        ],
    }
