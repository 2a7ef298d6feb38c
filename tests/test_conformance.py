"""The kit of the scoreboard: we pass every case, and caches that everybody writes do not."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Clock, needs_fork

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

import board
import run
import worlds
from adapters import Library, Soloflight
from board import Result
from cases import CASES
from kit import ASYNCIO, THREADS, Case, Hang, Made, Options
from worlds import WORLDS, World


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
    """A dict in front of the loader: what everybody writes first."""

    threads = asyncio = "cache invalidate clear put keys methods loops"

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


COMMON = {
    "cleared",
    "cycle",
    "failure-shared",
    "instance-released",
    "not-stored",
    "own-key",
    "put-wins",
    "spellings",
}


def test_a_naive_cache_fails_what_it_should_with_threads() -> None:
    failed = broken(Naive(), THREADS)
    assert set(failed) == {*COMMON, "generators", "herd"}
    assert not any(isinstance(error, Hang) for error in failed.values())


def test_a_naive_cache_fails_what_it_should_with_tasks() -> None:
    failed = broken(Naive(), ASYNCIO)
    assert set(failed) == {*COMMON, "follower-cancelled", "herd", "leader-cancelled"}


def test_a_lock_per_key_fails_what_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "PATIENCE", 0.5)
    failed = broken(LockPerKey(), ASYNCIO)
    assert set(failed) == {*COMMON, "fence", "leader-cancelled", "nothing-left"}
    hangs = {name for name, error in failed.items() if isinstance(error, Hang)}
    assert hangs == {"own-key", "cycle"}


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
