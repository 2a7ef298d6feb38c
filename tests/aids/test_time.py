"""`soloflight.testing.time` and `ManualClock`: time passes where a test says so."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cachetools import TTLCache

from both_worlds import World
from conftest import Boom, Caller, Gate, in_loop, until, waiters
from soloflight import Group, WaitTimeout, cached_singleflight, singleflight, testing
from soloflight._clock import clock as clock_of_all
from soloflight._flights.clocks import catch_up, go_by
from soloflight.testing import ManualClock, MemoryTier, _clocks


def test_a_ttl_passes_of_what_was_decorated_long_before(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=30)
    assert world.call(load) == 1
    with testing.time() as clock:
        assert world.call(load) == 1
        clock.advance(29.9)
        assert world.call(load) == 1
        clock.advance(timedelta(seconds=0.1))
        assert world.call(load) == 2
        assert world.call(load) == 2


def test_and_of_methods_and_of_what_is_decorated_in_there(world: World) -> None:
    origin = world.origin()
    repository = world.repository(origin, ttl=30)()
    assert world.call(repository.get) == 1
    with testing.time() as clock:
        late = world.cached(origin, ttl=30)
        assert world.call(late) == 2
        clock.advance(31)
        assert world.call(repository.get) == 3
        assert world.call(late) == 4


@pytest.mark.parametrize("options", [{}, {"cache": {}}, {"stale_while_revalidate": 5}])
def test_on_leaving_nothing_is_left_of_the_other_time(world: World, options: Any) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=30, **options)
    with testing.time() as clock:
        clock.advance(1e6)
        assert world.call(load) == 1
    assert load.peek() is None
    assert world.call(load) == 2
    assert world.call(load) == 2
    assert load.stats().hits == 1  # by the real clock again


def test_refreshes_go_by_it(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=30, stale_while_revalidate=30)
    assert world.call(load) == 1
    with testing.time() as clock:
        clock.advance(31)
        assert world.call(load) == 1  # stale
        until(lambda: load.peek().value == 2)


def test_patience_ends_by_it(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=30, wait_timeout=3600)
    gate = origin.hold()
    with testing.time() as clock:
        leader = world.start(load)
        gate.arrived()
        others = world.aboard(2, load)
        clock.advance(3599)
        assert waiters(load) == (3 if world.name == "tasks" else 2)
        clock.advance(1)
        for other in others:
            with pytest.raises(WaitTimeout, match="within wait_timeout=3600"):
                other.result()
        gate.open()
        if world.name == "threads":
            assert leader.result() == 1


def test_flights_grow_old_by_it(world: World) -> None:
    origin = world.origin()
    load = world.cached(origin, ttl=30, max_flight_age=60)
    gate = origin.hold()
    with testing.time() as clock:
        hangs = world.start(load)
        gate.arrived()
        origin.free()
        clock.advance(61)
        assert load.in_flight()[0].age == 61
        assert world.call(load) == 2
        gate.open()
        assert hangs.result() == 1


def test_the_flights_of_a_group_have_its_age(gate: Gate) -> None:
    group = Group()
    with testing.time() as clock:
        leader = Caller(group.do, "k", gate)
        gate.arrived()
        clock.advance(7)
        assert group.in_flight()[0].age == 7
        gate.open()
        leader.result()


def test_who_has_a_clock_keeps_it() -> None:
    mine = ManualClock()
    ttl_cache: Any = TTLCache(10, 30, mine)

    @cached_singleflight(ttl=30, timer=mine)
    def own() -> object:
        return object()

    @cached_singleflight(cache=ttl_cache)
    def given() -> object:
        return object()

    loads = own, given
    first = [load() for load in loads]
    with testing.time() as clock:
        clock.advance(31)
        assert [load() for load in loads] == first
        mine.advance(31)
        assert not {load() for load in loads} & {*first}
    first = [load() for load in loads]
    assert [load() for load in loads] == first

    for load in loads:
        with pytest.raises(ValueError, match=rf"\.{load.__name__}: given a timer, or a cache that"):
            testing.time(load).__enter__()
    with pytest.raises(TypeError, match="not a function that soloflight has decorated: <built-in"):
        testing.time(len).__enter__()


def test_one_is_enough() -> None:
    with testing.time() as clock, pytest.raises(RuntimeError, match="advance that clock"):
        testing.time().__enter__()
    with testing.time() as another:
        assert another() >= clock()


def test_a_tier_in_memory_goes_by_it() -> None:
    tier = MemoryTier()
    loads: list[int] = []

    def load(key: str) -> int:
        loads.append(1)
        return len(loads)

    decorate = cached_singleflight(ttl=30, tier=tier, name="load", codec="json")
    one, other = decorate(load), decorate(load)
    with testing.time() as clock:
        assert one("k") == other("k") == 1
        clock.advance(31)
        assert other("k") == one("k") == 2
        clock.advance(1e6)
        assert one("k") == 3
    assert one("k") == other("k") == 4
    tier.close()


def test_a_tier_elsewhere_keeps_its_own_time_and_that_is_said(tmp_path: Any) -> None:
    pytest.importorskip("msgspec", reason="msgspec has no wheel for this Python")
    tiers = pytest.importorskip("soloflight.tiers")
    loads: list[int] = []
    with tiers.HostTier(tmp_path) as tier:

        @cached_singleflight(ttl=30, tier=tier, name="load", codec="json")
        def load(key: str) -> int:
            loads.append(1)
            return len(loads)

        assert load("k") == 1
        with testing.time() as clock:
            clock.advance(20)  # nobody calls it
        said = "load: a tier that is not in memory has a time of its own"
        with pytest.warns(UserWarning, match=said), testing.time() as clock:
            assert load("k") == 1
            clock.advance(20)
            assert load("k") == 1
        with testing.time():
            assert load("k") == 1  # no time passes


@pytest.mark.parametrize("step", [0.1, 0.7, 1, 3])
def test_seconds_add_up(world: World, step: float) -> None:
    """No rounding makes a value live for one step longer, or shorter."""
    load = world.cached(world.origin(), ttl=30 * step)
    with testing.time() as clock:
        for number in range(1, 4):
            for _ in range(29):
                assert world.call(load) == number
                clock.advance(step)
            assert world.call(load) == number
            clock.advance(step)


def test_a_clock_goes_forward() -> None:
    clock = ManualClock(5)
    clock.advance(2.5)
    assert clock() == 7.5
    assert repr(clock) == "ManualClock(7.5)"
    with pytest.raises(ValueError, match="and not for ever: not by -1 s"):
        clock.advance(-1)
    with pytest.raises(TypeError, match="start must be a number, not 'now'"):
        ManualClock("now")  # type: ignore[arg-type]


@in_loop
async def test_a_hit_reads_the_real_clock_again() -> None:
    """What is looked up for each hit is what it was."""

    @cached_singleflight(ttl=30)
    async def load() -> int:
        return 1

    before = load.__closure__
    assert before is not None
    cells = [cell.cell_contents for cell in before]
    await load()
    with testing.time():
        assert [cell.cell_contents for cell in before] != cells
    assert [cell.cell_contents for cell in before] == cells
    assert time.monotonic in cells
    await asyncio.sleep(0)


# ---- others


def test_freezegun_moves_what_reads_the_time_anew() -> None:
    """What was decorated before keeps the real clock; with such a `timer` it ticks."""
    freezegun = pytest.importorskip("freezegun")

    @cached_singleflight(ttl=30, timer=lambda: time.monotonic())
    def load() -> object:
        return object()

    with freezegun.freeze_time("2026-01-01") as frozen:
        first = load()
        frozen.tick(29)
        assert load() is first
        frozen.tick(2)
        assert load() is not first


@pytest.mark.parametrize("library", ["freezegun", "time_machine"])
def test_with_time_a_value_that_says_when_it_expires_needs_both(library: str) -> None:
    """Wall-clock time is theirs, the clock of entries is ours."""
    pytest.importorskip(library, reason=f"{library} has no wheel for this Python")
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)

    @cached_singleflight(ttl=lambda token: token - time.time())
    def token() -> float:
        return time.time() + 60

    with testing.time() as clock:
        with _at(library, start):
            first = token()
            assert token() == first == start.timestamp() + 60
        clock.advance(61)
        with _at(library, start + timedelta(seconds=61)):
            assert token() == first + 61


def _at(library: str, then: datetime) -> Any:
    if library == "freezegun":
        import freezegun

        return freezegun.freeze_time(then)
    import time_machine

    return time_machine.travel(then, tick=False)


def test_what_is_frozen_outside_is_moved_inside() -> None:
    freezegun = pytest.importorskip("freezegun")

    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    with freezegun.freeze_time("2026-01-01"), testing.time() as clock:
        first = load()
        clock.advance(31)
        assert load() is not first
        with pytest.raises(TimeoutError), testing.hold(load) as held:
            held.wait_for_waiters(1, timeout=0.01)  # real seconds


def test_a_tier_in_memory_that_is_made_in_there_goes_by_it() -> None:
    with testing.time() as clock:
        tier = MemoryTier()

        @cached_singleflight(ttl=30, tier=tier, name="load", codec="json")
        def load() -> int:
            return int(clock())

        first = load()
        clock.advance(31)
        assert load() == first + 31
    tier.close()


def test_on_leaving_nobody_has_patience_left(world: World) -> None:
    """A deadline by a clock that is no more would never come."""
    origin = world.origin()
    load = world.cached(origin, ttl=30, wait_timeout=3600)
    gate = origin.hold()
    with testing.time() as clock:
        clock.advance(1e6)
        leader = world.start(load)
        gate.arrived()
        others = world.aboard(2, load)
    for other in others:
        with pytest.raises(WaitTimeout):
            other.result()
    gate.open()
    if world.name == "threads":
        assert leader.result() == 1


class Breaks(str):
    """A key that raises as soon as it is told to."""

    told = False

    def __hash__(self) -> int:
        if self.told:
            raise Boom
        return str.__hash__(self)


def test_a_key_that_raises_leaves_nobody_in_the_other_time(gate: Gate) -> None:
    key = Breaks("k")

    @singleflight
    def breaks(key: str) -> None:
        gate()

    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    caller = Caller(breaks, key)
    gate.arrived()
    with pytest.raises(Boom), testing.time():
        load()
        key.told = True
    key.told = False
    assert load._core.table.timer is time.monotonic
    assert load.peek() is None
    gate.open()
    caller.result()


def test_who_was_made_as_it_was_left_catches_up() -> None:
    with testing.time():
        then = clock_of_all.now

    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    table = load._core.table
    go_by(table, then)
    assert then() - time.monotonic() < 1  # a time that is over is the real one
    catch_up(table)
    assert table.timer is time.monotonic
    assert load() is load()


def test_it_is_no_decorator() -> None:
    with pytest.raises(TypeError, match="not callable"):

        @testing.time()  # type: ignore[operator]
        async def load() -> None: ...


def test_an_interruption_as_it_is_left_leaves_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    @cached_singleflight(ttl=30)
    def load() -> object:
        return object()

    strikes = iter([True])

    def strike(table: Any) -> None:
        if next(strikes, False):
            raise KeyboardInterrupt
        clear(table)

    clear = _clocks.clear
    monkeypatch.setattr(_clocks, "clear", strike)
    with pytest.raises(KeyboardInterrupt), testing.time() as clock:
        load()
        clock.advance(5)
    assert load._core.table.timer is time.monotonic
    assert load.peek() is None
    with testing.time():  # and another one may come
        pass


def test_what_a_load_took_in_there_is_forgotten() -> None:
    with testing.time() as clock:

        @cached_singleflight(ttl=30)
        def load() -> None:
            clock.advance(3600)

        load()
        assert load.stats().load_seconds == 3600
    assert load.stats().load_seconds == 0


def test_what_is_left_in_a_tier_in_memory_ages_no_more() -> None:
    tier = MemoryTier()

    def decorated() -> Any:
        return cached_singleflight(ttl=30, tier=tier, name="load", codec="json")(
            lambda: next(loads)
        )

    loads = iter(range(9))
    with testing.time() as clock:
        clock.advance(1e6)
        assert decorated()() == 0  # and ends
    assert decorated()() == 1
    tier.close()
