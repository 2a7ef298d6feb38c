"""The origin: an HTTP server in a process of its own that answers from SQLite and logs its calls.

It promises that at most `capacity` calls are served at a time (the rest queue), that each holds its
place for `cost` seconds, that each answer has a version of its own, and that its log has every call
that was answered. It knows nothing of caches: what the demo says about a cache, it says from this
log, and from the versions that clients saw. It can be told to fail for some time: then it answers
503, after the same time as ever. And to hang: then it answers when that is over, and a call keeps
its place until then.

The process ends, and takes its folder along, when its standard input closes; so it outlives its
parent in no case, not even one that was killed. It is run as a file and uses the standard library
alone: it starts fast, and nothing in the user's current folder can shadow a module.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

HOST = "127.0.0.1"
HOT_KEY = "front-page"


class Call(NamedTuple):
    """One call for an item, in seconds of `time.monotonic`, and the version of its answer."""

    arrival: float
    start: float
    end: float
    version: int
    failed: bool


class ChildError(Exception):
    """A process of the demo could not be started, or went away; the message is one line."""


class OriginError(ChildError):
    """That process is the origin."""


@dataclass(frozen=True)
class Origin:
    """A running origin, as its parent process sees it."""

    port: int

    def progress(self) -> tuple[int, int]:
        """How many calls came so far, and how many of them are unanswered."""
        arrived, unanswered = self._request("GET", "/progress")
        return arrived, unanswered

    def calls(self) -> list[Call]:
        """The log: the answered calls by order of arrival."""
        return sorted(Call(*call) for call in self._request("GET", "/calls"))

    def fail(self, begin: float, end: float) -> None:
        """Fail calls that are served from `begin` on until `end`."""
        self._request("PUT", "/outage", json.dumps((begin, end)))

    def hang(self, begin: float, end: float) -> None:
        """Answer calls that are served from `begin` on not before `end`."""
        self._request("PUT", "/hang", json.dumps((begin, end)))

    def _request(self, method: str, path: str, body: str | None = None) -> Any:
        try:
            with closing(HTTPConnection(HOST, self.port, timeout=30)) as connection:
                connection.request(method, path, body)
                return json.load(connection.getresponse())
        except OSError as error:
            raise OriginError(f"the origin on {HOST}:{self.port} went away: {error}") from error


@contextmanager
def running_origin(port: int, capacity: int, cost: float) -> Iterator[Origin]:
    """An origin for the length of a `with` block; port 0 is any free port. Raises `OriginError`."""
    with child(__file__, str(port), str(capacity), str(cost)) as process:
        hello = first_words(process)
        if "error" in hello:
            raise OriginError(f"cannot start the origin on {HOST}:{port}: {hello['error']}")
        yield Origin(hello["port"])


def first_words(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process says when it is ready; "error" is in it where it cannot be."""
    assert process.stdout is not None
    hello: dict[str, Any] = json.loads(process.stdout.readline() or '{"error": "it ended at once"}')
    return hello


@contextmanager
def child(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process for a `with` block, one that ends when its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C in a terminal goes to the whole process group; the log is still wanted then.
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            with suppress(OSError):  # it was killed, and has not read all
                process.stdin.close()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()


# Not http.server's own: that asks the resolver for this machine's name, which may take seconds.
class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    # More than the demo's clients: a full backlog would show up as one-second connects.
    request_queue_size = 1024
    # On Windows this flag would let two servers share a port.
    allow_reuse_address = os.name != "nt"

    def __init__(self, port: int, database: Path, capacity: int, cost: float) -> None:
        super().__init__((HOST, port), _Handler)
        self.database = database
        self.cost = cost
        self.places = threading.Semaphore(capacity)
        self.lock = threading.Lock()
        self.outage = (0.0, 0.0)
        self.hang = (0.0, 0.0)
        self.arrived = 0  # lock
        self.calls: list[Call] = []  # lock

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away on Ctrl-C is no news.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def query(self, key: str) -> tuple[int, dict[str, object] | None]:
        arrival = time.monotonic()
        with self.lock:
            self.arrived += 1
        with self.places:
            start = time.monotonic()
            begin, end = self.outage
            failed = begin <= start < end
            with closing(sqlite3.connect(self.database)) as connection:
                row = connection.execute("SELECT body FROM item WHERE key = ?", (key,)).fetchone()
            until = start + self.cost
            begin, end = self.hang
            if begin <= start < end:
                until = max(until, end)
            time.sleep(max(0.0, until - time.monotonic()))
            with self.lock:
                version = len(self.calls) + 1
                self.calls.append(Call(arrival, start, time.monotonic(), version, failed))
        if failed:
            return 503, None
        if row is None:
            return 404, None
        return 200, {"key": key, "body": row[0], "version": version}

    def progress(self) -> tuple[int, int]:
        with self.lock:
            return self.arrived, self.arrived - len(self.calls)

    def log(self) -> list[Call]:
        with self.lock:
            return self.calls.copy()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # One write, one packet: head and body apart may wait for each other's acknowledgement.
    wbufsize = -1

    def do_GET(self) -> None:
        if self.path == "/progress":
            self._answer(200, self.server.progress())
        elif self.path == "/calls":
            self._answer(200, self.server.log())
        elif self.path.startswith("/item/"):
            self._answer(*self.server.query(self.path.removeprefix("/item/")))
        else:
            self._answer(404, None)

    def do_PUT(self) -> None:
        if self.path in ("/outage", "/hang"):
            stretch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            setattr(self.server, self.path.removeprefix("/"), stretch)
            self._answer(200, None)
        else:
            self._answer(404, None)

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _create(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE item (key TEXT PRIMARY KEY, body TEXT NOT NULL)")
        connection.execute("INSERT INTO item VALUES (?, ?)", (HOT_KEY, "the news of the day"))


def _serve(port: int, capacity: int, cost: float) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Windows refuses to delete a file that a query still in progress has open.
    with tempfile.TemporaryDirectory(prefix="soloflight-", ignore_cleanup_errors=True) as folder:
        database = Path(folder, "origin.sqlite")
        _create(database)
        try:
            server = _Server(port, database, capacity, cost)
        except OSError as error:
            print(json.dumps({"error": error.strerror or str(error)}), flush=True)
            return 2
        with server:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            print(json.dumps({"port": server.server_address[1]}), flush=True)
            sys.stdin.read()
            server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
