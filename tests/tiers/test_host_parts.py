"""`HostTier` within one process: its verbs against the model, its file, its news, its ends."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import interpreters
from conftest import Caller, Clock, Gate, needs_fork, until, until_gone
from fleet import CODEC

if sys.platform == "win32":
    pytest.skip("HostTier is not offered there", allow_module_level=True)

from soloflight import cached_singleflight
from soloflight._flights.flight import ticket
from soloflight._runners import me
from soloflight._tiers import database, host, ofd, rows, watch
from soloflight._tiers.envelope import Envelope, pack
from soloflight._tiers.leases import Lease
from soloflight._tiers.memory import Memory, MemoryTier
from soloflight._tiers.verbs import DONE, DOWN, FENCED, Reply
from soloflight.tiers import HostTier


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., HostTier]]:
    """Makes tiers, all of one directory."""
    tiers: list[HostTier] = []

    def made(**options: Any) -> HostTier:
        tiers.append(HostTier(tmp_path / "tier", **options))
        return tiers[-1]

    yield made
    for tier in tiers:
        tier.close()


@pytest.fixture
def host_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the host."""
    clock = Clock()
    for room in (database, rows, host):
        monkeypatch.setattr(room, "clock", clock)
    return clock


def loaded(tier: Any, load: Callable[[str], Any], **options: Any) -> Any:
    @cached_singleflight(**{"ttl": 60, **CODEC, **options}, tier=tier, name="load")
    def function(key: str) -> Any:
        return load(key)

    return function


def granted(tier: Any, d: bytes) -> Lease:
    """A lease of a load that goes on."""
    token = tier.token()
    assert tier.ask(d, token, "l", b"", b"").kind == "L"
    return Lease(d, token, ticket(d, "f", me.local.thread), b"", 60.0)


# The model


class Steps:
    """Random steps, on a model and on the tier."""

    def __init__(self, seed: int, tiers: list[HostTier], clock: Clock) -> None:
        self.dice, self.clock = random.Random(seed), clock
        self.memory = Memory(3.0, 30.0, clock)
        self.models = [MemoryTier(memory=self.memory) for _ in tiers]
        self.tiers = tiers
        self.keys = [b"first key...", b"second key.."]
        self.leases: list[tuple[int, bytes, bytes]] = []  # whose, of which key, its token
        self.tokens = [b""]

    def both(self, who: int, verb: str, *what: Any) -> Reply:
        expected = getattr(self.models[who], verb)(*what)
        found = getattr(self.tiers[who], verb)(*what)
        if found == host.ASK_AGAIN:  # there was news
            found = getattr(self.tiers[who], verb)(*what)
        assert found[:2] == expected[:2], (verb, what, found, expected)
        assert found[2:] == pytest.approx(expected[2:]), (verb, what, found, expected)
        return found

    def envelope(self, token: bytes) -> bytes:
        swr, sie = self.dice.choice([(0.0, 0.0), (2.0, 0.0), (2.0, 5.0), (0.0, 5.0)])
        return pack(Envelope(token, swr, sie, 0.1, False, b"..."), 1, b"none")

    def step(self) -> None:
        dice, who = self.dice, self.dice.randrange(len(self.tiers))
        d = dice.choice(self.keys)
        what = dice.choice(["read", "ask", "ask", "ask", "end", "end", "renew", "drop", "wait"])
        if what == "read":
            self.both(who, "read", d)
        elif what == "ask":
            token = self.tiers[who].token()
            waited, seen = dice.choice(self.tokens), dice.choice(self.tokens)
            reply = self.both(who, "ask", d, token, dice.choice("lbr"), waited, seen)
            if reply.kind == "L":
                self.leases.append((who, d, token))
                self.tokens = [*self.tokens[-4:], token]
        elif what == "drop":
            kind = dice.choice("ipf")
            self.both(
                who, "drop", kind, d, self.envelope(b"put".ljust(16)), dice.choice([5.0, 9.0])
            )
        elif what == "wait":
            self.clock.advance(dice.choice([0.25, 1.0, 2.5, 40.0]))
        elif self.leases:
            lease = dice.choice(self.leases)
            who, d, token = lease
            if what == "renew":
                self.both(who, "renew", d, token)
                return
            self.leases.remove(lease)
            last = dice.choice(["store", "store", "untold", "fail", "give"])
            if last == "store":
                self.both(who, "store", d, token, self.envelope(token), dice.choice([8.0, 20.0]))
            elif last == "untold":
                self.both(who, "store", d, token, self.envelope(token), None)
            elif last == "fail":
                self.both(who, "fail", d, token, b"text", dice.choice([0.0, 1.5]))
            else:
                self.both(who, "give", d, token)


