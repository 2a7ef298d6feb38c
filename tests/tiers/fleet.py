"""A fleet: worker processes that share a tier, and are told what to do.

Each worker is this file, run with the words that make its tier. It has a function ``load``, whose
loads stand in a log that all share, and are told what to do as well: how long they take, what they
return, whether they fail, whether they are held.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

if sys.platform != "win32":
    import resource

PATIENCE = 30.0
"""Seconds after which what hangs is an error."""
CODEC: dict[str, Any] = {} if find_spec("msgspec") else {"codec": "json"}
"""An option for functions: there is not a msgspec for every Python."""

# What tests use


class Outcome(NamedTuple):
    """How one call has ended, and when, as `time.monotonic` has it."""

    value: Any
    error: str  # the name of its type; "": none
    at: float
    took: float


class Loaded(NamedTuple):
    """A load that has begun."""

    worker: int
    key: str
    begun: float
    ended: float  # infinite until then


class Answer:
    """What a worker will have answered."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._there = threading.Event()
        self._found: Any = None

    def arrive(self, found: Any) -> None:
        self._found = found
        self._there.set()

    def get(self) -> Any:
        assert self._there.wait(PATIENCE), f"worker {self._worker.number} does not answer"
        if self._found.get("raised"):
            raise AssertionError(f"in worker {self._worker.number}: {self._found['raised']}")
        return self._found["done"]

    def outcomes(self) -> list[Outcome]:
        return [Outcome(*outcome) for outcome in self.get()]

    def values(self) -> list[Any]:
        """What the calls have returned; none of them has failed."""
        found = self.outcomes()
        assert not any(outcome.error for outcome in found), found
        return [outcome.value for outcome in found]


class Worker:
    """One process of a fleet."""

    def __init__(self, fleet: Fleet, number: int, tier: str, options: str, is_async: bool) -> None:
        self.number = number
        self._answers: dict[int, Answer] = {}
        self._asked = 0
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__, str(fleet.folder), str(number), tier, options]
            + ["async"] * is_async,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": path},
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = json.loads(line)
            self._answers.pop(found["id"]).arrive(found)
        for answer in list(self._answers.values()):
            answer.arrive({"raised": "it has ended"})

    def _ask(self, **what: Any) -> Answer:
        assert self.process.stdin is not None
        self._asked += 1
        answer = self._answers[self._asked] = Answer(self)
        self.process.stdin.write(json.dumps({"id": self._asked, **what}) + "\n")
        self.process.stdin.flush()
        return answer

    def call(self, key: str = "k", callers: int = 1, what: str = "load") -> Answer:
        """Have so many callers call at once. `what` is called: ``load.refresh``, say."""
        return self._ask(call=what, key=key, callers=callers)

    def begin(self, code: str) -> Answer:
        """Have something evaluated, with ``load`` and ``tier`` at hand."""
        return self._ask(eval=code)

    def run(self, code: str) -> Any:
        """The same, and wait for it."""
        return self.begin(code).get()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def leave(self) -> int:
        """End as programs do; returns the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


class Fleet:
    """Some workers. `tier` and `options` are Python, evaluated in each of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[Worker] = []
        self.log = folder / "loads"
        self.log.touch()
        self.tell()

    def start(
        self, number: int, tier: str, options: str = "ttl=60", *, is_async: bool = False
    ) -> list[Worker]:
        """More workers, ready to be called."""
        first = len(self.workers)
        new = [Worker(self, first + n, tier, options, is_async) for n in range(number)]
        self.workers += new
        for worker in new:
            assert worker.run("1 + 1") == 2
        return new

    def tell(
        self,
        value: Any = 0,
        *,
        seconds: float = 0.0,
        fails: str = "",
        held: str = "",
        then: dict[str, str] | None = None,
    ) -> None:
        """What loads do that begin from now on.

        `fails`: with an exception of this name. `held`: until `open` is called with that one.
        `then`: first they ask for another key.
        """
        told = {"value": value, "seconds": seconds, "fails": fails, "held": held, "then": then}
        new = self.folder / "told.new"
        new.write_text(json.dumps(told))
        new.rename(self.folder / "told")

    def open(self, gate: str) -> None:
        (self.folder / gate).touch()

    def loads(self, key: str | None = None) -> list[Loaded]:
        """Those that have begun."""
        found: dict[str, Loaded] = {}
        for line in self.log.read_text().splitlines():
            name, worker, of, at = json.loads(line)
            if name in found:
                found[name] = found[name]._replace(ended=at)
            else:
                found[name] = Loaded(worker, of, at, math.inf)
        return [load for load in found.values() if key in (None, load.key)]

    def until_loads(self, number: int, key: str | None = None) -> None:
        """Wait until so many have begun."""
        until(lambda: len(self.loads(key)) >= number)

    def end(self) -> None:
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()
            for pipe in (worker.process.stdin, worker.process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Fleet]:
    fleet = Fleet(folder)
    try:
        yield fleet
    finally:
        fleet.end()


