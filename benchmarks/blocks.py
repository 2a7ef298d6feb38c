"""What is timed: each function here makes a block, and calling a block measures it once.

A block takes the number of its round, which makes cold keys, and returns seconds per call (a herd:
seconds per herd). Inside the timed region there is nothing but the calls themselves, made by a loop
of their own: the interpreter specialises code in place, so contestants never share a code object.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from time import perf_counter, sleep
from typing import Any

Block = Callable[[int], float]
Keys = Callable[[int], Sequence[int]]

BLOCK = 0.01  # seconds
HERD = 200
ASYNC_HERD = 10_000
THREADS = 8
SETTLING = 0.05  # seconds, outside of what is timed: from "about to call" to "waiting in there"

_LOOP = """
{a}def loop(f, keys, meet, clock):
    meet()
    start = clock()
    for k in keys:
        {call}
    return start, clock()
"""


class Unfit(Exception):
    """A contestant that does not do what the row is about."""


def _loop(call: str, *, is_async: bool = False) -> Any:
    scope: dict[str, Any] = {}
    call = f"await {call}" if is_async else call
    exec(_LOOP.format(a="async " if is_async else "", call=call), scope)
    return scope["loop"]


def _nothing() -> None:
    pass


def event_loop(stack: ExitStack) -> asyncio.AbstractEventLoop:
    """A loop for one contestant and all of its rounds, so that no one's timers burden another."""
    loop = asyncio.new_event_loop()

    def close() -> None:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        loop.close()

    stack.callback(close)
    return loop


def _calibrated(run: Callable[[Sequence[int]], float], seconds: float) -> Sequence[int]:
    """As many times the key 1 as make a block of that length."""
    run([1] * 200)
    return [1] * max(200, min(200_000, int(seconds / run([1] * 500))))


def looped(call: str, f: Any) -> Callable[[Sequence[Any]], float]:
    """What makes a call for each key, and returns seconds per call."""
    loop = _loop(call)

    def run(keys: Sequence[Any]) -> float:
        start, end = loop(f, keys, _nothing, perf_counter)
        return float(end - start) / len(keys)

    return run


def repeated(call: str, f: Any) -> Block:
    """The same call over and over."""
    run = looped(call, f)
    keys = _calibrated(run, BLOCK)
    return lambda round: run(keys)


def keyed(call: str, f: Any, keys: Keys) -> Block:
    """Calls with a sequence of keys, the same for every contestant of a round."""
    run = looped(call, f)
    return lambda round: run(keys(round))


def async_repeated(call: str, f: Any, stack: ExitStack) -> Block:
    loop, runner = _loop(call, is_async=True), event_loop(stack)

    def run(keys: Sequence[int]) -> float:
        start, end = runner.run_until_complete(loop(f, keys, _nothing, perf_counter))
        return float(end - start) / len(keys)

    keys = _calibrated(run, BLOCK)
    return lambda round: run(keys)


def async_keyed(call: str, f: Any, keys: Keys, stack: ExitStack) -> Block:
    loop, runner = _loop(call, is_async=True), event_loop(stack)

    def block(round: int) -> float:
        ours = loop(f, keys(round), _nothing, perf_counter)
        start, end = runner.run_until_complete(ours)
        return float(end - start) / len(keys(round))

    return block


def _at_once(loop: Any, f: Any, keys: Sequence[Sequence[int]]) -> float:
    """Threads that start together, one for each sequence: from the first call to the last return.

    What takes a lock for each hit has two speeds here: where another core is quick to wake the next
    thread in the queue, each call becomes a switch of threads. See the quartiles.
    """
    barrier = threading.Barrier(len(keys))
    spans: list[tuple[float, float]] = []

    def caller(mine: Sequence[int]) -> None:
        spans.append(loop(f, mine, barrier.wait, perf_counter))

    threads = [threading.Thread(target=caller, args=(mine,)) for mine in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    starts, ends = zip(*spans, strict=True)
    return float(max(ends) - min(starts)) / sum(map(len, keys))


def threaded_keyed(call: str, f: Any, keys: Callable[[int], Sequence[Sequence[int]]]) -> Block:
    """Total throughput of threads, each with keys of its own."""
    loop = _loop(call)
    return lambda round: _at_once(loop, f, keys(round))


def threaded(call: str, f: Any) -> Block:
    """Total throughput of threads with the same call over and over."""
    loop = _loop(call)

    def run(keys: Sequence[int]) -> float:
        return _at_once(loop, f, [keys] * THREADS)

    # In each thread: more than the 5 ms after which the interpreter switches, or they take turns.
    keys = _calibrated(run, 3 * BLOCK)
    return lambda round: run(keys)


def herd(decorate: Any, size: int = HERD, keys: int = 1) -> Block:
    """Threads on cold keys: from the end of the first load to the last one's return."""
    gate, landed = threading.Event(), list[float]()

    def load(x: int, y: int = 0) -> int:
        gate.wait()
        landed.append(perf_counter())
        return x

    f = decorate(load)

    def block(round: int) -> float:
        nonlocal gate
        gate = threading.Event()
        landed.clear()
        aboard, done = threading.Event(), threading.Event()
        calling, returned = count(1).__next__, count(1).__next__
        ends: list[float] = []

        def caller(key: int) -> None:
            if calling() == size:
                aboard.set()
            f(key)
            ends.append(perf_counter())
            if returned() == size:
                done.set()

        cold = [round * keys + i % keys for i in range(size)]
        threads = [threading.Thread(target=caller, args=(key,)) for key in cold]
        for thread in threads:
            thread.start()
        aboard.wait()
        sleep(SETTLING)
        gate.set()
        done.wait()
        for thread in threads:
            thread.join()
        if len(landed) != keys:
            raise Unfit(f"{len(landed)} loads")
        return max(ends) - min(landed)

    return block


def async_herd(
    decorate: Any,
    stack: ExitStack,
    *,
    landing_only: bool = False,
    leaving: bool = False,
    size: int = ASYNC_HERD,
    keys: int = 1,
) -> Block:
    """Tasks on cold keys: from the first one's creation, or from landing, to the last's end.

    `leaving`: they are cancelled instead.
    """
    runner = event_loop(stack)
    gate, loads = asyncio.Event(), 0

    async def load(x: int, y: int = 0) -> int:
        nonlocal loads
        loads += 1
        await gate.wait()
        return x

    f = decorate(load)

    async def measure(round: int) -> float:
        nonlocal gate, loads
        gate, loads = asyncio.Event(), 0
        cold = [round * keys + i % keys for i in range(size)]
        start = perf_counter()
        # Not gather(*calls): it would run an awaitable that several calls return only once.
        tasks = [asyncio.ensure_future(f(key)) for key in cold]
        while loads < keys:
            await asyncio.sleep(0)
        for _ in range(5):  # whatever tasks and futures the callers need until they wait
            await asyncio.sleep(0)
        if landing_only:
            start = perf_counter()
        if leaving:
            for task in tasks:
                task.cancel()
        else:
            gate.set()
        await asyncio.gather(*tasks, return_exceptions=leaving)
        end = perf_counter()
        if loads != keys:
            raise Unfit(f"{loads} loads")
        return end - start

    return lambda round: runner.run_until_complete(measure(round))
