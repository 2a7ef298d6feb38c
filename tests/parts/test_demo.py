"""The demo, run for real but small: what it says, what it writes, and how it ends."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("rich", reason='the demo needs its extra: pip install "soloflight[demo]"')
pytest.importorskip("matplotlib", reason='the demo needs its extra: pip install "soloflight[demo]"')

import soloflight
from soloflight.__main__ import main
from soloflight.demo import _measure, _origin, _picture, _progress, _schemes
from soloflight.demo._origin import HOST, Call, Origin, OriginError
from soloflight.demo._promises import ONE_CALL_PER_EXPIRY
from soloflight.demo._schemes import Scene, Scheme

PATIENCE = 60.0
SMALL = "demo", "--clients", "16", "--seconds", "0.7", "--ttl", "0.12"
PNG = b"\x89PNG\r\n\x1a\n"

posix = pytest.mark.skipif(os.name != "posix", reason="signals between processes are POSIX's")


class Run(NamedTuple):
    code: int
    out: str
    err: str
    folder: Path

    def figures(self) -> list[dict[str, Any]]:
        content = json.loads((self.folder / "figures.json").read_text(encoding="utf-8"))
        schemes: list[dict[str, Any]] = content["schemes"]
        return schemes


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run from beginning to end, shared by the tests that only look at it."""
    folder = tmp_path_factory.mktemp("demo")
    out, err = io.StringIO(), io.StringIO()
    files = "--out", str(folder / "picture.svg"), "--json", str(folder / "figures.json")
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        plain(patch)
        code = main([*SMALL, *files])
    return Run(code, out.getvalue(), err.getvalue(), folder)


@pytest.fixture
def demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """Runs the demo in this process and an empty folder; by default its picture is empty too."""
    monkeypatch.chdir(tmp_path)
    plain(monkeypatch)

    def run(*options: str, draw: bool = False) -> Run:
        if not draw:  # that takes a second
            monkeypatch.setattr(_picture, "draw", lambda path, *_: path.write_bytes(b""))
        try:
            code = main([*SMALL, "--json", "figures.json", *options])
        except SystemExit as exit:
            code = int(exit.code or 0)
        return Run(code, *capsys.readouterr(), tmp_path)

    return run


def plain(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        patch.delenv(name, raising=False)


# What a whole run shows


def test_a_run_ends_well_and_says_so(whole: Run) -> None:
    assert whole.code == 0, whole.err
    assert whole.err.splitlines() == [
        "1/10 no protection, threads, 0.7 s",
        "2/10 limit and retry, threads, 0.7 s",
        "3/10 singleflight, threads, 0.7 s",
        "4/10 singleflight, asyncio, 0.7 s",
        "5/10 stale while revalidate, threads, 0.7 s",
        "6/10 early refresh, asyncio, 0.7 s",
        "7/10 no protection, threads, outage, 0.7 s",
        "8/10 singleflight, threads, outage, 0.7 s",
        "9/10 stale if error, threads, outage, 0.7 s",
        "10/10 stale if error, asyncio, outage, 0.7 s",
    ]
    assert whole.out.splitlines()[-7:] == [
        "singleflight, threads: exactly 1 call per expiry",
        "singleflight, asyncio: exactly 1 call per expiry",
        "stale while revalidate, threads: exactly 1 call per expiry, nobody waited for a reload",
        "early refresh, asyncio: never more than 1 call at a time",
        "singleflight, threads, outage: never more than 1 call at a time",
        "stale if error, threads, outage: every request was answered, later attempts were held off",
        "stale if error, asyncio, outage: every request was answered, later attempts were held off",
    ]


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        *[(row, [6, 4]) for row in ("answers", "origin calls", "oldest", "origin full")],
        *[(row, [6, 4]) for row in ("latency p50", "latency p99", "latency max")],
        ("no answer", [6, 4]),
        *[(row, [6]) for row in ("turned away", "expiries", "calls/expiry")],
        *[(row, [4]) for row in ("in error", "calls failed", "too soon")],
    ],
)
def test_the_tables_have_a_cell_for_each_scheme(whole: Run, row: str, cells: list[int]) -> None:
    lines = [line for line in whole.out.splitlines() if line.startswith(row + " ")]
    texts = [re.sub(r" (µ?m?s)\b", r"\1", line.removeprefix(row)) for line in lines]
    assert [len(text.split()) for text in texts] == cells


def test_the_tables_fit_a_terminal_of_80_columns(whole: Run) -> None:
    tables = whole.out.split(" written")[0].rpartition("\n")[0]
    assert "singleflight singleflight" in tables
    assert max(map(len, tables.splitlines())) <= 80
    assert "…" not in tables