def until(condition: Callable[[], object], within: float = PATIENCE) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.001)


# A worker


class Origin:
    """What is loaded from."""

    def __init__(self, folder: str, number: int) -> None:
        self._folder, self._number = folder, number
        self._names = itertools.count()
        self.function: Any = None  # what it is the loader of
        self._log = os.open(os.path.join(folder, "loads"), os.O_WRONLY | os.O_APPEND)

    def _note(self, name: str, key: str) -> None:
        line = json.dumps([name, self._number, key, time.monotonic()]) + "\n"
        os.write(self._log, line.encode())  # of one piece: others write there too

    def _begin(self, key: str) -> tuple[str, Any]:
        with open(os.path.join(self._folder, "told"), encoding="utf-8") as file:
            told = json.load(file)
        name = f"{self._number}-{next(self._names)}"
        self._note(name, key)
        return name, told

    def _is_held(self, told: Any) -> bool:
        return bool(told["held"]) and not os.path.exists(os.path.join(self._folder, told["held"]))

    def _end(self, name: str, key: str, told: Any) -> Any:
        self._note(name, key)
        if told["fails"]:
            raise _ERRORS[told["fails"]]("the origin is down")
        return told["value"]

    def load(self, key: str) -> Any:
        name, told = self._begin(key)
        time.sleep(told["seconds"])
        while self._is_held(told):
            time.sleep(0.001)
        if told["then"] and key in told["then"]:
            self.function(told["then"][key])
        return self._end(name, key, told)

    async def load_async(self, key: str) -> Any:
        name, told = self._begin(key)
        await asyncio.sleep(told["seconds"])
        while self._is_held(told):
            await asyncio.sleep(0.001)
        if told["then"] and key in told["then"]:
            await self.function(told["then"][key])
        return self._end(name, key, told)


class Own(Exception):
    """An exception of the user's."""


_ERRORS: dict[str, type[BaseException]] = {
    "ValueError": ValueError,
    "KeyboardInterrupt": KeyboardInterrupt,
    "CancelledError": asyncio.CancelledError,
    "Own": Own,
}


def _answer(asked: Any, do: Callable[[], Any]) -> None:
    try:
        told = json.dumps({"id": asked["id"], "done": do()})
    except BaseException as error:
        told = json.dumps({"id": asked["id"], "raised": repr(error)})
    sys.stdout.write(told + "\n")
    sys.stdout.flush()


def _outcome(start: float, value: Any, error: BaseException | None) -> Outcome:
    now = time.monotonic()
    return Outcome(value, "" if error is None else type(error).__name__, now, now - start)


def _call_here(call: Callable[[str], Any], key: str) -> Outcome:
    start = time.monotonic()
    try:
        return _outcome(start, call(key), None)
    except BaseException as error:
        return _outcome(start, None, error)


