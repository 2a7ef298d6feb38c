"""What a bad day leaves for a page to show: its charts, its figures as JSON, a table of these."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import _chart
from ._day import in_code
from ._measure import Result
from ._report import described, duration
from ._settings import Settings

FIGURES = "day.json"
HERD = "herd.svg"


def files(folder: Path) -> list[Path]:
    """All that `write` writes there."""
    charts = [folder / f"day-{step}.svg" for step in range(1, 6)]
    return [*charts, folder / HERD, folder / FIGURES]


def write(folder: Path, results: Sequence[Result], settings: Settings) -> Iterator[Path]:
    """Write the charts and the figures of a whole day; each file, once it is there."""
    *charts, herd, figures = files(folder)
    for step, (chart, result) in enumerate(zip(charts, results, strict=True)):
        heading = f"{step + 1}. {in_code(settings, step)}"
        chart.write_text(_chart.day(result, heading, settings), encoding="utf-8")
        yield chart
    herd.write_text(_chart.herd(results[0], results[1], settings), encoding="utf-8")
    yield herd
    content = described(results, settings, ())
    content["machine"]["platform"] = (
        f"{platform.system()} {platform.machine()}"  # as a page says it
    )
    content["parameters"]["hang"] = settings.hang
    for step, scheme in enumerate(content["schemes"]):
        del scheme["origin_log"]  # long, and drawn
        scheme["code"] = in_code(settings, step)
        scheme["calls_per_expiry_while_well"] = _chart.per_expiry(results[step], settings)
    figures.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    yield figures


def table(content: Mapping[str, Any]) -> str:
    """The figures in Markdown, a row for each step."""
    rows = [
        ("step", "calls to the origin", "of these failed", "at once", "without an answer",
         "of this after an error", "longest wait", "oldest answer"),
        ("---",) + 7 * ("--:",),
    ]  # fmt: skip
    for step, each in enumerate(content["schemes"], 1):
        without, in_error = (each[name] / each["seconds"] for name in ("no_answer", "in_error"))
        rows.append(
            (
                f"{step}. {each['scheme']}",
                f"{each['calls']:,}",
                f"{each['failed_calls']:,}",
                f"{each['at_once']}",
                f"{without:.1%}",
                f"{in_error:.1%}" if in_error else "never",
                duration(each["longest_wait"]),
                duration(each["oldest"]),
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
