"""A key's ``repr`` is made once at most, only where it is shown; it raises nothing, and is cut."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import pytest

from both_worlds import World, landed
from conftest import Caller, Clock, Gate
from soloflight import (
    FlightDeadlock,
    Group,
    WaitTimeout,
    cached_singleflight,
    singleflight,
)
from soloflight._flights.flight import FlightInfo
from soloflight._shown import shown


class Panic(BaseException):
    """No interruption, and no `Exception` either: such as Rust's panics."""


class Odd(str):
    def __str__(self) -> str:
        raise AssertionError("asked")

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        raise AssertionError("asked")

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("asked")

    def __len__(self) -> int:
        raise AssertionError("asked")


class Row:
    """A key whose ``repr`` is what a test makes of it."""

    def __init__(self, made: Callable[[], Any]) -> None:
        self.made = made
        self.asked = 0

    def __repr__(self) -> Any:
        self.asked += 1
        return self.made()


def raising(error: type[BaseException]) -> Callable[[], str]:
    def made() -> str:
        raise error("detached")

    return made


def endless() -> str:
    return endless()


NO_REPR = [
    pytest.param(raising(LookupError), "LookupError", id="raises"),
    pytest.param(raising(Panic), "Panic", id="panics"),
    pytest.param(lambda: None, "TypeError", id="no-str"),
    pytest.param(endless, "RecursionError", id="recursion"),
]


@pytest.fixture
def timed_out(world: World) -> Iterator[Callable[..., WaitTimeout]]:
    """The error of a caller that runs out of patience, of a function with a key."""

    def call(key: Any, **options: Any) -> WaitTimeout:
        origin = world.origin()
        gate = origin.hold()
        load = world.cached(origin, ttl=9, wait_timeout=0.01, name="load", **options)
        gates.append(gate)
        leader = world.start(load, key)
        gate.arrived()
        with pytest.raises(WaitTimeout) as caught:
            world.call(load, key)
        assert load.stats().timeouts >= 1
        callers.append(leader)
        return caught.value

    gates: list[Gate] = []
    callers: list[Any] = []
    yield call
    for gate in gates:
        gate.open()


@pytest.mark.parametrize(("made", "error"), NO_REPR)
def test_a_key_without_a_repr_is_said_to_have_none(
    timed_out: Callable[..., WaitTimeout], made: Callable[[], Any], error: str
) -> None:
    assert str(timed_out(Row(made))) == (
        f"load[<Row, whose repr raised {error}>]: no outcome within wait_timeout=0.01 s"
    )


def test_a_long_repr_is_cut(timed_out: Callable[..., WaitTimeout]) -> None:
    error = timed_out("x" * 10_000)
    assert str(error) == f"load['{'x' * 198}…]: no outcome within wait_timeout=0.01 s"


def test_a_repr_is_a_plain_str(timed_out: Callable[..., WaitTimeout]) -> None:
    error = timed_out(Row(lambda: Odd("odd")))
    assert str(error) == "load[odd]: no outcome within wait_timeout=0.01 s"
    assert type(error.args[0]) is str


def test_a_repr_is_made_once_for_all_who_run_out_of_patience(gate: Gate) -> None:
    row = Row(lambda: "row")

    @singleflight(wait_timeout=0, name="load")
    def load(key: Any) -> None:
        gate()

    leader = Caller(load, row)
    gate.arrived()
    for _ in range(3):
        with pytest.raises(WaitTimeout, match=r"load\[row\]: no outcome within wait_timeout=0 s"):
            load(row)
    assert row.asked == 1
    gate.open()
    leader.result()


def test_no_repr_is_made_where_the_stale_value_is_served(world: World, clock: Clock) -> None:
    row = Row(raising(LookupError))
    origin = world.origin()
    load = world.cached(origin, ttl=1, stale_if_error=9, wait_timeout=0.01, timer=clock)
    assert world.call(load, row) == 1
    clock.advance(2)
    gate = origin.hold()
    leader = world.start(load, row)
    gate.arrived()
    assert world.call(load, row) == 1
    assert (load.stats().timeouts >= 1, row.asked) == (True, 0)
    gate.open()
    assert leader.result() in (1, 2)
    landed(load)
    assert row.asked == 0


def test_no_repr_is_made_of_hits_misses_and_errors_of_the_loader(world: World) -> None:
    row = Row(raising(LookupError))
    origin = world.origin()
    load = world.cached(origin, ttl=9)
    world.call(load, row)
    world.call(load, row)
    load.invalidate(row)
    origin.fail()
    with pytest.raises(Exception, match="3"):
        origin.loads = 2
        world.call(load, row)
    assert row.asked == 0


def test_too_many_that_hang_are_told_with_their_key(world: World, clock: Clock) -> None:
    row = Row(raising(LookupError))
    origin = world.origin()
    gate = origin.hold()
    load = world.cached(origin, ttl=9, max_flight_age=5, max_abandoned=0, timer=clock, name="load")
    leader = world.start(load, row)
    gate.arrived()
    clock.advance(6)
    with pytest.raises(WaitTimeout) as caught:
        world.call(load, row)
    assert str(caught.value) == (
        "load[<Row, whose repr raised LookupError>]: 1 loads are older than max_flight_age=5, and "
        "max_abandoned=0"
    )
    gate.open()
    leader.result()


