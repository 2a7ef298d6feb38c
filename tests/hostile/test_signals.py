"""Signals, as the system sends them: to a thread that leads, follows, or is inside of a lock."""

from __future__ import annotations

import signal
from textwrap import dedent

import pytest

import interpreters

COMMON = dedent(
    """
    import asyncio, os, signal, threading
    from meeting import Caller, Gate, in_ttl_cache, storing, until, waiters
    from soloflight import FlightDeadlock, Group, cached_singleflight

    # A program that is started in the background ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gate, group = Gate(), Group()

    def interrupt_when(condition):
        def wait_and_kill():
            until(condition)
            os.kill(os.getpid(), signal.SIGINT)

        Caller(wait_and_kill)

    @cached_singleflight(ttl=60)
    def load(key):
        if gate.arrivals == 0:
            gate()
        return key
    """
)


@pytest.mark.parametrize(
    "main",
    [
        pytest.param(
            """
            followers = []

            def follow():
                gate.arrived()
                followers.extend(Caller(load, "k") for _ in range(3))

            Caller(follow)
            interrupt_when(lambda: waiters(load) == 3)
            try:
                load("k")
            except KeyboardInterrupt:
                assert [follower.result() for follower in followers] == ["k"] * 3
                assert load.stats().misses == 2, "one of them led anew, the others followed it"
                print("interrupted")
            """,
            id="leader",
        ),
        pytest.param(
            """
            leader = Caller(load, "k")
            gate.arrived()
            follower = Caller(load, "k")
            interrupt_when(lambda: waiters(load) == 2)
            try:
                load("k")
            except KeyboardInterrupt:
                assert waiters(load) == 1
                gate.open()
                assert (leader.result(), follower.result()) == ("k", "k")
                assert load.stats().misses == 1
                print("interrupted")
            """,
            id="follower",
        ),
        pytest.param(
            """
            loads = []

            @cached_singleflight(ttl=60)
            async def load_async():
                loads.append(1)
                while len(loads) == 1:
                    # A loop that sleeps for longer may miss a signal that came just before.
                    await asyncio.sleep(0.01)
                return len(loads)

            def follow():
                until(load_async.in_flight)
                return asyncio.run(load_async())

            followers = [Caller(follow) for _ in range(3)]
            interrupt_when(lambda: waiters(load_async) == 4)
            try:
                asyncio.run(load_async())
            except KeyboardInterrupt:
                assert [follower.result() for follower in followers] == [2] * 3
                print("interrupted")
            """,
            id="event-loop",
        ),
        pytest.param(
            """
            future = group.submit("k", lambda: gate() or "k")
            interrupt_when(lambda: waiters(group) == 2)
            try:
                group.do("k", str)
            except KeyboardInterrupt:
                gate.open()
                assert future.result(20) == "k"
                print("interrupted")
            """,
            id="follower-of-a-future",
        ),
    ],
)
def test_ctrl_c_reaches_the_main_thread_and_nobody_else(main: str) -> None:
    assert interpreters.run(COMMON + dedent(main)) == "interrupted\n"


HANDLER = dedent(
    """
    handled = []

    def handler(*_):
        try:
            handled.append(load("k"))
        except FlightDeadlock:
            handled.append("deadlock")
        load("other")
        load.invalidate("other")

    signal.signal(signal.SIGUSR1, handler)
    main_thread = threading.get_ident()
    """
)


@pytest.mark.parametrize(
    ("main", "handled"),
    [
        pytest.param(
            """
            @cached_singleflight(ttl=60)
            def load(key):
                if key == "k":
                    signal.raise_signal(signal.SIGUSR1)
                return key

            assert load("k") == "k"
            """,
            ["deadlock"],
            id="while-its-thread-leads",
        ),
        pytest.param(
            """
            leader = Caller(load, "k")
            gate.arrived()

            def direct():
                until(lambda: waiters(load) == 1)
                signal.pthread_kill(main_thread, signal.SIGUSR1)
                until(lambda: waiters(load) == 2)
                gate.open()

            Caller(direct)
            assert load("k") == leader.result() == "k"
            """,
            ["k"],
            id="while-its-thread-follows",
        ),
        pytest.param(
            """
            def getsizeof(value):
                if value == "k":
                    signal.raise_signal(signal.SIGUSR1)
                return 1

            @cached_singleflight(ttl=60, getsizeof=getsizeof)
            def load(key):
                return key

            assert load("k") == "k"
            load.put("k", "k")
            """,
            ["deadlock", "k"],
            id="where-its-load-ends",
        ),
        pytest.param(
            """
            def getsizeof(value):
                if value == "k":
                    signal.raise_signal(signal.SIGUSR1)
                return 1

            @in_ttl_cache(ttl=60, getsizeof=getsizeof)
            def load(key):
                return key

            assert load("k") == "k"
            load.put("k", "k")
            """,
            ["k", "k"],
            id="inside-of-the-lock-of-a-given-cache",
        ),
        pytest.param(
            """
            cached, mine = storing("default", "mine", lambda: signal.raise_signal(signal.SIGUSR1))

            @cached(ttl=60)
            def load(key):
                return key

            load("k")
            assert load(mine) == "mine"
            assert load.peek(mine)
            """,
            ["k"],
            id="inside-of-the-lock",
        ),
        pytest.param(
            """
            def strike():
                if not handled:
                    signal.raise_signal(signal.SIGUSR1)

            cached, mine = storing("default", "mine", strike, beside="there")

            @cached(ttl=60)
            def load(key):
                if key == "k":
                    gate()
                return key

            load("there")
            leader = Caller(load, "k")
            gate.arrived()

            def direct():
                until(lambda: waiters(load) == 1)
                gate.open()

            Caller(direct)
            load.put("mine", mine)
            assert leader.result() == "k"
            """,
            ["k"],
            id="inside-of-the-lock-that-its-leader-needs",
        ),
        pytest.param(
            """
            def strike():
                if not handled:
                    signal.raise_signal(signal.SIGUSR1)

            cached, mine = storing("given", "mine", strike, beside="there")

            @cached(ttl=60)
            def load(key):
                if key == "k":
                    gate()
                return key

            load("there")
            leader = Caller(load, "k")
            gate.arrived()

            def direct():
                until(lambda: waiters(load) == 1)
                gate.open()

            Caller(direct)
            load.put("mine", mine)
            assert leader.result() == "k"
            """,
            ["k"],
            id="inside-of-the-lock-of-a-given-cache-that-its-leader-needs",
        ),
        pytest.param(
            """
            @cached_singleflight(ttl=60)
            async def load_async(key):
                signal.raise_signal(signal.SIGUSR1)
                return key

            gate.arrivals = 1  # no load waits
            assert asyncio.run(load_async("k")) == "k"
            """,
            ["k"],
            id="while-its-loop-runs-another-load",
        ),
    ],
)
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this platform has no SIGUSR1")
def test_a_signal_handler_may_call_the_function(main: str, handled: list[str]) -> None:
    code = COMMON + HANDLER + dedent(main) + '\nassert load("k") == "k"\nprint(handled)'
    assert interpreters.run(code) == f"{handled}\n"
