"""Which errors may be hidden: stale_if_error as a mapping."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import pytest
from cachetools import TTLCache

from both_worlds import World, counted, landed
from conftest import Boom, Clock, until
from soloflight import WaitTimeout, cached_singleflight


class Down(ConnectionError): ...


class Gone(LookupError): ...


class Status(Exception):
    def __init__(self, seconds: Any) -> None:
        self.seconds = seconds


HIDDEN: dict[type[Exception], Any] = {ConnectionError: 100, Status: lambda error: error.seconds}


@pytest.fixture(autouse=True)
def whole(die: Callable[[float], None]) -> None:
    """Pauses are as long as they can be."""
    die(1.0)


def told(load: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Wait until a refresh that fails has landed, and was told of."""
    landed(load)
    until(lambda: caplog.records)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Down, 100),
        (ConnectionError, 100),
        (lambda _: Status(30), 30),
        (lambda _: Status(1000), 100),  # no entry is kept for longer
    ],
)
def test_what_is_named_is_hidden_for_its_time(
    world: World, clock: Clock, error: Any, seconds: float
) -> None:
    origin, load = world.aged(10, ttl=10, timer=clock, stale_if_error=HIDDEN)
    origin.fail(error)
    clock.advance(seconds - 1)
    gate = origin.hold()
    callers = world.aboard(3, load)
    gate.open()
    assert [caller.result() for caller in callers] == [1] * 3
    assert load.peek().last_error is not None
    assert counted(load)["stale_on_error"] == 3
    clock.advance(1)
    with pytest.raises((ConnectionError, Status)):
        world.call(load)


@pytest.mark.parametrize(
    "error", [Gone, Boom, lambda _: Status(0), lambda _: Status(None), lambda _: Status(-5)]
)
def test_what_is_not_hidden_reaches_everyone_and_holds_nothing_off(
    world: World, clock: Clock, error: Any
) -> None:
    origin, load = world.aged(10, ttl=10, timer=clock, stale_if_error=HIDDEN)
    origin.fail(error)
    gate = origin.hold()
    callers = world.aboard(3, load)
    gate.open()
    for caller in callers:
        with pytest.raises((Gone, Boom, Status)):
            caller.result()
    with pytest.raises((Gone, Boom, Status)):
        world.call(load)
    assert origin.loads == 3
    entry = load.peek()
    assert (entry.value, entry.failures, entry.last_error) == (1, 0, None)
    origin.recover()
    assert world.call(load) == 4
    assert counted(load).get("stale_on_error") is None


def test_after_a_hidden_failure_nobody_asks_for_a_while(world: World, clock: Clock) -> None:
    origin, load = world.aged(10, ttl=10, timer=clock, stale_if_error=HIDDEN, retry_after=(5, 30))
    origin.fail(Down)
    assert world.call(load) == 1
    origin.fail(Gone)
    clock.advance(4)
    assert world.call(load) == 1
    assert origin.loads == 2
    clock.advance(1)
    with pytest.raises(Gone):
        world.call(load)


def test_the_pause_ends_with_the_time_that_the_error_is_hidden(world: World, clock: Clock) -> None:
    origin, load = world.aged(10, ttl=10, timer=clock, stale_if_error=HIDDEN, retry_after=(50, 50))
    origin.fail(lambda _: Status(3))
    assert world.call(load) == 1
    clock.advance(3)
    with pytest.raises(Status):
        world.call(load)
    assert origin.loads == 3


@pytest.mark.parametrize(
    ("error", "hidden"), [(ConnectionError, 0), (Down, 20), (OSError, 5), (TimeoutError, 5)]
)
def test_the_most_specific_class_wins(
    world: World, clock: Clock, error: type[Exception], hidden: float
) -> None:
    by_class = MappingProxyType({OSError: 5, ConnectionError: 0, Down: lambda error: 20, Boom: 50})
    origin, load = world.aged(10, ttl=10, timer=clock, stale_if_error=by_class)
    origin.fail(error)
    if hidden:
        clock.advance(hidden - 1)
        assert world.call(load) == 1
        clock.advance(1)
    with pytest.raises(error):
        world.call(load)


