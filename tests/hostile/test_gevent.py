"""Greenlets: gevent's patch of `threading`, before this package is imported and without it.

Followers in several real threads of a patched program are beyond this: now and then gevent's own
lock does not return there though its timeout has passed.
"""

from __future__ import annotations

import importlib.util
from textwrap import dedent

import pytest

import interpreters

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed"
)

PATCHED = dedent(
    """
    from gevent import monkey; monkey.patch_all()
    import asyncio, gevent, time
    from gevent.event import Event
    from meeting import until, waiters
    from soloflight import FlightDeadlock, Group, WaitTimeout, cached_singleflight, singleflight

    opened, loads, group = Event(), [], Group()

    @cached_singleflight(ttl=60)
    def load(key):
        loads.append(key)
        opened.wait()
        return key

    def results(greenlets):
        return [greenlet.get(timeout=10) for greenlet in greenlets]
    """
)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            """
            herd = [gevent.spawn(load, "k") for _ in range(100)]
            until(lambda: waiters(load) == 99)
            opened.set()  # from the main greenlet: nobody blocks the hub
            assert results(herd) == ["k"] * 100
            assert loads == ["k"]
            """,
            id="a-herd-loads-once",
        ),
        pytest.param(
            """
            leader, *others = [gevent.spawn(load, "k") for _ in range(4)]
            until(lambda: waiters(load) == 3)
            leader.kill()
            others.pop().kill()
            opened.set()
            assert results(others) == ["k"] * 2
            assert loads == ["k", "k"]
            """,
            id="a-kill-is-personal",
        ),
        pytest.param(
            """
            leader = gevent.spawn(load, "k")
            until(load.in_flight)
            try:
                with gevent.Timeout(0.01):
                    load("k")
            except gevent.Timeout:
                assert waiters(load) == 0
                opened.set()
                assert results([leader]) == ["k"]
                assert loads == ["k"]
            else:
                raise AssertionError
            """,
            id="a-timeout-is-personal",
        ),
        pytest.param(
            """
            @singleflight(wait_timeout=0.01)
            def slow():
                opened.wait()

            leader = gevent.spawn(slow)
            until(slow.in_flight)
            try:
                slow()
            except WaitTimeout:
                opened.set()
                results([leader])
            else:
                raise AssertionError
            """,
            id="wait-timeout",
        ),
        pytest.param(
            """
            now = [0.0]

            @cached_singleflight(ttl=1, stale_while_revalidate=9, timer=lambda: now[0])
            def fresh():
                loads.append(now[0])
                if now[0]:
                    opened.wait()
                return now[0]

            assert fresh() == 0
            now[0] = 1.0
            assert results([gevent.spawn(fresh) for _ in range(100)]) == [0] * 100
            until(lambda: len(loads) == 2)
            opened.set()
            until(lambda: not fresh.in_flight())
            assert fresh() == 1
            assert loads == [0, 1]
            """,
            id="one-refresh-behind-a-stale-value",
        ),
        pytest.param(
            """
            def ring(n):
                gevent.sleep()  # until all of them have begun
                try:
                    group.do((n + 1) % 3, ring, (n + 1) % 3)
                except FlightDeadlock:
                    return "deadlock"

            members = [gevent.spawn(group.do, n, ring, n) for n in range(3)]
            assert results(members).count("deadlock") >= 1
            """,
            id="deadlock",
        ),
        pytest.param(
            """
            futures = [group.submit("k", lambda: opened.wait() and "k") for _ in range(3)]
            follower = gevent.spawn(group.do, "k", str)
            until(lambda: waiters(group) == 4)
            opened.set()
            assert [future.result(10) for future in futures] == ["k"] * 3
            assert results([follower]) == ["k"]
            """,
            id="submit",
        ),
        pytest.param(
            """
            def getsizeof(value):
                if value == "slow":
                    opened.wait()  # inside of the lock
                return 1

            @cached_singleflight(ttl=60, getsizeof=getsizeof)
            def sized(key):
                return key

            slow = gevent.spawn(sized, "slow")
            gevent.sleep()
            others = [gevent.spawn(sized, n) for n in range(5)]
            gevent.sleep()
            opened.set()
            assert results([slow, *others]) == ["slow", *range(5)]
            """,
            id="a-switch-inside-of-the-lock",
        ),
        pytest.param(
            """
            opened = monkey.get_original("threading", "Event")()  # gevent's own is of one thread
            leader = gevent.get_hub().threadpool.spawn(load, "k")
            until(load.in_flight)
            herd = [gevent.spawn(load, "k") for _ in range(3)]
            until(lambda: waiters(load) == 3)
            opened.set()
            assert results([leader, *herd]) == ["k"] * 4
            assert loads == ["k"]
            """,
            id="the-leader-is-a-real-thread",
        ),
        pytest.param(
            """
            import os
            from gevent.os import fork_gevent

            leader = gevent.spawn(load, "k")
            until(load.in_flight)
            child = fork_gevent()
            if child == 0:
                opened.set()
                ok = load.in_flight() == () and load("k") == "k" and load.invalidate("k")
                os._exit(0 if ok else 1)
            # gevent's own may miss a child that ends at once.
            assert monkey.get_original("os", "waitpid")(child, 0)[1] == 0
            opened.set()
            assert results([leader]) == ["k"]
            """,
            id="fork",
        ),
    ],
)
def test_with_threads_that_are_greenlets(code: str) -> None:
    interpreters.run(PATCHED + dedent(code))


