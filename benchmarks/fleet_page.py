"""What came of `fleet_simulation.py`, as a page of tables and as a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from curves import COLOURS, INK, MUTED, STYLE
from fleet_network import CONNECT, PUSH, SCRIPT, TIMEOUT
from fleet_world import Outcome


class Group(NamedTuple):
    """Runs of one kind, with different seeds."""

    kind: str
    """size, fault, listed"""
    name: str
    processes: int
    outcomes: list[Outcome]

    def sum(self, what: str) -> float:
        return sum(getattr(outcome, what) for outcome in self.outcomes)

    def most(self, what: str) -> float:
        return max(getattr(outcome, what) for outcome in self.outcomes)

    def per_expiry(self, what: str) -> float:
        return self.sum(what) / max(1, self.sum("expiries"))

    @property
    def events(self) -> int:
        return sum(sum(outcome.events.values()) for outcome in self.outcomes)

    @property
    def broken(self) -> list[int]:
        return [outcome.seed for outcome in self.outcomes if outcome.breaches]

    def wake(self, which: int) -> float:
        """Of the middle run; of the last wake-up, the last of all."""
        wakes = [outcome.wakes[which] for outcome in self.outcomes]
        return max(wakes) if which == 2 else median(wakes)


def summary(group: Group) -> str:
    """A line while it runs."""
    wakes = " / ".join(ms(group.wake(i)) for i in range(3))
    return (
        f"{group.kind:<7}{group.name:<40}{group.processes:>7,}  {len(group.outcomes):>3} runs  "
        f"{group.per_expiry('loads'):.2f} loads per expiry, woken after {wakes} ms"
    )


def ms(seconds: float) -> str:
    """Milliseconds, in three digits."""
    found = 1000 * seconds
    return f"{found:.1f}" if found < 10 else f"{found:,.0f}"


HEAD = f"""\
# Fleets, simulated

Made by `python -m tox run -e fleet-simulation`. No machine here holds ten thousand processes, but
what a process says to the store does no I/O. So it is said in virtual time, by the real thing: each
process has its own table, entries, talk, breaker and keeper; only threads, event loops and wires
are simulated. A message takes 0.1 ms and 0.15 ms more on average, and now and then 20 ms; the
primary does one thing at a time, {SCRIPT * 1e6:.0f} µs for a script, {PUSH * 1e6:.0f} µs for each
process that it tells something, {CONNECT * 1e6:.0f} µs for one that connects (measured with
Redis 7.0 on loopback); who is not answered within {TIMEOUT:g} s goes on without. Loads take 100 to
200 ms, and a lease lasts 3 s. All of a fleet begin at the same time, with nothing.

In every run the promises are checked: how many loads there are, what may be stored and seen, how
long callers wait, and that nothing is left behind.

![Loads, wake-ups and the time of the primary, by the number of processes](fleet-simulation.svg)
"""

SIZE = """\
## By size

One hot key, which each process is asked for 50 times a second; ttl 5 s. *Woken*: from the end of a
load to the end of a call that has waited for it in another process (the middle one, 99 of 100, the
last); where stale values are served, or refreshed early, that is at the very beginning alone.
Without a tier there would be as many loads per expiry as there are processes.
"""

WHERE = """\
## Where one primary ends

At an expiry of a hot key every process asks, and who had to wait asks again: what all of that costs
the primary is in the table. Three limits show:

- **The store wakes {listed} processes at the most.** Whoever else waits asks again after half a
  second, so from there on most wait for that long. How much it would cost to wake more:

{table}
- **{most:,.0f} questions within {timeout:g} s.** Where more processes than that ask for one key at
  the same time, as those of a cold fleet do, some hear nothing in time: they load for themselves,
  without a lease, and ask no more for a moment. Nobody gets an error, but there are thousands of
  loads: see 15,000 processes above.
- **News go to every process**, at {push:.0f} µs each: one `invalidate()` costs the primary
  {news:.0f} ms where there are 10,000, and beyond {late:,.0f} not all hear of it within 50 ms.

