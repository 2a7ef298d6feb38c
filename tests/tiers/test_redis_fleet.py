"""`RedisTier` in a fleet: what every tier promises, and servers that fail meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contract import Contract
from fleet import Fleet, opened, until
from servers import NAMES, Server, needs_server

if TYPE_CHECKING:
    from typing_extensions import Self

pytestmark = needs_server


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def server() -> Iterator[Server]:
    """One that a test may hurt."""
    with Server() as server:
        yield server


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with opened(tmp_path) as fleet:
        yield fleet


@pytest.fixture(params=["threads", "tasks"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tasks")


class TestRedisTier(Contract):
    @pytest.fixture
    def tier(self, shared_server: Server) -> str:
        shared_server.say("FLUSHALL")
        return f"RedisTier.from_url({shared_server.url!r})"


def made(server: Server, **options: Any) -> str:
    words = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"RedisTier.from_url({server.url!r}{words})"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "url"])
def test_a_herd_loads_once_on_each_server(fleet: Fleet, name: str) -> None:
    with Server(name) as server:
        workers = fleet.start(4, made(server))
        for number in range(10):
            fleet.tell(number, seconds=0.02)
            answers = [worker.call(f"key {number}", callers=4) for worker in workers]
            for answer in answers:
                assert answer.values() == [number] * 4
        assert len(fleet.loads()) == 10


def test_a_server_that_comes_back_empty_in_mid_load_costs_one_load(
    fleet: Fleet, server: Server, is_async: bool
) -> None:
    workers = fleet.start(8, made(server), is_async=is_async)
    fleet.tell(1, seconds=1.2)
    assert [worker.call("warm").values() for worker in workers] == [[1]] * 8
    for worker in workers:  # here a restart may take long
        worker.run("sys.modules['soloflight._tiers.talk'].__dict__.update(RESTART=20.0)")
    answers = [worker.call(callers=8) for worker in workers]
    fleet.until_loads(2)
    until(lambda: sum(worker.run("bool(tier.bells)") for worker in workers) == 7)
    server.kill()
    server.start()
    assert [answer.values() for answer in answers] == [[1] * 8] * 8
    assert len(fleet.loads("k")) == 2


def test_without_a_server_each_process_loads_once(fleet: Fleet, server: Server) -> None:
    server.kill()
    workers = fleet.start(8, made(server))
    fleet.tell(1, seconds=0.1)
    answers = [worker.call(callers=8) for worker in workers]
    assert [answer.values() for answer in answers] == [[1] * 8] * 8
    assert len(fleet.loads()) == 8
    server.start()
    until(lambda: all(worker.run("tier.listener.listens") for worker in workers))
    answers = [worker.call("new", callers=8) for worker in workers]
    assert [answer.values() for answer in answers] == [[1] * 8] * 8
    assert len(fleet.loads("new")) == 1


def test_a_server_that_hangs_delays_nobody_for_long(
    fleet: Fleet, server: Server, is_async: bool
) -> None:
    workers = fleet.start(4, made(server), "ttl=.2", is_async=is_async)
    fleet.tell(1, seconds=0.02)
    assert [worker.call().values() for worker in workers] == [[1]] * 4
    hot = [worker.begin("hot('k', 4)") for worker in workers]
    until(lambda: len(fleet.loads()) > 2)
    server.stop()
    stopped = time.monotonic()
    until(lambda: time.monotonic() > stopped + 1)
    server.go_on()
    outcomes = [outcome for answer in hot for outcome in answer.outcomes()]
    assert {(outcome.value, outcome.error) for outcome in outcomes} == {(1, "")}
    # Two timeouts and a load, on a machine that does other things as well.
    assert max(outcome.took for outcome in outcomes) < 2 * 0.25 + 0.02 + 0.5
    during = [load for load in fleet.loads() if stopped < load.begun < stopped + 1]
    assert len(during) <= 4 * (1 / 0.2 + 1)


def test_a_subscription_that_is_killed_in_mid_load_costs_nothing(
    fleet: Fleet, server: Server
) -> None:
    workers = fleet.start(4, made(server))
    fleet.tell(1, held="gate")
    answers = [worker.call(callers=4) for worker in workers]
    fleet.until_loads(1)
    until(lambda: sum(worker.run("bool(tier.bells)") for worker in workers) == 3)
    server.say("CLIENT", "KILL", "TYPE", "pubsub")
    until(lambda: all(worker.run("tier.listener.listens") for worker in workers))
    fleet.open("gate")
    assert [answer.values() for answer in answers] == [[1] * 4] * 4
    assert len(fleet.loads()) == 1  # its lease still holds: nothing was missed


# ---- a Cluster, and Sentinel


class Cluster:
    """Three primaries, with nothing on disk and nobody to take over."""

    def __init__(self, name: str | None = None) -> None:
        settings = "--cluster-enabled", "yes", "--cluster-node-timeout", "2000"
        with ExitStack() as stack:
            self.servers = [stack.enter_context(Server(name, *settings)) for _ in range(3)]
            self._join()
            self._stack = stack.pop_all()

    def _join(self) -> None:
        first, *others = self.servers
        share = 16384 // 3 + 1
        for number, server in enumerate(self.servers):
            slots = range(16384)[number * share : (number + 1) * share]
            server.say("CLUSTER", "ADDSLOTSRANGE", slots[0], slots[-1])
            server.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in others:
            server.say("CLUSTER", "MEET", "127.0.0.1", first.port)
        until(lambda: all(self._is_whole(server) for server in self.servers))

    def _is_whole(self, server: Server) -> bool:
        info = server.say("CLUSTER", "INFO")
        state = info if isinstance(info, dict) else dict(
            line.split(":") for line in info.decode().split()
        )  # fmt: skip
        return (state["cluster_state"], state["cluster_known_nodes"]) == ("ok", "3")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def test_a_cluster_is_shared_like_one_server(
    fleet: Fleet, cluster: Cluster, is_async: bool
) -> None:
    port = cluster.servers[0].port
    given = f"__import__('redis').RedisCluster(host='127.0.0.1', port={port})"
    options = f"timeout=2, namespace={'tasks' if is_async else 'threads'!r}"
    workers = fleet.start(3, f"RedisTier({given}, {options})", is_async=is_async)
    for number in range(12):  # the keys are in all of its parts
        fleet.tell(number, seconds=0.02)
        answers = [worker.call(f"key {number}", callers=4) for worker in workers]
        assert [answer.values() for answer in answers] == [[number] * 4] * 3
        assert len(fleet.loads(f"key {number}")) == 1
    first, *others = workers
    for drop in ("invalidate('key 3')", "clear()"):
        assert [worker.call("key 3").values() for worker in workers] in ([[3]] * 3, [[70]] * 3)
        first.run(f"load.{drop}")
        assert first.run("tier.flush(5)")
        until(lambda: all(other.run("load.peek('key 3') is None") for other in others))
        fleet.tell(70)
        assert [worker.call("key 3").values() for worker in workers] == [[70]] * 3
    assert all(worker.run("tier.health().is_up") for worker in workers)


def test_a_part_of_a_cluster_may_die(fleet: Fleet) -> None:
    """Its keys are loaded by each process; the others are shared as before."""
    with Cluster() as cluster:
        for server in cluster.servers:
            server.say("CONFIG", "SET", "cluster-require-full-coverage", "no")
        port = cluster.servers[0].port
        given = f"__import__('redis').RedisCluster(host='127.0.0.1', port={port})"
        workers = fleet.start(2, f"RedisTier({given}, timeout=1)")
        fleet.tell(1)
        assert [worker.call("warm").values() for worker in workers] == [[1], [1]]
        cluster.servers[2].kill()
        for number in range(6):
            answers = [worker.call(f"key {number}") for worker in workers]
            assert [answer.values() for answer in answers] == [[1], [1]]


def test_what_sentinel_says_is_asked(fleet: Fleet, server: Server, is_async: bool) -> None:
    settings = Path(fleet.folder, "sentinel.conf")
    settings.write_text(f"sentinel monitor mine 127.0.0.1 {server.port} 1\n")
    with Server(None, "--sentinel", file=str(settings)) as sentinel:
        module = "redis.asyncio.sentinel" if is_async else "redis.sentinel"
        made = f"__import__('{module}', fromlist=['Sentinel']).Sentinel"
        given = f"{made}([('127.0.0.1', {sentinel.port})]).master_for('mine')"
        workers = fleet.start(2, f"RedisTier({given})", is_async=is_async)
        fleet.tell(1, seconds=0.05)
        answers = [worker.call(callers=4) for worker in workers]
        assert [answer.values() for answer in answers] == [[1] * 4] * 2
        assert len(fleet.loads()) == 1
        assert "sentinel 'mine'" in workers[0].run("repr(tier)")
