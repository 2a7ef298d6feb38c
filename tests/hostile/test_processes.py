"""Loads and processes: law 14 for those who fork as programs do, with a load in progress."""

from __future__ import annotations

import http.client
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import interpreters
from conftest import Caller, needs_fork

POOL = """
    import multiprocessing, os, sys, warnings
    from collections import Counter
    from meeting import Caller, Gate, until, waiters
    from soloflight import cached_singleflight

    gate, loads = Gate(), Counter()

    @cached_singleflight(ttl=60)
    def load(key):
        pid = os.getpid()
        loads[pid] += 1
        if multiprocessing.parent_process() is None:
            gate()  # the load of the parent is in progress as the children start
        return pid, loads[pid]

    if __name__ == "__main__":
        callers = [Caller(load, "k")]
        gate.arrived()
        callers.append(Caller(load, "k"))
        until(lambda: waiters(load) == 1)
        # Python 3.12+ warns of forking with threads; that is the very case here.
        warnings.simplefilter("ignore", DeprecationWarning)
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            values = pool.map(load, ["k"] * 8, 1)
            pool.close()
            pool.join()
        assert os.getpid() not in {pid for pid, _ in values}, "a child got its parent's load"
        assert {number for _, number in values} == {1}, "a child loaded twice"
        gate.open()
        assert [caller.result() for caller in callers] == [(os.getpid(), 1)] * 2
        print("done")
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pool_may_ask_for_what_its_parent_is_loading(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this platform has no start method {method}")
    assert interpreters.run(POOL, method) == "done\n"


@needs_fork
def test_a_loader_may_fork_and_its_child_may_ask_for_the_same_key() -> None:
    """The load goes on in the child as well; but it is fenced there, and nobody's deadlock."""
    interpreters.run(
        """
        import os, warnings
        from meeting import Caller, succeeds, until, waiters
        from soloflight import cached_singleflight

        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        parent, child = os.getpid(), None

        @cached_singleflight(ttl=60)
        def load(key):
            global child
            if child is None:
                until(lambda: waiters(load) == 1)
                child = os.fork()
                if child == 0:
                    assert load.in_flight() == ()
                    assert load(key) == "anew"
                return "forked"
            return "anew"

        def follow():
            until(load.in_flight)
            return load("k")

        follower = Caller(follow)
        values = load("k"), load("k")
        if child == 0:
            os._exit(0 if values == ("forked", "anew") else 1)
        succeeds(child)
        assert values == ("forked", "forked")
        assert follower.result() == "forked"
        """
    )


@needs_fork
def test_a_child_forked_inside_of_an_event_loop_has_a_load_and_a_loop_of_its_own() -> None:
    interpreters.run(
        """
        import asyncio, os, warnings
        from meeting import succeeds, until_async, waiters
        from soloflight import cached_singleflight

        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        parent = os.getpid()

        async def main():
            opened = asyncio.Event()

            @cached_singleflight(ttl=60)
            async def load(key):
                if os.getpid() == parent:
                    await opened.wait()
                return os.getpid()

            callers = [asyncio.ensure_future(load("k")) for _ in range(3)]
            await until_async(lambda: waiters(load) == 3)
            child = os.fork()
            if child == 0:
                ok = load.in_flight() == () and asyncio.run(load("k")) == os.getpid()
                os._exit(0 if ok else 1)
            succeeds(child)
            opened.set()
            assert await asyncio.gather(*callers) == [parent] * 3

        asyncio.run(main())
        """
    )


SERVER = """
    import multiprocessing, os, threading
    from collections import Counter
    from soloflight import cached_singleflight

    master, loads = os.getpid(), Counter()
    inside, both = threading.Event(), multiprocessing.Barrier(2)

    @cached_singleflight(ttl=60)
    def load(key):
        pid = os.getpid()
        loads[pid] += 1
        if pid == master:
            inside.set()
            threading.Event().wait()  # in progress before the fork and ever after
        return f"{pid} {loads[pid]}"

    threading.Thread(target=load, args=["k"], daemon=True).start()
    assert inside.wait(20)

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/both":
            both.wait(20)  # two requests that meet are in two workers
        body = load("k").encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
"""
"""A preloaded application, whose master has a load in progress as it forks its workers."""


@needs_fork
def test_the_workers_of_a_pre_forking_server_load_for_themselves(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    (tmp_path / "server.py").write_text(dedent(SERVER))
    listening = socket.create_server(("127.0.0.1", 0))
    os.set_inheritable(listening.fileno(), True)

    def get(path: str) -> list[str]:
        connection = http.client.HTTPConnection(*listening.getsockname()[:2], timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200
            return response.read().decode().split()
        finally:
            connection.close()

    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--preload",
            "--workers=2",
            "--timeout=20",
            f"--bind=fd://{listening.fileno()}",
            "--log-level=warning",
            "server:app",
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # Python 3.12+ warns of forking with threads; that is the very case here.
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        pass_fds=[listening.fileno()],
        start_new_session=True,
    )
    try:
        both = [Caller(get, "/both") for _ in range(2)]
        answers = [caller.result() for caller in both]
        workers = {pid for pid, _ in answers}
        assert len(workers) == 2
        assert str(process.pid) not in workers
        answers += [get("/") for _ in range(8)]
        assert {pid for pid, _ in answers} == workers
        assert {loads for _, loads in answers} == {"1"}
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=interpreters.LIMIT)
        assert "Traceback" not in err
        assert process.returncode == 0
    finally:
        interpreters.end(process)
        listening.close()
