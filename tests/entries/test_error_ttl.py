"""Exceptions that are answers, for their time: error_ttl."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from both_worlds import World, counted, landed
from conftest import Boom, Clock


class NotFound(LookupError):
    def __init__(self, key: str, retry_after: Any = None) -> None:
        super().__init__(f"no {key}")
        self.key = key
        self.retry_after = retry_after


def not_found(number: int) -> Exception:
    return NotFound(f"k{number}")


def caught(world: World, load: Any) -> NotFound:
    with pytest.raises(NotFound) as info:
        world.call(load)
    return info.value


def test_an_exception_is_an_answer_for_its_time(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, error_ttl={NotFound: 5}, timer=clock)
    origin.fail(not_found)
    for _ in range(4):
        assert caught(world, load).key == "k1"
    clock.advance(4.875)
    assert caught(world, load).key == "k1"
    clock.advance(0.125)
    assert caught(world, load).key == "k2"
    expected = {"hits": 4, "misses": 2, "errors": 2, "negative_hits": 4, "expired": 1}
    assert counted(load) == expected


def test_each_caller_gets_an_exception_of_its_own(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, error_ttl={NotFound: 5}, timer=clock)
    origin.fail(not_found)
    errors = [caught(world, load) for _ in range(5)]
    assert len(set(map(id, errors))) == 5
    assert {(type(error), error.key, str(error)) for error in errors} == {
        (NotFound, "k1", "no k1"),
    }
    first, *hits = [len(traceback.extract_tb(error.__traceback__)) for error in errors]
    assert len(set(hits)) == 1, "the traceback grows"
    assert hits[0] < first, "the loader did not run"


def test_what_a_caller_chains_to_it_is_not_seen_by_the_next(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, error_ttl={NotFound: 5}, timer=clock)
    origin.fail(not_found)
    caught(world, load)
    error = caught(world, load)
    error.__cause__ = Boom()
    error.key = "changed"
    error.add_note("of mine") if hasattr(error, "add_note") else None
    error = caught(world, load)
    assert (error.__cause__, error.key) == (None, "k1")
    assert not hasattr(error, "__notes__")


def test_everyone_aboard_gets_the_loaders_exception(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, error_ttl={NotFound: 5}, timer=clock)
    origin.fail(not_found)
    gate = origin.hold()
    callers = world.aboard(3, load)
    gate.open()
    for caller in callers:
        with pytest.raises(NotFound, match="no k1") as info:
            caller.result()
        assert "answer" in [frame.name for frame in traceback.extract_tb(info.tb)]
    assert counted(load) == {"misses": 1, "joined": 2, "errors": 1}


@pytest.mark.parametrize(
    ("replace", "value"),
    [
        (lambda world, load: load.put("put"), "put"),
        (lambda world, load: load.invalidate(), 2),
        (lambda world, load: load.clear(), 2),
        (lambda world, load: world.call(load.refresh), 2),
    ],
    ids=["put", "invalidate", "clear", "refresh"],
)
def test_what_takes_the_place_of_an_exception(
    world: World, clock: Clock, replace: Callable[..., Any], value: Any
) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, error_ttl={NotFound: 5}, timer=clock)
    origin.fail(not_found)
    caught(world, load)
    origin.recover()
    caught(world, load)
    replace(world, load)
    assert world.call(load) == value


def test_peek_shows_an_exception_without_raising_it(world: World, clock: Clock) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, error_ttl={NotFound: 5}, timer=clock)
    origin.fail(not_found)
    caught(world, load)
    entry = load.peek()
    assert entry.is_fresh(clock())
    assert "no k1" in repr(entry)
    for _ in range(2):
        with pytest.raises(NotFound, match="no k1"):
            _ = entry.value
    assert load.stats().hits == 0


@pytest.mark.parametrize(
    "option", ["stale_while_revalidate", "stale_if_error"], ids=["behind", "instead"]
)
def test_an_exception_that_is_an_answer_replaces_what_is_stale(
    world: World, clock: Clock, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    origin, load = world.aged(10, ttl=10, error_ttl={NotFound: 5}, timer=clock, **{option: 20})
    origin.fail(not_found)
    if option == "stale_while_revalidate":
        assert world.call(load) == 1
        landed(load)
    for _ in range(2):
        assert caught(world, load).key == "k2"
    clock.advance(5)  # nor is it ever stale itself
    assert caught(world, load).key == "k3"
    assert not [record for record in caplog.records if record.name == "soloflight"]


def test_an_error_of_an_option_tells_of_the_exception_that_it_was_asked_about(
    world: World, clock: Clock
) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=10, timer=clock, error_ttl={Boom: lambda e: e.retry_after})
    origin.fail()
    with pytest.raises(AttributeError, match="retry_after") as caught:
        world.call(load)
    assert isinstance(caught.value.__context__, Boom)