@pytest.mark.parametrize("seed", range(30))
def test_the_verbs_reply_as_the_model_does(
    seed: int, made: Callable[..., HostTier], host_clock: Clock
) -> None:
    steps = Steps(seed, [made() for _ in range(3)], host_clock)
    for _ in range(120):
        steps.step()


def test_several_leases_are_renewed_at_once(
    made: Callable[..., HostTier], host_clock: Clock
) -> None:
    tier = made()
    leases = [granted(tier, d) for d in (b"a", b"b", b"c")]
    host_clock.advance(2)
    tier.give(b"b", leases[1].token)
    renewed: Any = tier.renew_all(leases)
    assert [reply.kind for reply in renewed] == [DONE, FENCED, DONE]
    host_clock.advance(2)
    assert tier.ask(b"a", tier.token(), "l", b"", b"").kind == "W"
    tier.close()
    assert tier.renew_all(leases) is DOWN


# The file


def test_what_has_expired_is_swept(made: Callable[..., HostTier], host_clock: Clock) -> None:
    tier = made()
    load = loaded(tier, lambda key: key, ttl=10)
    for number in range(rows.ROWS + 10):
        load(str(number))
    host_clock.advance(11)
    load("new")
    tier.sweep()
    (file,) = Path(tier.path).glob("*.db")
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM v").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM l").fetchone() == (0,)
    connection.close()


def test_another_boot_begins_with_nothing(
    made: Callable[..., HostTier], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(9))
    before = made()
    assert loaded(before, lambda key: next(numbers))("k") == 0
    before.close()
    monkeypatch.setattr(database, "boot", lambda: "another")
    after = made()
    assert loaded(after, lambda key: next(numbers))("k") == 1
    assert [path.name for path in Path(after.path).glob("*.db")] == ["1-another.db"]


def test_a_namespace_has_nothing_in_common_with_another(made: Callable[..., HostTier]) -> None:
    numbers = iter(range(9))
    names = ["", "a", "b/../c", "a"]
    tiers = [made(namespace=name) for name in names]
    assert [loaded(tier, lambda key: next(numbers))("k") for tier in tiers] == [0, 1, 2, 1]


def test_a_long_path_has_news_as_well(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("a path of a socket is a short one there")
    path = tmp_path / ("long" * 20) / ("long" * 20)
    with HostTier(path) as one, HostTier(path) as other:
        first, second = (loaded(tier, lambda key: key) for tier in (one, other))
        assert first("k") == second("k") == "k"
        first.invalidate("k")
        until(lambda: second.peek("k") is None)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"timeout": 0}, ValueError, "timeout"),
        ({"max_bytes": -1}, ValueError, "max_bytes"),
        ({"namespace": "{"}, ValueError, "braces"),
    ],
)
def test_options_that_cannot_work_are_refused(
    made: Callable[..., HostTier], options: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        made(**options)


def test_a_directory_that_anybody_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tier"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ValueError, match="anybody may write"):
        HostTier(folder)


def test_a_directory_is_for_its_user_alone(made: Callable[..., HostTier]) -> None:
    assert os.stat(made().path).st_mode & 0o777 == 0o700


def test_a_platform_without_locks_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ofd, "fcntl", None)
    with pytest.raises(NotImplementedError, match="not offered on this platform"):
        HostTier(tmp_path / "tier")


# News


