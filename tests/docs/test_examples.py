"""The examples of docs/examples under real servers: many clients, several expiries, a load each."""

from __future__ import annotations

from pathlib import Path

import pytest

from meeting import until
from serving import Database, Served, serve

NAMES = ["desk", "chair", "shelf", "table"]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path)


def expiries_are_loads(app: Served, database: Database, clients: int) -> None:
    """A rename is an expiry; then all clients ask while the database is held, and one load waits."""
    assert app.get("/products/1") == {"id": 1, "name": "lamp"}
    for n, name in enumerate(NAMES, start=1):
        app.ask("PUT", f"/products/1?name={name}")
        joined = app.get("/stats")["joined"]

        with database.held() as let_go:

            def when_all_are_aboard(joined: int = joined) -> None:
                until(lambda: app.get("/stats")["joined"] == joined + clients - 1)
                let_go()

            answers = app.herd("/products/1", clients, when_all_are_aboard)
        assert answers == [{"id": 1, "name": name}] * clients
        assert app.says("product 1 is loaded") == n + 1


def test_fastapi(tmp_path: Path, database: Database) -> None:
    with serve("uvicorn", tmp_path, "fastapi_shop:app") as app:
        expiries_are_loads(app, database, 100)


def test_flask(tmp_path: Path, database: Database) -> None:
    with serve("gunicorn", tmp_path, "flask_shop:app", "--threads", "40") as app:
        expiries_are_loads(app, database, 32)


def test_django_wsgi(tmp_path: Path, database: Database) -> None:
    with serve("gunicorn", tmp_path, "django_shop:wsgi", "--threads", "40") as app:
        expiries_are_loads(app, database, 32)


def test_django_asgi(tmp_path: Path, database: Database) -> None:
    with serve("uvicorn", tmp_path, "django_shop:asgi") as app:
        expiries_are_loads(app, database, 32)