What one does then: with `stale_while_revalidate` nobody waits for any of this, and with
`early_refresh` processes ask apart from each other, before the expiry. A longer ttl divides all of
it. A Redis Cluster spreads the keys, but a key is on one primary. And processes of one host that
share a `HostTier` need no server at all; a load for each host is what that costs.
"""

WRONG = """\
## What goes wrong

{processes} processes, one hot key, ttl 2 s, 30 seconds; {runs} runs of each, a third of them plain,
with `stale_while_revalidate=1`, and with `early_refresh=1`. *Events* are those for which one more
load is allowed: a process that dies or stands still while it leads or waits, a store that did not
answer who led. *Without a lease*: loads of processes that got no answer from the store.
*Lost*: the longest that a caller has waited with no load under way; where leaders die in a row,
until each of their leases has ended.
"""

NOTES = """\
What the tables do not say:

- A store that stands still does, once it goes on, what it was told before. A value that was on its
  way is kept from then on: it may be served for as much longer as the store stood still.
- A store that fails over to one that lags behind has forgotten the last milliseconds: {lost} of the
  invalidations here, after which the old value was there again until its ttl ended it. And it may
  know leases that were ended: who waits for one of these waits until it runs out.
- While the store is down, each process loads for itself: that is what most loads *without a lease*
  are.
"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def wakes(group: Group) -> str:
    return " / ".join(ms(group.wake(i)) for i in range(3))


def sizes(groups: Sequence[Group]) -> str:
    head = [
        "", "processes", "loads per expiry", "woken, ms", "questions per expiry",
        "time of the primary per expiry, ms", "longest queue, ms", "not answered",
    ]  # fmt: skip
    rows = [
        [
            group.name, f"{group.processes:,}", f"{group.per_expiry('loads'):.2f}", wakes(group),
            f"{group.per_expiry('commands'):,.0f}", ms(group.per_expiry("busy")),
            ms(group.most("queue")), f"{group.sum('failures'):,.0f}",
        ]
        for group in groups
    ]  # fmt: skip
    return table(head, rows)


def limits(groups: Sequence[Group]) -> str:
    head = ["woken at the most", "processes", "woken, ms", "time of the primary per expiry, ms"]
    rows = [
        [group.name, f"{group.processes:,}", wakes(group), ms(group.per_expiry("busy"))]
        for group in groups
    ]
    return "".join(f"  {line}\n" for line in table(head, rows).splitlines())


def faults(groups: Sequence[Group]) -> str:
    head = [
        "", "expiries", "loads", "events", "more loads per event", "without a lease", "lost, s",
        "promises broken",
    ]  # fmt: skip
    rows = []
    for group in groups:
        leased = group.sum("loads") - group.sum("unleased")
        more = leased - group.sum("expiries")
        rows.append([
            group.name, f"{group.sum('expiries'):,.0f}", f"{leased:,.0f}", f"{group.events:,}",
            f"{max(0.0, more) / group.events:.2f}" if group.events else f"{more:.0f} of 0",
            f"{group.sum('unleased'):,.0f}", f"{group.most('lost'):.2f}",
            ", ".join(f"seed {seed}" for seed in group.broken) or "none",
        ])  # fmt: skip
    return table(head, rows)


def page(groups: Sequence[Group], listed: int) -> str:
    of = {kind: [g for g in groups if g.kind == kind] for kind in ("size", "fault", "listed")}
    parts = [HEAD]
    if of["size"]:
        parts += [SIZE, sizes(of["size"])]
    if of["listed"]:
        parts.append(
            WHERE.format(
                listed=listed, table=limits(of["listed"]), most=TIMEOUT / SCRIPT, timeout=TIMEOUT,
                push=PUSH * 1e6, news=10_000 * PUSH * 1e3, late=0.05 / PUSH,
            )
        )  # fmt: skip
    if of["fault"]:
        some = of["fault"][0]
        lost = sum(g.sum("lost_fences") for g in of["fault"])
        parts += [
            WRONG.format(processes=some.processes, runs=len(some.outcomes)),
            faults(of["fault"]),
            NOTES.format(lost=f"{lost:,.0f}"),
        ]
    return "\n".join(parts)


