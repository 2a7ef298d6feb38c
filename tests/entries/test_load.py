"""What is stored of a value, and for how long: cache_if and ttl, and errors in these."""

from __future__ import annotations

import sys
import traceback
from datetime import timedelta
from typing import Any

import pytest

from both_worlds import World, landed
from conftest import Boom, Clock, until


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 10, "cache_if": lambda value: value != 2},
        {"ttl": lambda value: 0 if value == 2 else 10},
        {"ttl": lambda value: -1 if value == 2 else timedelta(seconds=10)},
    ],
    ids=["cache_if", "ttl-zero", "ttl-past"],
)
@pytest.mark.parametrize("stale", [0, 50], ids=["", "stale"])
def test_what_is_not_to_be_stored_is_handed_over_and_displaces_what_is_older(
    world: World, clock: Clock, options: Any, stale: float
) -> None:
    origin, load = world.aged(10, timer=clock, stale_if_error=stale, **options)
    gate = origin.hold()
    callers = world.aboard(3, load)
    gate.open()
    assert [caller.result() for caller in callers] == [2] * 3
    assert load.peek() is None
    assert [world.call(load), world.call(load)] == [3, 3]
    load.put(2)
    assert load.peek() is None


def test_a_ttl_of_none_is_for_ever(world: World, clock: Clock) -> None:
    load = world.cached(world.origin(), ttl=lambda value: None, stale_if_error=5, timer=clock)
    world.call(load)
    clock.advance(1e9)
    assert world.call(load) == 1


class Wrong(Exception):
    pass


def wrong(value: Any) -> Any:
    if value == 1:
        return 10
    raise Wrong


@pytest.mark.parametrize("option", ["ttl", "cache_if", "error_ttl"])
def test_an_error_of_an_option_reaches_everyone_as_it_is(
    world: World, clock: Clock, option: str
) -> None:
    """Also where there is a stale value: it is no failure of the origin."""
    options: dict[str, Any] = {"ttl": 10, option: {Boom: wrong} if option == "error_ttl" else wrong}
    origin, load = world.aged(10, timer=clock, stale_if_error=20, **options)
    gate = origin.hold()
    if option == "error_ttl":
        origin.fail()
    callers = world.aboard(3, load)
    gate.open()
    for caller in callers:
        with pytest.raises(Wrong) as info:
            caller.result()
        frames = [frame.filename for frame in traceback.extract_tb(info.tb)]
        if sys.version_info >= (3, 11):  # Python 3.10 shows two
            assert not [name for name in frames if "/soloflight/_" in name]
        assert "wrong" in [frame.name for frame in traceback.extract_tb(info.tb)]
    assert load.stats().errors == 1
    assert load.peek().value == 1


@pytest.mark.parametrize("option", ["ttl", "cache_if", "error_ttl"])
def test_a_refresh_that_ends_in_an_error_of_an_option_is_told_and_held_off(
    world: World, clock: Clock, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    """No caller hears of it; and each stale hit would start another load."""
    options: dict[str, Any] = {"ttl": 10, option: {Boom: wrong} if option == "error_ttl" else wrong}
    origin, load = world.aged(10, timer=clock, stale_while_revalidate=60, **options)
    if option == "error_ttl":
        origin.fail()
    for _ in range(3):
        assert world.call(load) == 1
        landed(load)
    until(lambda: caplog.records)  # it is told after the landing
    (record,) = [record for record in caplog.records if record.name == "soloflight"]
    assert record.exc_info[0] is Wrong
    entry = load.peek()
    assert (entry.failures, type(entry.last_error)) == (1, Wrong)
    assert origin.loads == 2
