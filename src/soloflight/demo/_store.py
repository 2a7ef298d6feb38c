"""What a tier of the demo stands on, for as long as it runs: a folder and, if asked for, a server.

A process of its own, as the origin is, and run as a file like that: it ends, and takes the folder
and the server along, when its standard input closes. So neither outlives a demo that was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

HOST = "127.0.0.1"
TRIES = 3
"""Another program may take the port that was found free."""
PATIENCE = 10.0
"""Seconds until a server answers."""


def _serve(binary: str) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = tempfile.mkdtemp(prefix="soloflight-")
    try:
        if not binary:
            return _hold({"place": folder})
        for _ in range(TRIES):
            port = _free_port()
            server = _started(binary, port, folder)
            try:
                if _answers(server, port):
                    return _hold({"place": f"redis://{HOST}:{port}/0"})
            finally:
                server.kill()
                server.wait()
        return _hold({"error": f"{binary} does not answer"})
    except OSError as error:
        return _hold({"error": str(error)})
    finally:
        _remove(folder)


def _hold(hello: dict[str, str]) -> int:
    print(json.dumps(hello), flush=True)
    sys.stdin.read()
    return 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def _started(binary: str, port: int, folder: str) -> subprocess.Popen[bytes]:
    # It keeps nothing on disk.
    command = [binary, "--port", str(port), "--bind", HOST, "--dir", folder]
    command += ["--save", "", "--appendonly", "no"]
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port), 1) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(16).startswith(b"+PONG"):
                return server.poll() is None  # or somebody else's has the port
        time.sleep(0.01)
    return False


def _remove(folder: str) -> None:
    # Workers end at the same moment as this where the demo was killed: one of them may have made a
    # file just now.
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            break
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(_serve(sys.argv[1]))
