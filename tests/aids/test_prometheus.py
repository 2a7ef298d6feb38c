"""Metrics, as Prometheus gets them: through a real scrape."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from conftest import Boom, Caller, Clock, Gate, in_child, needs_fork, until
from soloflight import Group, cached_singleflight, singleflight
from soloflight.contrib.prometheus import Collector, publish
from soloflight.testing import MemoryTier

ROOT = Path(__file__).parents[2]
Samples = dict[tuple[str, ...], float]


def scraped(port: int, path: str = "/metrics") -> Samples:
    """The samples by their name and the values of their labels."""
    url = f"http://127.0.0.1:{port}{path}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def port(registry: CollectorRegistry) -> Iterator[int]:
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def of(samples: Samples, function: str) -> dict[str, float]:
    """What is not zero of a function, without ``soloflight_`` and ``_total``."""
    return {
        " ".join((name.removeprefix("soloflight_").removesuffix("_total"), *more)): value
        for (name, label, *more), value in samples.items()
        if label == function and value
    }


def test_what_was_counted_is_scraped(
    registry: CollectorRegistry, port: int, clock: Clock, gate: Gate
) -> None:
    registry.register(Collector())

    @cached_singleflight(ttl=10, stale_if_error=60, timer=clock, name="users")
    def users(key: str) -> str:
        clock.advance(2.5)
        if key == "down":
            raise Boom
        return key

    group = Group("mails")
    leader = Caller(group.do, "k", gate)
    gate.arrived()
    follower = Caller(group.do, "k", gate)
    until(lambda: group.in_flight()[0].waiters)
    users("a"), users("a"), users("b")
    with pytest.raises(Boom):
        users("down")
    found = scraped(port)
    assert of(found, "users") == {
        "hits": 1, "misses": 3, "loads": 3, "errors": 1, "load_seconds": 7.5, "entries": 2,
    }  # fmt: skip
    assert of(found, "mails") == {
        "misses": 1, "loads": 1, "joined": 1, "in_flight": 1, "waiters": 1,
    }  # fmt: skip
    gate.open()
    leader.result(), follower.result()
    assert "in_flight" not in of(scraped(port), "mails")


def test_stale_answers_have_their_reason(
    registry: CollectorRegistry, port: int, clock: Clock
) -> None:
    registry.register(Collector())

    @cached_singleflight(
        ttl=10, stale_while_revalidate=10, stale_if_error=60, timer=clock, name="prices"
    )
    def prices() -> int:
        if prices.stats().loads > 1:
            raise Boom
        return 1

    prices()
    clock.advance(15)
    prices()  # behind which a refresh runs, and fails
    until(lambda: prices.stats().errors)
    clock.advance(40)
    prices()
    counts = of(scraped(port), "prices")
    assert (counts["stale revalidate"], counts["stale error"]) == (1, 1)


def test_counters_never_go_back(registry: CollectorRegistry, port: int) -> None:
    registry.register(Collector())

    def decorated() -> Any:
        @cached_singleflight(ttl=10, name="twins")
        def load(key: int) -> int:
            return key

        return load

    one, other = decorated(), decorated()
    one(1), other(1), other(2)
    assert of(scraped(port), "twins")["loads"] == 3
    del one
    gc.collect()
    other.cache_clear()
    assert of(scraped(port), "twins")["loads"] == 3
    other(1)
    another = decorated()
    another(1)
    assert of(scraped(port), "twins")["loads"] == 5
    del other, another
    gc.collect()
    assert of(scraped(port), "twins")["loads"] == 5


def test_so_many_names_and_no_more(registry: CollectorRegistry, port: int) -> None:
    kept = [singleflight(name=f"made in a loop {number}")(lambda: None) for number in range(20)]
    registry.register(Collector(max_functions=3))
    for load in kept:
        load()
    found = scraped(port)
    names = {label for name, label, *_ in found if name == "soloflight_loads_total"}
    assert len(names) == 4
    assert "(others)" in names
    assert of(found, "(others)")["loads"] >= 17
    with pytest.raises(ValueError, match="max_functions must be at least 1, but is 0"):
        Collector(max_functions=0)


def test_a_tier_is_seen(registry: CollectorRegistry, port: int) -> None:
    registry.register(Collector())
    tier = MemoryTier()
    decorate = cached_singleflight(ttl=30, tier=tier, name="shared", codec="json")
    one, other = decorate(lambda: 1), decorate(lambda: 1)
    one(), other()
    counts = of(scraped(port), "shared")
    assert (counts["misses"], counts["loads"], counts["tier_hits"]) == (2, 1, 1)
    tier.close()


def test_two_collectors_are_refused(registry: CollectorRegistry) -> None:
    registry.register(Collector())
    with pytest.raises(ValueError, match="soloflight_hits"):
        registry.register(Collector())


def test_who_has_no_client_is_told_what_to_install() -> None:
    check = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "try: import soloflight.contrib.prometheus\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert "install soloflight[prometheus]" in done.stdout


def queries() -> list[str]:
    dashboard = json.loads((ROOT / "docs/grafana.json").read_text(encoding="utf-8"))
    variables = [one["query"]["query"] for one in dashboard["templating"]["list"][1:]]
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    return [*variables, *(target["expr"] for target in targets)]


def test_the_dashboard_asks_for_what_is_scraped(registry: CollectorRegistry) -> None:
    """Each metric and each label of its queries is one of ours; and each metric is asked for."""
    registry.register(Collector())

    @cached_singleflight(ttl=30)
    def load() -> None: ...

    load()
    labels = {
        sample.name: {*sample.labels} for family in registry.collect() for sample in family.samples
    }
    asked = {name for query in queries() for name in re.findall(r"soloflight_\w+", query)}
    assert asked <= {*labels}
    unasked = {"store_errors", "early_refreshes", "negative_hits"}  # on no panel
    assert {*labels} - asked == {f"soloflight_{name}_total" for name in unasked}
    for query in queries():
        for group in re.findall(r"sum by \(([\w, ]+)\) \(rate\((soloflight_\w+)", query):
            by, name = group
            assert {*by.split(", ")} <= labels[name]


# ---- several processes

APP = """
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from soloflight import cached_singleflight
from soloflight.contrib.prometheus import publish

