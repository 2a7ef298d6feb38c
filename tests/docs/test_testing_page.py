"""What docs/testing.md says of tests of web applications, and of pytest's fixtures."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import interpreters
from postgres import postgres
from soloflight import cached_singleflight, testing

CALLERS = 10


def served(load: Any) -> Any:
    """An application with one endpoint, of the kind that its loader is."""
    fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed")
    pytest.importorskip("httpx", reason="httpx is not installed")
    app = fastapi.FastAPI()
    app.add_api_route("/", load, response_model=None)
    return app


@pytest.mark.filterwarnings("ignore:Using .httpx.")
def test_a_plain_test_waits_for_the_callers_of_an_async_loader() -> None:
    @cached_singleflight(ttl=30)
    async def load() -> int:
        return load.stats().loads

    app = served(load)
    from fastapi.testclient import TestClient

    with (
        TestClient(app) as client,
        ThreadPoolExecutor(CALLERS) as pool,
        testing.hold(load) as held,
    ):
        answers = [pool.submit(client.get, "/") for _ in range(CALLERS)]
        asyncio.run(held.wait_for_waiters(CALLERS))
        assert not any(answer.done() for answer in answers)
        held.release()
        assert {answer.result().json() for answer in answers} == {load.stats().loads}
    assert (load.stats().misses, load.stats().joined) == (1, CALLERS - 1)


def test_an_async_test_waits_for_the_callers_of_a_plain_loader() -> None:
    @cached_singleflight(ttl=30)
    def load() -> int:
        return load.stats().loads

    app = served(load)
    import httpx

    async def main() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            with testing.hold(load) as held:
                answers = [asyncio.create_task(client.get("/")) for _ in range(CALLERS)]
                await asyncio.to_thread(held.wait_for_waiters, CALLERS)
                assert not any(answer.done() for answer in answers)
                held.release()
                assert {(await answer).json() for answer in answers} == {load.stats().loads}

    asyncio.run(main())
    assert (load.stats().misses, load.stats().joined) == (1, CALLERS - 1)


def passes(folder: Path, tests: str, *, ini: str = "soloflight_clear = true") -> None:
    (folder / "test_it.py").write_text(dedent(tests))
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, "-p", "pytest_soloflight"],
        cwd=folder, capture_output=True, text=True, timeout=120,
        env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout


def test_a_fixture_that_fills_a_cache_asks_for_fresh_caches(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        import pytest
        from soloflight import cached_singleflight

        @cached_singleflight(ttl=60)
        def load(key):
            return key

        @pytest.fixture(scope="module")
        def of_the_module():
            load(1)

        @pytest.fixture
        def of_the_test(fresh_caches):
            load(2)

        def test_what_is_there(of_the_module, of_the_test):
            assert load.peek(1) is None
            assert load.peek(2).value == 2
        """,
    )


def test_a_test_case_may_use_the_fixture(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        import unittest
        import pytest
        from soloflight import cached_singleflight

        @cached_singleflight(ttl=60)
        def load():
            return object()

        @pytest.mark.usefixtures("fresh_caches")
        class TestIt(unittest.TestCase):
            def test_one(self):
                assert load.peek() is None
                load()

            test_other = test_one
        """,
        ini="",
    )


def test_a_refresh_whose_loop_lives_on_is_no_error(tmp_path: Path) -> None:
    pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
    passes(
        tmp_path,
        """
        import asyncio
        import pytest
        from soloflight import cached_singleflight, testing

        pytestmark = pytest.mark.asyncio(loop_scope="module")
        began, clock = asyncio.Event(), testing.ManualClock()

        @cached_singleflight(ttl=1, stale_while_revalidate=60, timer=clock)
        async def load():
            if began.is_set():
                await asyncio.Event().wait()
            began.set()

        async def test_refreshes():
            await load()
            clock.advance(2)
            await load()
            assert load.in_flight()

        async def test_hears_nothing_of_it():
            assert not load.in_flight()
        """,
        ini="soloflight_clear = true\nasyncio_default_fixture_loop_scope = function",
    )


DJANGO = """
import sys, threading, warnings
from unittest import TestResult, TestSuite
import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres",
        "HOST": sys.argv[1],
    }},
    INSTALLED_APPS=["django.contrib.contenttypes"],
)
django.setup()
warnings.simplefilter("ignore", ResourceWarning)  # of the connection that nobody closes
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.utils import OperationalError
from django.test import TestCase, TransactionTestCase
from django.test.runner import DiscoverRunner
from soloflight import cached_singleflight, testing

closes = True

@cached_singleflight(ttl=60, stale_while_revalidate=60)
def count():
    try:
        return ContentType.objects.filter(app_label="shop").count()
    finally:
        if closes and threading.current_thread() is not threading.main_thread():
            connection.close()

seen = []

class Both:
    def test(self):
        ContentType.objects.create(app_label="shop", model=self.id())
        with testing.time() as clock:
            here = count()
            clock.advance(61)
            count()
            testing.assert_no_flights()
            seen.append((here, count()))

class Rolled(Both, TestCase): ...
class Committed(Both, TransactionTestCase): ...

def ran(case):
    runner = DiscoverRunner(interactive=False, verbosity=0)
    old = runner.setup_databases()
    TestSuite([case("test")]).run(result := TestResult())
    assert result.wasSuccessful(), result.errors
    runner.teardown_databases(old)
    return seen[-1]

assert ran(Rolled) == (1, 0)
assert ran(Committed) == (1, 1)
closes = False
try:
    ran(Committed)
except OperationalError as error:
    assert "is being accessed by other users" in str(error)
else:
    raise AssertionError
"""


def test_a_loader_of_django_in_a_thread_of_its_own(tmp_path: Path) -> None:
    for package in ("django", "psycopg"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    with postgres() as server:
        interpreters.run(DJANGO, parse_qs(urlsplit(server.get_uri()).query)["host"][0])