def _call(call: Callable[[str], Any], key: str, callers: int) -> list[Outcome]:
    found: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: found.append(_call_here(call, key))) for _ in range(callers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


async def _call_async(call: Callable[[str], Any], key: str, callers: int) -> list[Outcome]:
    async def one() -> Outcome:
        start = time.monotonic()
        try:
            return _outcome(start, await call(key), None)
        except BaseException as error:
            return _outcome(start, None, error)

    return list(await asyncio.gather(*(one() for _ in range(callers))))


def _hot(call: Callable[[str], Any], key: str, seconds: float) -> list[Outcome]:
    """Call all the time, and say what came of it where that was something else than before."""
    found: list[Outcome] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found += _changed(found, _call_here(call, key))
        time.sleep(0.002)
    return found


async def _hot_async(call: Callable[[str], Any], key: str, seconds: float) -> list[Outcome]:
    found: list[Outcome] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        (outcome,) = await _call_async(call, key, 1)
        found += _changed(found, outcome)
        await asyncio.sleep(0.002)
    return found


def _changed(found: list[Outcome], outcome: Outcome) -> list[Outcome]:
    same = found and found[-1][:2] == outcome[:2] and outcome.took < 0.3
    return [] if same else [outcome]


async def _told_async(call: Callable[[str], Any], key: str) -> tuple[str, str]:
    """The error of a call: its type's name, and what it says."""
    try:
        await call(key)
    except Exception as error:
        return type(error).__name__, str(error) + repr(error)
    return "", ""


def _told(call: Callable[[str], Any], key: str) -> tuple[str, str]:
    try:
        call(key)
    except Exception as error:
        return type(error).__name__, str(error) + repr(error)
    return "", ""


async def _pauses(call: Callable[[str], Any], key: str) -> float:
    """The longest time for which an event loop stood still during a call."""
    longest, last, ended = 0.0, time.monotonic(), asyncio.ensure_future(call(key))
    while not ended.done():
        await asyncio.sleep(0.001)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    await ended
    return longest


def _count_waits(tier: Any) -> Callable[[], int]:
    """How many flights wait for another process, which has been asked."""
    now: list[None] = []
    wait, wait_async = tier.wait, tier.aio.wait

    def waiting(*what: Any) -> Any:
        now.append(None)
        try:
            return wait(*what)
        finally:
            now.pop()

    async def waiting_async(*what: Any) -> Any:
        now.append(None)
        try:
            return await wait_async(*what)
        finally:
            now.pop()

    tier.wait, tier.aio.wait = waiting, waiting_async
    return lambda: len(now)


def main(folder: str, number: str, tier: str, options: str, *more: str) -> None:
    from soloflight import cached_singleflight, tiers

    origin = Origin(folder, int(number))
    names: dict[str, Any] = {
        **vars(tiers),
        "tiers": tiers,
        "sys": sys,
        "os": os,
        "asyncio": asyncio,
    }
    names["tier"] = eval(tier, {name: getattr(tiers, name) for name in tiers.__all__})
    loader = origin.load_async if more else origin.load
    decorate = eval(f"dict({options})", {**names, "math": __import__("math")})
    named = {"name": "load", "tier": names["tier"], **CODEC, **decorate}
    names["load"] = origin.function = cached_singleflight(**named)(_plain(loader))
    names["hot"] = partial(_hot_async if more else _hot, origin.function)
    names["waits"] = _count_waits(names["tier"])
    names.update(time=time, _pauses=_pauses, resource=resource)
    names["_told"] = _told_async if more else _told
    loop = asyncio.new_event_loop() if more else None
    if loop is not None:
        names["loop"] = loop
        threading.Thread(target=loop.run_forever, daemon=True).start()

    def do(asked: Any) -> Any:
        if "eval" in asked:
            done = eval(asked["eval"], names)
            waits = asyncio.iscoroutine(done) and loop is not None
            return asyncio.run_coroutine_threadsafe(done, loop).result() if waits else done
        call = eval(asked["call"], names)
        if loop is None:
            return _call(call, asked["key"], asked["callers"])
        told = _call_async(call, asked["key"], asked["callers"])
        return asyncio.run_coroutine_threadsafe(told, loop).result()

    for line in sys.stdin:
        asked = json.loads(line)
        threading.Thread(target=_answer, args=(asked, lambda a=asked: do(a)), daemon=True).start()
    if loop is not None:
        loop.call_soon_threadsafe(loop.stop)


def _plain(loader: Any) -> Any:
    """A function, not a method."""
    if inspect.iscoroutinefunction(loader):

        async def load_async(key: str) -> int | str:
            return await loader(key)

        return load_async

    def load(key: str) -> int | str:
        return loader(key)

    return load


if __name__ == "__main__":
    main(*sys.argv[1:])
