"""Programs in an interpreter of their own: they must end in time and say nothing on stderr."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import dedent

LIMIT = 20.0
"""Seconds. A program that hangs says where, and ends."""

# In one line, so that the program's own lines keep their numbers but for one. Not where a fork
# server imports it (3.15): for the thread that waits here each fork there would be a warning.
_HEAD = (
    "import faulthandler; "
    f"__name__ == '__main__' and faulthandler.dump_traceback_later({LIMIT}, exit=True)\n"
)


def run(code: str, *args: str) -> str:
    """Run a program, warnings as errors; returns what it printed."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "program.py")
        file.write_text(_HEAD + dedent(code))
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(file), *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # its own children must not outlive it, nor keep its pipes open
        )
        try:
            out, err = process.communicate(timeout=2 * LIMIT)
        finally:
            end(process)
    assert (process.returncode, err) == (0, ""), f"exit code {process.returncode}\n{out}\n{err}"
    return out


def end(process: subprocess.Popen[str]) -> None:
    """Kill a program and the children it has left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError):
        process.kill()
    process.wait()
