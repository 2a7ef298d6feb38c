"""`RedisTier` in one process: clients, fences, what it says of itself, and servers that fail.

What takes a fleet of processes is in `test_redis_fleet`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import interpreters
from conftest import Boom, Caller, Gate, in_child, in_loop, needs_fork, until, until_async
from servers import NAMES, URL, Server, needs_server, redis
from soloflight import cached_singleflight
from soloflight._flights.flight import ticket
from soloflight._runners import me
from soloflight._tiers.leases import Lease
from soloflight._tiers.redis import UNKNOWN
from soloflight._tiers.verbs import DONE, DOWN, FENCED
from soloflight.tiers import RedisTier

pytestmark = needs_server


@pytest.fixture(scope="module", params=NAMES)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of each server that there is. No test hurts it."""
    if request.param == "url":
        assert URL is not None
        yield URL
    else:
        with Server(request.param) as server:
            yield server.url


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def server() -> Iterator[Server]:
    """One that a test may hurt."""
    with Server() as server:
        yield server


class Tiers:
    """Tiers that are like those of so many processes, and functions with them."""

    def __init__(self) -> None:
        self.made: list[RedisTier] = []
        self.loads: list[Any] = []
        self.answer: Callable[[Any], Any] = lambda key: len(self.loads)
        self.namespace = f"test-{time.time_ns():x}"

    def tier(self, url: str, **options: Any) -> RedisTier:
        tier = RedisTier.from_url(url, **{"namespace": self.namespace, **options})
        self.made.append(tier)
        return tier

    def function(self, tier: RedisTier, **options: Any) -> Any:
        def load(key: Any) -> Any:
            self.loads.append(key)
            return self.answer(key)

        return cached_singleflight(**self._options(tier, options))(load)

    def async_function(self, tier: RedisTier, **options: Any) -> Any:
        async def load(key: Any) -> Any:
            self.loads.append(key)
            answer = self.answer(key)
            return await answer if asyncio.iscoroutine(answer) else answer

        return cached_singleflight(**self._options(tier, options))(load)

    def _options(self, tier: RedisTier, options: dict[str, Any]) -> dict[str, Any]:
        return {"ttl": 60, "tier": tier, "name": "load", "codec": "json", **options}

    def until_one_waits(self) -> None:
        """Until a process waits for a flight of another."""
        client = self.made[0].client()
        pattern = f"sf1:l:{{{self.namespace}:*"

        def waits() -> bool:
            fields = [field for key in client.keys(pattern) for field in client.hkeys(key)]
            return any(field.startswith(b"w:") for field in fields)

        until(waits)

    def two(self, url: str, **options: Any) -> tuple[Any, Any]:
        """A function of two processes."""
        one, other = (self.function(self.tier(url), **options) for _ in "12")
        return one, other


@pytest.fixture
def tiers() -> Iterator[Tiers]:
    tiers = Tiers()
    yield tiers
    for tier in tiers.made:
        tier.close()


# ---- values and fences


def test_what_one_process_loads_the_others_get(url: str, tiers: Tiers) -> None:
    one, other = tiers.two(url)
    assert [one("k"), other("k"), one("k"), other("k")] == [1, 1, 1, 1]
    assert tiers.loads == ["k"]


def test_who_waits_is_woken_with_the_value(url: str, tiers: Tiers, gate: Gate) -> None:
    tiers.answer = lambda key: (gate(), 7)[1]
    one, other = tiers.two(url)
    leader = Caller(one, "k")
    gate.arrived()
    waiting = Caller(other, "k")
    tiers.until_one_waits()
    gate.open()
    assert (leader.result(), waiting.result(), len(tiers.loads)) == (7, 7, 1)
    assert not tiers.made[1].bells


def test_a_fence_reaches_the_other_processes(url: str, tiers: Tiers) -> None:
    one, other = tiers.two(url)
    for fence in (one.invalidate, lambda key: one.clear(), lambda key: one.put(70, key)):
        one("k"), other("k")
        fence("k")
        until(lambda: other.peek("k") is None)
        expected = 70 if one.peek("k") is not None else len(tiers.loads) + 1
        assert other("k") == one("k") == expected


