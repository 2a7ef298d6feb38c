"""The demo, run for real but small: what it says, what it writes, and how it ends."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import logging
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
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
from soloflight.demo import _figures, _measure, _origin, _picture, _progress, _report, _schemes
from soloflight.demo._figures import (
    count_expiries,
    count_too_soon,
    evaluate,
    longest_saturation,
    percentile,
)
from soloflight.demo._load import Answer, Clients, Read, TurnedAway
from soloflight.demo._measure import Result
from soloflight.demo._origin import HOST, HOT_KEY, Call, Origin, OriginError
from soloflight.demo._promises import ONE_CALL_PER_EXPIRY
from soloflight.demo._schemes import Scene, Scheme
from soloflight.demo._settings import Settings

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
    """Runs the demo in this process and an empty folder."""
    monkeypatch.chdir(tmp_path)
    plain(monkeypatch)

    def run(*options: str) -> Run:
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
        *[(row, [6]) for row in ("turned away", "expiries", "calls/expiry", "waited")],
        *[(row, [4]) for row in ("errors", "calls failed", "too soon")],
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


def test_the_picture_can_be_read_without_the_terminal(whole: Run) -> None:
    text = (whole.folder / "picture.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    # The glyphs are paths, for any viewer; what they spell is in the comments.
    for words in ("limit and retry, threads", "stale if error, asyncio", "10 ms"):
        assert f"<!-- {words} -->" in text


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
    run = demo()
    assert run.code == 2
    assert len(run.figures()) == 1
    assert "the origin went away" in run.err


def test_a_file_that_cannot_be_written_in_the_end_spares_the_rest(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_picture, "draw", full)
    in_scheme(2, ctrl_c, monkeypatch)
    run = demo()
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
    run = demo("--out", "picture.png")
    assert run.code == 130
    assert "interrupted" in run.err
    assert "calls, 0 open" in run.err
    assert "limit and retry, threads: interrupted after" in run.out
    assert [each["interrupted"] for each in run.figures()] == [False, True]
    assert (run.folder / "picture.png").read_bytes().startswith(PNG)
    assert signal.getsignal(signal.SIGINT) is before


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


# The parts


class Server:
    """An origin within this process."""

    def __init__(self, folder: Path, capacity: int, cost: float) -> None:
        _origin._create(folder / "origin.sqlite")
        self.server = _origin._Server(0, folder / "origin.sqlite", capacity, cost)
        self.origin = Origin(self.server.server_address[1])
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, capacity=2, cost=0.02)
    yield server
    server.close()


def test_the_origin_serves_no_more_than_its_capacity_at_a_time(server: Server) -> None:
    def client() -> None:
        _schemes.fetch(server.origin, HOT_KEY)

    clients = [threading.Thread(target=client) for _ in range(7)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert server.origin.progress() == (7, 0)
    calls = server.origin.calls()
    assert len({call.version for call in calls}) == 7
    assert all(call.arrival <= call.start <= call.end - 0.02 for call in calls)
    for call in calls:
        assert sum(other.start <= call.start < other.end for other in calls) <= 2


def test_the_origin_gives_each_answer_its_own_version(server: Server) -> None:
    first = _schemes.fetch(server.origin, HOT_KEY)
    second = asyncio.run(_schemes.fetch_async(server.origin, HOT_KEY))
    assert first.body == second.body
    assert first.version < second.version


def test_the_origin_fails_when_it_is_told_to(server: Server) -> None:
    now = time.monotonic()
    server.origin.fail(now, now + PATIENCE)
    with pytest.raises(OSError, match="503"):
        _schemes.fetch(server.origin, HOT_KEY)
    with pytest.raises(OSError, match="503"):
        asyncio.run(_schemes.fetch_async(server.origin, HOT_KEY))
    server.origin.fail(now, now)
    assert _schemes.fetch(server.origin, HOT_KEY).version == 3
    assert [call.failed for call in server.origin.calls()] == [True, True, False]


def test_an_item_that_is_not_there_is_an_error(server: Server) -> None:
    with pytest.raises(OSError, match="404"):
        _schemes.fetch(server.origin, "nothing")
    with pytest.raises(OSError, match="404"):
        asyncio.run(_schemes.fetch_async(server.origin, "nothing"))
    with pytest.raises(OSError, match="404"):
        _schemes.fetch(server.origin, "../calls")


def test_an_origin_that_is_not_there_is_an_error() -> None:
    with socket.create_server((HOST, 0)) as free:
        origin = Origin(free.getsockname()[1])
    with pytest.raises(OriginError, match="went away"):
        origin.progress()


def test_an_origin_that_hangs_up_is_an_error() -> None:
    with socket.create_server((HOST, 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(1024)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(OSError, match="went away"):
            asyncio.run(_schemes.fetch_async(Origin(listener.getsockname()[1]), HOT_KEY))
        thread.join()


def test_a_client_that_hangs_up_is_no_news(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (BrokenPipeError(), ValueError("a bug")):
        try:
            raise error
        except Exception:
            server.server.handle_error(None, (HOST, 0))
    err = capsys.readouterr().err
    assert "a bug" in err
    assert "BrokenPipeError" not in err


def test_the_origin_ends_with_its_standard_input_and_takes_its_folder_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = signal.getsignal(signal.SIGINT)
    try:
        monkeypatch.setattr("sys.stdin", io.StringIO())
        assert _origin._serve(0, 1, 0.0) == 0
        with socket.create_server((HOST, 0)) as taken:
            assert _origin._serve(taken.getsockname()[1], 1, 0.0) == 2
    finally:
        signal.signal(signal.SIGINT, before)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["port"] > 0
    assert "in use" in second["error"]
    assert not list(tmp_path.iterdir())


class Reader:
    """Two reads fail, the one that warms the cache first; the next is turned away; then stop."""

    def __init__(self) -> None:
        self.tries = iter([OSError("cold"), OSError("no answer"), TurnedAway()])
        self.done = threading.Event()

    def __call__(self, key: str) -> Answer:
        for error in self.tries:
            raise error
        self.done.set()
        return Answer(key, 7)

    async def wait(self, key: str) -> Answer:
        return self(key)


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_clients_count_what_they_get(kind: str) -> None:
    clients = Clients(Settings(clients=1, think=0.0001, retry=0.0001))
    reader = Reader()
    began = time.monotonic()
    if kind == "threads":
        clients.start_threads(reader)
    else:
        clients.start_tasks(reader.wait)
    assert reader.done.wait(PATIENCE)
    clients.stop()
    (tally,) = clients.tallies
    assert clients.answers == len(tally.answers) >= 1
    assert (len(tally.failures), tally.turned_away) == (1, 1)
    (failure,), answer = tally.failures, tally.answers[0]
    # The answer includes the pause after being turned away.
    assert began <= clients.began <= failure <= answer.began
    assert answer.latency >= 0.0001
    assert answer.version == 7


def call(arrival: float, end: float, version: int = 0, failed: bool = False) -> Call:
    return Call(arrival, arrival, end, version, failed)


def test_an_expiry_is_a_call_that_no_shared_load_could_have_spared() -> None:
    # given values that live for one second
    first, joins, late = call(0.0, 0.1), call(0.05, 0.2), call(1.05, 1.15)
    due, overdue = call(1.1, 1.2), call(9.0, 9.1)
    assert count_expiries([], 1.0) == 0
    assert count_expiries([first], 1.0) == 1
    assert count_expiries([first, joins], 1.0) == 1
    assert count_expiries([first, late], 1.0) == 1
    assert count_expiries([first, due], 1.0) == 2
    assert count_expiries([first, joins, due, overdue], 1.0) == 3


def test_a_value_that_is_replaced_ahead_of_its_time_does_not_expire() -> None:
    first, ahead, at_once, then = call(0.0, 0.1), call(0.6, 0.7), call(0.65, 0.9), call(1.65, 1.7)
    assert count_expiries([first, ahead, then], 1.0) == 1
    # A call on top of another one replaces nothing: the first answer counts.
    assert count_expiries([first, ahead, at_once, then], 1.0) == 1
    assert count_expiries([first, ahead, at_once, call(1.7, 1.8)], 1.0) == 2


def test_a_call_that_failed_replaces_nothing() -> None:
    log = [call(0.0, 0.1), call(0.5, 0.6, failed=True), call(1.1, 1.2), call(1.3, 1.4, failed=True)]
    assert count_expiries(log, 1.0) == 2


def test_a_call_comes_too_soon_if_not_even_the_shortest_hold_off_was_kept() -> None:
    # given a hold-off of 2, then 4, then at most 6 seconds, of which jitter may take half
    first, second, third = (call(n, n, failed=True) for n in (0.0, 1.0, 3.0))
    assert count_too_soon([first, second, third, call(6.0, 6.0)], 2.0, 6.0) == 0
    assert count_too_soon([first, second, third, call(5.9, 5.9)], 2.0, 6.0) == 1
    assert count_too_soon([first, call(0.9, 0.9, failed=True), third], 2.0, 6.0) == 1
    # and once a call has succeeded, from the start
    again = call(7.0, 7.0, failed=True)
    assert count_too_soon([first, second, third, call(6.0, 6.0), again, call(8.0, 8.0)], 2, 6) == 0


def test_a_client_waited_if_its_answer_did_not_exist_when_it_wanted_one() -> None:
    log = call(-0.1, 0.0, version=1), call(0.5, 0.6, version=2)
    hit, waited, new = Read(0.3, 0.01, 1), Read(0.59, 0.02, 2), Read(0.61, 0.04, 2)
    run = _figures.Run(3.0, log, (hit, waited, new), (), 0)
    figures = evaluate(run, Settings(ttl=0.5))
    assert (figures.waited, figures.answers, figures.versions) == (1, 3, 2)
    assert figures.oldest == 0.31
    assert (figures.calls, figures.expiries, figures.at_once) == (1, 1, 1)


def test_saturation_is_the_longest_stretch_without_a_free_place() -> None:
    calls = [call(0, 2), call(1, 3), call(2, 4), call(7, 9), call(7, 8)]
    assert longest_saturation(calls, 1) == 4
    assert longest_saturation(calls, 2) == 2
    assert longest_saturation(calls, 3) == 0


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 201)]
    assert [percentile(values, p) for p in (50, 99, 100)] == [100, 198, 200]
    assert percentile([5.0], 50) == 5
    assert percentile([], 50) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4e-6, "0.400 µs"),
        (4.1234e-6, "4.12 µs"),
        (52.34e-3, "52.3 ms"),
        (0.1, "100 ms"),
        (0.99949, "999 ms"),
        (0.9999, "1.00 s"),
        (math.pi, "3.14 s"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(seconds: float, text: str) -> None:
    assert _report.duration(seconds) == text


SOUND = evaluate(
    _figures.Run(
        3.0,
        (call(-0.1, 0.0, version=1), call(1.0, 1.1, version=2), call(2.1, 2.2, version=3)),
        (Read(0.5, 0.1, 1), Read(1.0, 0.1, 2), Read(2.3, 0.1, 3)),
        (),
        0,
    ),
    Settings(seconds=3.0, ttl=1.0),
)


@pytest.mark.parametrize(
    ("scheme", "changes", "complaint"),
    [
        ("singleflight, threads", {}, None),
        ("singleflight, threads", {"calls": 3}, "3 calls to the origin for 2 expiries"),
        ("singleflight, threads", {"versions": 1}, "clients saw 1 answers"),
        ("singleflight, threads", {"failed": 1}, "1 requests failed"),
        ("singleflight, threads", {"calls": 1, "expiries": 1}, "hardly ever expired"),
        ("singleflight, threads", {"calls": 3, "interrupted": True}, None),
        ("no protection, threads", {"calls": 3}, None),
        ("stale while revalidate, threads", {"calls": 3}, "3 calls to the origin for 2"),
        ("stale while revalidate, threads", {"waited": 2, "latency_max": 0.06}, "2 answers had to"),
        ("stale while revalidate, threads", {"waited": 1, "latency_max": 0.01}, None),
        ("early refresh, asyncio", {"at_once": 2}, "2 calls at a time"),
        ("early refresh, asyncio", {"calls": 3}, None),
        ("stale if error, asyncio, outage", {"failed_calls": 3}, None),
        ("stale if error, asyncio, outage", {}, "no call failed"),
        ("stale if error, asyncio, outage", {"failed_calls": 3, "failed": 1}, "1 requests failed"),
        ("stale if error, asyncio, outage", {"failed_calls": 3, "too_soon": 1}, "1 calls too soon"),
    ],
)
def test_a_scheme_is_held_to_its_promises(
    scheme: str, changes: dict[str, Any], complaint: str | None
) -> None:
    (held,) = (each for each in _schemes.SCHEMES if each.title == scheme)
    sound = dataclasses.replace(SOUND, waited=0, latency_max=0.001)
    run = _figures.Run(3.0, (), (), (), 0)
    result = Result(held, run, dataclasses.replace(sound, **changes))
    said = list(result.complaints(Settings()))
    assert said == [] if complaint is None else len(said) == 1 and complaint in said[0]


def test_failed_requests_have_a_row_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    run = _figures.Run(3.0, (), (), (), 0)
    result = Result(_schemes.SCHEMES[0], run, dataclasses.replace(SOUND, failed=12))
    _report.print_tables([result], Settings())
    assert re.search(r"^errors +12", capsys.readouterr().out, re.MULTILINE)
