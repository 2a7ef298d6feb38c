"""An interpreter that exits with loads in progress: in time, and without a word on stderr."""

from __future__ import annotations

from textwrap import dedent

import pytest

import interpreters

COMMON = dedent(
    """
    import asyncio, atexit, logging, threading
    from meeting import until, until_async, waiters
    from soloflight import Group, cached_singleflight

    group, opened = Group(), threading.Event()

    @cached_singleflight(ttl=60)
    def load(key):
        opened.wait()
        return key

    @cached_singleflight(ttl=60)
    async def load_async(key):
        await asyncio.Event().wait()

    now = 0
    aging = cached_singleflight(ttl=10, stale_while_revalidate=60, timer=lambda: now)
    behind, behind_async = aging(load.__wrapped__), aging(load_async.__wrapped__)

    def go_stale(function):
        global now
        for key in range(20):
            function.put("old", key)
        now = 10

    def in_threads(daemon, call, *args):
        for _ in range(3):
            threading.Thread(target=call, args=args, daemon=daemon).start()
    """
)


@pytest.mark.parametrize(
    "loads",
    [
        pytest.param(
            """
            in_threads(True, load, "k")
            until(lambda: waiters(load) == 2)
            """,
            id="daemon-threads",
        ),
        pytest.param(
            """
            futures = [group.submit("k", opened.wait) for _ in range(3)]
            futures[0].add_done_callback(print)
            assert waiters(group) == 3
            """,
            id="submitted",
        ),
        pytest.param(
            """
            async def main():
                tasks = [asyncio.ensure_future(load_async("k")) for _ in range(3)]
                await until_async(lambda: waiters(load_async) == 3)

            asyncio.run(main())
            """,
            id="asyncio-run",
        ),
        pytest.param(
            """
            in_threads(True, lambda: asyncio.run(load_async("k")))
            until(lambda: waiters(load_async) == 3)
            """,
            id="loops-in-daemon-threads",
        ),
        pytest.param(
            """
            async def main():
                global tasks
                tasks = [asyncio.ensure_future(load_async("k")) for _ in range(3)]
                await until_async(lambda: waiters(load_async) == 3)

            logging.getLogger("asyncio").disabled = True  # it tells of tasks that are destroyed
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
            loop.close()
            """,
            id="closed-loop",
        ),
        pytest.param(
            """
            async def main():
                leader = asyncio.ensure_future(group.do_async("k", asyncio.Event().wait))
                await until_async(lambda: waiters(group) == 4)

            in_threads(True, lambda: (until(group.in_flight), group.do("k", opened.wait)))
            asyncio.run(main())
            """,
            id="daemon-threads-that-lead-anew",
        ),
        pytest.param(
            """
            go_stale(behind)
            assert {behind(key) for key in range(20)} == {"old"}
            assert len(behind.in_flight()) == 20
            """,
            id="refreshes-in-the-pool",
        ),
        pytest.param(
            """
            go_stale(behind)
            opened.set()
            assert {behind(key) for key in range(20)} == {"old"}
            until(lambda: not behind.in_flight())
            """,
            id="idle-threads-of-the-pool",
        ),
        pytest.param(
            """
            async def main():
                go_stale(behind_async)
                assert {await behind_async(key) for key in range(20)} == {"old"}
                assert len(behind_async.in_flight()) == 20

            asyncio.run(main())
            assert not behind_async.in_flight()
            """,
            id="refreshes-in-asyncio-run",
        ),
        pytest.param(
            """
            async def main():
                go_stale(behind_async)
                await behind_async(1)
                await asyncio.sleep(0)

            loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
            loop.close()
            """,
            id="a-refresh-in-a-closed-loop",
        ),
    ],
)
def test_nobody_waits_for_what_will_never_land(loads: str) -> None:
    interpreters.run(COMMON + dedent(loads))


