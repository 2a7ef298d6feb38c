"""The scripts of the Redis tier on real servers: random steps, with the store in memory as model.

The clock of a server cannot be set. But what it knows of time is how long keys have left: the test
takes that away from them. All durations are such that nothing ends within a quarter of a second of
a step, so it does not matter that the two clocks are not quite the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Any

import pytest

from servers import NAMES, URL, Server, needs_server, redis
from soloflight._tiers import memory, scripts
from soloflight._tiers.envelope import Envelope, pack, token_of
from soloflight._tiers.memory import Memory
from soloflight._tiers.scripts import Questions, reply
from soloflight._tiers.verbs import (
    BEHIND,
    CLEARED,
    DONE,
    ENDED,
    FENCED,
    FORGOTTEN,
    FRESH,
    INVALIDATED,
    LEAD,
    LOOK,
    PUT,
    REFRESH,
    STALE,
    WAIT,
    Reply,
)  # fmt: skip

pytestmark = needs_server

LEASE, RETAIN, TOLD = 3.25, 5.0, 2.25
KEYS = [b"key number 0", b"key number 1"]
FUNCTION = b"one function"


@pytest.fixture(scope="module", params=NAMES)
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client of each server that there is."""
    if request.param == "url":
        with redis.Redis.from_url(URL, protocol=2) as client:
            yield client
    else:
        with Server(request.param) as server, server.client() as client:
            yield client


class Process:
    """One that has a store in common with others, and hears of it."""

    def __init__(self, number: int, namespace: str) -> None:
        self.questions = Questions(namespace, LEASE, RETAIN)
        self.questions.process = b"process%d" % number
        self.heard: list[tuple[str, bytes]] = []

    def ring(self, d: bytes) -> None:
        self.heard.append(("ring", d))

    def hear(self, kind: str, d: bytes) -> None:
        self.heard.append((kind, d))


class Stores:
    """A server and its model: each step is made on both, and both have to answer the same."""

    def __init__(self, client: Any, seed: int, namespace: str = "") -> None:
        self.client = client
        self.namespace = namespace or f"test-{random.getrandbits(64):x}"
        self.offset = 0.0
        self.model = Memory(LEASE, RETAIN, lambda: self.offset + monotonic())
        self.processes = [Process(number, self.namespace) for number in range(3)]
        self.model.processes = list(self.processes)
        self.listeners = [client.pubsub() for _ in self.processes]
        for process, listener in zip(self.processes, self.listeners, strict=True):
            listener.subscribe(*process.questions.channels())
        self.random = random.Random(seed)
        self.questions = 0
        self.log: list[Any] = []

    def says(self, process: Process, verb: str, *what: Any) -> Reply:
        """What both answer; they must agree."""
        self.questions += 1
        question = getattr(process.questions, verb)(*what)
        number = b"%d" % self.questions
        words = question.words(number)
        answer = reply(self.client.eval(question.script.text, *words), number)
        of_process = (process,) if verb in ("ask", "drop") else ()
        expected = getattr(self.model, verb)(*of_process, *what)
        if verb == "drop" and what[0] == CLEARED:
            expected = expected._replace(failures=self.model.generations[what[1]])
        if verb in ("store", "fail") and expected.kind == FENCED:
            d, token, *_ = what
            if token_of(expected.body) == token or self.has_ended(d, token):
                expected = Reply(DONE)  # a client's second try
        self.log.append((process.questions.process[-1:], verb, what, expected))
        assert answer is not None
        for name in ("kind", "body", "failures"):
            assert getattr(answer, name) == getattr(expected, name), self.log[-12:]
        if answer.kind in (FRESH, STALE, LEAD, WAIT, FENCED):
            assert answer.left == pytest.approx(expected.left, abs=0.2), self.log[-12:]
            assert answer.lease == pytest.approx(expected.lease, abs=0.2), self.log[-12:]
        return expected

    def has_ended(self, d: bytes, token: bytes) -> bool:
        lease = self.model._leases.get(d)
        return lease is not None and lease.ended == token

    def advance(self, seconds: float) -> None:
        self.offset += seconds
        self.log.append(("advance", seconds))
        for key in self.client.scan_iter(f"sf1:*{{{self.namespace}:*"):
            left = self.client.pttl(key)
            if left >= 0:
                self.client.pexpire(key, max(0, left - int(seconds * 1000)))

    def heard(self) -> list[list[tuple[str, bytes]]]:
        """What the server has said to each process, but for the news that it has made itself."""
        found = []
        for process, listener in zip(self.processes, self.listeners, strict=True):
            mine, _ = process.questions.channels()
            self.client.publish(mine, b"the end")
            messages: list[tuple[str, bytes]] = []
            while (message := listener.get_message(timeout=10)) is not None:
                if message["type"] != "message":
                    continue
                said = message["data"]
                if said == b"the end":
                    break
                if message["channel"] == mine:
                    messages.append(("ring", said))
                elif said[1:9] != process.questions.process:
                    messages.append((said[:1].decode(), said[9:21]))
            listener.close()
            found.append(messages)
        return found


