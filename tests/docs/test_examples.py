"""The examples of docs/examples under real servers: many clients, several expiries, a load each."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from conftest import until
from serving import EXAMPLES, Database, Served, program, serve, stock

if sys.platform == "win32":
    pytest.skip("its servers cannot be given a socket", allow_module_level=True)

sys.path.append(str(Path(__file__).parents[1] / "tiers"))
NAMES = ["desk", "chair", "shelf", "table"]
LOADS = "product 1 is loaded"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path)


def needs(*packages: str) -> None:
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed")


# What the servers of one process do: they count who waits, so all are seen to.


def expiries_are_loads(app: Served, database: Database, clients: int) -> None:
    """A rename is an expiry. Then all clients wait for a load, which waits for the database."""
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
        assert app.says(LOADS) == 1 + n
    assert app.says("Traceback") == 0


def test_fastapi(tmp_path: Path, database: Database) -> None:
    needs("uvicorn", "fastapi", "sqlalchemy", "aiosqlite")
    with serve("uvicorn", tmp_path, "fastapi_shop:app") as app:
        expiries_are_loads(app, database, 100)
        assert [app.ask("GET", "/products/2", 404) for _ in range(3)] == [
            {"detail": "Not Found"}
        ] * 3
        assert app.says("product 2 is loaded") == 1


def test_flask(tmp_path: Path, database: Database) -> None:
    needs("gunicorn", "flask", "sqlalchemy")
    with serve("gunicorn", tmp_path, "flask_shop:app", "--threads", "40") as app:
        expiries_are_loads(app, database, 32)


@pytest.mark.parametrize(
    ("server", "options"),
    [("gunicorn", ["django_shop:wsgi", "--threads", "40"]), ("uvicorn", ["django_shop:asgi"])],
    ids=["wsgi", "asgi"],
)
def test_django(tmp_path: Path, database: Database, server: str, options: list[str]) -> None:
    needs(server, "django")
    with serve(server, tmp_path, *options) as app:
        expiries_are_loads(app, database, 32)


# Where a request has an event loop of its own.

TTL = 0.5
ABANDONED = "a refresh was abandoned"


def a_load_for_each_expiry(app: Served, clients: int) -> None:
    """Many clients go on asking, over several expiries."""
    already = app.says(LOADS)

    def ask() -> bool:
        assert app.get("/products/1") == {"id": 1, "name": "lamp"}
        return app.says(LOADS) >= already + 3

    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(until, [ask] * clients))
    begun = [
        datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()
        for line in app.written().splitlines()
        if LOADS in line
    ]
    # Nobody loads what has not expired, and nobody loads it beside another.
    apart = [later - earlier for earlier, later in pairwise(begun[already:])]
    assert min(apart) >= TTL - 0.01, apart


def test_flask_with_an_event_loop_for_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("gunicorn", "flask", "asgiref", "httpx")
    with stock() as url:
        monkeypatch.setenv("SHOP_STOCK", url)
        with serve("gunicorn", tmp_path, "flask_async_shop:app", "--threads", "40") as app:
            until(lambda: app.get("/products/1") and app.says(ABANDONED))
            a_load_for_each_expiry(app, 16)
            assert app.says(ABANDONED) == 1
            assert app.says("Traceback") == 0


DJANGO_LOOPS = """
from asgiref.sync import async_to_sync, sync_to_async
from django_shop import *

logging.getLogger().handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s"))
cached = cached_singleflight(ttl=0.5, stale_while_revalidate=60)

@cached
def load(product_id: int) -> dict:
    return load_product.__wrapped__(product_id)

@cached
async def load_async(product_id: int) -> dict:
    log.info("product %s is loaded", product_id)
    return await Product.objects.values("id", "name").aget(pk=product_id)

async def show_async(request: HttpRequest, product_id: int) -> JsonResponse:
    return JsonResponse(await sync_to_async(load)(product_id))

def show(request: HttpRequest, product_id: int) -> JsonResponse:
    return JsonResponse(async_to_sync(load_async)(product_id))

