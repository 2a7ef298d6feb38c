"""What docs/frameworks.md says of mistakes, and of what frameworks do that nobody expects."""

from __future__ import annotations

import asyncio
import gc
import importlib
import re
import sys
import threading
from pathlib import Path
from textwrap import dedent
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import pytest

import interpreters
from conftest import Clock, until, until_async
from postgres import postgres
from serving import EXAMPLES, ROOT, Database, program
from soloflight import cached_singleflight
from soloflight.testing import MemoryTier

fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed")
sa = pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
orm = pytest.importorskip("sqlalchemy.orm", reason="SQLAlchemy is not installed")

if sys.platform == "win32":
    pytest.skip("there is no HostTier on Windows", allow_module_level=True)
sys.path.append(str(Path(__file__).parents[1] / "tiers"))
Request = fastapi.Request
FRAMEWORKS = ROOT / "docs/frameworks.md"


def blocks(page: Path) -> list[str]:
    """The examples of a page."""
    return re.findall(r"(?ms)^```python\n(.*?)^```$", page.read_text(encoding="utf-8"))


class Base(orm.DeclarativeBase): ...


class Row(Base):
    __tablename__ = "products"
    id = orm.mapped_column(sa.Integer, primary_key=True)
    name = orm.mapped_column(sa.Text)
    note = orm.mapped_column(sa.Text, deferred=True)


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = sa.create_engine(
        f"sqlite:///{tmp_path / 'shop.db'}", pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session, session.begin():
        session.add(Row(id=1, name="lamp", note="of brass"))
    yield engine
    gc.collect()  # sessions that nobody has closed
    engine.dispose()


def test_with_a_session_for_a_parameter_every_call_loads(engine: Any) -> None:
    @cached_singleflight(ttl=60)
    def load(product_id: int, session: Any) -> Any:
        return session.get(Row, product_id).name

    for _ in range(3):
        with orm.Session(engine) as session:
            assert load(1, session) == "lamp"
    assert (load.stats().hits, load.stats().loads, load.cache_info().currsize) == (0, 3, 3)
    load.clear()


def test_a_refresh_with_the_session_of_a_request_takes_a_connection_for_good(
    engine: Any, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    may_go_on, sessions = threading.Event(), []

    @cached_singleflight(ttl=10, stale_while_revalidate=60, ignore={"session"}, timer=clock)
    def load(product_id: int, session: Any) -> Any:
        assert may_go_on.wait(20)
        sessions.append(session)  # the garbage collector has not come by
        return session.scalar(sa.select(Row.name).where(Row.id == product_id))

    def request(product_id: int) -> None:
        with orm.Session(engine) as session:
            load(product_id, session)

    def request_that_ends_before_its_refresh(product_id: int) -> None:
        may_go_on.clear()
        request(product_id)
        may_go_on.set()
        until(lambda: not load.in_flight())

    may_go_on.set()
    request(1)
    request(2)
    assert engine.pool.checkedout() == 0
    clock.advance(15)
    request_that_ends_before_its_refresh(1)
    assert engine.pool.checkedout() == 1
    with pytest.raises(sa.exc.TimeoutError, match="QueuePool limit"), orm.Session(engine) as other:
        other.get(Row, 1)
    assert caplog.records == []
    request_that_ends_before_its_refresh(2)
    until(lambda: caplog.records)  # it is logged after the landing
    (record,) = caplog.records
    assert "load[2]: a reload failed" in record.getMessage()
    with pytest.raises(TypeError, match="session"):
        load.invalidate(1)
    for session in sessions:
        session.close()


HELD = """
import asyncio, gc, logging, sys, warnings
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from soloflight import cached_singleflight

said = []
handler = logging.Handler()
handler.emit = lambda record: said.append((record.name, record.getMessage()))
logging.getLogger().addHandler(handler)
warnings.simplefilter("ignore")  # SQLAlchemy says it twice
now, used = 0.0, []

class Names:
    def __init__(self, session):
        self.session = session

    @cached_singleflight(ttl=10, stale_while_revalidate=60, per_instance=False, timer=lambda: now)
    async def get(self, number):
        await may_go_on.wait()
        used.append(id(self.session))
        return await self.session.scalar(sa.select(number))

async def request():
    async with Session() as session:
        assert await Names(session).get(1) == 1
        return id(session)

async def main():
    global now, may_go_on, Session
    may_go_on = asyncio.Event()
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{sys.argv[1]}/held.db", poolclass=sa.AsyncAdaptedQueuePool
    )
    Session = async_sessionmaker(engine)
    may_go_on.set()
    await request()
    now = 15.0
    may_go_on.clear()
    await request()  # is served, and ends; the refresh goes on with its session
    assert engine.pool.checkedout() == 0
    may_go_on.set()
    while Names.get.in_flight():
        await asyncio.sleep(0.001)
    assert len(used) == 2
    gc.collect()
    assert Names.get.stats().errors == 0
    assert [name.split(".")[0] for name, _ in said] == ["sqlalchemy"], said
    assert "garbage collector is trying to clean up non-checked-in connection" in said[0][1]
    await engine.dispose()

asyncio.run(main())
"""


def test_a_shared_repository_refreshes_with_the_session_of_a_request(tmp_path: Path) -> None:
    """SQLAlchemy tells of it, and nothing of ours does."""
    for package in ("aiosqlite", "greenlet"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    interpreters.run(HELD, str(tmp_path))


def test_what_an_orm_has_loaded_cannot_be_read_after_its_session(engine: Any) -> None:
    @cached_singleflight(ttl=60)
    def load(product_id: int) -> Any:
        with orm.Session(engine) as session:
            return session.get(Row, product_id)

    @cached_singleflight(ttl=60)
    def load_in_transaction(product_id: int) -> Any:
        with orm.Session(engine) as session, session.begin():
            return session.get(Row, product_id)

    assert load(1).name == "lamp"
    with pytest.raises(orm.exc.DetachedInstanceError):
        _ = load(1).note
    with pytest.raises(orm.exc.DetachedInstanceError):
        _ = load_in_transaction(1).name


def test_an_orm_object_is_not_shared_by_a_tier(
    engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("msgspec", reason="msgspec is not installed")
    tier = MemoryTier()

    def process() -> Any:
        @cached_singleflight(ttl=60, tier=tier, name="load")
        def load(product_id: int) -> Row:
            with orm.Session(engine) as session:
                return session.get(Row, product_id)  # type: ignore[no-any-return]

        return load

    one, other = process(), process()
    assert [one(1).name, other(1).name] == ["lamp"] * 2
    assert [one.stats().loads, other.stats().loads] == [1, 1]
    assert "does not carry" in caplog.records[0].getMessage()
    assert "a value is not shared" in caplog.records[0].getMessage()


def test_a_cached_response_is_sent_once_and_gives_cookies_away() -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    from fastapi.responses import JSONResponse, StreamingResponse

    @cached_singleflight(ttl=60)
    async def report() -> Any:
        async def lines() -> Any:
            yield b"a line"

        return StreamingResponse(lines())

    @cached_singleflight(ttl=60)
    async def page() -> Any:
        return JSONResponse({})

    app = fastapi.FastAPI()

    async def show_report() -> Any:
        return await report()

    async def show_page(user: str) -> Any:
        response = await page()
        response.set_cookie("user", user)
        return response

    @cached_singleflight(ttl=60)
    async def with_request(request: Request) -> Any:
        return {}

    app.add_api_route("/report", show_report, response_model=None)
    app.add_api_route("/page/{user}", show_page, response_model=None)
    app.add_api_route("/with-request", with_request, response_model=None)

    async def main() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert [(await client.get("/report")).content for _ in range(2)] == [b"a line", b""]
            await client.get("/page/ada")
            cookies = (await client.get("/page/bob")).headers.get_list("set-cookie")
            assert [cookie.partition(";")[0] for cookie in cookies] == ["user=ada", "user=bob"]
            for _ in range(3):
                assert (await client.get("/with-request")).json() == {}
            assert (with_request.stats().hits, with_request.stats().loads) == (0, 3)

    asyncio.run(main())
    with_request.clear()


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "def"])
def test_a_request_may_want_nothing_cached(is_async: bool) -> None:
    """The others hit meanwhile. A dependency that is a plain `def` changes nothing."""
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed")
    shown: dict[str, Any] = {"cached_singleflight": cached_singleflight}
    (block,) = [block for block in blocks(FRAMEWORKS) if "def no_cache" in block]
    exec(block if is_async else block.replace("async def no_cache", "def no_cache"), shown)
    app, load = shown["app"], shown["load_news"]
    assert isinstance(app, fastapi.FastAPI)
    loads = 0

    async def slow() -> list[str]:
        nonlocal loads
        loads += 1
        number = loads
        if number > 1:
            await may_land.wait()
        return [f"load {number}"]

    async def main() -> None:
        nonlocal may_land
        may_land = asyncio.Event()
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ask(**headers: str) -> str:
                answer = await client.get("/news", headers=headers)
                return str(answer.json()[0])

            assert await ask() == "load 1"
            bypassing = [asyncio.create_task(ask(**{"cache-control": "no-cache"})) for _ in "12345"]
            if is_async:
                await until_async(lambda: loads == 6)
            assert [await ask() for _ in range(5)] == ["load 1"] * 5
            may_land.set()
            assert len({await task for task in bypassing}) == (5 if is_async else 1)
            assert load.stats().hits == (5 if is_async else 10)

    may_land: asyncio.Event
    with patch.object(load, "__wrapped__", slow):
        asyncio.run(main())


def test_a_refresh_has_the_context_of_a_flask_request(clock: Clock) -> None:
    flask = pytest.importorskip("flask", reason="Flask is not installed")
    app, seen = flask.Flask(__name__), []

    @cached_singleflight(ttl=10, stale_while_revalidate=60, timer=clock)
    def load() -> str:
        seen.append((flask.current_app.name, flask.g.user, threading.current_thread().name))
        return "value"

    def show() -> str:
        flask.g.user = "ada"
        return load()

    app.add_url_rule("/", view_func=show)
    app.test_client().get("/")
    clock.advance(15)
    app.test_client().get("/")
    until(lambda: not load.in_flight())
    assert [(name, user) for name, user, _ in seen] == [(__name__, "ada")] * 2
    assert seen[0][2] != seen[1][2]


DJANGO = f"""
import logging, os, sys, threading, time
sys.path.append({str(EXAMPLES)!r})
os.chdir(sys.argv[1])
logging.disable()
import django_shop
from django_shop import Product, View, cached_singleflight, load_product
from django.db import close_old_connections, connection, transaction
from django.http import HttpResponse
from unittest import TestResult, TestSuite
from django.test import RequestFactory, TestCase
from django.utils.decorators import method_decorator
from meeting import Caller, in_threads

def elsewhere(call):
    def thread():
        try:
            return call()
        finally:
            connection.close()
    return Caller(thread).result()

def request(view):
    return view.as_view()(RequestFactory().get("/"))

"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            """
            load_product(1)
            with transaction.atomic():
                Product.objects.update(name="desk")
                load_product.invalidate(1)  # too early
                assert elsewhere(lambda: load_product(1)["name"]) == "lamp"
            assert load_product(1)["name"] == "lamp"
            with transaction.atomic():
                Product.objects.update(name="chair")
                transaction.on_commit(lambda: load_product.invalidate(1))
                assert elsewhere(lambda: load_product(1)["name"]) == "lamp"
            assert load_product(1)["name"] == "chair"
            """,
            id="invalidate-before-the-commit",
        ),
        pytest.param(
            """
            queries, barrier = [], threading.Barrier(5)

            @cached_singleflight(ttl=60)
            def load():
                return Product.objects.all()

            def slow(execute, *args):
                queries.append(args[0])
                barrier.wait(20)
                return execute(*args)

            def names():
                products = load()
                with connection.execute_wrapper(slow):
                    result = [product.name for product in products]
                connection.close()
                return result

            assert [caller.result() for caller in in_threads(5, names)] == [["lamp"]] * 5
            assert (load.stats().loads, len(queries)) == (1, 5)
            """,
            id="a-queryset",
        ),
        pytest.param(
            """
            class Decorated(View):
                @method_decorator(cached_singleflight(ttl=60))
                def get(self, request):
                    return HttpResponse()

            @method_decorator(cached_singleflight(ttl=60), name="dispatch")
            class Dispatched(Decorated):
                pass

            for view in (Decorated, Dispatched):
                try:
                    request(view)
                except TypeError as error:
                    assert "missing 1 required positional argument: 'request'" in str(error)
                else:
                    raise AssertionError
            """,
            id="method-decorator",
        ),
        pytest.param(
            """
            class Names(View):
                def get(self, request):
                    return HttpResponse(self.names())

                @cached_singleflight(ttl=60, per_instance=False)
                def names(self):
                    return [product.name for product in Product.objects.all()]

            assert [request(Names).content for _ in range(3)] == [b"lamp"] * 3
            assert Names.names.stats().loads == 1
            """,
            id="a-method-of-a-view",
        ),
        pytest.param(
            """
            with transaction.atomic():
                Product.objects.update(name="desk")
                close_old_connections()
                transaction.set_rollback(True)
            assert Product.objects.get().name == "lamp"

            class Test(TestCase):
                databases = {"default"}

                def test(self):
                    with transaction.atomic():
                        transaction.on_commit(lambda: seen.append("without"))
                    with self.captureOnCommitCallbacks(execute=True), transaction.atomic():
                        transaction.on_commit(lambda: seen.append("with"))

            seen = []
            TestSuite([Test("test")]).run(result := TestResult())
            assert result.wasSuccessful()
            assert seen == ["with"]
            """,
            id="transactions",
        ),
    ],
)
def test_django(tmp_path: Path, code: str) -> None:
    pytest.importorskip("django", reason="Django is not installed")
    Database(tmp_path)
    interpreters.run(DJANGO + dedent(code), str(tmp_path))


DROPPED = """
import logging, sys, warnings
import django
from django.conf import settings
from conftest import until
from soloflight import cached_singleflight

settings.configure(DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres",
    "HOST": sys.argv[1],
}})
django.setup()
logging.disable()
warnings.simplefilter("ignore", ResourceWarning)  # nobody closes those of the threads
from django.db import close_old_connections, connection

