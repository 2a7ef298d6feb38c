"""The ledger of one function: what happened is counted, logged, and told to whoever observes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple

from .._entries.entry import Entry, Raising
from .._entries.shelf import Counts
from .._locks import log_later, tell, tell_all
from .._outcome import Error
from .._tally import Tally
from .flight import Flight
from .stats import Stats


class Event(NamedTuple):
    """Something that happened to a call or a flight."""

    what: str
    """led, joined, landed, abandoned, fenced, left, timed out, refused, served, store failed"""
    key: Hashable
    why: object = None
    """What it landed with, why it was fenced, what an entry was that was served."""


class Ledger:
    """What happened, in one place: the rooms say what, and know nothing of counts, logs, observers.

    So what is to be known of every load (a metric, a trace, a limit on log records) is added here
    and nowhere else. Nobody else's code runs under a lock of ours or while a flight waits to land:
    a log record, or what an observer is told, waits until then (see `_locks.tell`). What no one
    observes costs a look at whether someone does; where every miss comes by, that look and the
    count are in line there.
    """

    def __init__(self, name: str, hits: Tally | None = None, dropped: Counts | None = None) -> None:
        self.name = name
        self.dropped = dropped  # by the cache
        self.observer: Callable[[Event], object] | None = None
        """Is told of each event. One that raises is logged, and told no more (as trio does it)."""
        # Without a lock:
        self.hits = hits or Tally()
        self.misses = Tally()
        self.stale_hits = Tally()
        self.stale_on_error = Tally()
        self.negative_hits = Tally()
        self.refreshes = Tally()
        self.early_refreshes = Tally()
        self.timeouts = Tally()
        # Under the lock of the table:
        self.joined = 0
        self.errors = 0
        self.store_errors = 0
        self.fenced = 0
        self.abandoned = 0
        self.load_seconds = 0.0
        # Of a tier, without a lock:
        self.loads = self.misses  # without one, who leads loads
        self.tier_hits: Tally | int = 0
        self.tier_stale: Tally | int = 0
        self.remote_errors: Tally | int = 0
        self.lost_leases: Tally | int = 0
        self.unleased: Tally | int = 0
        self.unreadable: Tally | int = 0
        # Single operations only:
        self.outage: dict[None, Tally] = {}  # reloads that failed in it after the first one
        self._told: set[str] = set()  # what is told once
        self._before: Stats | None = None  # what had been counted at the last `count_anew`

    @property
    def evictions(self) -> int:
        return 0 if self.dropped is None else self.dropped.evictions

    @property
    def expired(self) -> int:
        return 0 if self.dropped is None else self.dropped.expired

    def stats(self) -> Stats:
        """What was counted since `count_anew`. Under the lock of the table."""
        total = self.total()
        return total if self._before is None else total.since(self._before)

    def count_anew(self) -> None:
        # The counters themselves go on: hits take no lock, and none may be lost.
        self._before = self.total()

    def total(self) -> Stats:
        """What was counted ever since. Under the lock of the table."""
        counts = (getattr(self, field.name) for field in fields(Stats))
        return Stats(*(n.total() if isinstance(n, Tally) else n for n in counts))

    def mean_cost(self) -> float:
        """The seconds that a load took so far, on average; 0 where there was none."""
        return self.load_seconds / (self.misses.total() or 1)

    # Events. (That a flight leads, and that it lands, is counted in line in the table.)

    def observe(self, what: str, key: Hashable, why: object = None) -> None:
        """Have the observer told, once no lock is held and what this thread leads has landed."""
        if self.observer is not None:
            log_later(partial(self._observe, Event(what, key, why)))

    def _observe(self, event: Event) -> None:
        observer = self.observer
        if observer is None:
            return
        try:
            observer(event)
        except Exception as error:
            self.observer = None
            tell("%s: an observer raised, and is told no more", self.name, error=error)

    def join(self, flight: Flight) -> None:
        self.joined += 1
        self.observe("joined", flight.key)

    def fence(self, flight: Flight, why: str) -> None:
        self.fenced += 1
        self.observe("fenced", flight.key, why)

    def time_out(self, flight: Flight) -> None:
        """A call waits no longer."""
        next(self.timeouts.counter)
        self.observe("timed out", flight.key)

    def serve(self, key: Hashable, entry: Entry[Any], now: float, started: str = "") -> None:
        """An entry was served at once; `started`: "early" or "stale", where a refresh has."""
        why = started
        if started:
            next(self.misses.counter)
            next(self.refreshes.counter)
            if started == "early":
                next(self.early_refreshes.counter)
        if isinstance(entry, Raising):
            next(self.negative_hits.counter)
            why = "negative"
        elif not now < entry.fresh_until:
            stale = now < entry.stale_until
            next((self.stale_hits if stale else self.stale_on_error).counter)
            why = "stale" if stale else "stale on error"
        if self.observer is not None:
            self.observe("served", key, why)
            tell_all()

    def serve_instead(self, key: Hashable) -> None:
        """A stale value was handed out in place of an error."""
        next(self.stale_on_error.counter)
        if self.observer is not None:
            self.observe("served", key, "stale on error")
            tell_all()

    def fail_to_store(self, error: Exception) -> None:
        """A value was loaded, and could not be stored."""
        self.store_errors += 1
        self.tell_once("a value was loaded but could not be stored", error=error)
        self.observe("store failed", None, error)

    def tell_once(self, text: str, *args: object, error: Exception | None = None) -> None:
        """Log what is wrong with this function as a whole."""
        if text not in self._told:
            self._told.add(text)
            tell(f"%s: {text} (no further warnings)", self.name, *args, error=error)
            tell_all()

    def fail_to_reload(self, flight: Flight, error: Error) -> None:
        """Log the first reload that fails in an outage; the others are counted."""
        mine = Tally()
        outage = self.outage.setdefault(None, mine)  # one atomic step: whoever is first
        if outage is mine:
            tell("%s: a reload failed", flight, error=error.exception, traceback=error.traceback)
        else:
            next(outage.counter)

    def load_again(self) -> None:
        """A load has succeeded: an outage, if there was one, is over."""
        outage = self.outage.pop(None, None)
        if outage is not None and (more := outage.total()):
            tell("%s: loads succeed again; %s more reloads had failed", self.name, more)
