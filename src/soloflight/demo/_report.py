"""What the demo says while it runs and when it is done: progress, table, JSON.

Progress goes to stderr (one plain line per scheme where that is no terminal), the table to stdout.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from .. import __version__
from ._figures import Figures, Result


class Live:
    """One progress bar per scheme."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._begun = 0

    def begin(self, name: str, seconds: float) -> None:
        self._begun += 1
        if not self._progress.console.is_terminal:
            line = f"{self._begun}/{self._total} {name}, {seconds:g} s"
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._task = self._progress.add_task(name, total=seconds, note="")

    def update(self, elapsed: float, answers: int, calls: int, unanswered: int) -> None:
        note = f"{answers:,} answers, {calls} origin calls, {unanswered} in progress"
        self._progress.update(self._task, completed=elapsed, note=note)
        self._progress.refresh()


@contextmanager
def live(total: int) -> Iterator[Live]:
    """Progress on stderr for the length of a `with` block."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description:<30}"), BarColumn(20), TextColumn("{task.fields[note]}")
    # Drawn by whoever measures, not by a thread of its own that would compete with the clients.
    with Progress(
        *columns, console=console, auto_refresh=False, disable=not console.is_terminal
    ) as progress:
        yield Live(progress, total)


def print_table(results: Sequence[Result], ttl: float, clients: int, capacity: int) -> None:
    """The figures side by side, one column for each scheme."""
    figures = [result.figures for result in results]
    table = Table(
        title=f"One hot key, ttl {ttl:g} s, {clients} clients, an origin with {capacity} places",
        caption="expiries: times the value had to be loaded, the first time included\n"
        "origin saturated: the longest time without a free place",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    for each in figures:
        mark = " (interrupted)" if each.interrupted else ""
        table.add_column(f"{each.scheme}\n{each.detail}{mark}", justify="right")
    for label, cells in _rows(figures):
        table.add_row(label, *cells)
    console = Console()
    # Wide enough for every column when the output goes to a file.
    console.print(table, width=None if console.is_terminal else 110)


def _rows(figures: Sequence[Figures]) -> Iterator[tuple[str, list[str | Text]]]:
    yield "requests", [f"{each.requests:,}" for each in figures]
    yield "answers", [f"{each.answers:,}" for each in figures]
    yield "turned away", [f"{each.turned_away:,}" for each in figures]
    if any(each.failed for each in figures):
        yield "failed", [f"{each.failed:,}" for each in figures]
    yield "calls to the origin", [f"{each.calls:,}" for each in figures]
    yield "expiries", [f"{each.expiries:,}" for each in figures]
    yield "calls per expiry", [_calls_per_expiry(each) for each in figures]
    yield "latency p50", [duration(each.latency_p50) for each in figures]
    yield "latency p99", [duration(each.latency_p99) for each in figures]
    yield "latency max", [duration(each.latency_max) for each in figures]
    yield "origin saturated", [duration(each.saturated) for each in figures]


def _calls_per_expiry(figures: Figures) -> Text:
    one = figures.calls == figures.expiries
    return Text(f"{figures.calls_per_expiry:.3g}", style="bold green" if one else "bold red")


def duration(seconds: float) -> str:
    """Three digits and the unit that suits them: `4.1 µs`, `52.3 ms`, `1.20 s`."""
    if seconds == 0:
        return "0"
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds:.2f} s"


def write_json(path: Path, results: Sequence[Result], parameters: dict[str, object]) -> None:
    """All figures, what they were measured on and with, and the origin's log behind them."""
    content = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "soloflight": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
        "parameters": parameters,
        "schemes": [
            {
                **asdict(result.figures),
                "origin_calls": [
                    {moment: round(value, 6) for moment, value in call._asdict().items()}
                    for call in result.calls
                ],
            }
            for result in results
        ],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