now = 0.0

def cached(check):
    @cached_singleflight(
        ttl=10, stale_while_revalidate=1000, retry_after=(1, 1), timer=lambda: now
    )
    def backend():
        check()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0]
    return backend

def refreshed(backend):
    global now
    now += 15
    backend()
    until(lambda: not backend.in_flight())
    return repr(backend.peek().last_error)

for check in (lambda: None, close_old_connections):
    backend = cached(check)
    backend()
    assert refreshed(backend) == "None"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [backend.peek().value])
    errors = [refreshed(backend) for _ in range(3)]
    if check is close_old_connections:
        assert errors == ["None"] * 3, errors
    else:
        assert "terminating connection" in errors[0], errors
        assert all("the connection is closed" in error for error in errors[1:]), errors
"""


def test_a_refresh_of_django_needs_to_look_at_its_connection(tmp_path: Path) -> None:
    """Once the database has dropped it, it never comes back by itself."""
    for package in ("django", "psycopg"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    with postgres() as server:
        asked = parse_qs(urlsplit(server.get_uri()).query)
        interpreters.run(DROPPED, asked["host"][0])


LIMITED = """
import os, time
from celery import Celery
from celery.utils.log import get_task_logger
from soloflight import cached_singleflight
from soloflight.tiers import HostTier

