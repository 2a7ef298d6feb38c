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
from typing import TYPE_CHECKING, NoReturn

from ._ctrl_c import catching_ctrl_c
from ._schemes import FLEET_MEANINGS, glossary
from ._settings import Settings

if TYPE_CHECKING:
    from ._measure import LeftOut, Result

DEFAULT = Settings()


class Refused(Exception):
    """What was asked for cannot be done; the message says why in one line."""


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `soloflight demo`, and what its schemes are."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    fleet = glossary(FLEET_MEANINGS)
    parser.epilog = f"schemes:\n{glossary()}\n\nand those of --processes:\n{fleet}"

    def add(
        option: str, metavar: str, parse: Callable[[str], object], default: object, meaning: str
    ) -> None:
        shown = f"{meaning} (%(default)s)" if default is not None else meaning
        parser.add_argument(option, type=parse, default=default, metavar=metavar, help=shown)

    add("--clients", "N", _whole(2, 500), DEFAULT.clients, "concurrent clients")
    add("--seconds", "S", _seconds, DEFAULT.seconds, "length of each scheme's run")
    add("--ttl", "T", _seconds, DEFAULT.ttl, "seconds that a value lives")
    add("--out", "FILE", _picture_path, Path("stampede.svg"), "the picture, SVG or PNG")
    add("--json", "FILE", Path, None, "all figures, and the origin's log behind them")
    add("--port", "P", _whole(0, 65535), 0, "the origin's port; 0 is any free one")
    add("--processes", "N", _whole(2, 64), None, "the fleet as well: so many processes")
    killing = "kill one of them, with each tier, while it loads"
    parser.add_argument("--kill-leader", action="store_true", help=killing)


def run(options: argparse.Namespace) -> int:
    """Run the demo; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # there is no µ in ASCII
    try:
        if options.kill_leader and options.processes is None:
            raise Refused("--kill-leader needs --processes: one of those is killed")
        settings = Settings(
            *(options.clients, options.seconds, options.ttl),
            processes=options.processes or 0,
            kill_leader=options.kill_leader,
        )
        _check(settings, options.out, options.json)
        return _run(settings, options.port, options.out, options.json)
    except Refused as problem:
        return _complain(str(problem), 2)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)


def _check(settings: Settings, picture: Path, figures: Path | None) -> None:
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
    _check_writable("--out", picture)
    if figures is not None:
        _check_writable("--json", figures)
        if figures.resolve() == picture.resolve():
            raise Refused("--out and --json name the same file")


def _check_writable(option: str, path: Path) -> None:
    try:
        if path.exists():
            path.open("r+b").close()
        else:
            tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise Refused(f"{option}: cannot write {path}: {error.strerror}") from None


def _run(settings: Settings, port: int, picture: Path, figures: Path | None) -> int:
    from ._measure import Result, measure
    from ._origin import ChildError
    from ._picture import draw
    from ._report import print_tables, write_json

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
            for path, write in ((figures, write_json), (picture, draw)):
                if path is not None:
                    try:
                        write(path, results, settings, left_out)
                        print(f"{path} written")
                    except OSError as error:
                        problems.append(f"cannot write {path}: {error.strerror}")
    for problem in problems:
        _complain(problem, 2)
    if problems:
        return 2
    if ctrl_c.pressed:
        return _complain("interrupted", 130)
    return _verdict(results, settings)


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
