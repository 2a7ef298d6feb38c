"""The kit of the scoreboard: we pass every case, and caches that everybody writes do not."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Clock, needs_fork

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks/scoreboard"))

import board
import cases_loads
import cases_stale
import run
import worlds
from adapters import Library, Soloflight
from board import Result
from cases import CASES
from kit import ASYNCIO, THREADS, Case, Hang, Made, Options
from worlds import WORLDS, Tasks, World

EVIDENCE = board.DOCS / "evidence.md"


def runs(library: Library) -> list[Any]:
    return [
        pytest.param(world, case, id=f"{world}-{case.name}",
                     marks=[needs_fork] if case.name == "fork" else [])
        for world in WORLDS
        for case in CASES
        if library.offers(case, world)
    ]  # fmt: skip


def test_we_offer_every_case() -> None:
    assert len(runs(Soloflight())) == sum(len(case.worlds) for case in CASES)


@pytest.mark.parametrize(("world", "case"), runs(Soloflight()))
def test_soloflight_passes(
    world: str, case: Case, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pass_time(self: World, seconds: float) -> None:
        clock.advance(seconds)

    monkeypatch.setattr(World, "pass_time", pass_time)
    monkeypatch.setattr(Soloflight, "more", {"timer": clock})
    WORLDS[world](Soloflight()).run(case)


class Naive(Library):
    """A dict in front of the loader, and no ttl: what everybody writes first."""

    threads = asyncio = "cache ttl invalidate clear put typed keys methods loops"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        cache: dict[Any, Any] = {}

        def key_of(*args: Any, **kwargs: Any) -> Any:
            return args, *kwargs.items()

        def threads(*args: Any, **kwargs: Any) -> Any:
            key = key_of(*args, **kwargs)
            if key not in cache:
                cache[key] = loader(*args, **kwargs)
            return cache[key]

        async def tasks(*args: Any, **kwargs: Any) -> Any:
            key = key_of(*args, **kwargs)
            if key not in cache:
                cache[key] = await loader(*args, **kwargs)
            return cache[key]

        def call(*args: Any, **kwargs: Any) -> Any:
            return (threads if world == THREADS else tasks)(*args, **kwargs)

        def invalidate(*args: Any) -> None:
            cache.pop(key_of(*args), None)

        def put(value: Any, *args: Any) -> None:
            cache[key_of(*args)] = value

        return Made(call, invalidate, cache.clear, put)


class LockPerKey(Library):
    """The same behind a lock for each key: what everybody writes second."""

    asyncio = "cache invalidate clear put keys methods"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        locks: dict[Any, asyncio.Lock] = {}
        cached = Naive().make(loader, world, options)

        async def call(*args: Any, **kwargs: Any) -> Any:
            async with locks.setdefault((args, *kwargs.items()), asyncio.Lock()):
                return await cached.call(*args, **kwargs)

        return Made(call, cached.invalidate, cached.clear, cached.put)


class OneLock(Library):
    """One lock for all keys, strings for keys, None for nothing, and a ttl that is forgotten."""

    asyncio = "cache ttl keys"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        lock = asyncio.Lock()
        cache: dict[str, Any] = {}

        async def call(*args: Any, **kwargs: Any) -> Any:
            key = " ".join(map(str, (*args, *kwargs.values())))
            async with lock:
                if cache.get(key) is None:
                    cache[key] = await loader(*args, **kwargs)
                return cache[key]

        return Made(call)


class TaskPerKey(Library):
    """A dict of tasks that everybody awaits: what everybody writes third."""

    asyncio = "cache ttl invalidate weigh"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        tasks: dict[Any, asyncio.Task[Any]] = {}
        expiry: dict[Any, float] = {}

        async def call(*args: Any) -> Any:
            now = asyncio.get_running_loop().time()
            if args not in tasks or expiry[args] < now:
                tasks[args] = asyncio.ensure_future(loader(*args))
                expiry[args] = now + options.ttl
            value = await asyncio.shield(tasks[args])
            if options.too_large:
                raise ValueError("too large")
            return value

        return Made(call, lambda *args: tasks.pop(args).cancel())


class StaleDict(Library):
    """A dict of old values; whoever finds one loads it anew: what everybody writes fourth."""

    asyncio = "cache ttl stale invalidate"

    def make(self, loader: Any, world: str, options: Options) -> Made:
        kept: dict[Any, tuple[Any, float]] = {}
        tasks: set[asyncio.Task[Any]] = set()

        async def load(*args: Any) -> Any:
            try:
                kept[args] = await loader(*args), asyncio.get_running_loop().time() + options.ttl
            except Exception:
                kept.pop(args, None)
                raise
            return kept[args][0]

        async def call(*args: Any) -> Any:
            if args not in kept:
                return await load(*args)
            value, until = kept[args]
            if until < asyncio.get_running_loop().time():
                tasks.add(task := asyncio.ensure_future(load(*args)))
                task.add_done_callback(lambda task: task.cancelled() or task.exception())
            return value

        return Made(call, lambda *args: kept.pop(args, None))


def broken(library: Library, world: str) -> dict[str, AssertionError]:
    """The cases that a library does not pass."""
    failed = {}
    for case in CASES:
        if library.offers(case, world):
            try:
                WORLDS[world](library).run(case)
            except AssertionError as error:
                failed[case.name] = error
    return failed


STALE = {"cleared", "not-stored", "put-wins"}
DEADLOCK = {"cycle", "own-key"}


@pytest.mark.parametrize(
    ("library", "world", "fails", "hangs"),
    [
        (
            Naive(),
            THREADS,
            STALE | DEADLOCK | {"failure-shared", "generators", "herd", "herd-expired"}
            | {"instance-released", "spellings", "types"},
            set(),
        ),
        (
            Naive(),
            ASYNCIO,
            STALE | DEADLOCK | {"failure-shared", "herd", "herd-expired", "follower-cancelled"}
            | {"instance-released", "leader-cancelled", "spellings", "types"},
            set(),
        ),
        (
            LockPerKey(),
            ASYNCIO,
            STALE | {"failure-shared", "fence", "instance-released", "leader-cancelled"}
            | {"nothing-left", "spellings"},
            DEADLOCK,
        ),
        (
            OneLock(),
            ASYNCIO,
            {"failure-shared", "herd-expired", "leader-cancelled", "look-alikes", "loop-after-loop"}
            | {"no-collision", "none-is-cached", "other-keys"},
            DEADLOCK | {"recursion"},
        ),
        (
            TaskPerKey(),
            ASYNCIO,
            {"aboard-answered", "after-a-failure", "everyone-left", "loader-gives-up"}
            | {"loop-ended", "no-cycle", "nothing-left", "refused", "ttl-from-the-end"},
            DEADLOCK,
        ),
        (
            StaleDict(),
            ASYNCIO,
            DEADLOCK | {"failure-shared", "follower-cancelled", "herd", "herd-expired"}
            | {"leader-cancelled", "not-stored", "old-failure"}
            | {"stale-at-once", "stale-end", "stale-failure", "stale-fence"},
            set(),
        ),
    ],
    ids=["naive-threads", "naive-asyncio", "lock-per-key", "one-lock", "task-per-key", "stale"],
)  # fmt: skip
def test_what_everybody_writes_fails_what_it_should(
    library: Library,
    world: str,
    fails: set[str],
    hangs: set[str],
    thorough: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not thorough and not isinstance(library, LockPerKey):
        pytest.skip("it takes a few seconds: --thorough runs it")
    monkeypatch.setattr(worlds, "PATIENCE", 0.5)
    failed = broken(library, world)
    assert {name for name, error in failed.items() if not isinstance(error, Hang)} == fails
    assert {name for name, error in failed.items() if isinstance(error, Hang)} == hangs


def a_run(name: str) -> run.Job:
    return run.Job("soloflight", THREADS, next(case for case in CASES if case.name == name))


def test_a_case_runs_in_a_process_of_its_own() -> None:
    assert run.once(a_run("herd")) == Result("pass")


def test_a_process_that_does_not_end_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LIMIT", 0.01)
    assert run.once(a_run("herd")).verdict == "hang"


def test_a_process_that_dies_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    assert run.once(a_run("herd")) == Result("fail", "the process ended with 1: ")


def test_the_board_shows_who_passes_what() -> None:
    job = a_run("herd")
    cells = {(job.library, job.world, job.case.name): Result("fail", "two | <loads>")}
    scores = board.Scores([Soloflight()], {"other": "not installed"}, [job.case], cells)
    text = board.markdown(scores)
    assert "| 0 | 1 | 0 | 1 |" in text, "fails with threads, not offered in asyncio"
    assert "other did not take part: not installed." in text
    assert f"| {job.case.title} | ✗ |" in text
    assert "- threads, `herd`: two \\| &lt;loads>" in text


def test_the_board_and_the_page_of_evidence_count_the_cases() -> None:
    both = sum(len(case.worlds) == 2 for case in CASES)
    cases = f"{len(CASES)}{{}} cases, {both} of them both with threads and with asyncio"
    assert cases.format("") in board.markdown(board.Scores([Soloflight()], {}, CASES, {}))
    page = " ".join(EVIDENCE.read_text(encoding="utf-8").split())
    others = f"{len(run.LIBRARIES) - 1} other libraries"
    assert f"how {others} fare in {cases.format(' such')}" in page
    assert f"for us and for {others}" in page


@pytest.mark.parametrize(
    "kind", [kind for kind in run.LIBRARIES if kind.pace > 1], ids=lambda kind: kind.distribution
)
def test_ttls_are_whole_seconds_where_they_must_be(
    kind: type[Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = []

    async def pause(self: World, seconds: float) -> None:
        passed.append(seconds)

    monkeypatch.setattr(Tasks, "pause", pause)
    asyncio.run(Tasks(kind()).pass_time(cases_loads.TTL))
    asyncio.run(Tasks(kind()).pass_time(cases_stale.TTL))
    assert all(seconds.is_integer() for seconds in passed)


def test_a_reason_names_no_path_and_no_address() -> None:
    assert run.plain("<load at 0x7f00>\n at /home/me/kit.py:3") == "<load> at kit.py:3"