class Steps:
    """Random steps, and what must not come of them."""

    def __init__(self, stores: Stores) -> None:
        self.stores, self.random = stores, stores.random
        self.tokens: list[bytes] = []
        self.began: dict[bytes, int] = {}  # when loads began: when their L arrived
        self.fenced = dict.fromkeys(KEYS, -1)
        self.newest = dict.fromkeys(KEYS, -1)
        self.number = 0

    def token(self) -> bytes:
        token = b"token%011d" % len(self.tokens)
        self.tokens.append(token)
        return token

    def one_of_late(self) -> bytes:
        return self.random.choice([b"", *self.tokens[-4:]])

    def lease_of(self, d: bytes) -> bytes:
        """The token of its lease, as a rule, or that of another."""
        lease = self.stores.model._leases.get(d)
        held = [lease.token] * 4 if lease is not None and lease.token else []
        return self.random.choice([*held, *self.tokens[-3:]] or [self.token()])

    def envelope(self, token: bytes) -> tuple[bytes, float]:
        swr, sie = self.random.choice([(0.0, 0.0), (1.0, 0.0), (1.0, 2.0), (2.0, 1.0)])
        fresh = self.random.choice([0.25, 1.25, 3.25])
        keep = self.random.choice([fresh + max(swr, sie)] * 4 + [inf])
        return pack(Envelope(token, swr, sie, 0.1, False, b"value"), 1, b"type"), keep

    def step(self) -> None:
        self.number += 1
        what = self.random.choices(
            [self.read, self.ask, self.store, self.fail, self.give, self.renew, self.drop,
             self.advance],
            [1, 8, 5, 2, 1, 1, 1.5, 3],
        )[0]  # fmt: skip
        what(self.random.choice(self.stores.processes), self.random.choice(KEYS))

    def read(self, process: Process, d: bytes) -> None:
        found = self.stores.says(process, "read", d)
        if found.kind == FRESH:
            self.served(d, found.body)

    def ask(self, process: Process, d: bytes) -> None:
        mode = self.random.choice([LOOK, LOOK, BEHIND, REFRESH])
        token, waited, seen = self.token(), self.one_of_late(), self.one_of_late()
        for _ in range(self.random.choice([1] * 9 + [2])):  # a client may try twice
            found = self.stores.says(process, "ask", d, token, mode, waited, seen)
        if found.kind in (FRESH, STALE) and found.body:
            self.served(d, found.body)
        if found.kind == LEAD:
            self.began.setdefault(token, self.number)

    def served(self, d: bytes, envelope: bytes) -> None:
        """Nothing from before an invalidation, and nothing older than what was there already."""
        began = self.began[token_of(envelope)]
        assert began >= self.newest[d], self.stores.log[-12:]
        self.newest[d] = began

    def store(self, process: Process, d: bytes) -> None:
        token = self.lease_of(d)
        envelope, keep = self.envelope(token)
        kept = None if self.random.random() < 0.2 else keep
        was = token_of(self.stores.model.read(d).body)
        found = self.stores.says(process, "store", d, token, envelope, kept)
        if found.kind == DONE and was != token and not self.stores.has_ended(d, token):
            assert self.began[token] > self.fenced[d], self.stores.log[-12:]

    def fail(self, process: Process, d: bytes) -> None:
        hold = self.random.choice([0.0, 1.25])
        self.stores.says(process, "fail", d, self.lease_of(d), b"how", hold)

    def give(self, process: Process, d: bytes) -> None:
        self.stores.says(process, "give", d, self.lease_of(d))

    def renew(self, process: Process, d: bytes) -> None:
        self.stores.says(process, "renew", d, self.lease_of(d))

    def drop(self, process: Process, d: bytes) -> None:
        kind = self.random.choice([INVALIDATED, PUT, FORGOTTEN, CLEARED])
        if kind == CLEARED:
            self.stores.says(process, "drop", kind, FUNCTION)
            return
        if kind == PUT:
            token = b"put%013d" % self.number
            self.began[token] = self.number
            self.stores.says(process, "drop", kind, d, *self.envelope(token))
        else:
            self.stores.says(process, "drop", kind, d)
        self.fenced[d] = self.number
        if kind != FORGOTTEN:
            self.newest[d] = self.number

    def advance(self, *_: object) -> None:
        self.stores.advance(self.random.choice([0.5, 0.5, 1.0, 2.0, 4.0, 9.0]))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TOLD", TOLD)
    monkeypatch.setattr(scripts, "_TOLD", int(TOLD * 1000))


