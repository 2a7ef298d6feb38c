"""The model with a clock: entries that go stale, stored exceptions, flights that grow old.

What callers are served, what a failed load leaves behind and what becomes of old flights is decided
by the library's own code. Time passes in steps of `STEP`: an entry is fresh for one, stale for
another one, and may be served in place of an error for a third. A failed load holds the next
attempt off for less than a step.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import suppress
from typing import Any

from greenlet import getcurrent

from soloflight import WaitTimeout
from soloflight._entries.entry import Aging, Raising
from soloflight._entries.policy import Policy
from soloflight._flights import serving
from soloflight._flights.flight import Call, Flight, call_of
from soloflight._flights.table import FlightTable
from soloflight._outcome import Error
from soloflight._runners import Thread
from soloflight._sources import direct

from .actors import Action, Brought, Caller, Load, Task, brought, law, pause
from .model import World

STEP = 10.0


class Table(FlightTable):
    """Before a refresh others may go first."""

    __slots__ = ()

    def refreshing(self, key: Hashable) -> Flight | None:
        flight = super().refreshing(key)
        pause()
        return flight


class Background:
    """Runs a load on a thread that is no caller's."""

    runner = Thread()

    def goes_on(self) -> bool:
        return True

    def is_on_its_own(self) -> bool:
        return True

    def cancel(self) -> None:
        law(6, False, "what runs on a thread was cancelled")

    def withdraw(self) -> bool:
        return False

    def hurry(self) -> float:
        return 0.0

    def interruption(self) -> None: ...