def draw(groups: Sequence[Group], path: Path) -> None:
    # Only now: the tables need no matplotlib.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    lines: dict[str, list[Group]] = {}
    for group in groups:
        if group.kind == "size":
            lines.setdefault(group.name, []).append(group)
    lines = {name: of for name, of in lines.items() if len(of) > 1}
    with rc_context(STYLE):
        figure = Figure(figsize=(13, 4.4), facecolor="white")
        panels = figure.subplots(1, 3)
        figure.subplots_adjust(0.05, 0.13, 0.985, 0.72, wspace=0.22)
        figure.text(0.02, 0.93, "One hot key of a fleet, simulated", fontsize=16, weight="bold")
        told = "Up to a few hundred processes all is woken at once; then most poll, once."
        figure.text(0.02, 0.87, told, fontsize=10)
        for axes in panels:
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.minorticks_off()
            axes.tick_params(length=0)
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.yaxis.set_major_formatter(lambda y, _: f"{y:,g}")
            axes.set_xlabel("processes", color=MUTED)
        _loads(panels[0], lines)
        _woken(panels[1], lines)
        _busy(panels[2], lines)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="upper left", bbox_to_anchor=(0.012, 0.855), ncols=4, frameon=False
        )
        about = {"Date": None, "Title": "One hot key of a fleet, by the number of processes"}
        figure.savefig(path, format="svg", metadata=about)


Lines = dict[str, list[Group]]


def _loads(axes: Any, lines: Lines) -> None:
    axes.set_title("loads per expiry", loc="left", fontsize=10, weight="bold")
    for i, (name, groups) in enumerate(lines.items()):
        # Apart from each other, or one hides the others.
        xs = [group.processes * 1.06 ** (i - 1) for group in groups]
        ys = [group.per_expiry("loads") for group in groups]
        axes.plot(xs, ys, "-", color=COLOURS[i], marker="o", markersize=4, linewidth=1.2,
                  label=name)  # fmt: skip
    some = sorted({group.processes for groups in lines.values() for group in groups})
    axes.plot(some, some, "--", color=MUTED, linewidth=1, label="without a tier")
    axes.set_ylim(bottom=0.5)


def _woken(axes: Any, lines: Lines) -> None:
    axes.set_title("woken after, ms: the middle one, and 99 of 100", loc="left", fontsize=10,
                   weight="bold")  # fmt: skip
    for i, groups in enumerate(lines.values()):
        xs = [group.processes * 1.06 ** (i - 1) for group in groups]
        low, high = ([1000 * group.wake(which) for group in groups] for which in (0, 1))
        axes.plot(xs, low, "-", color=COLOURS[i], marker="o", markersize=4, linewidth=1.2)
        axes.vlines(xs, low, high, color=COLOURS[i], linewidth=1)
        axes.plot(xs, high, "_", color=COLOURS[i], markersize=7)


def _busy(axes: Any, lines: Lines) -> None:
    axes.set_title("the primary, ms per expiry; dotted: its queue", loc="left",
                   fontsize=10, weight="bold")  # fmt: skip
    for i, groups in enumerate(lines.values()):
        xs = [group.processes for group in groups]
        axes.plot(xs, [1000 * group.per_expiry("busy") for group in groups], "-",
                  color=COLOURS[i], marker="o", markersize=4, linewidth=1.2)  # fmt: skip
        axes.plot(xs, [1000 * group.most("queue") for group in groups], ":",
                  color=COLOURS[i], linewidth=1.2)  # fmt: skip
    axes.axhline(1000 * TIMEOUT, color=INK, linewidth=0.8)
    axes.annotate("then a question has failed", (axes.get_xlim()[0], 1000 * TIMEOUT), (4, 3),
                  textcoords="offset points", fontsize=8, color=INK)  # fmt: skip


def write(groups: Sequence[Group], out: Path) -> None:
    from soloflight._tiers.memory import LISTED

    out.mkdir(parents=True, exist_ok=True)
    (out / "fleet-simulation.md").write_text(page(groups, LISTED), encoding="utf-8")
    try:
        draw(groups, out / "fleet-simulation.svg")
    except ImportError as error:
        print(f"no picture: {error}", file=sys.stderr)