urlpatterns[:] = [path("products/<int:product_id>", {view})]
"""


@pytest.fixture
def loops(tmp_path: Path, database: Database) -> Callable[[str], None]:
    def written(view: str) -> None:
        (tmp_path / "loops.py").write_text(DJANGO_LOOPS.replace("{view}", view))

    return written


def test_django_with_an_event_loop_for_each_call(
    tmp_path: Path, loops: Callable[[str], None]
) -> None:
    needs("gunicorn", "django")
    loops("show")
    with serve("gunicorn", tmp_path, "loops:wsgi", "--threads", "40") as app:
        until(lambda: app.get("/products/1") and app.says(ABANDONED))
        a_load_for_each_expiry(app, 16)
        assert app.says(ABANDONED) == 1


def test_django_with_async_to_sync_under_asgi(tmp_path: Path, loops: Callable[[str], None]) -> None:
    """A refresh gets what the thread of a request was to do for its loop."""
    needs("uvicorn", "django")
    loops("show")
    with serve("uvicorn", tmp_path, "loops:asgi") as app:
        until(lambda: app.get("/products/1") and app.says("a reload failed"))
        assert app.says("CurrentThreadExecutor already quit or is broken")
        assert app.get("/products/1") == {"id": 1, "name": "lamp"}


def test_django_with_async_views(tmp_path: Path, loops: Callable[[str], None]) -> None:
    needs("uvicorn", "django")
    loops("show_async")
    with serve("uvicorn", tmp_path, "loops:asgi") as app:
        a_load_for_each_expiry(app, 16)
        assert app.says(ABANDONED) == app.says("a reload failed") == 0


# In many processes.

SHARED = "names are loaded"
WORKERS = {
    "threads": ["--threads", "8"],
    "gevent": ["--worker-class", "gevent"],
    "gevent-preload": ["--worker-class", "gevent", "--preload", "--config", "{gevent_conf}"],
}


@pytest.mark.parametrize("options", WORKERS.values(), ids=WORKERS)
def test_gunicorn_workers(tmp_path: Path, database: Database, options: list[str]) -> None:
    needs("gunicorn", "flask", "msgspec", *({"gevent"} & {*options}))
    options = [word.format(gevent_conf=EXAMPLES / "gunicorn_gevent_conf.py") for word in options]
    with serve("gunicorn", tmp_path, "gunicorn_shop:app", "--workers", "3", *options) as app:
        processes: set[int] = set()

        def all_are_up() -> bool:
            processes.update(answer["process"] for answer in app.herd("/names", 16))
            return len(processes) == 3

        until(all_are_up)
        for n, name in enumerate(NAMES, start=2):
            database.rename(name)
            app.ask("DELETE", "/names")
            heard: set[int] = set()

            def all_have_heard(heard: set[int] = heard) -> bool:
                answers = app.herd("/cached", 16)
                heard.update(answer["process"] for answer in answers if not answer["cached"])
                return heard == processes

            until(all_have_heard)
            with database.held() as let_go:

                def when_a_load_has_begun(n: int = n) -> None:
                    until(lambda: app.says(SHARED) >= n)
                    let_go()

                answers = app.herd("/names", 32, when_a_load_has_begun)
            assert [answer["names"] for answer in answers] == [{"1": name}] * 32
            assert app.says(SHARED) == n
        assert app.says("Traceback") == 0


CELERY = f"""
from pathlib import Path
import celery_shop
from meeting import PATIENCE, until
from serving import Database, run

database = Database(here := Path.cwd())
command = ["-A", "celery_shop", "worker", "--concurrency", "4", "--hostname", "w@shop"]
with run(here, "celery", *command, "--loglevel", "INFO", "--without-mingle") as worker:
    inspect = celery_shop.app.control.inspect(["w@shop"], timeout=PATIENCE)
    for n, name in enumerate({NAMES}, start=1):
        celery_shop.rename.delay(1, name).get(PATIENCE)
        with database.held() as let_go:
            tasks = [celery_shop.label.delay(1) for _ in range(16)]
            until(lambda: len(inspect.active()["w@shop"]) == 4)
            let_go()
            assert [task.get(PATIENCE) for task in tasks] == [f"{{name}} (no. 1)"] * 16
        assert worker.says({SHARED!r}) == n, worker.written()
    celery_shop.load_names.invalidate()  # here, in another process
    assert celery_shop.label.delay(1).get(PATIENCE) == "table (no. 1)"
    assert worker.says({SHARED!r}) == n + 1
    assert worker.says("Traceback") == 0, worker.written()
"""


def test_celery(tmp_path: Path) -> None:
    needs("celery", "redis", "msgspec")
    servers = importlib.import_module("servers")
    if not servers.BINARIES:
        pytest.skip("there is no Valkey or Redis")
    with servers.Server() as broker:
        program(tmp_path, CELERY, SHOP_BROKER=broker.url)
