"""Free-threaded Python: what we import must not bring the interpreter lock back.

That the rest holds without the lock is for the rest of the suite to show, run there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig

import pytest

pytestmark = pytest.mark.skipif(
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