@pytest.mark.parametrize(("made", "error"), NO_REPR)
def test_a_cycle_is_told_without_a_repr_too(made: Callable[[], Any], error: str) -> None:
    row = Row(made)

    @singleflight(name="load")
    def load(key: Any) -> Any:
        return load(key)

    @singleflight(name="load")
    async def load_async(key: Any) -> Any:
        return await load_async(key)

    told = f"load[<Row, whose repr raised {error}>]"
    for call in (load, lambda key: asyncio.run(load_async(key))):
        row.asked = 0
        with pytest.raises(FlightDeadlock) as caught:
            call(row)
        assert str(caught.value).endswith(f": {told} -> {told}")
        assert row.asked == 1


@pytest.mark.parametrize(("made", "error"), NO_REPR)
def test_a_log_line_is_written_without_a_repr_too(
    world: World, clock: Clock, caplog: pytest.LogCaptureFixture, made: Any, error: str
) -> None:
    row = Row(made)
    origin = world.origin()
    load = world.cached(origin, ttl=1, stale_if_error=9, timer=clock, name="load")
    world.call(load, row)
    clock.advance(2)
    origin.fail()
    assert world.call(load, row) == 1
    (record,) = caplog.records
    assert record.getMessage() == f"load[<Row, whose repr raised {error}>]: a reload failed"
    assert row.asked == 1  # for as many handlers as there are


def test_no_repr_is_made_for_a_log_that_nobody_reads(world: World, clock: Clock) -> None:
    row = Row(raising(LookupError))
    origin = world.origin()
    load = world.cached(origin, ttl=1, stale_if_error=9, timer=clock)
    world.call(load, row)
    clock.advance(2)
    origin.fail()
    logger = logging.getLogger("soloflight")
    logger.setLevel(logging.CRITICAL)
    try:
        assert world.call(load, row) == 1
    finally:
        logger.setLevel(logging.NOTSET)
    assert row.asked == 0


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_of_a_repr_is_the_callers(
    interruption: type[BaseException], gate: Gate
) -> None:
    row = Row(raising(interruption))

    @singleflight(wait_timeout=0)
    def load(key: Any) -> None:
        gate()

    leader = Caller(load, row)
    gate.arrived()
    with pytest.raises(interruption):
        load(row)
    assert load.in_flight()[0].waiters == 0
    gate.open()
    leader.result()


def test_a_repr_may_call_the_function(gate: Gate) -> None:
    @cached_singleflight(ttl=9, wait_timeout=0, name="load")
    def load(key: Any) -> Any:
        if key is row:
            gate()
        return key

    row = Row(lambda: load("other"))
    leader = Caller(load, row)
    gate.arrived()
    with pytest.raises(WaitTimeout, match=r"load\[other\]"):
        load(row)
    gate.open()
    leader.result()


@pytest.mark.parametrize(("made", "error"), NO_REPR)
def test_what_one_looks_at_in_a_debugger_has_a_repr(
    made: Callable[[], Any], error: str, gate: Gate
) -> None:
    told = f"<Row, whose repr raised {error}>"

    class Repository(Row):
        @cached_singleflight(ttl=9, error_ttl={KeyError: 9})
        def get(self, key: Any) -> Any:
            if key:
                return self
            raise KeyError(self)

    repository = Repository(made)
    repository.get(1)
    with pytest.raises(KeyError):
        repository.get(0)
    told = told.replace("Row", "Repository")
    assert repr(repository.get).endswith(f" of {told}>")
    assert repr(repository.get.peek(1)).startswith(f"Entry(value={told}, fresh_until=")
    raises = f"Entry(raises <KeyError, whose repr raised {error}>, fresh_until="
    assert repr(repository.get.peek(0)).startswith(raises)
    assert repr(FlightInfo(repository, 1.5, 2)) == f"FlightInfo(key={told}, age=1.5, waiters=2)"


@pytest.mark.parametrize(
    "option",
    [
        "key",
        "ignore",
        "typed",
        "per_instance",
        "name",
        "jitter",
        "early_refresh",
        "maxsize",
        "cache_if",
        "copy",
        "executor",
        "error_ttl",
        "timer",
        "getsizeof",
        "retry_after",
    ],
)
def test_an_option_without_a_repr_is_still_named(option: str) -> None:
    wrong = Row(raising(LookupError))
    with pytest.raises(
        TypeError, match=f"^{option} must be .*<Row, whose repr raised LookupError>"
    ):
        cached_singleflight(**{"ttl": 5, "stale_if_error": 5, option: wrong})


def test_a_name_is_a_plain_str(timed_out: Callable[..., WaitTimeout]) -> None:
    class Name(str, Enum):
        USERS = "users"

    @singleflight(name=Name.USERS)
    def load(key: int) -> int:
        return load(key)

    with pytest.raises(FlightDeadlock, match=r": users\[1\] -> users\[1\]$"):
        load(1)
    group = Group(Odd("odd"))
    with pytest.raises(FlightDeadlock, match=r": odd\[1\] -> odd\[1\]$"):
        group.do(1, group.do, 1, int)


def test_what_is_short_is_shown_as_it_is() -> None:
    assert shown("x" * 198) == repr("x" * 198)
    assert len(shown("x" * 199)) == 200
