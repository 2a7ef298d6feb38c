"""The fleet of the demo, run for real but small: processes that share a key, and one is killed."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("rich", reason='the demo needs its extra: pip install "soloflight[demo]"')
pytest.importorskip("matplotlib", reason='the demo needs its extra: pip install "soloflight[demo]"')

import soloflight
from conftest import until
from soloflight.__main__ import main
from soloflight.demo import _fleet, _measure, _picture, _schemes, _store
from soloflight.demo._figures import Run as Seen
from soloflight.demo._figures import Wait, evaluate
from soloflight.demo._load import Read
from soloflight.demo._origin import HOST, Call, Origin, OriginError
from soloflight.demo._promises import ONE_CALL_PER_EXPIRY
from soloflight.demo._schemes import FLEET_SCHEMES
from soloflight.demo._settings import Settings

PATIENCE = 60.0
SVG = "{http://www.w3.org/2000/svg}"
SMALL = "demo", "--processes", "3", "--seconds", "0.75", "--ttl", "0.12"
_, HOST_TIER, REDIS_TIER = FLEET_SCHEMES
HERE = [scheme for scheme in FLEET_SCHEMES if _fleet.why_not(scheme) is None]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is a HostTier on POSIX alone")


class Run(NamedTuple):
    code: int
    out: str
    err: str
    folder: Path

    def figures(self) -> dict[str, dict[str, Any]]:
        content = json.loads((self.folder / "figures.json").read_text(encoding="utf-8"))
        return {scheme["scheme"]: scheme for scheme in content["schemes"]}

    def picture(self) -> ElementTree.Element:
        return ElementTree.fromstring((self.folder / "picture.svg").read_bytes())

    def lines(self) -> list[str]:
        """What one can read in the picture."""
        return ["".join(text.itertext()) for text in self.picture().iter(f"{SVG}text")]


def run(folder: Path, patch: pytest.MonkeyPatch, *options: str) -> Run:
    """The demo with the schemes of the fleet alone."""
    out, err = io.StringIO(), io.StringIO()
    files = "--out", str(folder / "picture.svg"), "--json", str(folder / "figures.json")
    patch.setattr(_measure, "SCHEMES", ())
    patch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        patch.delenv(name, raising=False)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([*SMALL, *files, *options])
        except SystemExit as exit:
            code = int(exit.code or 0)
    return Run(code, out.getvalue(), err.getvalue(), folder)


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Runs it, by default without a picture: that takes a second."""

    def go(*options: str, draw: bool = False) -> Run:
        if not draw:
            monkeypatch.setattr(_picture, "draw", lambda path, *_: path.write_bytes(b""))
        return run(tmp_path, monkeypatch, *options)

    return go


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run of everything, shared by the tests that only look at it."""
    with pytest.MonkeyPatch.context() as patch:
        return run(tmp_path_factory.mktemp("fleet"), patch)


@pytest.fixture(scope="module")
def killing(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same where a leader is killed with each tier."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_measure, "FLEET_SCHEMES", (HOST_TIER, REDIS_TIER))
        return run(tmp_path_factory.mktemp("killing"), patch, "--kill-leader")


def test_a_run_ends_well_and_says_so(whole: Run) -> None:
    assert whole.code == 0, whole.err
    titles = [scheme.title for scheme in FLEET_SCHEMES]
    lines = [f"{n}/3 {title}, 0.75 s" for n, title in enumerate(titles, 1)]
    assert whole.err.splitlines() == lines[: len(HERE)]
    kept = [f"{scheme.title}: exactly 1 call per expiry" for scheme in HERE if scheme.promises]
    assert whole.out.splitlines()[-len(kept) :] == kept


def test_without_a_tier_each_process_calls(whole: Run) -> None:
    figures = whole.figures()["no tier"]
    assert figures["calls_per_expiry"] > 1.5
    assert figures["failed"] == 0


@pytest.mark.parametrize("scheme", ["HostTier", "RedisTier"])
def test_with_a_tier_one_of_them_does(whole: Run, scheme: str) -> None:
    if scheme not in whole.figures():
        pytest.skip("there is no server")
    figures = whole.figures()[scheme]
    assert figures["calls"] == figures["expiries"] >= 2
    assert figures["calls_per_expiry"] == 1
    assert figures["failed"] == figures["failed_calls"] == 0
    assert figures["takeover"] is None
    assert figures["answers"] > figures["calls"]


def test_the_table_has_a_cell_for_each_scheme(whole: Run) -> None:
    for row in ("origin calls", "calls/expiry"):
        (line,) = (line for line in whole.out.splitlines() if line.startswith(row))
        assert len(line.removeprefix(row).split()) == len(HERE)
    assert "3 processes of 4 clients each" in whole.out
    assert "another led" not in whole.out
    assert max(map(len, whole.out.split(" written")[0].splitlines()[:-1])) <= 80


def test_the_picture_has_a_row_for_each_scheme(whole: Run) -> None:
    lines = whole.lines()
    for scheme in HERE:
        assert scheme.title in lines
        figures = whole.figures()[scheme.name]
        assert any(line.startswith(f"{figures['calls']} calls, ") for line in lines)
    assert "The same hot key, 3 processes of 4 clients each" in lines
    (described,) = (each.text for each in whole.picture() if each.get("id") == "desc")
    assert described is not None
    assert "HostTier, processes: " in described


def test_each_scheme_is_explained(whole: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    for text in whole.out, capsys.readouterr().out:
        words = " ".join(text.split())
        for name, meaning in _schemes.FLEET_MEANINGS.items():
            assert f"{name} {meaning}" in words
    assert {scheme.name for scheme in FLEET_SCHEMES} == _schemes.FLEET_MEANINGS.keys()


# One of them is killed


def test_where_a_leader_is_killed_another_one_leads(killing: Run) -> None:
    assert killing.code == 0, killing.err
    for figures in killing.figures().values():
        assert figures["failed_calls"] == 1
        assert figures["calls"] == figures["expiries"] + 1
        assert 0 < figures["takeover"] < PATIENCE
        assert figures["failed"] == 0  # of those who live
    assert "another led" in killing.out
    lines = killing.lines()
    assert sum(line.startswith("another led after ") for line in lines) == len(killing.figures())
    assert any(line.startswith("In red: the call whose process was killed") for line in lines)


def killed_run(*later: float) -> Seen:
    """A value of 1 s, ended at 0, loaded at 1 by a process that dies; and loads after that."""
    times = [(-0.1, 0.0), (1.0, 1.1), *((began, began + 0.1) for began in later)]
    log = tuple(Call(a, a, b, n, n == 2) for n, (a, b) in enumerate(times, 1))
    reads = tuple(Read(call.end, 0.0, call.version) for call in log if not call.failed)
    return Seen(9.0, log, reads, (), 0, processes=3, killed=1.05)


def test_a_killed_leader_may_cost_one_more_call_and_no_more() -> None:
    settings = Settings(seconds=9.0, ttl=1.0)
    one_more = evaluate(killed_run(1.06, 2.2), settings)
    assert (one_more.calls, one_more.expiries) == (3, 2)
    assert one_more.takeover == pytest.approx(0.01)
    assert ONE_CALL_PER_EXPIRY.complaint(one_more, settings) is None
    two_more = evaluate(killed_run(1.06, 1.07, 2.2), settings)
    assert ONE_CALL_PER_EXPIRY.complaint(two_more, settings) is not None


def test_clients_of_a_killed_process_do_not_count_as_answered() -> None:
    waited = (Wait(1.0, 2.0, 2.0),) * 4
    run = dataclasses.replace(killed_run(1.06), waits=waited, lost=4)
    assert evaluate(run, Settings(clients=8)).no_answer == 1.0


def test_a_call_of_each_process_is_too_many_however_far_apart() -> None:
    log = [Call(t, t, t + 0.1, n, False) for n, t in enumerate((-0.1, 1.0, 1.3, 1.6, 2.2), 1)]
    reads = tuple(Read(call.end, 0.0, call.version) for call in log)
    figures = evaluate(Seen(3.0, tuple(log), reads, (), 0, processes=3), Settings(ttl=1.0))
    assert (figures.calls, figures.expiries) == (4, 2)


# What cannot be done


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--processes", "1"], "from 2 to 64"),
        (["--processes", "0"], "from 2 to 64"),
        (["--processes", "65"], "from 2 to 64"),
        (["--processes", "some"], "from 2 to 64"),
    ],
)
def test_so_many_processes_cannot_be(
    demo: Callable[..., Run], options: list[str], complaint: str
) -> None:
    found = demo(*options)
    assert found.code == 2
    (line,) = found.err.splitlines()
    assert line.startswith("soloflight demo: argument --processes: ")
    assert complaint in line
    assert not list(found.folder.iterdir())


def test_a_leader_of_one_process_is_not_killed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--kill-leader"]) == 2
    assert "--kill-leader needs --processes" in capsys.readouterr().err


def test_without_a_server_the_scheme_is_left_out_and_it_is_said_why(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fleet, "server", lambda: None)
    monkeypatch.setattr(_fleet, "find_spec", lambda name: name)
    monkeypatch.setattr(_fleet, "run", lambda *_: killed_run(1.06, 2.2))
    monkeypatch.setattr(_measure, "FLEET_SCHEMES", (HOST_TIER, REDIS_TIER))
    found = demo("--seconds", "9", "--ttl", "1", draw=True)
    assert found.code == 0, found.err
    why = "RedisTier is left out: no valkey-server or redis-server was found"
    assert why in found.out.splitlines()
    assert why in found.lines()
    assert "interrupted" not in found.out
    content = json.loads((found.folder / "figures.json").read_text(encoding="utf-8"))
    assert list(content["left_out"]) == ["RedisTier"]


@pytest.mark.parametrize(
    ("module", "attribute", "value", "complaint"),
    [
        (_fleet, "server", lambda: sys.executable, "RedisTier, processes: "),
        (_store, "__file__", os.devnull, "RedisTier, processes: it ended at once"),
        (_fleet, "START", "raise SystemExit(3)", "a process of the fleet has ended (3)"),
    ],
    ids=["server", "store", "worker"],
)
def test_what_breaks_down_is_one_line(
    demo: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    attribute: str,
    value: object,
    complaint: str,
) -> None:
    scheme = HOST_TIER if attribute == "START" else REDIS_TIER
    monkeypatch.setattr(_measure, "FLEET_SCHEMES", (scheme,))
    monkeypatch.setattr(_fleet, "why_not", lambda scheme: None)
    if attribute != "server":
        monkeypatch.setattr(_fleet, "server", lambda: "")
    monkeypatch.setattr(module, attribute, value)
    found = demo()
    assert found.code == 2
    assert complaint in found.err.splitlines()[-1]


def test_a_tier_that_does_not_keep_its_promise_is_exit_code_1(
    demo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fleet, "run", lambda *_: killed_run(1.06, 1.07, 2.2))
    monkeypatch.setattr(_measure, "FLEET_SCHEMES", (HOST_TIER,))
    found = demo("--seconds", "9", "--ttl", "1")
    assert found.code == 1
    (line,) = (line for line in found.err.splitlines() if line.startswith("soloflight demo: "))
    assert line.endswith("HostTier, processes: 3 calls to the origin for 2 expiries")


# Nothing is left behind


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_no_process_and_no_folder_outlives_the_demo(tmp_path: Path, number: signal.Signals) -> None:
    scheme = FLEET_SCHEMES.index(HERE[-1])
    (tmp_path / "tmp").mkdir()
    pid = tmp_path / "pid"
    server = tmp_path / "server"  # tells which process it is
    server.write_text(f'#!/bin/sh\necho $$ > "{pid}"\nexec "{_fleet.server()}" "$@"\n')
    server.chmod(0o700)
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    code = (
        "import sys; from soloflight.demo import _fleet, _measure\n"
        "from soloflight.__main__ import main\n"
        f"_fleet.server = lambda: {str(server)!r}\n"
        f"_measure.SCHEMES, _measure.FLEET_SCHEMES = (), _measure.FLEET_SCHEMES[{scheme}:]\n"
        f"sys.exit(main([*{SMALL}, '--seconds', '60', '--port', '{port}', '--out', 'p.png']))"
    )
    source = str(Path(soloflight.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": source, "TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def under_way() -> bool:
        try:
            return Origin(port).progress()[0] > 1
        except OriginError:
            return False

    until(under_way)
    process.send_signal(number)
    # It ends when nobody has these pipes any more: each worker, and what the tier stands on, did.
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == (130 if number == signal.SIGINT else -number), err
    assert not list((tmp_path / "tmp").glob("soloflight-*"))
    if HERE[-1] is REDIS_TIER:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
