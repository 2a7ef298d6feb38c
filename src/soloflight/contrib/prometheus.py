"""Metrics of every decorated function and `Group`, for prometheus-client.

In an application of one process, register a collector, and whatever shows the others' metrics shows
these too::

    from prometheus_client import REGISTRY
    from soloflight.contrib.prometheus import Collector

    REGISTRY.register(Collector())

Where several processes share a ``PROMETHEUS_MULTIPROC_DIR`` (gunicorn's workers), call `publish`
instead: in that mode prometheus-client asks no collector, but adds up what the processes have
written.

It needs ``soloflight[prometheus]``.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Iterator
from dataclasses import astuple, fields
from datetime import timedelta
from math import inf
from threading import Event, Lock, RLock, Thread, local
from typing import Any, NamedTuple
from weakref import ref

from .._durations import at_least_one, seconds
from .._flights.stats import Stats
from .._flights.table import FlightTable
from .._locks import critical, log
from .._registry import owners
from .._shown import shown

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
except ImportError:
    raise ImportError(
        "soloflight.contrib.prometheus needs prometheus-client, which is not installed: install "
        "soloflight[prometheus]"
    ) from None

PATIENCE = 2.0
"""Seconds for which a fork, or the end of a process, waits until metrics are written."""
OTHERS = "(others)"
"""The label of the functions beyond the limit."""


class _Kind(NamedTuple):
    """A metric."""

    name: str
    text: str
    field: str  # of `Stats`, or of `_now`
    labels: dict[str, str] = {}  # noqa: RUF012 - never changed
    is_gauge: bool = False


_KINDS = (
    _Kind("hits", "Calls answered by an entry at once.", "hits"),
    _Kind("misses", "Loads led, refreshes included.", "misses"),
    _Kind("loads", "Calls of the loader.", "loads"),
    _Kind("joined", "Calls that followed a load in progress.", "joined"),
    _Kind("errors", "Loads that ended with an exception.", "errors"),
    _Kind("store_errors", "Values that were loaded and could not be stored.", "store_errors"),
    _Kind("refreshes", "Loads started behind a value that was served.", "refreshes"),
    _Kind("early_refreshes", "Those of them behind a fresh value.", "early_refreshes"),
    _Kind("stale", "Calls that got a stale value.", "stale_hits", {"reason": "revalidate"}),
    _Kind("stale", "Calls that got a stale value.", "stale_on_error", {"reason": "error"}),
    _Kind("negative_hits", "Hits on an exception.", "negative_hits"),
    _Kind("fenced", "Loads that were fenced before they landed.", "fenced"),
    _Kind("abandoned", "Loads that ended with neither a value nor an exception.", "abandoned"),
    _Kind("timeouts", "Calls whose patience ended.", "timeouts"),
    _Kind("evictions", "Entries that the cache dropped to make room.", "evictions"),
    _Kind("expired", "Entries that the cache dropped as they had expired.", "expired"),
    _Kind("load_seconds", "Seconds spent in loads.", "load_seconds"),
    _Kind("tier_hits", "Loads answered by what was fresh in the tier.", "tier_hits"),
    _Kind("tier_stale", "Loads answered by what was stale in the tier.", "tier_stale"),
    _Kind("remote_errors", "Loads that failed in another process.", "remote_errors"),
    _Kind("lost_leases", "Loads whose lease another process had at their end.", "lost_leases"),
    _Kind("unleased", "Loads without a lease.", "unleased"),
    _Kind("unreadable", "Values in the tier that could not be read here.", "unreadable"),
    _Kind("in_flight", "Loads in progress.", "in_flight", is_gauge=True),
    _Kind("waiters", "Calls that wait for a load.", "waiters", is_gauge=True),
    _Kind(
        "entries", "The size of the cache, for everyone who shares it.", "entries", is_gauge=True
    ),
)
_NUMBERS = {kind.field: number for number, kind in enumerate(_KINDS)}
_COUNTS = tuple(field.name for field in fields(Stats))


class Collector:
    """Shows what `soloflight.registry` knows to a registry of prometheus-client.

    Each metric begins with ``soloflight_`` and has a label ``function``, the name of a function or
    a group; those of one name are added up. Counters never go back, also where a function ends, or
    `cache_clear` has its counts begin anew.

    Args:
        max_functions: so many names are told apart. Whoever comes later is added up as
            ``(others)``, so that functions decorated in a loop do not fill the store of metrics.
    """

    def __init__(self, *, max_functions: int = 200) -> None:
        self._most = at_least_one(max_functions, "max_functions")
        self._lock = Lock()  # guards what follows: two may scrape at once. No code of others in it
        self._names: set[str] = set()
        # What was seen last of each table: a table that has ended is not asked any more.
        self._seen: dict[int, tuple[ref[FlightTable], str, tuple[float, ...]]] = {}
        self._ended: dict[str, tuple[float, ...]] = {}

    def describe(self) -> Iterable[Metric]:
        """The names, for the registry to see that nobody else has them."""
        return list(self._metrics({}))

    def collect(self) -> Iterable[Metric]:
        """The metrics, as they are now."""
        return list(self._metrics(self.values()))

    def values(self) -> dict[str, dict[str, float]]:
        """By the name of a function, and of a field of `Stats` or a gauge."""
        now = [
            (
                table,
                astuple(critical(table.lock, table.ledger.total)),
                table.in_flight(),
                None if table.shelf is None else critical(table.lock, table.shelf.size),
            )
            for _, table in owners()
        ]
        with self._lock:
            found: dict[str, dict[str, float]] = {}
            for table, counts, flights, size in now:
                name = self._label(table.name)
                seen = self._seen.get(id(table))
                if seen is not None and seen[0]() is not table:
                    self._end(id(table))  # which had that address before
                elif seen is not None:  # another scrape may have begun later, and ended before
                    counts = tuple(map(max, counts, seen[2]))
                self._seen[id(table)] = ref(table), name, counts
                gauges = found.setdefault(name, dict.fromkeys(("in_flight", "waiters"), 0.0))
                gauges["in_flight"] += len(flights)
                gauges["waiters"] += sum(flight.waiters for flight in flights)
                if size is not None:
                    gauges["entries"] = gauges.get("entries", 0.0) + size
            for name, counts in self._totals().items():
                found.setdefault(name, {}).update(zip(_COUNTS, counts, strict=True))
            return found

    def _label(self, name: str) -> str:
        if name not in self._names:
            if len(self._names) >= self._most:
                return OTHERS
            self._names.add(name)
        return name

    def _totals(self) -> dict[str, tuple[float, ...]]:
        for address, (table, _, _) in list(self._seen.items()):
            if table() is None:
                self._end(address)
        totals = dict(self._ended)
        for _, name, counts in self._seen.values():
            totals[name] = _sum(totals.get(name), counts)
        return totals

    def _end(self, address: int) -> None:
        """Keep what was counted by a table that is no more."""
        _, name, counts = self._seen.pop(address)
        self._ended[name] = _sum(self._ended.get(name), counts)

    def _metrics(self, values: dict[str, dict[str, float]]) -> Iterator[Metric]:
        families: dict[str, Any] = {}
        for kind in _KINDS:
            family = families.get(kind.name)
            if family is None:
                make: Any = GaugeMetricFamily if kind.is_gauge else CounterMetricFamily
                labels = ["function", *kind.labels]
                family = families[kind.name] = make(_full(kind), kind.text, labels=labels)
            for function, found in values.items():
                if kind.field in found:
                    family.add_metric([function, *kind.labels.values()], found[kind.field])
        yield from families.values()


def _full(kind: _Kind) -> str:
    return f"soloflight_{kind.name}"


def _sum(one: tuple[float, ...] | None, other: tuple[float, ...]) -> tuple[float, ...]:
    return other if one is None else tuple(map(float.__add__, map(float, one), map(float, other)))


def publish(
    *,
    every: float | timedelta = 1.0,
    max_functions: int = 200,
    registry: CollectorRegistry | None = REGISTRY,
) -> Publisher:
    """Write the same metrics for prometheus-client's multiprocess mode, `every` so many seconds.

    Call it once, where the application is made: in each worker, or before they are forked
    (gunicorn's ``--preload``). A daemon thread of each process does it then, and once more as the
    interpreter ends (which that of `multiprocessing`'s children does not).

    The metrics are those of `Collector`, and up to `every` seconds old. Gauges are summed over the
    processes whose files are there. Have those of dead workers removed, as with any gauge: under
    gunicorn with ``child_exit = lambda server, worker:
    prometheus_client.multiprocess.mark_process_dead(worker.pid)`` in its configuration.

    Returns something whose ``tell()`` writes them at once.

    Raises:
        ValueError: it was called before.
    """
    return Publisher(Collector(max_functions=max_functions), every, registry)


class Publisher:
    """What `publish` has begun."""

    def __init__(self, collector: Collector, every: object, registry: Any) -> None:
        self._every = seconds(every, "every")
        if not 0 < self._every < inf:
            raise ValueError(f"every must be more than 0 and finite, but is {shown(every)}")
        self._collector = collector
        self._metrics: dict[str, Any] = {}
        for kind in _KINDS:
            if kind.name not in self._metrics:
                options: Any = {"multiprocess_mode": "livesum"} if kind.is_gauge else {}
                make: Any = Gauge if kind.is_gauge else Counter
                try:
                    self._metrics[kind.name] = make(
                        _full(kind), kind.text, ["function", *kind.labels],
                        registry=registry, **options,
                    )  # fmt: skip
                except ValueError as error:
                    raise ValueError(
                        "publish() was called before, or a Collector is registered: one of them "
                        f"will do ({error})"
                    ) from None
        self._told: dict[tuple[str, str], float] = {}
        self._series: dict[tuple[int, str], Any] = {}  # by the number of a kind, and a function
        self._failed = self._tells = False
        # Guards that a count is told once. It is held across a fork, so that this thread of ours
        # has no lock of prometheus-client's then.
        self._lock = RLock()
        self._forking = local()
        self._due, self._done = Event(), Event()
        atexit.register(self._end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork,
                after_in_child=self._forked,
            )
        self._begin()

    def _begin(self) -> None:
        Thread(target=self._run, name="soloflight metrics", daemon=True).start()

    def _run(self) -> None:
        while not self._due.wait(self._every):
            self.tell()
        self.tell()
        self._done.set()

    def _end(self) -> None:
        """Tell once more, in our thread: another one may be in the middle, or hang."""
        self._due.set()
        self._done.wait(PATIENCE)

    def _before_fork(self) -> None:
        self._forking.has_lock = self._lock.acquire(timeout=PATIENCE)

    def _after_fork(self) -> None:
        if self._forking.has_lock:
            self._lock.release()

    def _forked(self) -> None:
        self._lock, self._forking, self._tells = RLock(), local(), False
        self._due, self._done = Event(), Event()
        self._collector._lock = Lock()
        # What was counted before is its parent's to tell; what it has inherited it has as well.
        self._told = {at: n for at, n in self._now().items() if at[1] in _COUNTS}
        self._begin()

    def _now(self) -> dict[tuple[str, str], float]:
        values = self._collector.values()
        return {(name, field): n for name, fields in values.items() for field, n in fields.items()}

    def tell(self) -> None:
        """Write the metrics as they are now."""
        with self._lock:
            if self._tells:  # this thread is in the middle of it: a signal handler, say
                return
            self._tells = True
            try:
                self._tell(self._now())
            except Exception:  # of a cache's, say, or as the disk is full: the next time, perhaps
                if not self._failed:
                    self._failed = True
                    log.warning("metrics could not be published", exc_info=True)
            finally:
                self._tells = False

    def _tell(self, now: dict[tuple[str, str], float]) -> None:
        failed: Exception | None = None
        for name, field in now.keys() | self._told.keys():
            value, told = now.get((name, field), 0.0), self._told.get((name, field), 0.0)
            if value != told:
                try:
                    self._tell_one(name, field, value, told)
                except Exception as error:  # of one: the others are told all the same
                    failed = error
        if failed is not None:
            raise failed

    def _tell_one(self, name: str, field: str, value: float, told: float) -> None:
        number = _NUMBERS[field]
        kind = _KINDS[number]
        series = self._series.get((number, name))
        if series is None:
            metric = self._metrics[kind.name]
            series = self._series[number, name] = metric.labels(function=name, **kind.labels)
        if kind.is_gauge:
            series.set(value)
        else:
            series.inc(max(0.0, value - told))
        self._told[name, field] = value