publish(every=0.05)

@cached_singleflight(ttl=60, name="app.load")
def load(key):
    return key

load("in the parent, where it preloads")

def app(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        body = generate_latest(registry)
    else:
        load(environ["PATH_INFO"])
        body = b"ok"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no gunicorn on Windows")
@pytest.mark.parametrize("preload", [False, True])
def test_the_workers_of_gunicorn_are_added_up(tmp_path: Path, preload: bool) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "app.py").write_text(APP)
    folder = tmp_path / "metrics"
    folder.mkdir()
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-m", "gunicorn", "app:app", "-w", "4", "-b", "127.0.0.1:0"]
    server = subprocess.Popen(
        [*command, *(["--preload"] if preload else []), "--log-level", "info"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        port = next(
            int(found[1])
            for line in server.stderr
            if (found := re.search(r"Listening at: http://127.0.0.1:(\d+)", line))
        )
        for number in range(40):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=30) as answer:
                assert answer.read() == b"ok"
        of_start = 1 if preload else 4

        def shown(name: str) -> float:
            # In the moment in which a worker makes its files, prometheus-client cannot read them.
            with suppress(HTTPError):
                return scraped(port).get((name, "app.load"), 0)
            return -1

        until(lambda: shown("soloflight_loads_total") == 40 + of_start)
        # The copies of each process, which has inherited that of its parent.
        entries = 40 + (5 if preload else 4)
        until(lambda: shown("soloflight_entries") == entries)
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        server.stderr.close()  # type: ignore[union-attr]


def test_what_has_ended_has_nothing_in_its_cache_any_more(registry: CollectorRegistry) -> None:
    """`publish`, in the mode of one process, where a scrape shows what was written."""
    tell = publish(every=3600, registry=registry).tell

    @cached_singleflight(ttl=30, name="ends")
    def load(key: int) -> int:
        return key

    load(1), load(2)
    tell()
    assert registry.get_sample_value("soloflight_entries", {"function": "ends"}) == 2
    del load
    gc.collect()
    tell()
    assert registry.get_sample_value("soloflight_entries", {"function": "ends"}) == 0
    assert registry.get_sample_value("soloflight_loads_total", {"function": "ends"}) == 2
    with pytest.raises(ValueError, match=r"publish\(\) was called before"):
        publish(registry=registry)


def test_a_log_handler_may_scrape(registry: CollectorRegistry, clock: Clock) -> None:
    """No code of others runs while a scrape holds a lock."""
    collector = Collector()
    cache: Any = BreaksOnce()

    @cached_singleflight(ttl=30, cache=cache)
    def load() -> int:
        return 1

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            scrapes.append(collector.values())

    scrapes: list[Any] = []
    handler = Handler()
    logging.getLogger("soloflight").addHandler(handler)
    try:
        load()
        cache.breaks = True
        Caller(collector.values).result()
    finally:
        logging.getLogger("soloflight").removeHandler(handler)
    assert scrapes


class BreaksOnce(dict[Any, Any]):
    """A cache whose size cannot be had, once."""

    breaks = False

    def __len__(self) -> int:
        if self.breaks:
            self.breaks = False
            raise Boom
        return super().__len__()


def run_sharing(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program whose processes share a folder of metrics."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONWARNINGS": "ignore"},
    )