@pytest.mark.parametrize("block", range(4))
def test_random_steps_are_answered_as_by_the_model(
    client: Any, told: None, block: int, request: pytest.FixtureRequest, thorough: bool
) -> None:
    seed = request.config.getoption("--seed")
    seeds = range(block, 400 if thorough else 40, 4)
    for number in seeds if seed is None else [seed]:
        stores = Stores(client, number)
        steps = Steps(stores)
        try:
            for _ in range(60):
                steps.step()
            assert stores.heard() == [process.heard for process in stores.processes]
        except AssertionError:
            print(f"--seed {number}")
            raise


@pytest.fixture
def stores(client: Any, told: None) -> Stores:
    return Stores(client, 0)


TOKENS = [b"token number %03d" % number for number in range(8)]
D = KEYS[0]


def envelope(token: bytes, swr: float = 0.0, sie: float = 0.0) -> bytes:
    return pack(Envelope(token, swr, sie, 0.1, False, b"value"), 1, b"type")


def led(stores: Stores, token: bytes, mode: str = LOOK) -> Process:
    process = stores.processes[0]
    assert stores.says(process, "ask", D, token, mode, b"", b"").kind == LEAD
    return process


def test_a_value_without_an_end_is_fresh_for_ever(stores: Stores) -> None:
    process = led(stores, TOKENS[0])
    stores.says(process, "store", D, TOKENS[0], envelope(TOKENS[0]), inf)
    stores.advance(10_000_000)
    found = stores.says(process, "read", D)
    assert (found.kind, found.left) == (FRESH, inf)
    assert stores.says(process, "ask", D, TOKENS[1], LOOK, b"", b"").kind == FRESH


def test_what_is_over_when_it_is_stored_is_not_kept(stores: Stores) -> None:
    """Zero milliseconds would mean for ever."""
    process = led(stores, TOKENS[0])
    question = process.questions.store(D, TOKENS[0], b"", -3.0)
    assert question.args[2] == 1
    stores.says(process, "drop", PUT, D, envelope(TOKENS[1]), -3.0)
    assert stores.says(process, "read", D).kind == DONE


def test_windows_longer_than_two_months_are_not_cut(stores: Stores) -> None:
    year = 365 * 86400.0
    process = led(stores, TOKENS[0])
    body = envelope(TOKENS[0], year, 2 * year)
    stores.says(process, "store", D, TOKENS[0], body, 2 * year + 1.25)
    stores.advance(year / 2)
    assert stores.says(process, "ask", D, TOKENS[1], BEHIND, b"", TOKENS[0]).kind == LEAD
    assert stores.says(process, "ask", D, TOKENS[2], LOOK, b"", b"").kind == STALE


def test_what_is_no_envelope_is_not_there(client: Any) -> None:
    """Of another program, or another format: it is loaded anew, and replaced."""
    questions = Questions("", LEASE, RETAIN)
    questions.process = b"process0"
    for number, body in enumerate((b"", b"s1", b"s2" + envelope(TOKENS[0])[2:], b"x" * 100)):
        d = b"no envelope%d" % number
        client.set(questions.read(d).keys[0], body)
        for verb, kind in (("read", DONE), ("ask", LEAD)):
            what = (d,) if verb == "read" else (d, TOKENS[1], LOOK, b"", b"")
            question = getattr(questions, verb)(*what)
            answer = client.eval(question.script.text, *question.words(b"1"))
            found = reply(answer, b"1")
            assert found is not None and (found.kind, found.body) == (kind, b"")


