"""Runs the examples of docs/examples under real servers, with many clients at once."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from meeting import PATIENCE

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
SERVERS: dict[str, list[str]] = {
    "uvicorn": ["uvicorn", "--no-access-log", "--fd", "{fd}"],
    "gunicorn": ["gunicorn", "--bind", "fd://{fd}"],
}


class Database:
    """The SQLite file that the examples read, ``shop.db`` in their folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "shop.db"
        self._do("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        self._do("INSERT INTO products VALUES (1, 'lamp')")

    def rename(self, name: str) -> None:
        self._do("UPDATE products SET name = ? WHERE id = 1", name)

    def _do(self, statement: str, *values: object) -> None:
        with self._opened() as connection:
            connection.execute(statement, values)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=PATIENCE)
        with contextlib.closing(connection):
            yield connection

    @contextmanager
    def held(self) -> Iterator[Callable[[], object]]:
        """Who reads has to wait, until what it yields is called."""
        with self._opened() as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield lambda: connection.execute("ROLLBACK")


@contextmanager
def stock() -> Iterator[str]:
    """Another service, which knows one product; its address."""

    class Products(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"id": 1, "name": "lamp"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Products) as server:
        serving = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join(PATIENCE)


class Served:
    """An example that runs as a process of its own, and what it writes."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, port: int = 0) -> None:
        self._process = process
        self._output = output
        self._port = port

    def ask(
        self, how: str, path: str, status: int = 200, sent: Callable[[], object] = lambda: None
    ) -> Any:
        """The answer, read as JSON."""
        assert self._process.poll() is None, self.written()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(how, path)
            sent()
            answer = connection.getresponse()
            body = answer.read()
        assert answer.status == status, (answer.status, body, self.written())
        return json.loads(body) if body else None

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def herd(
        self, path: str, number: int, meanwhile: Callable[[], object] = lambda: None
    ) -> list[Any]:
        """So many clients ask; something happens when all have; what each of them got."""
        together = threading.Barrier(number + 1)

        def client(_: int) -> Any:
            return self.ask("GET", path, sent=lambda: together.wait(PATIENCE))

        with ThreadPoolExecutor(number) as clients:
            answers = [clients.submit(client, i) for i in range(number)]
            together.wait(PATIENCE)
            meanwhile()
            return [answer.result(PATIENCE) for answer in answers]

    def written(self) -> str:
        """What it has written: its logs."""
        return self._output.read_text()

    def says(self, words: str) -> int:
        """In how many of its lines these words are."""
        return sum(words in line for line in self.written().splitlines())


def environment(**more: str) -> dict[str, str]:
    """That of a process which can import the examples, and what the tests share."""
    there = [*map(str, (EXAMPLES, ROOT / "tests", ROOT / "tests/docs"))]
    path = os.pathsep.join([*there, os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "default", **more}


@contextmanager
def run(folder: Path, *command: str, port: int = 0, **how: Any) -> Iterator[Served]:
    """Run ``python -m`` this in a folder where the examples can be imported."""
    output = folder / "output"
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
            **how,
        )
    try:
        yield Served(process, output, port)
        process.terminate()  # (SIGINT may hang gunicorn: it shuts its threads down in the handler)
        process.wait(PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def serve(server: str, folder: Path, app: str, *options: str) -> Iterator[Served]:
    """Run an app under a server. It is given its socket, so clients may come at once."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        fd, port = listening.fileno(), listening.getsockname()[1]
        command = [word.format(fd=fd) for word in SERVERS[server]]
        serving = run(folder, *command, app, *options, port=port, pass_fds=[fd])
        served = serving.__enter__()
    try:
        yield served
    finally:
        serving.__exit__(*sys.exc_info())


def program(folder: Path, code: str, **variables: str) -> None:
    """Run a program there. It must end in time and with success, and takes its children along."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        written, _ = process.communicate(timeout=3 * PATIENCE)
        assert process.returncode == 0, written
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
