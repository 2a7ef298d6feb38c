"""Results, and how they are printed."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from os import cpu_count
from typing import Any

PACKAGES = (
    "soloflight",
    "cachetools",
    "wrapt",
    "cachebox",
    "moka-py",
    "theine",
    "warp-cache",
    "onecache",
    "dogpile.cache",
    "async-lru",
    "aiocache",
    "cashews",
)

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass
class Figure:
    """One comparison: a ratio to a rival, or bytes."""

    against: str
    value: float
    limit: float | None = None
    unit: str = TIMES
    quartiles: tuple[float, float] | None = None

    @property
    def missed(self) -> bool:
        return self.limit is not None and self.value > self.limit

    def __str__(self) -> str:
        return f"{self.number(self.value)} {self.unit} {self.against}"

    def target(self) -> str:
        return "" if self.limit is None else f"≤ {self.number(self.limit)}"

    def number(self, value: float) -> str:
        if self.unit != TIMES and value >= 10:
            return f"{value:.0f}"
        # One digit more where two would hide that it was missed.
        close = self.missed and f"{self.value:.2f}" == f"{self.limit:.2f}"
        return f"{value:.3f}" if close else f"{value:.2f}"


@dataclass
class Result:
    name: str
    title: str
    ours: str
    figures: list[Figure]
    nanoseconds: dict[str, list[float]] = field(default_factory=dict)
    """By contestant, time per call in each round."""
    absent: dict[str, str] = field(default_factory=dict)
    """Who should have taken part and failed, and how."""

    @property
    def missed(self) -> bool:
        return any(figure.missed for figure in self.figures)


def duration(seconds: float) -> str:
    for unit, size in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * size:
            return f"{seconds / size:.{'3g' if seconds < 100 * size else '0f'}} {unit}"
    return f"{seconds:.2f} s"


def cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def surroundings() -> dict[str, Any]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed" if name != "soloflight" else "from the source tree"
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu(),
        "cores": cpu_count(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "versions": versions,
    }


def headline(about: dict[str, Any], rounds: int) -> str:
    return (
        f"{about['implementation']} {about['python']}, {about['cpu']}, {about['cores']} cores, "
        f"{about['date']}; medians of {rounds} rounds"
    )


def show(result: Result) -> None:
    """Print one case, with the figures that have a target first."""
    print(f"{result.title:<58} {result.ours:>10}")
    for figure in gated_first(result.figures):
        word = "" if figure.limit is None else "missed" if figure.missed else "reached"
        low, high = figure.quartiles or (None, None)
        spread = "" if low is None else f"{low:.2f} … {high:.2f}"
        print(f"    {figure!s:<42} {spread:<15} {figure.target():<8} {word}".rstrip())
    for name, reason in result.absent.items():
        print(f"    {name}: not measured ({reason})")
    sys.stdout.flush()


def gated_first(figures: Iterable[Figure]) -> list[Figure]:
    return sorted(figures, key=lambda figure: figure.limit is None)


PAGE = """\
# Benchmarks

Made by `python -m tox run -e benchmark -- --markdown docs/benchmarks.md`. What a call costs,
beside what one would pick instead: below 1, we are faster. In brackets are the limits that we set
ourselves, with what missed them. How it is measured, and what to make of it:
[What is measured, and how](evidence.md#how-fast).

"""


def markdown(results: Sequence[Result], about: dict[str, Any], rounds: int) -> str:
    """The page of the results."""
    gated = ["| case | soloflight | against whom there is a limit |", "|---|---|---|"]
    others = ["| case | against the others |", "|---|---|"]
    for result in results:
        aims = [
            f"{figure} ({figure.target()}{', **missed**' if figure.missed else ''})"
            for figure in result.figures
            if figure.limit is not None
        ]
        rest = [str(figure) for figure in result.figures if figure.limit is None]
        if aims:
            gated.append(f"| {result.title} | {result.ours} | {'<br>'.join(aims)} |")
        if rest:
            others.append(f"| {result.title} | {', '.join(rest)} |")
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if v[0].isdigit())
    lines = [
        *gated,
        "",
        f"{headline(about, rounds)} of ratios ours / theirs, each round in a new shuffled order. "
        f"{versions}.",
        "",
        "<details><summary>Against everybody else</summary>",
        "",
        *others,
        "",
        "</details>",
        "",
    ]
    return PAGE + "\n".join(lines)


def as_json(results: Sequence[Result], about: dict[str, Any], rounds: int) -> dict[str, Any]:
    cases = []
    for result in results:
        case = asdict(result)
        for figure, made in zip(case["figures"], result.figures, strict=True):
            figure["missed"] = made.missed
        cases.append(case | {"missed": result.missed})
    return {**about, "rounds": rounds, "cases": cases}
