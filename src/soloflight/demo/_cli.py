"""The command `soloflight demo`: options, the order of events, exit codes.

Exit codes: 0; 1 where a `@cached_singleflight` scheme did not show exactly one call per expiry; 2
with one line on stderr for whatever can be known to be wrong before anything runs (and for a file
that could not be written in the end after all); 130 after Ctrl-C, with the table and the picture of
what was measured until then. A second Ctrl-C ends it at once.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from ._figures import Result
    from ._origin import Origin

CAPACITY = 8
"""Calls that the origin serves at a time."""

COST = 0.050
"""Seconds that each of them takes."""


class Refused(Exception):
    """What was asked for cannot be done; the message says why in one line."""


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `soloflight demo`."""
    parser.add_argument(
        "--clients", type=_whole(2, 500), default=60, metavar="N", help="concurrent clients (60)"
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=4.0, metavar="S", help="length of each run (4)"
    )
    parser.add_argument(
        "--ttl", type=_seconds, default=0.5, metavar="T", help="seconds that a value lives (0.5)"
    )
    parser.add_argument(
        "--out",
        type=_picture_path,
        default=Path("stampede.svg"),
        metavar="FILE",
        help="picture, SVG or PNG by its ending (stampede.svg)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures as JSON")
    parser.add_argument(
        "--port", type=_whole(0, 65535), default=0, metavar="P", help="the origin's port (any)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the demo; returns the exit code."""
    try:
        _check(options)
        return _run(options)
    except Refused as problem:
        print(f"soloflight demo: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("soloflight demo: interrupted", file=sys.stderr)
        return 130


def _check(options: argparse.Namespace) -> None:
    try:
        import matplotlib
        import rich  # noqa: F401
    except ImportError:
        raise Refused('needs rich and matplotlib: pip install "soloflight[demo]"') from None
    least = 3 * (options.ttl + COST)
    if options.seconds < least:
        raise Refused(
            f"--seconds {options.seconds:g} is too short to see a ttl of {options.ttl:g} s expire"
            f" twice: {least:g} or more"
        )
    _check_writable("--out", options.out)
    if options.json is not None:
        _check_writable("--json", options.json)
        if options.json.resolve() == options.out.resolve():
            raise Refused("--out and --json name the same file")


def _check_writable(option: str, path: Path) -> None:
    try:
        if path.exists():
            path.open("r+b").close()
        else:
            tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise Refused(f"{option}: cannot write {path}: {error.strerror}") from None


def _run(options: argparse.Namespace) -> int:
    from ._origin import OriginError, running_origin
    from ._picture import draw
    from ._report import print_table, write_json

    parameters: dict[str, object] = {
        "clients": options.clients,
        "seconds": options.seconds,
        "ttl": options.ttl,
        "origin_capacity": CAPACITY,
        "origin_cost": COST,
    }
    with _CtrlC() as ctrl_c:
        try:
            with running_origin(options.port, CAPACITY, COST) as origin:
                results = _measure(options, origin, ctrl_c)
        except OriginError as error:
            raise Refused(str(error)) from None
    print_table(results, options.ttl, options.clients, CAPACITY)
    for option, path, write in (
        ("--json", options.json, lambda path: write_json(path, results, parameters)),
        ("--out", options.out, lambda path: draw(path, results, options.ttl, options.clients, CAPACITY)),
    ):
        if path is not None and results:
            try:
                write(path)
            except OSError as error:
                raise Refused(f"{option}: cannot write {path}: {error.strerror}") from None
            print(f"{path} written")
    if ctrl_c.pressed:
        return 130
    return _verdict(results)


def _measure(options: argparse.Namespace, origin: Origin, ctrl_c: _CtrlC) -> list[Result]:
    from ._figures import evaluate
    from ._load import Clients
    from ._report import live
    from ._schemes import SCHEMES

    results: list[Result] = []
    with live(len(SCHEMES)) as progress:
        for scheme in SCHEMES:
            if ctrl_c.pressed:
                break
            progress.begin(f"{scheme.name}, {scheme.detail}", options.seconds)
            clients = Clients(options.clients)
            scheme.start(clients, origin, options.ttl)
            while (elapsed := time.monotonic() - clients.began) < options.seconds:
                if ctrl_c.pressed:
                    break
                progress.update(elapsed, clients.answers, *origin.progress())
                time.sleep(min(0.2, options.seconds - elapsed))
            clients.stop()
            progress.update(elapsed, clients.answers, *origin.progress())
            results.append(
                evaluate(
                    scheme,
                    clients,
                    origin.take_calls(),
                    ttl=options.ttl,
                    capacity=CAPACITY,
                    seconds=elapsed,
                    interrupted=elapsed < options.seconds,
                )
            )
    return results


def _verdict(results: list[Result]) -> int:
    code = 0
    for figures in (result.figures for result in results):
        complaint = figures.complaint()
        if complaint is not None:
            name = f"{figures.scheme}, {figures.detail}"
            print(f"soloflight demo: {name}: {complaint}", file=sys.stderr)
            code = 1
    if code == 0:
        print("@cached_singleflight: exactly 1 call per expiry, with threads and with asyncio")
    return code


class _CtrlC(AbstractContextManager["_CtrlC"]):
    """Ctrl-C as a flag: the first press ends the measuring, the second one everything."""

    pressed = False

    def __enter__(self) -> _CtrlC:
        self._previous = signal.signal(signal.SIGINT, self._press)
        return self

    def _press(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)


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