def test_greenlets_of_one_unpatched_thread_are_refused_and_do_not_hang() -> None:
    """For them a wait would block the thread that the leader needs."""
    out = interpreters.run(
        """
        import gevent
        from soloflight import FlightDeadlock, singleflight

        @singleflight
        def load():
            gevent.sleep(0.01)
            return "value"

        def call():
            try:
                return load()
            except FlightDeadlock:
                return "refused"

        print(*[greenlet.get() for greenlet in [gevent.spawn(call) for _ in range(3)]])
        """
    )
    assert out == "value refused refused\n"


LATER = dedent(
    """
    import asyncio, time
    import soloflight, meeting
    from soloflight import Group, cached_singleflight, singleflight

    loads, group, now = [], Group(), [0.0]

    @cached_singleflight(ttl=60)
    def load(key):
        loads.append(key)
        time.sleep(0.05)
        return key

    @cached_singleflight(ttl=10, stale_while_revalidate=60, timer=lambda: now[0])
    def stale():
        loads.append(now[0])
        time.sleep(0.01)
        return now[0]

    from gevent import monkey; monkey.patch_all()
    import gevent

    def results(greenlets):
        return [greenlet.get(timeout=10) for greenlet in greenlets]
    """
)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            """
            assert results([gevent.spawn(load, 1) for _ in range(20)]) == [1] * 20
            assert loads == [1]
            """,
            id="a-herd",
        ),
        pytest.param(
            """
            herd = [gevent.spawn(group.do, "k", load.__wrapped__, 1) for _ in range(20)]
            assert results(herd) == [1] * 20
            assert loads == [1]
            """,
            id="a-group",
        ),
        pytest.param(
            """
            futures = [group.submit("k", load.__wrapped__, 1) for _ in range(5)]
            assert [future.result(10) for future in futures] == [1] * 5
            assert loads == [1]
            """,
            id="futures",
        ),
        pytest.param(
            """
            assert stale() == 0
            now[0] = 15
            assert results([gevent.spawn(stale) for _ in range(20)]) == [0] * 20
            meeting.until(lambda: not stale.in_flight())
            assert (stale(), loads) == (15, [0, 15])
            """,
            id="a-refresh-in-the-pool",
        ),
        pytest.param(
            """
            @cached_singleflight(ttl=60)
            def made_later(key):
                return load(key)

            assert results([gevent.spawn(made_later, 1) for _ in range(20)]) == [1] * 20
            assert loads == [1]
            """,
            id="a-function-that-is-decorated-afterwards",
        ),
        pytest.param(
            """
            @singleflight
            def asks_for_itself(key):
                return asks_for_itself(key)

            def nested():
                return group.do("k", group.do, "k", int)

            def outcome(call):
                try:
                    return call()
                except soloflight.FlightDeadlock:
                    return "a deadlock"

            calls = [lambda: asks_for_itself(1), nested]
            assert results([gevent.spawn(outcome, call) for call in calls]) == ["a deadlock"] * 2
            """,
            id="who-asks-for-its-own-key",
        ),
    ],
)
def test_greenlets_of_a_program_that_is_patched_after_the_import_share_loads(code: str) -> None:
    interpreters.run(LATER + dedent(code))