@needs_fork
def test_children_that_were_forked_while_metrics_were_written_write_theirs(tmp_path: Path) -> None:
    program = """
import os, sys, threading
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from soloflight import cached_singleflight
from soloflight.contrib.prometheus import publish

publisher = publish(every=0.0005)
kept = [cached_singleflight(ttl=30, name=f"f{number}")(lambda: None) for number in range(150)]
for load in kept:
    load()
others = [load.refresh for load in kept[1:]]  # so that there is always something to be written
threading.Thread(
    target=lambda: [refresh() for _ in iter(int, 1) for refresh in others], daemon=True
).start()
for _ in range(20):
    child = os.fork()
    if not child:
        kept[0].refresh()
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
publisher.tell()
registry = CollectorRegistry()
MultiProcessCollector(registry)
print("loads:", registry.get_sample_value("soloflight_loads_total", {"function": "f0"}), flush=True)
os._exit(0)
"""
    done = run_sharing(tmp_path, program)
    assert "loads: 21.0" in done.stdout, (done.stdout, done.stderr)


@pytest.mark.parametrize("wrong", ["x", None, 1.5, True])
def test_wrong_limits_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="max_functions must be an int"):
        Collector(max_functions=wrong)
    with pytest.raises(ValueError, match="every must be more than 0 and finite"):
        publish(every=float("inf"), registry=None)


def test_what_could_not_be_written_is_written_once(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = publish(every=3600, registry=registry)

    @cached_singleflight(ttl=30, name="fails for a while")
    def load(key: int) -> int:
        return key

    load(1)
    counter = publisher._metrics["loads"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counter, "labels", lambda **_: 1 / 0)
        for _ in range(3):
            publisher.tell()
    assert [r.message for r in caplog.records] == ["metrics could not be published"]
    publisher.tell()

    def shown(name: str) -> float | None:
        return registry.get_sample_value(f"soloflight_{name}", {"function": "fails for a while"})

    assert (shown("loads_total"), shown("misses_total"), shown("entries")) == (1, 1, 1)


def test_who_is_told_of_it_may_write_it() -> None:
    """A log handler, or a signal handler, in the middle of it."""
    publisher = publish(every=3600, registry=CollectorRegistry())
    values = publisher._collector.values

    def again() -> Any:
        publisher.tell()
        return values()

    publisher._collector.values = again  # type: ignore[method-assign]
    Caller(publisher.tell).result()


@needs_fork
def test_children_end_whatever_the_application_counts(tmp_path: Path) -> None:
    """prometheus-client has one lock for all, and another thread may have it at a fork."""
    program = """
import os, sys, threading
from prometheus_client import Counter
from soloflight import cached_singleflight
from soloflight.contrib.prometheus import publish

publish(every=3600)
counter = Counter("mine", "of the application")
threading.Thread(target=lambda: [counter.inc() for _ in iter(int, 1)], daemon=True).start()
kept = cached_singleflight(ttl=30)(lambda: None)
kept()
children = []
for _ in range(30):
    child = os.fork()
    if not child:
        sys.exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
print("all have ended", flush=True)
os._exit(0)
"""
    done = run_sharing(tmp_path, program)
    assert "all have ended" in done.stdout, done.stderr


@needs_fork
def test_a_fork_waits_until_metrics_are_written(gate: Gate) -> None:
    """What writes them has locks of prometheus-client, and the child has not that thread."""
    publisher = publish(every=3600, registry=CollectorRegistry())
    publisher._tell = lambda now: gate()  # type: ignore[method-assign]
    writes = Caller(publisher.tell)
    gate.arrived()
    forks = Caller(in_child, lambda: True)
    forks.join(0.2)
    assert forks.is_alive()
    gate.open()
    writes.result(), forks.result()
