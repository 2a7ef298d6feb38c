"""`benchmarks/fleet_simulation.py`: a seed does the same again, and what is wrong is caught."""

from __future__ import annotations
import __future__

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soloflight._sources import tiered
from soloflight._tiers.function import Shared
from soloflight._tiers.keeper import Keeper
from soloflight._tiers.leases import Lease
from soloflight._tiers.memory import Memory
from soloflight._tiers.tier import Tier

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import fleet_simulation
from fleet_page import draw, page
from fleet_simulation import FAULTS, HOT_KEYS, MANY_KEYS, grown, small, with_windows
from fleet_world import Fleet, Outcome, Scenario

FAULT = {scenario.name: scenario for scenario in FAULTS}
HOT = HOT_KEYS[0]


def outcome(scenario: Scenario, seed: int = 0) -> Outcome:
    return Fleet(scenario, seed).run()


@pytest.mark.parametrize("scenario", HOT_KEYS, ids=lambda scenario: scenario.name)
def test_there_is_one_load_per_expiry(scenario: Scenario) -> None:
    found = outcome(grown(scenario, 60))
    assert found.breaches == []
    assert found.loads == found.expiries >= 4
    assert 0 < found.wakes[1] < 0.05


def test_who_is_not_woken_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soloflight._tiers.memory.LISTED", 20)
    found = outcome(replace(grown(HOT, 60), patience=0.75))
    assert found.breaches == []
    assert found.loads == found.expiries
    assert 0.2 < found.wakes[0] < 0.5 < found.wakes[2] + 0.1


def test_keys_do_not_disturb_each_other() -> None:
    found = outcome(replace(grown(MANY_KEYS, 8), keys=30))
    assert found.breaches == []
    assert found.loads == found.expiries >= 60


@pytest.mark.parametrize("fault", FAULTS, ids=lambda scenario: scenario.name)
def test_the_promises_hold_whatever_goes_wrong(fault: Scenario) -> None:
    for seed in range(2):
        for scenario in with_windows(small(fault)):
            assert outcome(scenario, seed).breaches == [], f"seed {seed} of {scenario}"


def test_a_seed_does_the_same_again() -> None:
    scenario = small(FAULT["all of it"])
    assert outcome(scenario, 7) == outcome(scenario, 7)
    assert outcome(scenario, 7) != outcome(scenario, 8)


def test_the_fleet_leaves_the_clocks_as_they_were() -> None:
    from time import monotonic

    from soloflight._tiers import fences, keeper, leases, talk

    outcome(small(HOT))
    rooms = talk, fences, leases, keeper
    assert {room.monotonic for room in rooms} == {monotonic}


def wrong(function: Callable[..., Any], *changes: tuple[str, str]) -> Any:
    """The same function with some of its text replaced."""
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in changes:
        assert source.count(old) == 1, f"{old} is {source.count(old)} times in {function}"
        source = source.replace(old, new)
    found: dict[str, Any] = {}
    flags = __future__.annotations.compiler_flag
    exec(compile(source, function.__name__, "exec", flags=flags), function.__globals__, found)
    return found[function.__name__]


FAST = Scenario("loads that take a millisecond", 40, loads=(5e-4, 1e-3), ttl=0.3, patience=0.1)
WRONG = [
    pytest.param(
        Memory, "store", [("if lease.token != token:", "if False:")],
        FAULT["leaders stand still"], "4", id="the-store-has-no-fence",
    ),
    pytest.param(
        tiered, "ask",
        [
            ('bell = yield "listen", d', 'bell = yield "listen", b""'),
            ('found = yield', 'bell = yield "listen", d; found = yield'),
        ],
        FAST, "3", id="who-waits-asks-first-and-listens-second",
    ),
    pytest.param(
        tiered, "ask", [("waited = reply.body or waited", "return None")],
        HOT, "3", id="who-should-wait-loads",
    ),
    pytest.param(
        tiered, "tell", [("if shared.owes(lease.d):", "if flight.fenced or shared.owes(lease.d):")],
        FAULT["invalidations"], "1", id="news-end-a-lease-that-is-newer",
    ),
    pytest.param(
        tiered, "tell", [("if reply is DOWN:", "if False:")],
        replace(FAULT["1 of 100 questions or answers is lost"], loss=0.05), "3",
        id="a-lease-is-left-behind",
    ),
    pytest.param(
        Keeper, "_renew", [("now - renewed >= tier.lease / 3", "False")],
        FAULT["loads of 3.2 leases"], "1", id="leases-are-not-renewed",
    ),
    pytest.param(
        Shared, "_owe", [("tier.owe(debt)", "pass")],
        FAULT["invalidations"], "5", id="a-fence-is-not-owed",
    ),
    pytest.param(
        Tier, "hear", [("function.strike(kind, known[1])", "pass")],
        FAULT["invalidations"], "5", id="news-are-not-heard",
    ),
    pytest.param(
        Shared, "kept", [("until - self.table.timer()", "until")],
        HOT, "0", id="the-store-keeps-it-for-longer",
    ),
    pytest.param(
        Tier, "cut_off", [("function.table.clear()", "pass")],
        replace(FAULT["the store restarts empty"], invalidates=0.2), "5",
        id="who-was-cut-off-goes-on",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "name", "changes", "scenario", "law"), WRONG)
def test_what_is_wrong_is_caught(
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    changes: list[tuple[str, str]],
    scenario: Scenario,
    law: str,
) -> None:
    monkeypatch.setattr(owner, name, wrong(getattr(owner, name), *changes))
    few = replace(scenario, processes=10)
    broken: set[str] = set()
    for seed in range(20):
        broken |= {breach.partition(",")[0] for breach in outcome(few, seed).breaches}
        if law in broken:
            return
    raise AssertionError(f"{law} is not among {broken}")


def test_what_is_found_is_printed_with_its_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Lease, "goes_on", lambda self: False)
    options = ["--quick", "--only", "loads of 3.2 leases", "--seed", "3"]
    assert fleet_simulation.main(options) == 1
    assert "--seed 3 breaks 1, after " in capsys.readouterr().out


def test_the_page_has_a_row_for_all_that_was_played(tmp_path: Path) -> None:
    files = ["--out", str(tmp_path), "--json", str(tmp_path / "all.json")]
    options = ["--quick", "--processes", "4", *files]
    assert fleet_simulation.main(options) == 0
    text = (tmp_path / "fleet-simulation.md").read_text("utf-8")
    for scenario in (*HOT_KEYS, *FAULTS, MANY_KEYS):
        assert f"| {scenario.name} | " in text
    for listed in fleet_simulation.LISTED:
        assert f"| {listed:,} | " in text
    assert "{" not in text
    assert (tmp_path / "all.json").stat().st_size


def test_the_picture_names_every_line(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    groups = list(fleet_simulation.groups([2, 4], [0], True, [one.name for one in HOT_KEYS]))
    for name in ("a.svg", "b.svg"):
        draw(groups, tmp_path / name)
    text = (tmp_path / "a.svg").read_text("utf-8")
    assert all(f">{scenario.name}</text>" in text for scenario in HOT_KEYS)
    assert text == (tmp_path / "b.svg").read_text("utf-8")
    assert page(groups, 256).count("| plain ttl |") == 2