def test_where_there_are_only_callables_entries_are_kept_for_an_hour(
    world: World, clock: Clock
) -> None:
    origin, load = world.aged(
        10, ttl=10, timer=clock, stale_if_error={Exception: lambda error: 10_000}
    )
    assert load.peek().error_until == clock.now + 3600
    origin.fail(Boom)
    clock.advance(3599)
    assert world.call(load) == 1
    clock.advance(1)
    with pytest.raises(Boom):
        world.call(load)


def test_a_refresh_that_fails_is_held_off_while_the_value_is_served_anyway(
    world: World, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """``stale_while_revalidate`` promises that, whatever the error; the rest is not hidden."""
    origin, load = world.aged(
        10,
        ttl=10,
        timer=clock,
        stale_while_revalidate=20,
        stale_if_error=HIDDEN,
        retry_after=(50, 50),
    )
    origin.fail(Gone)
    assert world.call(load) == 1
    told(load, caplog)
    assert type(load.peek().last_error) is Gone
    clock.advance(19)
    assert world.call(load) == 1
    assert origin.loads == 2
    clock.advance(1)
    with pytest.raises(Gone):
        world.call(load)


def test_who_waits_for_a_refresh_that_fails_gets_what_is_not_hidden(
    world: World, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    origin, load = world.aged(
        10, ttl=10, timer=clock, stale_while_revalidate=5, stale_if_error=HIDDEN
    )
    gate = origin.hold()
    assert world.call(load) == 1
    gate.arrived()
    clock.advance(5)
    late = world.aboard(3, load)
    origin.fail(Gone)
    gate.open()
    for caller in late:
        with pytest.raises(Gone):
            caller.result()
    told(load, caplog)


def test_an_early_refresh_that_fails_harms_no_fresh_value(
    world: World, clock: Clock, die: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    origin = world.origin()

    def slowly(number: int) -> int:
        clock.advance(2)
        return number

    origin.answer = slowly
    load = world.cached(origin, ttl=10, early_refresh=1, stale_if_error=HIDDEN, timer=clock)
    world.call(load)
    clock.advance(9)
    origin.fail(Gone)
    die(1 - 2.0**-53)
    assert world.call(load) == 1
    told(load, caplog)
    assert type(load.peek().last_error) is Gone
    assert world.call(load) == 1  # held off
    assert origin.loads == 2
    clock.advance(1)
    with pytest.raises(Gone):
        world.call(load)


def test_who_runs_out_of_patience_is_served_what_is_kept(world: World, clock: Clock) -> None:
    origin, load = world.aged(
        10, ttl=10, timer=clock, stale_if_error={Status: lambda e: 1}, wait_timeout=0.01
    )
    gate = origin.hold()
    clock.advance(3599)
    leader = world.start(load)
    gate.arrived()
    assert world.call(load) == 1
    clock.advance(1)
    with pytest.raises(WaitTimeout):
        world.call(load)
    gate.open()
    leader.result()
    landed(load)


def test_what_is_cached_as_an_answer_is_not_hidden(world: World, clock: Clock) -> None:
    origin, load = world.aged(
        10, ttl=10, timer=clock, stale_if_error={Exception: 100}, error_ttl={Gone: 5}
    )
    origin.fail(Gone)
    with pytest.raises(Gone):
        world.call(load)


def test_an_error_of_the_callable_reaches_the_callers(world: World, clock: Clock) -> None:
    def wrong(error: Exception) -> float:
        raise ValueError("no header")

    origin, load = world.aged(10, ttl=10, timer=clock, stale_if_error={Exception: wrong})
    origin.fail(Boom)
    with pytest.raises(ValueError, match="no header") as caught:
        world.call(load)
    assert type(caught.value.__context__) is Boom


def test_an_error_of_the_callable_fails_a_refresh_once(
    world: World, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def wrong(error: Exception) -> float:
        asked.append(error)
        raise ValueError("no header")

    origin, load = world.aged(
        10, ttl=10, timer=clock, stale_while_revalidate=50, stale_if_error={Exception: wrong}
    )
    origin.fail(Boom)
    assert world.call(load) == 1
    told(load, caplog)
    assert world.call(load) == 1
    assert (len(asked), origin.loads) == (1, 2)
    assert type(load.peek().last_error) is ValueError
    asked.clear()


def test_a_callable_that_gives_no_duration_says_so(world: World, clock: Clock) -> None:
    origin, load = world.aged(10, ttl=10, timer=clock, stale_if_error=HIDDEN)
    origin.fail(lambda _: Status("soon"))
    with pytest.raises(TypeError, match="what a callable of stale_if_error returns must be sec"):
        world.call(load)


def test_our_own_errors_may_be_named(world: World, clock: Clock) -> None:
    """A loader that waits for another flight is as good as any other that is late."""
    origin, load = world.aged(10, ttl=10, timer=clock, stale_if_error={TimeoutError: 100})
    origin.fail(lambda _: WaitTimeout("late"))
    assert world.call(load) == 1


def test_loads_on_an_executor_are_no_others(clock: Clock) -> None:
    errors: list[Exception] = []

    with ThreadPoolExecutor(1) as executor:

        @cached_singleflight(
            ttl=10, stale_if_error=HIDDEN, executor=executor, wait_timeout=20, timer=clock
        )
        def load() -> int:
            if errors:
                raise errors[-1]
            return 1

        load()
        clock.advance(10)
        errors.append(Gone())
        with pytest.raises(Gone):
            load()
        errors.append(Down())
        assert load() == 1
        errors.clear()


@pytest.mark.parametrize(
    ("option", "error", "words"),
    [
        ({}, ValueError, "stale_if_error is empty, and hides no error: leave it out, or give 0"),
        ({"Gone": 5}, TypeError, "stale_if_error has 'Gone', which is no subclass of Exception"),
        ({KeyboardInterrupt: 5}, TypeError, "which is no subclass of Exception"),
        ({Gone: None}, TypeError, "stale_if_error of Gone must be seconds"),
        ({Gone: -1}, ValueError, "stale_if_error of Gone must not be negative, but is -1"),
        ({Gone: True}, TypeError, "stale_if_error of Gone must be seconds"),
        ([Gone], TypeError, "stale_if_error must be seconds (int or float) or a timedelta"),
    ],
)
def test_what_names_no_errors_is_refused(option: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        cached_singleflight(ttl=5, stale_if_error=option)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("own", "ttl", "option"),
    [
        (30, 10, {Gone: 21}),
        (30, {}, {Gone: lambda error: 5}),  # no room at all
        (30, 10, {Gone: 21, Boom: lambda error: 1}),
    ],
)
def test_a_cache_that_forgets_too_soon_is_refused(own: float, ttl: Any, option: Any) -> None:
    options = {"ttl": ttl} if ttl else {}
    with pytest.raises(ValueError, match="but the cache's own ttl=30"):
        cached_singleflight(cache=TTLCache(9, own), stale_if_error=option, **options)


def test_where_there_are_only_callables_a_given_cache_keeps_what_it_can(clock: Clock) -> None:
    cache = TTLCache[Any, Any](9, 30, timer=clock)
    load = cached_singleflight(ttl=10, cache=cache, stale_if_error={Gone: lambda e: 50})(lambda: 1)
    load()
    entry = load.peek()
    assert entry is not None
    assert entry.error_until == clock.now + 30


def test_with_a_ttl_of_none_it_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="entries never expire: stale_if_error has no meaning"):
        cached_singleflight(ttl=None, stale_if_error={Gone: 5})