def test_a_flight_that_another_process_fences_stores_nothing(
    url: str, tiers: Tiers, gate: Gate
) -> None:
    one, other = tiers.two(url)
    tiers.answer = lambda key: (gate(), "old")[1]
    leader = Caller(one, "k")
    gate.arrived()
    other.invalidate("k")
    until(lambda: not one.in_flight())  # the news
    tiers.answer = lambda key: "new"
    assert other("k") == one("k") == "new"
    gate.open()
    assert leader.result() == "new"  # which the store has, and refuses the old one
    assert other("k") == one("k") == "new"


@in_loop
async def test_tasks_share_with_threads(shared_server: Server, tiers: Tiers) -> None:
    one = tiers.function(tiers.tier(shared_server.url))
    other = tiers.async_function(tiers.tier(shared_server.url))
    assert await other("k") == 1
    assert await asyncio.to_thread(one, "k") == 1
    other.invalidate("k")
    assert await other("k") == 2
    await until_async(lambda: one.peek("k") is None)
    assert await asyncio.to_thread(one, "k") == 2
    await tiers.made[1].aclose()


@in_loop
async def test_a_fence_of_a_task_is_owed_until_the_store_has_it(
    shared_server: Server, tiers: Tiers
) -> None:
    tier = tiers.tier(shared_server.url)
    load = tiers.async_function(tier)
    other = tiers.function(tiers.tier(shared_server.url))
    assert await load("k") == 1
    load.invalidate("k")  # no I/O here: the keeper pays, or whoever asks
    assert await load("k") == 2
    assert await tier.aflush(5)
    assert await asyncio.to_thread(other, "k") == 2
    await tier.aclose()


def test_an_invalidation_before_the_first_call_is_paid(url: str, tiers: Tiers) -> None:
    one, other = tiers.two(url)
    assert one("k") == 1
    other.invalidate("k")
    assert other("k") == 2


@in_loop
async def test_one_of_a_task_as_well(shared_server: Server, tiers: Tiers) -> None:
    """Its digest is not known yet, as the generation is not."""
    one = tiers.function(tiers.tier(shared_server.url))
    await asyncio.to_thread(one.clear)
    assert await asyncio.to_thread(one, "k") == 1
    tier = tiers.tier(shared_server.url)
    load = tiers.async_function(tier)
    assert {tier.generation(f) for f in tier._functions} == {UNKNOWN}
    load.invalidate("k")
    assert await load("k") == 2
    assert not tier.owed
    await tier.aclose()


# ---- generations


def test_a_new_process_does_not_see_what_was_cleared(url: str, tiers: Tiers) -> None:
    one = tiers.function(tiers.tier(url))
    one("k")
    one.clear()
    assert tiers.function(tiers.tier(url))("k") == 2


def test_a_store_that_was_emptied_is_told_how_often_a_function_was_cleared(
    server: Server, tiers: Tiers
) -> None:
    """Else what it had before a `clear` would be found again, had it been restored from a copy."""
    one = tiers.function(tiers.tier(server.url))
    one("k")
    with server.client() as client:
        before = {key: client.dump(key) for key in client.keys("sf1:v:*")}
        assert before
        one.clear()
        client.flushall()
        for key, value in before.items():
            client.restore(key, 60_000, value)
        tiers.made[0].learn_all()
        assert tiers.function(tiers.tier(server.url))("k") == 2