log = get_task_logger(__name__)
app = Celery("limited", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_BROKER"])

@cached_singleflight(ttl=300, tier=HostTier("run/soloflight", timeout=5))
def load(key: str) -> str:
    log.info("%s is loaded", key)
    while not os.path.exists(key):
        time.sleep(0.01)
    return key

@app.task
def label(key: str) -> str:
    return load(key)
"""
LIMITS = """
from pathlib import Path
import limited
from meeting import PATIENCE, until
from serving import run

def ended(task):
    try:
        return task.get(PATIENCE)
    except Exception as error:
        return type(error).__name__

def outcomes(key, loads, **limit):
    first = limited.label.apply_async([key], **limit)
    until(lambda: worker.says(f"{key} is loaded"))
    others = [limited.label.delay(key) for _ in range(3)]
    until(lambda: len(inspect.active()["w@limited"]) == 4)
    result = [ended(first)]
    until(lambda: worker.says(f"{key} is loaded") == loads)
    Path(key).touch()
    return result + [ended(task) for task in others]

command = ["-A", "limited", "worker", "--concurrency", "4", "--hostname", "w@limited"]
with run(Path.cwd(), "celery", *command, "--loglevel", "INFO", "--without-mingle") as worker:
    inspect = limited.app.control.inspect(["w@limited"], timeout=PATIENCE)
    hard = outcomes("hard", 2, time_limit=3)
    assert hard == ["TimeLimitExceeded", "hard", "hard", "hard"], hard
    soft = outcomes("soft", 1, soft_time_limit=3)
    assert soft == ["SoftTimeLimitExceeded", *["RemoteLoadError"] * 3], soft
"""


def test_time_limits_of_celery(tmp_path: Path) -> None:
    for package in ("celery", "redis", "msgspec"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    servers = importlib.import_module("servers")
    if not servers.BINARIES:
        pytest.skip("there is no Valkey or Redis")
    (tmp_path / "limited.py").write_text(LIMITED)
    with servers.Server() as broker:
        program(tmp_path, LIMITS, SHOP_BROKER=broker.url)