def test_every_request_is_accounted_for(whole: Run) -> None:
    for each in whole.figures():
        assert each["requests"] == each["answers"] + each["turned_away"] + each["failed"]
        assert 0 < each["latency_p50"] <= each["latency_p99"] <= each["latency_max"]
        assert each["calls"] == len(each["origin_log"]) - 1  # the first one warms the cache
        assert each["failed_calls"] == sum(call["failed"] for call in each["origin_log"])
        if each["scene"] == "expiry":
            assert each["failed"] == each["failed_calls"] == 0


def test_without_protection_an_expiry_costs_many_calls(whole: Run) -> None:
    unprotected = whole.figures()[0]
    assert unprotected["calls_per_expiry"] > 2
    assert unprotected["saturated"] > 0


def test_limit_and_retry_turns_clients_away(whole: Run) -> None:
    limited = whole.figures()[1]
    assert limited["calls"] == limited["expiries"]
    assert limited["turned_away"] > 0


@pytest.mark.parametrize("column", [2, 3, 4], ids=["threads", "asyncio", "stale"])
def test_singleflight_loads_once_per_expiry_by_the_origins_own_log(whole: Run, column: int) -> None:
    figures = whole.figures()[column]
    calls = figures["origin_log"]
    assert len(calls) - 1 == figures["expiries"] >= 2
    assert figures["calls_per_expiry"] == 1
    assert figures["turned_away"] == 0
    microsecond = 1e-6  # the log is rounded
    for call, following in pairwise(calls):
        assert following["arrival"] >= call["end"] + 0.12 - 2 * microsecond


def test_whoever_meets_an_expired_value_waits_unless_stale_ones_are_served(whole: Run) -> None:
    waited = [each["waited"] for each in whole.figures()[:5]]
    assert all(waited[:4])
    assert not waited[4]
    assert whole.figures()[4]["oldest"] > 0.12


def test_with_early_refresh_values_are_replaced_before_they_expire(whole: Run) -> None:
    figures = whole.figures()[5]
    assert figures["expiries"] < figures["calls"]
    assert figures["at_once"] == 1


@pytest.mark.parametrize("column", [6, 7], ids=["no protection", "singleflight"])
def test_an_outage_is_felt(whole: Run, column: int) -> None:
    figures = whole.figures()[column]
    assert figures["failed"] > 0
    assert figures["too_soon"] > 0


@pytest.mark.parametrize("column", [8, 9], ids=["threads", "asyncio"])
def test_an_outage_is_bridged_with_few_attempts(whole: Run, column: int) -> None:
    figures = whole.figures()[column]
    assert figures["failed"] == figures["too_soon"] == 0
    assert figures["failed_calls"] > 0
    assert figures["oldest"] > 0.12
    for call in figures["origin_log"]:
        assert call["failed"] == (0.14 <= call["start"] < 0.56)


def test_the_json_says_what_was_run_on_what(whole: Run) -> None:
    content = json.loads((whole.folder / "figures.json").read_text(encoding="utf-8"))
    assert content["parameters"]["clients"] == 16
    assert content["parameters"]["ttl"] == 0.12
    assert content["parameters"]["outage"] == pytest.approx([0.14, 0.56])
    assert content["machine"]["cpus"] == os.cpu_count()
    assert {"date", "python", "soloflight"} <= content.keys()


def test_the_outage_shows_who_is_without_an_answer_not_how_often_who_fails_asks(whole: Run) -> None:
    unprotected, single, *stale = whole.figures()[6:]
    for each in unprotected, single:
        assert 0 < each["in_error"] < each["no_answer"] < each["seconds"] + each["latency_max"]
    for each in stale:
        assert each["in_error"] == 0 < each["no_answer"]
    assert "errors " not in whole.out


def test_no_expiry_costs_more_calls_than_there_are_clients(whole: Run) -> None:
    for each in whole.figures():
        assert each["calls_per_expiry"] is None or each["calls_per_expiry"] <= 16


class Picture:
    """What someone gets of an SVG who searches it or has it read out."""

    SVG = "{http://www.w3.org/2000/svg}"

    def __init__(self, path: Path) -> None:
        self.root = ElementTree.fromstring(path.read_bytes())
        self.lines = ["".join(text.itertext()) for text in self.root.iter(f"{self.SVG}text")]
        self.text = " ".join(self.lines)

    def described(self, role: str) -> str | None:
        label = self.root.get(f"aria-{role}")
        return next(each.text for each in self.root if each.get("id") == label)


def test_the_picture_can_be_read_without_the_terminal(whole: Run) -> None:
    picture = Picture(whole.folder / "picture.svg")
    for result in whole.figures():
        assert f"{result['scheme']}, {result['kind']}" in picture.lines
    for meaning in _schemes.MEANINGS.values():
        assert meaning in picture.text
    assert "share of clients without an answer" in picture.lines
    assert "interrupted" not in picture.text