def test_who_has_missed_more_news_than_are_kept_drops_all(
    made: Callable[..., HostTier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "NEWS", 10)
    deaf, other = made(), made()
    first, second = loaded(deaf, lambda key: key), loaded(other, lambda key: key)
    assert first("k") == "k"
    deaf._post.close()  # it gets no datagrams any more
    for number in range(300):
        second.invalidate(str(number))
    assert first.peek("k") is not None
    assert first("another") == "another"  # a conversation
    assert first.peek("k") is None


def test_news_that_were_missed_are_heard_in_the_next_conversation(
    made: Callable[..., HostTier],
) -> None:
    deaf, other = made(), made()
    first, second = loaded(deaf, lambda key: key), loaded(other, lambda key: key)
    assert [first("k"), first("kept")] == ["k", "kept"]
    deaf._post.close()
    second.invalidate("k")
    first("another")
    assert first.peek("k") is None
    assert first.peek("kept") is not None


# Threads, loops, forks, ends


def test_several_loops_wait_for_one_load(made: Callable[..., HostTier]) -> None:
    one, other = made(), made()
    gate, loads = Gate(), []

    def load(key: str) -> str:
        loads.append(key)
        gate()
        return key

    leader = Caller(loaded(one, load), "k")
    gate.arrived()

    @cached_singleflight(ttl=60, tier=other, name="load", **CODEC)
    async def follow(key: str) -> Any:
        raise AssertionError("a second load")

    async def several() -> list[str]:
        return await asyncio.gather(*(follow("k") for _ in range(3)))

    loops = [Caller(asyncio.run, several()) for _ in range(2)]
    until(lambda: other.bells)
    gate.open()
    assert leader.result() == "k"
    assert [loop.result() for loop in loops] == [["k"] * 3] * 2
    assert loads == ["k"]


def test_what_is_in_the_middle_of_a_step_leaves_nothing_open(
    made: Callable[..., HostTier], gate: Gate
) -> None:
    tier = made()
    seen: list[database.Connection] = []

    def step(connection: database.Connection) -> None:
        seen.append(connection)
        gate()

    caller = Caller(lambda: tier._database.do(step))
    gate.arrived()
    tier.close()
    gate.open()
    caller.result()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        seen[0].execute("SELECT 1")
    # It may have found that the tier is open before that.
    tier._post.open()
    assert not tier._post.is_open
    with pytest.raises(OSError, match="closed"):
        tier._byte_locks.take(1)
    tier.down("it is closed")
    assert tier.health().error == "it is closed"


def test_a_closed_tier_leaves_each_process_for_itself(made: Callable[..., HostTier]) -> None:
    tier = made()
    numbers = iter(range(9))
    load = loaded(tier, lambda key: next(numbers))
    assert load("k") == 0
    tier.close()
    assert load("k") == 0
    assert load("another") == 1
    assert tier.read(b"d") is DOWN
    assert not tier.health().is_up
    assert not list(Path(tier.path).glob("news-*"))


def test_a_tier_that_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    import gc

    tier = HostTier(tmp_path / "tier")
    assert tier.read(b"d").kind == "D"
    path = Path(tier.path)
    assert list(path.glob("news-*"))
    del tier
    gc.collect()
    assert not list(path.glob("news-*"))
    # (Those of other tests may be kept by a keeper, for as long as that may have something to do.)
    until_gone(lambda: [t for t in threading.enumerate() if t.name == "soloflight news"])


@needs_fork
def test_a_child_talks_for_itself(tmp_path: Path) -> None:
    """After a fork, with the tier in use, in mid-load and by several threads."""
    interpreters.run(
        """
        import os, sys, threading, warnings
        from conftest import Caller, Gate, succeeds, until
        from soloflight import cached_singleflight
        from soloflight.tiers import HostTier

        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        tier, gate = HostTier(sys.argv[1]), Gate()

        @cached_singleflight(ttl=60, tier=tier, codec="json")
        def load(key: str) -> str:
            if key == "held":
                gate()
            return key

        leader = Caller(load, "held")
        gate.arrived()
        stop = threading.Event()

        def go_on():
            number = 0
            while not stop.is_set():
                load(str(number))
                number += 1

        busy = [Caller(go_on) for _ in range(2)]
        children = []
        for number in range(10):
            child = os.fork()
            if child == 0:
                assert not tier.keeper.leases()
                assert load(f"child {number}") == f"child {number}"
                follower = Caller(load, "held")  # of its parent
                until(lambda: tier.bells)
                gate.open()
                os._exit(0 if follower.error is None and tier.health().is_up else 1)
            children.append(child)
        for child in children:
            succeeds(child)
        stop.set()
        gate.open()
        assert leader.result() == "held"
        for caller in busy:
            caller.result()
        assert tier.health().is_up
        """,
        str(tmp_path / "tier"),
    )


@needs_fork
def test_a_child_that_goes_on_with_a_load_of_its_parent_stores_nothing(tmp_path: Path) -> None:
    interpreters.run(
        """
        import os, sys, warnings
        from conftest import succeeds
        from soloflight import cached_singleflight
        from soloflight.tiers import HostTier

        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        tier, children = HostTier(sys.argv[1]), []

        @cached_singleflight(ttl=60, tier=tier, codec="json")
        def load(key: str) -> str:
            children.append(os.fork())
            if children == [0]:
                return "the child's"
            succeeds(children[0])
            return "the parent's"

        value = load("k")
        if children == [0]:
            os._exit(0 if value == "the child's" else 1)
        assert value == "the parent's"
        assert tier.health().is_up
        """,
        str(tmp_path / "tier"),
    )


@pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("gevent") is None, reason="gevent is not installed"
)
def test_greenlets_go_on_while_one_waits_for_another_process(tmp_path: Path) -> None:
    interpreters.run(
        """
        from gevent import monkey; monkey.patch_all(subprocess=False)
        import subprocess, sys
        import gevent
        from soloflight import cached_singleflight
        from soloflight.tiers import HostTier

        LEADER = '''
        import sys
        from soloflight import cached_singleflight
        from soloflight.tiers import HostTier

        @cached_singleflight(ttl=60, tier=HostTier(sys.argv[1]), name="load", codec="json")
        def load(key: str) -> str:
            print("loads", flush=True)
            sys.stdin.readline()
            return key
        load("k")
        '''.replace("\\n        ", "\\n")
        leader = subprocess.Popen(
            [sys.executable, "-c", LEADER, sys.argv[1]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        assert leader.stdout.readline() == "loads\\n"
        tier = HostTier(sys.argv[1])

        @cached_singleflight(ttl=60, tier=tier, name="load", codec="json")
        def load(key: str) -> str:
            raise AssertionError("a second load")

        waiting = [gevent.spawn(load, "k") for _ in range(3)]
        turns = 0
        while not tier.bells or turns < 20:
            gevent.sleep(0.005)
            turns += 1
        assert not any(greenlet.ready() for greenlet in waiting)
        leader.stdin.write("end\\n")
        leader.stdin.flush()
        assert [greenlet.get(timeout=10) for greenlet in waiting] == ["k"] * 3
        leader.wait()
        leader.stdin.close()
        leader.stdout.close()
        """,
        str(tmp_path / "tier"),
    )


