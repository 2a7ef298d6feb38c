"""The pytest plugin, in runs of pytest as its users have them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

CODE = """
from soloflight import cached_singleflight

loads = []

@cached_singleflight(ttl=60)
def load(key):
    loads.append(key)
    return len(loads)

@cached_singleflight(ttl=60)
async def load_later(key):
    loads.append(key)
    return len(loads)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run tests in a folder of their own, with the options of pytest that are given."""

    def run(tests: str, *options: str, ini: str = "soloflight_clear = true") -> Any:
        (tmp_path / "service.py").write_text(CODE)
        (tmp_path / "test_it.py").write_text(dedent(tests))
        (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = .\n{ini}\n")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        return subprocess.run(
            [*command, "-p", "pytest_soloflight", *options],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


TWICE = """
    from service import load, loads

    def test_one():
        assert load("k") == 1
        assert load("k") == 1

    def test_other():
        assert load("k") == 2
"""


def test_each_test_begins_with_nothing_cached(run: Run) -> None:
    result = run(TWICE)
    assert "2 passed" in result.stdout, result.stdout


def test_it_is_off_unless_it_is_asked_for(run: Run) -> None:
    result = run(TWICE, ini="")
    assert "1 failed, 1 passed" in result.stdout, result.stdout
    assert "assert 1 == 2" in result.stdout


def test_one_test_may_ask_for_it(run: Run) -> None:
    result = run(TWICE.replace("test_other()", "test_other(fresh_caches)"), ini="")
    assert "2 passed" in result.stdout, result.stdout


LEAVES = """
    import threading
    from soloflight import cached_singleflight

    began, for_ever = threading.Event(), threading.Event()

    @cached_singleflight(ttl=60, name="service.load")
    def load(key):
        began.set()
        for_ever.wait()

    def test_leaves():
        threading.Thread(target=load, args=("k",), daemon=True).start()
        began.wait()

    def test_after_it():
        assert not load.in_flight()
        assert load.peek("k") is None
"""


def test_who_leaves_a_load_behind_fails(run: Run) -> None:
    result = run(LEAVES)
    assert "loads are still in progress: service.load['k']" in result.stdout
    assert "2 passed, 1 error" in result.stdout, result.stdout
    assert "ERROR test_it.py::test_leaves" in result.stdout


def test_refreshes_have_a_moment_to_end(run: Run) -> None:
    result = run(
        """
        import threading
        from soloflight import cached_singleflight, testing

        began, clock = threading.Event(), testing.ManualClock()

        @cached_singleflight(ttl=1, stale_while_revalidate=60, timer=clock)
        def load():
            began.set()
            threading.Event().wait(0.2)

        def test_refreshes():
            load()
            began.clear()
            clock.advance(2)
            load()
            began.wait()
            assert load.in_flight()
        """
    )
    assert "1 passed" in result.stdout, result.stdout


def test_with_asyncio(run: Run) -> None:
    pytest.importorskip("pytest_asyncio")
    result = run(
        """
        import pytest
        from service import load_later

        @pytest.mark.parametrize("number", [1, 2])
        async def test_it(number):
            assert await load_later("k") == number
            assert await load_later("k") == number
        """,
        ini="soloflight_clear = true\nasyncio_mode = auto\n"
        "asyncio_default_fixture_loop_scope = function",
    )
    assert "2 passed" in result.stdout, result.stdout


def test_with_anyio(run: Run) -> None:
    result = run(
        """
        import pytest
        from service import load_later

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        @pytest.mark.parametrize("number", [1, 2])
        async def test_it(number):
            assert await load_later("k") == number
        """
    )
    assert "2 passed" in result.stdout, result.stdout


def test_with_xdist(run: Run) -> None:
    pytest.importorskip("xdist")
    result = run(
        """
        import pytest
        from service import load, loads

        @pytest.mark.parametrize("number", range(20))
        def test_it(number):
            before = len(loads)
            assert load("k") == before + 1
            assert load("k") == before + 1
        """,
        "-n",
        "2",
    )
    assert "20 passed" in result.stdout, result.stdout


def test_with_the_test_cases_of_django(run: Run) -> None:
    """They need no fixture: what is asked for in the ini is for them as well."""
    pytest.importorskip("django", reason="django is not made for this Python")
    result = run(
        """
        import django
        from django.conf import settings

        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3",
                                                  "NAME": ":memory:"}})
        django.setup()

        from django.test import TestCase
        from service import load

        class TestOne(TestCase):
            def test_it(self):
                assert load("k") == 1

            def test_more(self):
                assert load("k") == 2
        """
    )
    assert "2 passed" in result.stdout, result.stdout


def test_pytest_need_not_import_what_nobody_asks_for() -> None:
    check = "import pytest_soloflight, sys; assert 'soloflight' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_pytest_finds_it() -> None:
    """Where soloflight is installed. (In a checkout that is not, there is nothing to be found.)"""
    found = [entry for entry in entry_points(group="pytest11") if "soloflight" in entry.name]
    if not found:
        pytest.skip("soloflight is not installed here, but in a folder of the path")
    assert [(entry.name, entry.value) for entry in found] == [("pytest_soloflight",) * 2]
