"""Both tiers under web servers that fork, and in processes that are told to end."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conftest import until
from servers import Server, free_port, needs_server

if sys.platform == "win32":
    pytest.skip("it cannot fork", allow_module_level=True)
pytest.importorskip("msgspec", reason="there is no msgspec for this Python")

pytestmark = needs_server

TTL = 0.4
CLIENTS = 200

APP = """
import asyncio, json, os, time
from soloflight import cached_singleflight
from soloflight.tiers import HostTier, RedisTier

tier = {tier}

def note(what, path):
    with open({log!r}, "a") as log:
        log.write(json.dumps([what, path, time.monotonic()]) + "\\n")

@cached_singleflight(ttl={ttl}, tier=tier)
def page(path: str) -> str:
    note("begun", path)
    time.sleep(0.1)
    note("ended", path)
    return path

@cached_singleflight(ttl={ttl}, tier=tier)
async def page_later(path: str) -> str:
    note("begun", path)
    await asyncio.sleep(0.1)
    note("ended", path)
    return path

page("/before")  # with --preload in the parent of all workers

def app(environ, start_response):
    body = (page(environ["PATH_INFO"]) + " " + str(os.getpid())).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("Connection", "close")])
    return [body]

async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    body = (await page_later(scope["path"]) + " " + str(os.getpid())).encode()
    headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": body}})
"""
WORKERS = {
    "sync": ["web:app"],
    "gthread": ["--threads", "8", "web:app"],
    "uvicorn_worker.UvicornWorker": ["web:asgi"],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(params=["HostTier", "RedisTier"])
def tier(request: pytest.FixtureRequest, tmp_path: Path, server: Server) -> str:
    """What makes it. The machine is busy, so who asks it waits for long."""
    if request.param == "HostTier":
        return f"HostTier({str(tmp_path / 'tier')!r}, timeout=5, lease=30)"
    server.say("FLUSHALL")
    return f"RedisTier.from_url({server.url!r}, timeout=5, lease=30)"


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["plain", "preload"])
@pytest.mark.parametrize("worker", WORKERS)
def test_under_gunicorn_an_expiry_is_one_load(
    tmp_path: Path, tier: str, worker: str, preload: list[str]
) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    if "uvicorn" in worker:
        pytest.importorskip("uvicorn_worker", reason="uvicorn-worker is not installed")
    log, port = tmp_path / "log", free_port()
    (tmp_path / "web.py").write_text(APP.format(tier=tier, log=str(log), ttl=TTL))
    command = [sys.executable, "-m", "gunicorn", "-w", "4", "-k", worker, *preload]
    command += ["-b", f"127.0.0.1:{port}", "--log-level", "error", *WORKERS[worker]]
    process = subprocess.Popen(command, cwd=tmp_path)

    def get(path: str) -> tuple[str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path)
            path, pid = connection.getresponse().read().decode().split()
        return path, pid

    workers: set[str] = set()

    def all_are_up() -> bool:
        with contextlib.suppress(OSError):
            workers.add(get("/before")[1])
        return len(workers) == 4

    def keep_asking(until: float) -> int:
        asked = 0
        while time.monotonic() < until:
            assert get("/hot")[0] == "/hot"
            asked += 1
        return asked

    try:
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(until, [all_are_up] * 16))
            asked = list(clients.map(keep_asking, [time.monotonic() + 2.5] * CLIENTS))
        assert all(asked)
    finally:
        process.terminate()
        assert process.wait(30) == 0
    notes = [json.loads(line) for line in log.read_text().splitlines()]
    begun, ended = (
        [at for what, path, at in notes if (what, path) == (kind, "/hot")]
        for kind in ("begun", "ended")
    )
    assert len(begun) == len(ended) >= 3  # it did expire
    # No load but of what has expired, and one of that.
    early = [again - end for end, again in zip(ended, begun[1:], strict=False)]
    assert min(early) > TTL - 0.02, early


ENDS = """
import signal, sys, time
from soloflight import cached_singleflight
from soloflight.tiers import HostTier, RedisTier

tier = {tier}
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

@cached_singleflight(ttl=60, tier=tier, name="load")
def load(key: str) -> str:
    print("loads", flush=True)
    time.sleep(float(sys.argv[1]))
    return key

print("asks", flush=True)
load("k")
print("has it", flush=True)
"""


def test_a_process_that_is_told_to_end_in_mid_load_hands_it_over(tmp_path: Path, tier: str) -> None:
    def begin(seconds: float) -> subprocess.Popen[str]:
        command: list[Any] = [sys.executable, "-W", "error", "-c", ENDS.format(tier=tier)]
        return subprocess.Popen(
            [*command, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def says(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    with begin(60) as leader:
        assert [says(leader), says(leader)] == ["asks", "loads"]
        with begin(0) as follower:
            assert says(follower) == "asks"
            time.sleep(0.3)  # then it waits, most likely; if not, it has less to do
            told = time.monotonic()
            leader.send_signal(signal.SIGTERM)
            assert says(follower) == "loads"
            taken = time.monotonic() - told
            assert says(follower) == "has it"
            assert follower.wait(30) == 0
        assert leader.wait(30) == 0
        assert leader.stderr is not None
        assert leader.stderr.read() == ""
    assert taken < 10, "it has waited for the end of the lease, of 30 s"