def test_threads_that_outlive_the_main_thread_are_answered() -> None:
    code = """
    def open_late():
        threading.main_thread().join()
        opened.set()

    in_threads(False, lambda: print(load("k"), end=""))
    until(lambda: waiters(load) == 2)
    threading.Thread(target=open_late, daemon=True).start()
    """
    assert interpreters.run(COMMON + dedent(code)) == "kkk"


def test_a_function_may_be_called_at_exit() -> None:
    code = """
    @atexit.register
    def say_goodbye():
        opened.set()
        print(load("k"), group.do("k", int), asyncio.run(group.do_async("k", one)))

    async def one():
        return 1

    in_threads(True, load, "k")
    until(lambda: waiters(load) == 2)
    """
    assert interpreters.run(COMMON + dedent(code)) == "k 0 1\n"


LAST = dedent(
    """
    import builtins, sys
    from soloflight import FlightDeadlock

    class Last:
        "Calls something when the interpreter is finalized: no other thread runs any more."

        def __init__(self, call):
            self.call = call

        def __del__(self):
            assert sys.is_finalizing()
            try:
                print(self.call())
            except BaseException as error:
                print(type(error).__name__)

    def at_the_very_end(call):
        builtins.last = Last(call)

    """
)


@pytest.mark.parametrize(
    ("program", "told"),
    [
        pytest.param(
            """
            in_threads(True, load, "k")
            until(lambda: waiters(load) == 2)
            at_the_very_end(lambda: load("k"))
            """,
            "FlightDeadlock",
            id="a-daemon-thread-loads",
        ),
        pytest.param(
            """
            threading.Thread(target=asyncio.run, args=(load_async("k"),), daemon=True).start()
            until(load_async.in_flight)
            at_the_very_end(lambda: asyncio.run(load_async("k")))
            """,
            "FlightDeadlock",
            id="a-loop-in-a-daemon-thread-loads",
        ),
        pytest.param(
            """
            go_stale(behind)
            assert behind(1) == "old"
            until(lambda: [*behind._core.table.flights.all()][0].load._taken)
            now = 200
            at_the_very_end(lambda: behind(1))
            """,
            "FlightDeadlock",
            id="the-pool-loads",
        ),
        pytest.param(
            """
            go_stale(behind)
            at_the_very_end(lambda: behind(1))
            """,
            "old",
            id="a-stale-hit",
        ),
        pytest.param(
            """
            in_threads(True, group.do, "k", opened.wait)
            until(lambda: waiters(group) == 2)
            at_the_very_end(lambda: group.do("k", int))
            """,
            "FlightDeadlock",
            id="a-group",
        ),
        pytest.param(
            """
            future = group.submit("k", opened.wait)
            at_the_very_end(future.result)
            """,
            "FlightDeadlock",
            id="a-future",
        ),
        pytest.param(
            """
            at_the_very_end(lambda: group.submit("k", int))
            """,
            "RuntimeError",
            id="a-future-that-nobody-can-run",
        ),
        pytest.param(
            """
            at_the_very_end(lambda: load.__wrapped__ and group.do("k", int))
            """,
            "0",
            id="a-load-of-its-own",
        ),
        pytest.param(
            """
            class Key:
                def __hash__(self):
                    return 1

                def __eq__(self, other):
                    comparing.append(1)
                    threading.Event().wait()  # in here, the table is locked

            comparing = []
            opened.set()
            load(Key())
            threading.Thread(target=load.forget, args=(Key(),), daemon=True).start()
            threading.Thread(target=load.invalidate, args=(Key(),), daemon=True).start()
            until(lambda: comparing)
            at_the_very_end(lambda: load("k"))
            """,
            "k",
            id="a-thread-that-holds-the-lock",
        ),
    ],
)
def test_nobody_waits_for_a_thread_that_the_end_has_frozen(program: str, told: str) -> None:
    code = COMMON + LAST + dedent(program) + "\nlogging.disable()"
    assert interpreters.run(code) == f"{told}\n"