def test_the_picture_can_be_read_out(whole: Run) -> None:
    picture = Picture(whole.folder / "picture.svg")
    assert picture.root.get("role") == "img"
    assert picture.described("labelledby") in picture.lines
    description = picture.described("describedby")
    assert description is not None
    for words in ("16 clients", "limit and retry, threads: ", "stale if error, asyncio, outage: "):
        assert words in description


def test_the_picture_needs_no_font_that_a_viewer_may_not_have(whole: Run) -> None:
    text = (whole.folder / "picture.svg").read_text(encoding="utf-8")
    assert set(re.findall("'DejaVu Sans'[^;\"]*", text)) == {"'DejaVu Sans', sans-serif"}


def test_every_scheme_is_explained_where_it_is_named(
    whole: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    for text in whole.out, capsys.readouterr().out:
        words = " ".join(text.split())
        for name, meaning in _schemes.MEANINGS.items():
            assert f"{name} {meaning}" in words
    assert {scheme.name for scheme in _schemes.SCHEMES} == _schemes.MEANINGS.keys()


# What cannot be done


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--out", "picture.pdf"], ".svg or .png"),
        (["--out", "picture"], ".svg or .png"),
        (["--clients", "1"], "from 2 to 500"),
        (["--clients", "many"], "from 2 to 500"),
        (["--seconds", "nan"], "from 0.01"),
        (["--seconds", "0.5"], "too short"),
        (["--ttl", "0"], "from 0.01"),
        (["--ttl", "soon"], "from 0.01"),
        (["--port", "65536"], "65535"),
        (["--out", "missing/picture.svg"], "missing"),
        (["--json", "missing/figures.json"], "missing"),
        (["--out", "both.svg", "--json", "both.svg"], "same file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_runs(
    demo: Callable[..., Run], options: list[str], complaint: str
) -> None:
    run = demo(*options)
    assert run.code == 2
    (line,) = run.err.splitlines()
    assert line.startswith("soloflight demo: ")
    assert complaint in line
    assert not run.out
    assert not list(run.folder.iterdir())


def test_a_folder_that_cannot_be_written(demo: Callable[..., Run], tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    run = demo("--out", "closed/picture.svg")
    assert run.code == 2
    assert "Permission denied" in run.err


def test_checking_leaves_an_existing_file_as_it_is(
    demo: Callable[..., Run], tmp_path: Path
) -> None:
    picture = tmp_path / "old.svg"
    picture.write_text("old")
    assert demo("--out", "old.svg", "--json", "missing/figures.json").code == 2
    assert picture.read_text() == "old"


def test_a_taken_port_is_one_line(demo: Callable[..., Run]) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        run = demo("--port", str(port))
    assert run.code == 2
    (line,) = run.err.splitlines()
    assert f"{HOST}:{port}" in line


@pytest.mark.parametrize("module", ["rich", "matplotlib"])
def test_a_missing_extra_is_one_line(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    run = demo()
    assert run.code == 2
    (line,) = run.err.splitlines()
    assert 'pip install "soloflight[demo]"' in line


@pytest.mark.parametrize("argument", ["--help", "demo --help"])
def test_help_needs_no_extra(argument: str) -> None:
    code = (
        "import sys; sys.modules['rich'] = sys.modules['matplotlib'] = None\n"
        f"from soloflight.__main__ import main; main({argument.split()})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: soloflight" in done.stdout


def test_an_origin_that_breaks_down_at_once_is_one_line(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_origin, "__file__", os.devnull)
    run = demo()
    assert run.code == 2
    assert "cannot start the origin" in run.err


def test_what_was_measured_before_the_origin_went_away_is_kept(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Origin) -> list[Call]:
        raise OriginError("the origin went away")

    in_scheme(2, lambda: monkeypatch.setattr(Origin, "calls", gone), monkeypatch)
    run = demo("--out", "picture.png", draw=True)
    assert run.code == 2
    assert len(run.figures()) == 1
    assert "interrupted after no protection, threads; 9 of 10 schemes are missing" in run.out
    assert (run.folder / "picture.png").read_bytes().startswith(PNG)
    assert "the origin went away" in run.err


def test_a_file_that_cannot_be_written_in_the_end_spares_the_rest(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_picture, "draw", full)
    in_scheme(1, ctrl_c, monkeypatch)
    run = demo(draw=True)
    assert run.code == 2
    assert "cannot write stampede.svg: No space left on device" in run.err
    assert "calls/expiry" in run.out
    assert run.figures()


def test_more_than_one_call_per_expiry_is_exit_code_1(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Scheme(
        Scene.EXPIRY, "singleflight", "broken", _schemes.no_protection, (ONE_CALL_PER_EXPIRY,)
    )
    monkeypatch.setattr(_measure, "SCHEMES", (broken,))
    run = demo()
    assert run.code == 1
    assert "singleflight, broken: " in run.err
    assert "exactly 1" not in run.out


def test_the_warnings_about_loads_that_are_meant_to_fail_are_kept_out(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_measure, "SCHEMES", _schemes.SCHEMES[-1:])
    level = logging.getLogger("soloflight").level
    run = demo()
    assert run.figures()[0]["failed_calls"] > 0
    assert not caplog.records
    assert logging.getLogger("soloflight").level == level


# Ctrl-C


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def in_scheme(number: int, action: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Do something as soon as clients of that scheme have answers."""
    begin, update = _progress.Live.begin, _progress.Live.update
    begun = 0
    actions = [action]

    def counting(self: _progress.Live, name: str, seconds: float) -> None:
        nonlocal begun
        begun += 1
        begin(self, name, seconds)

    def acting(self: _progress.Live, elapsed: float, answers: int, *calls: int) -> None:
        update(self, elapsed, answers, *calls)
        if begun == number and answers and actions:
            actions.pop()()

    patch.setattr(_progress.Live, "begin", counting)
    patch.setattr(_progress.Live, "update", acting)


def test_ctrl_c_keeps_what_there_is(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    in_scheme(2, ctrl_c, monkeypatch)
    monkeypatch.setenv("FORCE_COLOR", "1")  # the live display, as on a terminal
    run = demo("--out", "picture.svg", draw=True)
    assert run.code == 130
    assert "interrupted" in run.err
    assert "calls, 0 open" in run.err
    assert "limit and retry, threads: interrupted after" in run.out
    assert [each["interrupted"] for each in run.figures()] == [False, True]
    picture = Picture(run.folder / "picture.svg")
    (line,) = (line for line in picture.lines if "interrupted" in line)
    assert re.fullmatch(
        r"limit and retry, threads: interrupted after .+ m?s; 8 of 10 schemes are missing", line
    )
    assert line in (picture.described("describedby") or "")
    assert "singleflight, threads" not in picture.lines
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_while_the_files_are_written_lets_them_be_written(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path, *_: object) -> None:
        ctrl_c()
        path.write_text("whole")

    monkeypatch.setattr(_measure, "SCHEMES", _schemes.SCHEMES[2:3])
    monkeypatch.setattr(_picture, "draw", interrupted)
    run = demo(draw=True)
    assert run.code == 130
    assert (run.folder / "stampede.svg").read_text() == "whole"
    assert run.figures()


def test_ctrl_c_before_the_first_answer_leaves_nothing(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def interrupted(*_: object) -> Iterator[Origin]:
        ctrl_c()
        yield Origin(0)

    monkeypatch.setattr(_measure, "running_origin", interrupted)
    run = demo()
    assert run.code == 130
    assert not run.out
    assert not list(run.folder.iterdir())


def test_the_second_ctrl_c_ends_it_at_once(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> None:
        ctrl_c()
        ctrl_c()

    in_scheme(1, twice, monkeypatch)
    run = demo()
    assert run.code == 130
    assert not run.out


class Process:
    """The demo as a process of its own; `schemes(n)` returns once it has begun the n-th one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tmp").mkdir()
        with socket.create_server((HOST, 0)) as free:
            self.port = free.getsockname()[1]
        env = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "soloflight", *SMALL, "--port", str(self.port)],
            cwd=folder,
            env={
                **env,
                "PYTHONPATH": str(Path(soloflight.__file__).parents[1]),
                "PYTHONIOENCODING": "ascii",
                "TMPDIR": str(folder / "tmp"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def scheme(self, number: int) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith(f"{number}/10"):
                return
        raise AssertionError("the demo ended early")

    def end(self, number: signal.Signals) -> tuple[str, str]:
        """What it still said after this signal, once the origin too has closed its stderr."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=PATIENCE)

    def left(self) -> list[str]:
        """What is left of the origin."""
        with socket.socket() as probe:
            serving = ["the server"] if probe.connect_ex((HOST, self.port)) == 0 else []
        return serving + [path.name for path in (self.folder / "tmp").glob("soloflight-*")]


@posix
def test_a_real_ctrl_c_in_an_ascii_terminal(tmp_path: Path) -> None:
    demo = Process(tmp_path)
    demo.scheme(2)
    out, err = demo.end(signal.SIGINT)
    assert demo.process.returncode == 130, err
    assert "protection" in out
    assert "singleflight singleflight" not in out
    assert err.splitlines()[-1] == "soloflight demo: interrupted"
    assert (tmp_path / "stampede.svg").stat().st_size
    assert not demo.left()


@posix
def test_the_origin_does_not_outlive_a_demo_that_was_killed(tmp_path: Path) -> None:
    demo = Process(tmp_path)
    demo.scheme(1)
    demo.end(signal.SIGKILL)
    assert not demo.left()
