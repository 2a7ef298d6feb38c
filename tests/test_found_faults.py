"""Faults that were found while the tests of freshness were written. Each of these fails."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from both_worlds import Boom, Threads, World, landed
from conftest import Clock, Gate, until
from soloflight import WaitTimeout
from soloflight._table import FlightTable


@pytest.fixture
def threads() -> Any:
    world = Threads()
    yield world
    world.end()


def test_a_queued_load_goes_on_when_the_patience_of_who_started_it_ends(
    threads: Threads, clock: Clock, gate: Gate
) -> None:
    """It is withdrawn: with a queue longer than wait_timeout nothing is ever loaded."""
    origin = threads.origin()
    with ThreadPoolExecutor(1) as executor:
        load = threads.cached(origin, ttl=10, executor=executor, wait_timeout=0.01, timer=clock)
        executor.submit(gate)
        gate.arrived()
        with pytest.raises(WaitTimeout):
            load()
        queued = len(load.in_flight())
        gate.open()
        assert queued == 1
        landed(load)
        assert load.peek().value == 1


@pytest.mark.parametrize("option", ["ttl", "cache_if", "error_ttl"])
def test_a_refresh_that_ends_in_an_error_of_an_option_is_told_and_held_off(
    world: World, clock: Clock, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    """Nobody hears of it, and each stale hit starts another load."""

    def wrong(value: Any) -> Any:
        if value == 1:
            return 10
        raise ZeroDivisionError

    options: dict[str, Any] = {"ttl": 10, option: {Boom: wrong} if option == "error_ttl" else wrong}
    origin = world.origin()
    load = world.cached(origin, timer=clock, stale_while_revalidate=60, **options)
    world.call(load)
    clock.advance(10)
    if option == "error_ttl":
        origin.fail()
    for _ in range(3):
        assert world.call(load) == 1
        landed(load)
    assert len([r for r in caplog.records if r.name == "soloflight"]) == 1
    assert isinstance(load.peek().last_error, ZeroDivisionError)
    assert origin.loads == 2


@pytest.mark.parametrize("kept", ["error_ttl", "last_error"])
def test_what_an_error_was_raised_from_keeps_no_frame_alive(
    world: World, clock: Clock, kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback of its __cause__ holds the loader's frame, and that its callers'."""
    caplog.set_level("CRITICAL", "soloflight")  # a record would hold it too

    class Local:
        pass

    origin = world.origin()
    options: Any = {"error_ttl": {Boom: 5}} if kept == "error_ttl" else {"stale_if_error": 60}
    load = world.cached(origin, ttl=10, timer=clock, **options)
    seen = []

    def answer(number: int) -> None:
        local = Local()
        seen.append(weakref.ref(local))
        try:
            raise KeyError
        except KeyError as error:
            raise Boom from error

    origin.answer = answer
    if kept == "error_ttl":
        with pytest.raises(Boom):
            world.call(load)
    else:
        load.put(1)
        clock.advance(10)
        assert world.call(load) == 1
    assert load.peek() is not None
    for _ in range(5):
        gc.collect()
    assert seen[0]() is None


@pytest.mark.parametrize("option", ["stale_while_revalidate", "stale_if_error"])
def test_who_came_too_late_for_a_load_that_failed_is_held_off_as_well(
    threads: Threads, clock: Clock, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has seen that an attempt was due; when it claims the key, another one has failed."""
    origin = threads.origin()
    load = threads.cached(origin, ttl=10, timer=clock, **{option: 60})
    load()
    clock.advance(10)
    origin.fail()
    method = "claim_behind" if option == "stale_while_revalidate" else "claim"
    claim = getattr(FlightTable, method)

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(FlightTable, method, claim)
        assert load() == 1
        landed(load)
        return claim(*args, **kwargs)

    monkeypatch.setattr(FlightTable, method, late)
    assert load() == 1
    landed(load)
    until(lambda: load.peek().failures)
    assert origin.loads == 2
