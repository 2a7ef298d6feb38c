"""The command `soloflight demo`: options, the order of events, exit codes.

Exit codes: 0; 1 where a scheme did not keep what it promises; 2 with one line on stderr for what
cannot be done, before anything runs wherever that can be known; 130 after Ctrl-C, with the table
and the picture of what was measured until then.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ._ctrl_c import catching_ctrl_c
from ._schemes import DAY_MEANINGS, FLEET_MEANINGS, glossary
from ._settings import DAY, Settings

if TYPE_CHECKING:
    from ._measure import LeftOut, Result

DEFAULT = Settings()
PICTURE = Path("stampede.svg")


class Refused(Exception):
    """What was asked for cannot be done; the message says why in one line."""


class Files(NamedTuple):
    """What is to be written, and where."""

    picture: Path | None
    figures: Path | None
    day: Path | None


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `soloflight demo`, and what its schemes are."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    fleet = glossary(FLEET_MEANINGS)
    day = glossary({"limits": DAY_MEANINGS["limits"]})
    parser.epilog = (
        f"schemes:\n{glossary()}\n\nand those of --processes:\n{fleet}"
        f"\n\nand the last one of --day, where each has the options of those before:\n{day}"
    )

    def add(
        option: str, metavar: str, parse: Callable[[str], object], default: object, meaning: str
    ) -> None:
        shown = f"{meaning} (%(default)s)" if default is not None else meaning
        parser.add_argument(option, type=parse, default=default, metavar=metavar, help=shown)

    add("--clients", "N", _whole(2, 500), DEFAULT.clients, "concurrent clients")
    each = f"length of each scheme's run ({DEFAULT.seconds:g}; with --day {DAY:g})"
    add("--seconds", "S", _seconds, None, each)
    add("--ttl", "T", _seconds, DEFAULT.ttl, "seconds that a value lives")
    add("--out", "FILE", _picture_path, None, f"the picture, SVG or PNG ({PICTURE})")
    add("--json", "FILE", Path, None, "all figures, and the origin's log behind them")
    add("--port", "P", _whole(0, 65535), 0, "the origin's port; 0 is any free one")
    add("--processes", "N", _whole(2, 64), None, "the fleet as well: so many processes")
    killing = "kill one of them, with each tier, while it loads"
    parser.add_argument("--kill-leader", action="store_true", help=killing)
    charts = "one bad day instead, with an option more each time: a small chart of each, there"
    add("--day", "DIR", Path, None, charts)


def run(options: argparse.Namespace) -> int:
    """Run the demo; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # there is no µ in ASCII
    try:
        if options.kill_leader and options.processes is None:
            raise Refused("--kill-leader needs --processes: one of those is killed")
        if options.day is not None and (options.out is not None or options.processes is not None):
            raise Refused("--day has pictures of its own, and no processes")
        day = options.day is not None
        settings = Settings(
            clients=options.clients,
            seconds=options.seconds or (DAY if day else DEFAULT.seconds),
            ttl=options.ttl,
            processes=options.processes or 0,
            kill_leader=options.kill_leader,
            day=day,
        )
        files = Files(None if day else options.out or PICTURE, options.json, options.day)
        _check(settings, files)
        return _run(settings, options.port, files)
    except Refused as problem:
        return _complain(str(problem), 2)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)


def _check(settings: Settings, files: Files) -> None:
    try:
        import matplotlib  # noqa: F401
        import rich  # noqa: F401
    except ImportError:
        raise Refused('needs rich and matplotlib: pip install "soloflight[demo]"') from None
    if settings.seconds < settings.least_seconds:
        raise Refused(
            f"--seconds {settings.seconds:g} is too short to see a ttl of {settings.ttl:g} s"
            f" expire twice; {settings.least_seconds:.3g} is enough"
        )
    picture, figures, day = files
    if picture is not None:
        _check_writable("--out", picture)
    if figures is not None:
        _check_writable("--json", figures)
        if picture is not None and figures.resolve() == picture.resolve():
            raise Refused("--out and --json name the same file")
    if day is not None:
        from . import _pages

        try:
            day.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"--day: cannot make the folder {day}: {error.strerror}") from None
        for path in _pages.files(day):
            _check_writable("--day", path)


def _check_writable(option: str, path: Path) -> None:
    try:
        if path.exists():
            path.open("r+b").close()
        else:
            tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise Refused(f"{option}: cannot write {path}: {error.strerror}") from None


def _run(settings: Settings, port: int, files: Files) -> int:
    from ._measure import Result, measure
    from ._origin import ChildError
    from ._report import print_tables

    results: list[Result] = []
    left_out: list[LeftOut] = []
    problems: list[str] = []
    with _quiet(), catching_ctrl_c() as ctrl_c:
        try:
            for found in measure(settings, port, ctrl_c):
                if isinstance(found, Result):
                    results.append(found)
                else:
                    left_out.append(found)
        except ChildError as error:
            problems.append(str(error))
        if results:
            print_tables(results, settings, left_out)
            problems += _write(files, results, settings, left_out)
    for problem in problems:
        _complain(problem, 2)
    if problems:
        return 2
    if ctrl_c.pressed:
        return _complain("interrupted", 130)
    return _verdict(results, settings)


def _write(
    files: Files, results: Sequence[Result], settings: Settings, left_out: Sequence[LeftOut]
) -> Iterator[str]:
    """Write what was asked for; why it could not be, where it could not."""
    from . import _pages
    from ._picture import draw
    from ._report import described, interruption, write_json

    for path, write in ((files.figures, write_json), (files.picture, draw)):
        if path is not None:
            try:
                write(path, results, settings, left_out)
                print(f"{path} written")
            except OSError as error:
                yield f"cannot write {path}: {error.strerror}"
    # A part of a day would not go with what is there of another one.
    if files.day is not None and interruption(results, settings, left_out) is None:
        try:
            for path in _pages.write(files.day, results, settings):
                print(f"{path} written")
        except OSError as error:
            yield f"cannot write {error.filename}: {error.strerror}"
        print(f"\n{_pages.table(described(results, settings, left_out))}\n")


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the `with` block soloflight warns of nothing: loads are meant to fail here."""
    logger = logging.getLogger("soloflight")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _verdict(results: Sequence[Result], settings: Settings) -> int:
    complaints = [complaint for result in results for complaint in result.complaints(settings)]
    for complaint in complaints:
        _complain(complaint, 1)
    if complaints:
        return 1
    for result in results:
        if result.scheme.promises:
            kept = ", ".join(promise.words for promise in result.scheme.promises)
            print(f"{result.scheme.title}: {kept}")
    return 0


def _complain(problem: str, code: int) -> int:
    print(f"soloflight demo: {problem}", file=sys.stderr)
    return code


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"a whole number from {least} to {most}, not {text!r}")
        return number

    return parse


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.01 <= number <= 3600:
        raise argparse.ArgumentTypeError(f"seconds from 0.01 to 3600, not {text!r}")
    return number


def _picture_path(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".svg", ".png"):
        raise argparse.ArgumentTypeError(f"a picture ends in .svg or .png, not {text!r}")
    return path
