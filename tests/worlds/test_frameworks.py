"""As its users would: FastAPI, Flask, and a SQLAlchemy repository on SQLite."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import BackgroundTasks, FastAPI
from flask import Flask

import annotated_routes
from conftest import Caller, Gate, until, until_async, waiters
from soloflight import cached_singleflight


def test_a_fastapi_endpoint_with_an_async_loader_loads_once() -> None:
    async def main() -> None:
        opened = asyncio.Event()
        loads = []

        @cached_singleflight(ttl=60)
        async def load(user_id: int) -> dict[str, int]:
            loads.append(user_id)
            await opened.wait()
            return {"id": user_id}

        app = FastAPI()

        @app.get("/users/{user_id}")
        async def user(user_id: int) -> Any:
            return await load(user_id)

        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            requests = [asyncio.ensure_future(client.get("/users/1")) for _ in range(10)]
            await until_async(lambda: waiters(load) == 10)
            opened.set()
            answers = [(await request).json() for request in requests]
        assert answers == [{"id": 1}] * 10
        assert loads == [1]

    asyncio.run(main())


def ask(*requests: tuple[str, str, Any]) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=annotated_routes.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.request(how, url, json=body) for how, url, body in requests]

    return asyncio.run(main())


@pytest.mark.parametrize("path", ["depends", "depends_async", "method", "route", "route_async"])
def test_fastapi_understands_annotations_that_are_strings(path: str) -> None:
    annotated_routes.loads.clear()
    answers = ask(*[("GET", f"/{path}/7?region=us", None)] * 2)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json() for answer in answers] == [{"id": 7, "region": "us"}] * 2
    assert len(annotated_routes.loads) == 1
    (refused,) = ask(("GET", f"/{path}/x", None))
    assert refused.status_code == 422


def test_fastapi_understands_a_body_whose_annotation_is_a_string() -> None:
    user = {"id": 7, "region": "eu"}
    answers = ask(("POST", "/body", user), ("POST", "/body", {"id": "x"}))
    assert [answer.status_code for answer in answers] == [200, 422]
    assert answers[0].json() == user


def test_a_flask_view_with_a_decorated_loader_loads_once(gate: Gate) -> None:
    @cached_singleflight(ttl=60)
    def load(user_id: int) -> dict[str, int]:
        gate()
        return {"id": user_id}

    app = Flask(__name__)

    @app.get("/users/<int:user_id>")
    def user(user_id: int) -> Any:
        return load(user_id)

    callers = [Caller(lambda: app.test_client().get("/users/1").json) for _ in range(8)]
    until(lambda: waiters(load) == 7)
    gate.open()
    assert [caller.result() for caller in callers] == [{"id": 1}] * 8
    assert gate.arrivals == 1


def test_a_sqlalchemy_repository_reads_a_row_once_until_it_is_written(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'users.db'}")
    users = sa.Table(
        "users",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String),
    )
    users.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(users.insert(), [{"id": 1, "name": "Ada"}])
    selects: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def count(_: Any, __: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("SELECT"):
            selects.append(statement)

    class Repository:
        @cached_singleflight(ttl=60)
        def name(self, user_id: int) -> Any:
            with engine.connect() as connection:
                return connection.scalar(sa.select(users.c.name).where(users.c.id == user_id))

        @cached_singleflight(ttl=60)
        @classmethod
        def count(cls) -> Any:
            with engine.connect() as connection:
                return connection.scalar(sa.select(sa.func.count()).select_from(users))

        @staticmethod
        @cached_singleflight(ttl=60)
        def exists(user_id: int) -> bool:
            with engine.connect() as connection:
                return connection.scalar(sa.select(users.c.id).where(users.c.id == user_id)) == 1

        def rename(self, user_id: int, name: str) -> None:
            with engine.begin() as connection:
                connection.execute(users.update().where(users.c.id == user_id).values(name=name))
            self.name.invalidate(user_id)

    repository = Repository()
    callers = [Caller(repository.name, 1) for _ in range(8)]
    assert [caller.result() for caller in callers] == ["Ada"] * 8
    assert len(selects) == 1
    repository.rename(1, "Grace")
    assert [repository.name(1), repository.name(1)] == ["Grace", "Grace"]
    assert [Repository.count(), repository.count()] == [1, 1]
    assert [Repository.exists(1), repository.exists(1)] == [True, True]
    assert len(selects) == 4
    engine.dispose()


def test_a_background_task_refreshes() -> None:
    """Starlette awaits what says that it is a coroutine function; the rest runs on a thread."""
    loads: list[Any] = []

    @cached_singleflight(ttl=60)
    async def load(user_id: int) -> None:
        loads.append(user_id)

    @cached_singleflight(ttl=60)
    def load_in_thread(user_id: int) -> None:
        loads.append(user_id)

    class Repo:
        @cached_singleflight(ttl=60)
        async def get(self, user_id: int) -> None:
            loads.append(user_id)

    async def main() -> None:
        tasks = BackgroundTasks()
        for refresh in (load.refresh, load_in_thread.refresh, Repo().get.refresh):
            tasks.add_task(refresh, len(tasks.tasks))
        await tasks()

    asyncio.run(main())
    assert loads == [0, 1, 2]
