"""What the demo says when it is done: the table on stdout, and JSON on request."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import __version__
from ._figures import Figures
from ._measure import Result
from ._settings import Settings


def print_table(results: Sequence[Result], settings: Settings) -> None:
    """The figures side by side, one column for each scheme."""
    figures = [result.figures for result in results]
    # Narrow: a terminal of 80 columns holds it unwrapped.
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for result in results:
        mark = "\n(interrupted)" if result.figures.interrupted else ""
        heading = f"{result.scheme.name}\n{result.scheme.kind}{mark}"
        table.add_column(heading, justify="right", no_wrap=True)
    for label, cells in _rows(figures):
        table.add_row(label, *cells)
    console = Console(highlight=False)
    console.print(
        f"\n[bold]One hot key, ttl {settings.ttl:g} s, {settings.clients} clients, an origin that"
        f" serves {settings.capacity} calls at a time[/]\n"
    )
    console.print(table)
    console.print(
        "\n[dim]singleflight: @cached_singleflight\n"
        f"origin: {settings.cost * 1e3:g} ms for each call\n"
        f"turned away: to try again {settings.retry * 1e3:g} ms later\n"
        "expiries: times that the value had to be loaded anew since it had expired\n"
        "waited: answers that had to be waited for until the value was there\n"
        "oldest: the age of the oldest answer\n"
        "saturated: the longest time without a free place[/]\n"
    )


def _rows(figures: Sequence[Figures]) -> Iterator[tuple[str, list[str | Text]]]:
    def row(label: str, cell: Callable[[Figures], str | Text]) -> tuple[str, list[str | Text]]:
        return label, [cell(each) for each in figures]

    yield row("requests", lambda each: f"{each.requests:,}")
    yield row("answers", lambda each: f"{each.answers:,}")
    yield row("turned away", lambda each: f"{each.turned_away:,}")
    if any(each.failed for each in figures):
        yield row("failed", lambda each: f"{each.failed:,}")
    yield row("calls to the origin", lambda each: f"{each.calls:,}")
    yield row("expiries", lambda each: f"{each.expiries:,}")
    yield row("calls per expiry", _calls_per_expiry)
    yield row("waited", lambda each: f"{each.waited:,}")
    yield row("oldest", lambda each: duration(each.oldest))
    yield row("latency p50", lambda each: duration(each.latency_p50))
    yield row("latency p99", lambda each: duration(each.latency_p99))
    yield row("latency max", lambda each: duration(each.latency_max))
    yield row("origin saturated", _saturated)


def _calls_per_expiry(figures: Figures) -> Text:
    if figures.calls_per_expiry is None:
        return Text("none expired")
    one = figures.calls == figures.expiries
    return Text(f"{figures.calls_per_expiry:.3g}", style="bold green" if one else "bold red")


def _saturated(figures: Figures) -> str:
    return duration(figures.saturated) if figures.saturated else "never"


def duration(seconds: float) -> str:
    """Three digits and the unit that suits them: `4.1 µs`, `52.3 ms`, `1.20 s`."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds:.2f} s"


def write_json(path: Path, results: Sequence[Result], settings: Settings) -> None:
    """All figures, what they were measured on and with, and the origin's log behind them."""
    content = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "soloflight": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
        "parameters": asdict(settings),
        "schemes": [
            {
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
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
