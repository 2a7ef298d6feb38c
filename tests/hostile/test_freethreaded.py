"""What differs where Python has no interpreter lock ("free-threaded"), and must not show.

The rest of the suite, run there, shows the rest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import weakref

import cachetools
import pytest

from conftest import Caller, Gate, until
from soloflight import cached_singleflight


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has the interpreter lock"
)
@pytest.mark.parametrize("module", ["wrapt", "cachetools", "soloflight"])
def test_an_import_leaves_the_interpreter_lock_off(module: str) -> None:
    """An extension that is not made for it switches the lock on, for all, and warns of it."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHON_GIL", "PYTHONWARNINGS")}
    check = f"import sys, {module}; sys.exit(sys._is_gil_enabled())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", check],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_another_thread_drops_is_gone_at_once(gate: Gate) -> None:
    """Without the lock, an object may outlive its last holder until the thread that made it runs.

    The thread that loaded these entries does nothing more.
    """
    cache: cachetools.LRUCache[object, object] = cachetools.LRUCache(2)

    @cached_singleflight(cache=cache)
    def load(key: str) -> str:
        return key

    loader = Caller(lambda: [load("deleted"), load("evicted"), gate()])
    gate.arrived()
    assert load.peek("deleted") and load.peek("evicted")
    del cache[load.cache_key("deleted")]
    assert load.peek("deleted") is None
    load("a")
    load("b")
    assert load.peek("evicted") is None
    gate.open()
    loader.result()


def test_the_first_entry_of_a_process_is_that_of_its_key_alone() -> None:
    """A dead reference stands for unknown keys; it must stay dead."""
    program = """
from soloflight import cached_singleflight

@cached_singleflight(ttl=None)
def load(key: int) -> int:
    return key

assert [load(1), load(2), load(1)] == [1, 2, 1]
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_looking_at_an_entry_leaves_nothing_behind() -> None:
    class Thing:
        pass

    @cached_singleflight(ttl=None)
    def load() -> Thing:
        return Thing()

    seen = weakref.ref(load())
    for _ in range(100):
        load.peek()
    load.clear()
    until(lambda: seen() is None)