def test_a_client_that_tries_twice_gets_the_same_answer(stores: Stores) -> None:
    """The connection may break after the script has run, and before its answer has come."""
    process = led(stores, TOKENS[0])
    assert stores.says(process, "ask", D, TOKENS[0], LOOK, b"", b"").kind == LEAD
    for _ in range(2):
        stores.says(process, "store", D, TOKENS[0], envelope(TOKENS[0]), 5.25)
    led(stores, TOKENS[1], REFRESH)
    for _ in range(2):
        assert stores.says(process, "store", D, TOKENS[1], b"one", None).kind == DONE
    led(stores, TOKENS[2], REFRESH)
    for _ in range(2):
        assert stores.says(process, "fail", D, TOKENS[2], b"how", 0.0).kind == DONE
    assert stores.says(process, "ask", D, TOKENS[3], LOOK, TOKENS[2], b"").kind == ENDED


def test_a_number_that_the_store_has_lost_is_restored(client: Any) -> None:
    """Else what was cleared under a higher number would be served again."""
    questions = Questions("learn", LEASE, RETAIN)

    def learn(known: int) -> int:
        question = questions.learn(FUNCTION, known)
        answer = client.eval(question.script.text, 1, *question.keys, b"1", *question.args)
        found = reply(answer, b"1")
        assert found is not None
        return found.failures

    client.delete(*questions.learn(FUNCTION, 0).keys)
    assert [learn(0), learn(7), learn(3), learn(0)] == [0, 7, 7, 7]


def test_the_answer_to_another_question_is_none() -> None:
    answer = [b"F", b"body", 5, 6, 7, b"12"]
    assert reply(answer, b"13") is None
    assert reply(answer, b"12") == Reply(FRESH, b"body", 0.005, 0.006, 7)


def test_more_processes_than_a_lease_has_room_for_are_told_to_wait(client: Any) -> None:
    """They are not woken, and ask again by themselves."""
    stores = Stores(client, 0)
    led(stores, TOKENS[0])
    key = stores.processes[0].questions.read(D).keys[0].replace(b"v", b"l", 1)
    for number in range(1050):
        questions = Questions(stores.namespace, LEASE, RETAIN)
        questions.process = b"many%04d" % number
        question = questions.ask(D, TOKENS[1], LOOK, b"", b"")
        words = question.words(b"1")
        assert client.eval(question.script.text, *words)[0] == b"W"
    assert client.hlen(key) == 1024


def test_how_a_flight_ended_is_forgotten_with_the_next_lease(stores: Stores) -> None:
    process = led(stores, TOKENS[0])
    stores.says(process, "fail", D, TOKENS[0], b"how", 0.0)
    led(stores, TOKENS[1])
    stores.advance(4.0)  # that lease ends
    assert stores.says(process, "ask", D, TOKENS[2], LOOK, TOKENS[0], b"").kind == LEAD


def test_what_is_kept_for_errors_alone_is_not_served_while_somebody_loads(stores: Stores) -> None:
    process = led(stores, TOKENS[0])
    stores.says(process, "store", D, TOKENS[0], envelope(TOKENS[0], 1.0, 4.0), 4.0 + 1.25)
    stores.advance(1.5)
    led(stores, TOKENS[1], BEHIND)
    assert stores.says(process, "ask", D, TOKENS[2], LOOK, b"", b"").kind == STALE
    stores.advance(1.0)
    assert stores.says(process, "ask", D, TOKENS[2], LOOK, b"", b"").kind == WAIT


def test_while_loads_are_held_off_what_is_stale_is_served(stores: Stores) -> None:
    process = led(stores, TOKENS[0])
    stores.says(process, "store", D, TOKENS[0], envelope(TOKENS[0], 0.0, 9.0), 9.0 + 0.25)
    stores.advance(0.5)
    led(stores, TOKENS[1])
    stores.says(process, "fail", D, TOKENS[1], b"how", 1.25)
    for mode in (LOOK, BEHIND):
        assert stores.says(process, "ask", D, TOKENS[2], mode, b"", b"").kind == STALE
    stores.advance(1.5)
    assert stores.says(process, "ask", D, TOKENS[2], LOOK, b"", b"").failures == 1