class Ages(World):
    """There is an entry in the beginning. `ages`: how often time passes; `max_age`: of flights."""

    def __init__(
        self,
        callers: int,
        keys: int,
        fences: int,
        ages: int,
        *,
        tasks: bool,
        steps: bool,
        max_age: float | None = None,
        max_abandoned: int = 1,
        cache: Any = None,
        **options: Any,
    ) -> None:
        self.policy = Policy(ttl=STEP, retry_after=(STEP / 2, STEP / 2), **options)
        self.ages = ages
        self.max_age = max_age
        self.max_abandoned = max_abandoned
        self.outcomes: dict[Load, Any] = {}  # of those that have ended, and not landed yet
        self.hanging: set[Load] = set()
        self.served: dict[Caller, Aging[Any]] = {}  # those to whom it has yet to be handed
        super().__init__(callers, keys, fences, tasks=tasks, steps=steps, cache=cache)
        for key in self.keys:
            self.table.put(key, self.entry(Brought(0, 0, 0)))

    def make_table(self) -> FlightTable:
        return Table("f", self.shelf, self.max_age, self.max_abandoned)

    # What may happen next

    def actions(self) -> Iterator[Action]:
        yield from super().actions()
        if self.ages:
            yield ("age",)
        for number, caller in enumerate(self.callers):
            if caller.state == "waits" and not caller.woken:
                yield "lose_patience", number

    def endings(self, load: Load) -> tuple[str, ...]:
        return ("settle",) if load in self.outcomes else super().endings(load)

    def age(self) -> None:
        self.ages -= 1
        self.time += STEP

    # Callers

    def ask(self, caller: Caller) -> None:
        entry: Any = self.shelf.find(caller.key) if caller.look else None
        if entry is not None:
            now = self.time
            caller.state = "claims"
            caller.flight = caller.mine
            self.claiming[getcurrent()] = caller
            self.served[caller] = entry
            outcome = entry
            if not now < entry.calm_until:
                outcome = serving.at_once(
                    self.table, self.behind, entry, now, call_of(caller.key, (), {})
                )
            del self.served[caller]
            if outcome is not None:
                self.hits(caller, outcome)
                self.check_hit(caller.key, brought(outcome), entry, now)
                return
        self.claim(caller)

    def check_hit(self, key: str, found: Brought, entry: Aging[Any], now: float) -> None:
        """That it was new enough, and that somebody refreshes what is stale."""
        age = now - found.time
        failed = entry.failures and age < STEP + self.policy.longest_stale
        law(10, failed or age < STEP + self.policy.stale_while_revalidate, "served what is too old")
        busy = self.steps or entry.is_fresh(now) or now < entry.calm_until
        law(10, busy or self.table.flights.of(key) is not None, "stale, and nobody refreshes it")

    def behind(self, call: Call) -> Any:
        """The load of a refresh, for the caller that is served."""
        caller = self.claiming[getcurrent()]
        load: Any = Task(self.table) if self.tasks else Background()
        served: Any = self.served[caller]

        def start(table: FlightTable, flight: Flight) -> None:
            there = self.shelf.find(call.key) is served
            law(10, there, "refreshes what is not there any more")
            law(10, not self.time < served.calm_until, "refreshes, and a failed load holds it off")
            self.let_go()
            self.loads.append(Load(self, caller))
            load.flight = flight

        load.start = start
        return load

    def claim(self, caller: Caller) -> None:
        if caller.mine.is_refresh:
            caller.mine = self.flight_of(caller)
        try:
            super().claim(caller)
        except WaitTimeout:
            self.let_go()
            old = [load for load in self.hanging if load.flight.key == caller.key]
            law(8, len(old) == self.max_abandoned, "refused, and so few hang")
            self.is_served_instead(caller)
            self.table.recover(caller.mine, None)
            caller.state = "done"
            return
        following = caller.mine.following
        due = following is not None and not following.over and self.is_due(following)
        law(1, not due, "follows a flight that is too old")

    def is_served_instead(self, caller: Caller) -> None:
        """Of a load that it has no patience for."""
        there = caller.look and self.alive(caller.key) is not None
        outcome = None
        with suppress(WaitTimeout):
            outcome = serving.out_of_patience(
                self.table, caller.mine, caller.look, WaitTimeout(), None
            )
        law(6, (outcome is not None) is there, "who has no patience gets what there is")
        if outcome is not None:
            self.hits(caller, outcome)

    def lose_patience(self, number: int) -> None:
        self.is_served_instead(self.callers[number])
        self.leave(number)

    def is_known(self, key: str) -> bool:
        entry: Any = self.shelf.find(key)
        return entry is not None and (entry.is_fresh(self.time) or self.time < entry.calm_until)

    # Loads: they end, and land a moment later

    def land(self, number: int) -> None:
        load = self.loads[number]
        self.outcomes[load] = direct.landed(self.table, load.flight, self.brings(load))

    def fail(self, number: int) -> None:
        load = self.loads[number]
        error = Error(Exception(*self.brings(load)), None)
        entry: Any = self.alive(load.flight.key)
        self.outcomes[load] = failed = direct.failed(self.table, load.flight, error)
        if failed.entry is not None:
            return
        there = type(entry) is Aging
        instead = there and (self.policy.stale_if_error or not entry.is_fresh(self.time))
        law(6, (failed.instead is not None) is bool(instead), "those aboard get what there is")
        if there and not load.fenced:
            held_off = self.time < entry.calm_until <= entry.until
            law(10, held_off, "a failed load holds the next one off")

    def settle(self, number: int) -> None:
        load = self.loads[number]
        self.end(load, self.outcomes.pop(load))

    def is_due(self, flight: Flight) -> bool:
        since = flight.since
        return self.max_age is not None and since is not None and self.time - since >= self.max_age

    def let_go(self) -> None:
        for load in self.loads:
            flight = load.flight
            gone = self.table.flights.of(flight.key) is not flight
            if gone and not (load.fenced or flight.over) and self.is_due(flight):
                load.fenced = True
                self.hanging.add(load)
        self.hanging = {load for load in self.hanging if not load.flight.over}
        for key in self.keys:
            hanging = sum(load.flight.key == key for load in self.hanging)
            law(8, hanging <= self.max_abandoned, "too many loads hang")

    def check_end(self) -> None:
        super().check_end()
        overdue = self.table.overdue
        law(8, not (overdue and overdue._flights), "an old flight is still known of")

    # What decides on the future

    def seen(self, key: str) -> Action:
        entry: Any = self.alive(key)
        if entry is None:
            return ()
        deadlines = entry.fresh_until, entry.stale_until, entry.error_until, entry.calm_until
        left = (max(deadline - self.time, 0) for deadline in deadlines)
        return type(entry) is Raising, bool(entry.failures), *left

    def seen_by(self, caller: Caller) -> Action:
        served = self.served.get(caller)
        if served is None:
            return *super().seen_by(caller), -1, False
        is_there = self.shelf.find(caller.key) is served
        return *super().seen_by(caller), max(served.calm_until - self.time, 0), is_there

    def seen_of(self, flight: Flight) -> Action:
        load = self.loading().get(flight)
        ends = self.outcomes.get(load) if load is not None else None
        entry = None if ends is None else ends.entry
        instead = None if ends is None else ends.instead
        return (
            flight.is_refresh,
            flight.since is None,
            self.is_due(flight),
            load in self.hanging,
            type(ends).__name__,
            type(entry).__name__,
            -1 if entry is None else max(entry.until - self.time, 0),
            self.generation[flight.key] - instead.value.generation if instead else -1,
        )

    def state(self) -> Hashable:
        return self.ages, super().state()