# Locks


@pytest.fixture(params=["ofd", "posix"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    path = str(tmp_path / "leases")
    if request.param == "posix":
        only = ofd.PosixLocks(path)
        return lambda: only
    if not ofd.HAS_OFD:
        pytest.skip("there are none")
    return lambda: ofd.OfdLocks(path)


def test_a_byte_is_held_until_it_is_free(locks: Callable[[], Any]) -> None:
    one, other = locks(), locks()
    assert not other.is_held(5)
    one.take(5)
    assert one.is_held(5)
    assert other.is_held(5)
    assert not other.is_held(6)
    one.free(5)
    assert not other.is_held(5)
    one.take(7)
    one.free(7)
    one.close()


@pytest.mark.skipif(not ofd.HAS_OFD, reason="there are none")
def test_locks_move_to_the_file_that_takes_the_place_of_theirs(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    one, other = ofd.OfdLocks(str(path)), ofd.OfdLocks(str(path))
    one.take(5)
    path.unlink()
    one.take(6)
    assert other.is_held(5)
    assert other.is_held(6)
    one.close()
    assert not other.is_held(5)
    other.close()


def test_beyond_so_many_threads_one_looks_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MOST", 2)
    path = str(tmp_path / "leases")
    one, other = ofd.locks(path), ofd.locks(path)
    over: list[bytes] = []
    waiting = watch.Watch(other, over.append, lambda d: True)
    for byte in range(5):
        one.take(byte)
        waiting.add(byte, b"%d" % byte)
    names = [thread.name for thread in threading.enumerate()]
    if ofd.HAS_OFD:
        assert names.count("soloflight wait") == 2
    assert names.count("soloflight poll") == 1
    assert over == []
    for byte in range(5):
        one.free(byte)
    until(lambda: sorted(over) == [b"0", b"1", b"2", b"3", b"4"])
    until(lambda: "soloflight poll" not in [thread.name for thread in threading.enumerate()])
    one.close()