def test_a_clear_that_was_not_heard_is_found_out(
    shared_server: Server, tiers: Tiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tiers.two(shared_server.url)
    assert one("k") == other("k") == 1
    monkeypatch.setattr(tiers.made[1].listener, "_hear", lambda said: None)
    one.clear()
    assert other("k") == 1
    tiers.made[1].learn_all()  # every five seconds
    assert other("k") == one("k") == 2


# ---- what it says of itself


SECRET = "s3cr?t/&#%41"


def quoted() -> str:
    return "s3cr%3Ft%2F%26%23%2541"


def test_nobody_sees_a_password(
    server: Server, tiers: Tiers, caplog: pytest.LogCaptureFixture
) -> None:
    server.say("CONFIG", "SET", "requirepass", SECRET)
    right = tiers.tier(f"redis://:{quoted()}@127.0.0.1:{server.port}/0")
    assert right.read(b"k") is not DOWN
    wrong = tiers.tier(f"redis://somebody:x{quoted()}@127.0.0.1:{server.port}/0")
    load = tiers.function(wrong)
    assert load("k") == 1
    assert not wrong.health().is_up
    shown = caplog.text + repr(right) + str(right) + repr(wrong) + str(wrong.health())
    assert "does not answer" in shown
    for part in (SECRET, quoted(), "s3cr"):
        assert part not in shown


@pytest.mark.parametrize(
    "url",
    ["redis://:s3cr/t@host:6379/0", "redis://:s3cr@host:s3cr/0", "s3cr://:s3cr@host", "s3cr", ""],
)
def test_nor_in_the_error_of_a_url(url: str) -> None:
    with pytest.raises(ValueError, match="no URL of a Redis") as raised:
        RedisTier.from_url(url)
    assert "s3cr" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_secrets_in_what_a_server_says_are_blotted_out(tiers: Tiers) -> None:
    tier = tiers.tier("redis://:s3cr@127.0.0.1:1/0")
    tier.failed("ask", redis.ResponseError("unknown command 'AUTH', beginning with 's3cr'"), 0.0)
    assert tier.health().error == "ResponseError: unknown command 'AUTH', beginning with '***'"


def test_it_says_where_its_store_is() -> None:
    tier = RedisTier.from_url("redis://user:pw@host:7000/3", namespace="shop")
    assert repr(tier) == "RedisTier('redis://host:7000/3', namespace='shop')"
    assert "unix:///a/socket" in repr(RedisTier.from_url("unix://:pw@/a/socket"))


def test_options_that_cannot_work_are_refused() -> None:
    for options, error in (
        ({"namespace": "{a}"}, ValueError),
        ({"retain": 1}, ValueError),
        ({"timeout": 0}, ValueError),
        ({"lease": -1}, ValueError),
        ({"namespace": 3}, TypeError),
    ):
        with pytest.raises(error):
            RedisTier.from_url("redis://localhost", **options)
    with pytest.raises(TypeError, match="a client of redis-py is needed"):
        RedisTier("redis://localhost")


def test_who_has_a_server_that_may_drop_leases_is_warned_once(
    server: Server, tiers: Tiers, caplog: pytest.LogCaptureFixture
) -> None:
    server.say("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    load = tiers.function(tiers.tier(server.url))
    for key in "abc":
        load(key)
    server.say("CLIENT", "KILL", "TYPE", "pubsub")
    until(lambda: load.peek("a") is None and tiers.made[0].listener.listens)
    warned = [r for r in caplog.records if "allkeys-lru" in r.getMessage()]
    assert len(warned) == 1 and warned[0].name == "soloflight.tier"


# ---- clients


@pytest.mark.parametrize("is_async", [False, True])
def test_a_client_that_is_given_is_not_used_but_is_the_model(
    shared_server: Server, tiers: Tiers, is_async: bool
) -> None:
    """Its settings may be of any kind: text instead of bytes, retries, the newer protocol."""
    kind = redis.asyncio.Redis if is_async else redis.Redis
    given = kind(
        host="127.0.0.1", port=shared_server.port, db=3, decode_responses=True, socket_timeout=30,
        health_check_interval=1, client_name="theirs",
    )  # fmt: skip
    tier = RedisTier(given, namespace=tiers.namespace, timeout=0.3)
    tiers.made.append(tier)
    load = tiers.function(tier)
    assert load("k") == load("k") == 1
    settings = tier.client().connection_pool.connection_kwargs
    assert (settings["socket_timeout"], settings["db"], settings["protocol"]) == (0.3, 3, 2)
    assert settings["client_name"] == "theirs"
    with redis.Redis(port=shared_server.port, db=3) as client:
        assert client.keys(f"sf1:v:{{{tiers.namespace}:*")

    async def in_task() -> Any:
        return await tiers.async_function(tier)("k")

    assert asyncio.run(in_task()) == 1


def test_each_loop_has_a_client_of_its_own_which_ends_with_it(server: Server, tiers: Tiers) -> None:
    tier = tiers.tier(server.url)
    load = tiers.async_function(tier, ttl=0.001)
    connected = len(server.say("CLIENT", "LIST").splitlines())

    async def main() -> None:
        for _ in range(3):
            await asyncio.gather(*(load(key) for key in "abc"))

    for _ in range(5):
        asyncio.run(main())
        assert not tier.aio._loops
    threads = [Caller(asyncio.run, main()) for _ in range(3)]
    for thread in threads:
        thread.result()
    assert not tier.aio._loops
    tier.close()
    until(lambda: len(server.say("CLIENT", "LIST").splitlines()) <= connected)


def test_many_tasks_need_few_connections(server: Server, tiers: Tiers) -> None:
    tier = tiers.tier(server.url, timeout=5)
    load = tiers.async_function(tier)

    async def main() -> Any:
        return await asyncio.gather(*(load(number) for number in range(500)))

    assert len(asyncio.run(main())) == 500
    assert tier.health().is_up
    assert int(server.say("INFO", "stats")["total_connections_received"]) < 200


@needs_fork
def test_a_child_is_a_process_of_its_own(shared_server: Server, tiers: Tiers) -> None:
    tier = tiers.tier(shared_server.url)
    load = tiers.function(tier)
    load("k")
    parent, listener = tier.process, tier.listener

    def check() -> bool:
        tiers.answer = lambda key: "of the child"
        assert load.peek("k") is None  # nobody has listened for this process so far
        assert load("k") == 1
        assert load("l") == "of the child"
        load.invalidate("k")
        return tier.process != parent and tier.listener is not listener and tier.listener.listens

    in_child(check)
    until(lambda: load.peek("k") is None)  # heard of the child
    assert load("l") == "of the child"


@needs_fork
def test_a_child_owes_what_its_parent_owes(server: Server, tiers: Tiers) -> None:
    tier = tiers.tier(server.url)
    load = tiers.function(tier)
    load("k")
    server.stop()
    load.invalidate("k")
    assert tier.owed
    server_goes_on = server.go_on

    def check() -> bool:
        server_goes_on()
        until(lambda: tier.flush(1))
        return load("k") == 2

    in_child(check)


# ---- interrupted questions


def test_an_answer_to_an_older_question_is_not_taken(server: Server, tiers: Tiers) -> None:
    """A thread was interrupted between a question and its answer, and left the connection so."""
    tier = tiers.tier(server.url, timeout=5)
    load = tiers.function(tier)
    assert [load("a"), load("b")] == [1, 2]
    first, second = (d for d in tier._known if tier.read(d).body)
    expected = tier.read(second).body
    assert expected and expected != tier.read(first).body
    question = tier._questions.read(first)
    server.say("CLIENT", "PAUSE", "150", "ALL")  # so that the answer is still on its way
    (left,) = tier.client().connection_pool._available_connections
    left.send_command("EVALSHA", question.script.sha, 2, *question.keys, b"0", check_health=False)
    assert tier.read(second).body == expected
    assert tier.health().is_up


# ---- servers that fail


class Logged:
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def __call__(self, words: str) -> int:
        records = [r for r in self._caplog.records if r.name == "soloflight.tier"]
        return sum(words in record.getMessage() for record in records)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    """How often something was logged about tiers."""
    caplog.set_level(logging.INFO)
    return Logged(caplog)


def test_a_server_that_is_not_there_costs_nothing_but_loads(tiers: Tiers, logged: Logged) -> None:
    tier = tiers.tier("redis://127.0.0.1:1/0")
    load = tiers.function(tier)
    assert [load(key) for key in "aabbcc"] == [1, 1, 2, 2, 3, 3]
    load.invalidate("a")
    load.put(70, "b")
    assert [load(key) for key in "abc"] == [4, 70, 3]
    load.clear()
    assert load("c") == 5
    assert not tier.health().is_up and "ConnectionError" in tier.health().error
    assert logged("does not answer") == 1
    assert tier.flush(0.05) is False


def test_it_goes_on_once_the_server_is_back(server: Server, tiers: Tiers, logged: Logged) -> None:
    one, other = tiers.two(server.url)
    assert one("k") == other("k") == 1
    server.kill()
    one.invalidate("k")
    assert one("k") == 2
    server.start()
    until(lambda: all(tier.listener.listens for tier in tiers.made))
    assert all(tier.flush(20) for tier in tiers.made)
    assert one("new") == other("new") == 3
    assert all(tier.health().is_up for tier in tiers.made)
    assert logged("does not answer") == logged("answers again") == 2  # each process once


def test_what_is_owed_is_paid_before_the_store_is_trusted(server: Server, tiers: Tiers) -> None:
    one, other = tiers.two(server.url)
    assert one("k") == other("k") == 1
    server.stop()
    one.invalidate("k")
    assert one("k") == 2  # law 7, store up or down
    server.go_on()
    assert one.invalidate("k")
    assert tiers.made[0].flush(20)
    until(lambda: other.peek("k") is None)
    assert other("k") == one("k") == 3


def test_a_server_that_hangs_costs_a_caller_two_timeouts_at_most(
    server: Server, tiers: Tiers, logged: Logged
) -> None:
    tier = tiers.tier(server.url, timeout=0.1)
    load = tiers.function(tier)
    load("k")
    server.stop()
    took = []
    for key in "abcdef":
        start = time.monotonic()
        load(key)
        took.append(time.monotonic() - start)
    server.go_on()
    assert max(took) < 0.1 * 2 + 0.3
    assert sum(one > 0.09 for one in took) <= 2
    until(lambda: load(len(tiers.loads)) and tier.health().is_up)
    assert logged("does not answer") == logged("answers again") == 1


def test_several_leases_are_renewed_with_one_message(server: Server, tiers: Tiers) -> None:
    tier = tiers.tier(server.url)
    leases = []
    for d in (b"a", b"b", b"c"):
        token = tier.token()
        assert tier.ask(d, token, "l", b"", b"").kind == "L"
        leases.append(Lease(d, token, ticket(d, "f", me.local.thread), b"", 60.0))
    tier.give(b"b", leases[1].token)
    kinds = [DONE, FENCED, DONE]
    renewed: Any = tier.renew_all  # what it returns is not DOWN
    assert [reply.kind for reply in renewed(leases)] == kinds
    with server.client() as client:
        before = client.info("stats")["total_reads_processed"]
        assert [reply.kind for reply in renewed(leases)] == kinds
        assert client.info("stats")["total_reads_processed"] - before <= 2  # one is of this look
        client.script_flush()
    assert [reply.kind for reply in renewed(leases)] == kinds
    server.kill()
    assert tier.renew_all(leases) is DOWN


def test_one_of_them_may_be_refused(shared_server: Server, tiers: Tiers, logged: Logged) -> None:
    tier, leases = tiers.tier(shared_server.url), []
    for d in (b"a", b"b", b"c"):
        token = tier.token()
        assert tier.ask(d, token, "l", b"", b"").kind == "L"
        leases.append(Lease(d, token, ticket(d, "f", me.local.thread), b"", 60.0))
    with shared_server.client() as client:
        keys = tier._questions.renew(b"b", b"").keys
        client.set(next(key for key in keys if b"sf1:l:" in key), "of another kind")
    renewed: Any = tier.renew_all
    assert [reply.kind for reply in renewed(leases)] == [DONE, DOWN.kind, DONE]
    assert logged("does not answer") == 1
    assert "WRONGTYPE" in tier.health().error


@in_loop
async def test_a_loop_that_was_busy_is_no_outage(
    server: Server, tiers: Tiers, logged: Logged
) -> None:
    tier = tiers.tier(server.url, timeout=0.1)
    load = tiers.async_function(tier)
    await load("j")
    server.stop()
    call = asyncio.create_task(load("k"))
    await asyncio.sleep(0.01)  # it has asked
    server.go_on()
    time.sleep(0.3)  # the answer comes meanwhile, and the timeout ends
    await call
    assert load.stats().unleased == 0
    assert logged("does not answer") == 0
    await tier.aclose()


def test_scripts_that_the_server_has_lost_are_sent_again(server: Server, tiers: Tiers) -> None:
    one, other = tiers.two(server.url)
    for number in range(1, 4):
        server.say("SCRIPT", "FLUSH")
        assert one(number) == other(number) == number
    assert all(tier.health().is_up for tier in tiers.made)


def test_a_server_that_is_read_only_is_read(server: Server, tiers: Tiers, logged: Logged) -> None:
    one, other = tiers.two(server.url)
    one("k"), other("j")
    server.say("REPLICAOF", "127.0.0.1", "1")
    server.say("CONFIG", "SET", "replica-serve-stale-data", "yes")
    assert other("k") == 1  # it has that
    assert [one("l"), one("m"), other("n")] == [3, 4, 5]
    assert logged("does not answer") == 2
    assert "ReadOnly" in tiers.made[0].health().error
    server.say("REPLICAOF", "NO", "ONE")
    assert [one("o"), other("o"), other("p")] == [6, 6, 7]
    assert logged("answers again") == 2


def test_a_server_that_is_full_is_read(server: Server, tiers: Tiers, logged: Logged) -> None:
    one, other = tiers.two(server.url)
    one("k"), other("j")
    server.say("CONFIG", "SET", "maxmemory", "1")
    server.say("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert other("k") == 1
    assert [one("l"), one("m"), other("n")] == [3, 4, 5]
    assert logged("does not answer") == 2
    server.say("CONFIG", "SET", "maxmemory", "0")
    assert [one("o"), other("o"), other("p")] == [6, 6, 7]
    assert logged("answers again") == 2


def test_who_waits_is_told_where_there_is_no_room_for_the_value(
    server: Server, tiers: Tiers, gate: Gate
) -> None:
    one, other = tiers.two(server.url)
    one("j"), other("j")
    tiers.answer = lambda key: (gate(), "x")[1]
    leader = Caller(one, "k")
    gate.arrived()
    waiting = Caller(other, "k")
    tiers.until_one_waits()
    server.say("CONFIG", "SET", "maxmemory", "1")
    start = time.monotonic()
    gate.open()
    assert leader.result() == waiting.result() == "x"
    assert time.monotonic() - start < 2.5  # not the rest of the lease


ACL = ("on", ">pw", "~sf1:*", "+@all", "-@dangerous", "-@admin")


def test_a_user_needs_no_more_than_our_keys_and_channels(server: Server, tiers: Tiers) -> None:
    server.say("ACL", "SETUSER", "soloflight", *ACL, "resetchannels", "&sf1:*")
    url = f"redis://soloflight:pw@127.0.0.1:{server.port}/0"
    one, other = tiers.two(url)
    assert one("k") == other("k") == 1
    one.invalidate("k")
    until(lambda: other.peek("k") is None)
    other("k"), one.clear()
    until(lambda: other.peek("k") is None)
    assert other("k") == one("k") == 3
    assert all(tier.health().is_up for tier in tiers.made)


def test_a_user_who_may_not_gets_loads(server: Server, tiers: Tiers, logged: Logged) -> None:
    server.say("ACL", "SETUSER", "nobody", "on", ">pw", "~other:*", "+@all", "&sf1:*")
    load = tiers.function(tiers.tier(f"redis://nobody:pw@127.0.0.1:{server.port}/0"))
    assert [load("a"), load("a"), load("b")] == [1, 1, 2]
    assert logged("does not answer") == 1
    assert "NoPermission" in tiers.made[0].health().error


def test_a_key_of_another_kind_is_no_error(server: Server, tiers: Tiers) -> None:
    tier = tiers.tier(server.url)
    load = tiers.function(tier)
    load("k")
    with server.client() as client:
        for key in client.keys("sf1:v:*"):
            client.delete(key)
            client.lpush(key, "x")
    assert tiers.function(tiers.tier(server.url))("k") == 2


def test_a_subscription_that_was_killed_drops_all_that_is_here(
    server: Server, tiers: Tiers
) -> None:
    one, other = tiers.two(server.url)
    assert one("k") == other("k") == 1
    server.say("CLIENT", "KILL", "TYPE", "pubsub")
    until(lambda: other.peek("k") is None)
    until(lambda: tiers.made[1].listener.listens)
    assert other("k") == 1  # which the store still has
    one.invalidate("k")
    until(lambda: other.peek("k") is None)


def test_a_subscription_that_hangs_is_noticed(
    server: Server, tiers: Tiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network may have gone with no word of it."""
    monkeypatch.setattr("soloflight._tiers.push.EVERY", 0.05)
    load = tiers.function(tiers.tier(server.url))
    load("k")
    server.stop()
    until(lambda: not tiers.made[0].listener.listens)
    server.go_on()
    until(lambda: tiers.made[0].listener.listens)
    assert load.peek("k") is None


def test_once_it_is_closed_each_process_loads_for_itself(
    shared_server: Server, tiers: Tiers, gate: Gate
) -> None:
    threads = set(threading.enumerate())
    one, other = tiers.two(shared_server.url)
    tiers.answer = lambda key: (gate(), "x")[1]
    leader = Caller(one, "k")
    gate.arrived()
    waiting = Caller(other, "k")
    tiers.until_one_waits()
    tiers.made[0].close()  # its lease is given back
    gate.arrived()
    gate.open()
    assert leader.result() == waiting.result() == "x"
    assert one("l") == "x"
    tiers.made[1].close()
    assert not {thread for thread in threading.enumerate() if "soloflight" in thread.name} - threads
    assert tiers.made[0].health().error == "it is closed"


def test_nothing_is_leased_to_a_tier_that_is_being_closed(
    shared_server: Server, tiers: Tiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tiers.two(shared_server.url)
    tier = tiers.made[0]
    one("j")
    end = tier.keeper.end

    def end_and_load() -> None:
        end()
        assert one("k") == 2  # its lease would be kept until it ends: who gives leases back is gone

    monkeypatch.setattr(tier.keeper, "end", end_and_load)
    tier.close()
    assert one.stats().unleased == 1
    began = time.monotonic()
    assert other("k") == 3
    assert time.monotonic() - began < tier.lease


def test_errors_are_shared(shared_server: Server, tiers: Tiers, gate: Gate) -> None:
    def fails(key: Any) -> Any:
        gate()
        raise Boom("no")

    tiers.answer = fails
    one, other = tiers.two(shared_server.url)
    leader = Caller(one, "k")
    gate.arrived()
    waiting = Caller(other, "k")
    tiers.until_one_waits()
    gate.open()
    with pytest.raises(Boom):
        leader.result()
    with pytest.raises(Exception, match="Boom: no"):
        waiting.result()
    assert len(tiers.loads) == 1


def test_a_socket_of_the_machine_will_do(tmp_path: Path, tiers: Tiers) -> None:
    with Server(None, "--unixsocket", str(tmp_path / "s")):
        tier = tiers.tier(f"unix://{tmp_path / 's'}?db=0")
        assert tiers.function(tier)("k") == 1

        async def in_task() -> Any:
            return await tiers.async_function(tier)("k")

        assert asyncio.run(in_task()) == 1
        assert tier.health().is_up
        tier.close()  # redis-py 5.0 leaves a socket open where nobody listens to it


@pytest.mark.parametrize("given", ["redis.Redis", "redis.asyncio.Redis"])
def test_encryption_is_taken_over(given: str) -> None:
    kind = redis.Redis if given == "redis.Redis" else redis.asyncio.Redis
    clients = RedisTier(kind(host="h", ssl=True, ssl_ca_certs="/ca", password="s3cr")).clients
    for made, module in (
        (clients.for_threads(), redis.connection),
        (clients.for_loop(), redis.asyncio.connection),
    ):
        pool = made.connection_pool
        assert pool.connection_class is module.SSLConnection
        assert pool.connection_kwargs["ssl_ca_certs"] == "/ca"
        assert pool.connection_kwargs["password"] == "s3cr"


def test_a_task_that_is_cancelled_leaves_no_answer_to_another(
    shared_server: Server, tiers: Tiers
) -> None:
    """And nobody else does."""
    tier = tiers.tier(shared_server.url, timeout=5)
    load = tiers.async_function(tier, ttl=0.002)
    tiers.answer = lambda key: key

    async def main() -> int:
        dice, cancelled = random.Random(0), 0
        for _ in range(200):
            keys = [dice.randrange(8) for _ in range(20)]
            tasks = [asyncio.ensure_future(load(key)) for key in keys]
            await asyncio.sleep(dice.random() * 0.004)
            for task in tasks:
                if dice.random() < 0.5:
                    task.cancel()
            for key, found in zip(
                keys, await asyncio.gather(*tasks, return_exceptions=True), strict=True
            ):
                cancelled += isinstance(found, asyncio.CancelledError)
                assert isinstance(found, asyncio.CancelledError) or found == key
        return cancelled

    assert asyncio.run(main()) > 100
    assert tier.health().is_up
    assert not tier.bells


def test_greenlets_wait_without_stopping_the_others(shared_server: Server) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    interpreters.run(
        f"""
        from gevent import monkey
        monkey.patch_all()
        import gevent
        from soloflight import cached_singleflight
        from soloflight.tiers import RedisTier

        loads, turns = [], []

        def function(tier):
            def load(key):
                loads.append(key)
                gevent.sleep(0.1)
                return key
            return cached_singleflight(ttl=60, tier=tier, name="load", codec="json")(load)

        def others():
            while True:
                turns.append(None)
                gevent.sleep(0.002)

        url = {shared_server.url!r}
        tiers = [RedisTier.from_url(url, namespace="greenlets", timeout=5) for _ in "123"]
        functions = [function(tier) for tier in tiers]
        other = gevent.spawn(others)
        for key in range(3):
            callers = [gevent.spawn(load, key) for load in functions for _ in range(4)]
            gevent.joinall(callers)
            assert [caller.value for caller in callers] == [key] * 12
        other.kill()
        assert loads == [0, 1, 2], loads
        assert len(turns) > 20, len(turns)
        for tier in tiers:
            tier.close()
        """
    )
