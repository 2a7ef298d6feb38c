"""What the demo says while it runs, on stderr: bars, or one line per scheme in no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


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
        note = f"{answers:,} answers, {calls} calls, {unanswered} open"
        self._progress.update(self._task, completed=elapsed, note=note)
        self._progress.refresh()


@contextmanager
def live(total: int) -> Iterator[Live]:
    """Progress on stderr for the length of a `with` block."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description:<31}"), BarColumn(10), TextColumn("{task.fields[note]}")
    # Drawn by whoever measures, not by a thread of its own that would compete with the clients.
    with Progress(
        *columns, console=console, auto_refresh=False, disable=not console.is_terminal
    ) as progress:
        yield Live(progress, total)
