"""An interpreter that exits with refreshes under way: in time, and without a word on stderr."""

from __future__ import annotations

import sys
from textwrap import dedent

import pytest

import interpreters

COMMON = dedent(
    """
    import asyncio, atexit, concurrent.futures.thread, logging, sys, threading, warnings
    from meeting import Clock, until, until_async, waiters
    from soloflight import cached_singleflight

    # A refresh that fails or cannot be started is told there.
    logging.getLogger("soloflight").addHandler(logging.NullHandler())
    clock, begun, opened = Clock(), [], threading.Event()
    options = {"ttl": 10, "stale_while_revalidate": 60, "timer": clock}

    def with_stale_entries(reload, **more):
        "A function whose entries are stale, 20 of them."

        @cached_singleflight(**options, **more)
        def load(key):
            return reload(key) if clock.now > 1000 else "old"

        for key in range(20):
            load(key)
        clock.advance(20)
        return load

    def hang(key):
        begun.append(key)
        threading.Event().wait()

    def fail(key):
        begun.append(key)
        opened.wait()
        raise LookupError(key)

    def succeed(key):
        begun.append(key)
        opened.wait()
        return "new"

    def when_the_main_thread_has_ended(act):
        def run():
            threading.main_thread().join()
            act()

        threading.Thread(target=run, daemon=True).start()
    """
)


def run(program: str) -> str:
    return interpreters.run(COMMON + dedent(program))


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(
            """
            load = with_stale_entries(hang)
            assert load(0) == "old"
            until(lambda: begun)
            """,
            id="one-that-hangs",
        ),
        pytest.param(
            """
            load = with_stale_entries(hang)
            assert {load(key) for key in range(20)} == {"old"}
            until(lambda: len(begun) == 6)
            assert len(load.in_flight()) == 20
            """,
            id="more-than-there-are-threads",
        ),
        pytest.param(
            """
            load = with_stale_entries(hang)
            assert load(0) == "old"
            threading.Thread(target=load.refresh, args=(0,), daemon=True).start()
            until(lambda: waiters(load) == 1)
            """,
            id="one-that-hangs-and-its-follower",
        ),
        pytest.param(
            """
            load = with_stale_entries(fail)
            assert {load(key) for key in range(8)} == {"old"}
            until(lambda: len(begun) == 6)
            when_the_main_thread_has_ended(opened.set)
            """,
            id="fail-during-the-exit",
        ),
        pytest.param(
            """
            load = with_stale_entries(succeed)
            assert {load(key) for key in range(20)} == {"old"}
            until(lambda: len(begun) == 6)
            when_the_main_thread_has_ended(opened.set)
            """,
            id="succeed-during-the-exit",
        ),
        pytest.param(
            """
            load = with_stale_entries(hang)

            @atexit.register
            def say_goodbye():
                assert load(0) == "old"
            """,
            id="started-at-exit",
        ),
    ],
)
def test_nobody_waits_for_a_refresh_of_the_default_pool(program: str) -> None:
    run(program)


@pytest.mark.parametrize("reload", ["succeed", "fail"])
def test_an_executor_of_the_users_ends_what_it_has_begun(reload: str) -> None:
    """Python waits for the threads of a `ThreadPoolExecutor`, and for what is queued there."""
    program = """
    executor = concurrent.futures.ThreadPoolExecutor(1)
    load = with_stale_entries(RELOAD, executor=executor)
    assert {load(0), load(1)} == {"old"}
    until(lambda: begun == [0])
    assert len(load.in_flight()) == 2

    def open_late():
        until(lambda: concurrent.futures.thread._shutdown)
        opened.set()

    threading.Thread(target=open_late, daemon=True).start()

    @atexit.register
    def say_goodbye():
        assert begun == [0, 1]
        assert not load.in_flight()
        print(load(0), load.stats().errors)
    """
    told = run(program.replace("RELOAD", reload))
    assert told == {"succeed": "new 0\n", "fail": "old 2\n"}[reload]


def test_an_executor_that_takes_nothing_any_more_leaves_the_stale_value() -> None:
    program = """
    executor = concurrent.futures.ThreadPoolExecutor(1)
    load = with_stale_entries(succeed, executor=executor)
    opened.set()

    @atexit.register
    def say_goodbye():
        print(load(0), load(0), load.in_flight(), load.stats().refreshes)
    """
    assert run(program) == "old old () 0\n"


ASYNC = dedent(
    """
    def refresh(reload, meanwhile, run):
        "Have a loop start a refresh, and end."

        @cached_singleflight(**options)
        async def load(key):
            return await reload(key) if clock.now > 1000 else "old"

        asyncio.run(load(0))
        clock.advance(20)

        async def main():
            assert await load(0) == "old"
            await meanwhile(load)

        run(main())
        return load

    async def hang_async(key):
        begun.append(key)
        await asyncio.Event().wait()

    async def fail_when_cancelled(key):
        try:
            await hang_async(key)
        finally:
            raise LookupError(key)

    async def it_begins(load):
        await until_async(lambda: begun)

    async def it_is_cancelled(load):
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            assert task.cancel()
        await until_async(lambda: not load.in_flight())
        assert not begun

    async def it_hangs(load):
        await hang_async(None)

    async def it_has_not_begun(load):
        assert not begun

    def run_and_close(main):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main)
        loop.close()

    def run_a_step_and_close(main):
        loop = asyncio.new_event_loop()
        loop.call_soon(loop.stop)
        task = loop.create_task(main)
        loop.run_forever()
        loop.close()
        assert task.done() and not begun

    def run_in_a_daemon_thread(main):
        threading.Thread(target=asyncio.run, args=(main,), daemon=True).start()
        until(lambda: begun)

    """
)
LOOPS = [
    "refresh(hang_async, it_begins, asyncio.run)",
    "refresh(hang_async, it_is_cancelled, asyncio.run)",
    "refresh(fail_when_cancelled, it_begins, asyncio.run)",
    "refresh(hang_async, it_begins, run_and_close)",
    "refresh(hang_async, it_has_not_begun, run_a_step_and_close)",
]


# asyncio's own words for what is pending in a loop that is merely closed
SILENT = """
logging.getLogger("asyncio").disabled = True
warnings.simplefilter("ignore", RuntimeWarning)
"""


@pytest.mark.parametrize("loop", [*LOOPS, "refresh(hang_async, it_hangs, run_in_a_daemon_thread)"])
def test_nobody_waits_for_the_refresh_of_a_loop(loop: str) -> None:
    run(f"{ASYNC}{SILENT}{loop}")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_refresh_ends_with_its_loop_and_the_next_caller_loads_in_the_foreground(
    loop: str,
) -> None:
    """A loop that lives no longer than a call would end with the next refresh as well."""
    if "fail_when_cancelled" in loop and sys.version_info < (3, 11):
        pytest.skip("a task does not tell whether it was cancelled")
    again = """
    assert not load.in_flight()
    before = len(begun)
    assert load.peek(0).failures == 1

    async def held_off():
        assert await load(0) == "old"
        assert not load.in_flight()

    async def due():
        caller = asyncio.ensure_future(load(0))
        await until_async(lambda: len(begun) > before)
        assert waiters(load) == 1
        caller.cancel()

    logging.getLogger("soloflight").addHandler(handler := logging.StreamHandler(sys.stdout))
    asyncio.run(held_off())
    clock.advance(2)
    asyncio.run(due())
    """
    told = run(f"{ASYNC}{SILENT}load = {loop}\n{dedent(again)}")
    assert told.count("stale hits load in the foreground") == 1
