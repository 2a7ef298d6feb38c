"""Runs pytest in forks of a process that has imported it: in half the time of one that has not.

Each line that it reads says what to run, in JSON: the arguments, and the file for the output. It
answers with the id of the process, whose session is its own, and with its exit code in the end.
"""

from __future__ import annotations

# What most of the tests import; but nothing of the library, and no test.
import asyncio  # noqa: F401
import concurrent.futures.thread  # noqa: F401
import json
import os
import sys

import cachetools  # noqa: F401
import pytest
import wrapt  # noqa: F401


def main() -> int:
    sys.path[0] = os.getcwd()  # as `python -m pytest` has it
    for line in sys.stdin:
        arguments, output = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(os.open(output, os.O_WRONLY), 1)
            os.dup2(1, 2)
            return pytest.main(arguments)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
