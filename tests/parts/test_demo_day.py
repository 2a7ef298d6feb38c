"""One bad day of the demo: run for real but small, its charts, and the pages that show one."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import re
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("rich", reason='the demo needs its extra: pip install "soloflight[demo]"')
pytest.importorskip("matplotlib", reason='the demo needs its extra: pip install "soloflight[demo]"')

from soloflight.__main__ import main
from soloflight.demo import _chart, _day, _figures, _measure, _origin, _pages, _progress, _schemes
from soloflight.demo._load import Read
from soloflight.demo._origin import HOT_KEY, Call, Origin
from soloflight.demo._settings import DAY, Settings

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
SMALL = "demo", "--clients", "20", "--seconds", "3", "--ttl", "0.15"
FILES = [*(f"day-{n}.svg" for n in range(1, 6)), "herd.svg", "day.json"]


class Run(NamedTuple):
    code: int
    out: str
    err: str
    folder: Path

    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "day.json").read_text("utf-8"))
        return content

    def figures(self) -> list[dict[str, Any]]:
        schemes: list[dict[str, Any]] = self.content()["schemes"]
        return schemes

    def log(self) -> list[list[dict[str, Any]]]:
        """The origin's log of each step, from a file that has it."""
        content = json.loads((self.folder / "figures.json").read_text("utf-8"))
        return [scheme["origin_log"] for scheme in content["schemes"]]


def run(folder: Path, *options: str) -> Run:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            patch.delenv(name, raising=False)
        try:
            code = main([*SMALL, *options])
        except SystemExit as exit:
            code = int(exit.code or 0)
    return Run(code, out.getvalue(), err.getvalue(), folder)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One day from beginning to end, shared by the tests that only look at it."""
    folder = tmp_path_factory.mktemp("day")
    return run(folder, "--day", str(folder), "--json", str(folder / "figures.json"))


class Chart:
    """What someone gets of a chart who searches it or has it read out."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text("utf-8")
        self.root = ElementTree.fromstring(self.text)
        self.lines = ["".join(each.itertext()) for each in self.root.iter(f"{SVG}text")]
        self.size = float(self.root.get("width") or 0), float(self.root.get("height") or 0)

    def shapes(self, kind: str) -> list[str]:
        paths = self.root.iter(f"{SVG}path")
        return [path.get("d") or "" for path in paths if path.get("class") == kind]


# What a day shows


def test_a_day_ends_well_and_says_so(day: Run) -> None:
    assert day.code == 0, day.err
    names = [step.name for step in _day.STEPS]
    assert day.err.splitlines() == [
        f"{n}/5 {name}, asyncio, 3 s" for n, name in enumerate(names, 1)
    ]
    written = [f"{day.folder / name} written" for name in FILES]
    assert [line for line in day.out.splitlines() if line in written] == written
    assert day.out.splitlines()[-1].startswith("limits, asyncio: every request was answered, ")


def test_each_option_makes_the_day_calmer(day: Run) -> None:
    none, single, stale, if_error, limits = day.figures()
    assert none["calls_per_expiry_while_well"] != single["calls_per_expiry_while_well"] == "1"
    assert none["calls"] > 2 * single["calls"]
    assert none["at_once"] > 5 > single["at_once"] == 1
    for each in none, single:
        assert each["no_answer"] > 1.5 * stale["no_answer"] > 0
    assert single["in_error"] > stale["in_error"] > if_error["in_error"] == limits["in_error"] == 0
    assert none["failed"] and single["failed"] and stale["failed"]
    assert if_error["failed"] == if_error["too_soon"] == 0 < if_error["failed_calls"]
    assert limits["failed"] == limits["too_soon"] == 0 < limits["failed_calls"]


def test_with_limits_one_load_that_hangs_does_not_keep_the_others_from_loading(day: Run) -> None:
    hangs, well = Settings(seconds=3.0, day=True).hang
    *_, if_error, limits = day.log()

    def hung(log: list[dict[str, Any]]) -> int:
        return sum(hangs <= call["start"] < well <= call["end"] for call in log)

    assert hung(if_error) == 1
    assert 2 <= hung(limits) <= 3  # two that were given up, and one more


def test_the_origin_fails_and_hangs_when_it_is_told_to(day: Run) -> None:
    settings = Settings(seconds=3.0, day=True)
    (fails, again), (hangs, well) = settings.outage, settings.hang
    for log in day.log():
        for call in log:
            assert call["failed"] == (fails <= call["start"] < again)
            if hangs <= call["start"] < well:
                assert call["end"] >= well


def test_the_tables_of_a_day_fit_a_terminal_of_80_columns(day: Run) -> None:
    tables = day.out.split(" written")[0].rpartition("\n")[0]
    assert "and hangs from 2 to 2.5 s" in " ".join(tables.split())
    assert max(map(len, tables.splitlines())) <= 80
    for name, meaning in _schemes.DAY_MEANINGS.items():
        assert f"{name} {meaning}" in " ".join(tables.split())


def test_the_table_in_markdown_has_a_row_for_each_step(day: Run) -> None:
    table = _pages.table(day.content())
    assert table in day.out
    assert re.findall(r"^\| (\d\. [\w ]+) \|", table, re.MULTILINE) == [
        f"{n}. {step.name}" for n, step in enumerate(_day.STEPS, 1)
    ]
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_json_of_a_day_has_what_was_measured_and_no_log(day: Run) -> None:
    content = day.content()
    assert content["parameters"]["day"] is True
    assert content["parameters"]["clients"] == 20
    assert [each["code"] for each in content["schemes"]] == [
        "no protection: a TTL cache",
        "@cached_singleflight(ttl=0.15)",
        "+ stale_while_revalidate=0.3",
        "+ stale_if_error=3600, retry_after=(0.03, 0.15)",
        "+ wait_timeout=0.1, max_flight_age=0.2",
    ]
    assert not any("origin_log" in each for each in content["schemes"])


# Its charts


def charts(folder: Path) -> list[Chart]:
    return [Chart(folder / name) for name in FILES[:5]]


@pytest.mark.parametrize("place", ["a run", "docs"])
def test_the_charts_have_the_same_axes(day: Run, place: str) -> None:
    (first, *others) = charts(day.folder if place == "a run" else ROOT / "docs")
    for other in others:
        assert other.size == first.size
        assert other.shapes("line") == first.shapes("line")
        assert other.shapes("limit") == first.shapes("limit")
        assert [each.attrib for each in other.root.iter(f"{SVG}rect")] == [
            each.attrib for each in first.root.iter(f"{SVG}rect")
        ]


def test_a_chart_says_what_is_new_and_what_came_of_it(day: Run) -> None:
    for n, (chart, each) in enumerate(zip(charts(day.folder), day.figures(), strict=True), 1):
        assert f"{n}. {each['code']}" in chart.lines
        assert {"fails", "hangs", "clients without an answer"} <= {*chart.lines}
        assert f"{each['calls']:,} calls, {each['failed_calls']:,} failed" in chart.lines
        assert f"{each['no_answer'] / each['seconds']:.1%} of the time" in chart.lines
        assert len(chart.shapes("failed")) == (2 if each["in_error"] else 1)


@pytest.mark.parametrize("name", FILES[:-1])
def test_a_chart_can_be_read_in_the_dark_on_a_phone_and_out_loud(day: Run, name: str) -> None:
    chart = Chart(day.folder / name)
    assert "prefers-color-scheme: dark" in chart.text
    ground = next(chart.root.iter(f"{SVG}rect"))
    assert (ground.get("class"), ground.get("height")) == ("ground", chart.root.get("height"))
    width, _ = chart.size
    (size,) = re.findall(r"text \{ font: (\d+)px", chart.text)
    assert int(size) * 360 / width > 10  # on the screen of a phone
    label, described = (
        next(each.text for each in chart.root if each.get("id") == chart.root.get(f"aria-{role}"))
        for role in ("labelledby", "describedby")
    )
    assert label
    assert "20 clients" in (described or "")


def test_the_chart_of_the_herd_has_one_number_for_each_side(day: Run) -> None:
    without, protected, *_ = day.figures()
    chart = Chart(day.folder / "herd.svg")
    assert chart.lines.index("without") < chart.lines.index("with soloflight")
    big = [text for text in chart.root.iter(f"{SVG}text") if text.get("class") == "big"]
    numbers = [each["calls_per_expiry_while_well"] for each in (without, protected)]
    assert [text.text for text in big] == numbers
    assert float(numbers[0]) > 5
    assert numbers[1] == "1"


def test_a_line_is_cut_where_it_is_at_nought() -> None:
    panel = _chart.Panel(0, 0, 100, 10, seconds=10.0, most=4)
    steps = [(0.0, 0), (1.0, 2), (2.0, 4), (3.0, 0), (4.0, 0), (8.0, 1), (11.0, 0)]
    (line,) = panel.fill(steps, "some")
    assert 'd="M10.0 10.0H10.0V5.0H20.0V0.0H30.0V10.0M80.0 10.0H80.0V7.5H100.0V10.0"' in line
    assert not [*panel.fill([(0.0, 0)], "some")]


def test_a_small_number_is_drawn_larger_by_its_root() -> None:
    panel = _chart.Panel(0, 0, 100, 10, seconds=10.0, most=4, root=True)
    assert [panel.y(value) for value in (0, 1, 4)] == [10, 5, 0]


def test_of_what_cannot_be_told_apart_a_chart_has_the_highest_and_the_last() -> None:
    steps = [(0.0, 0), (0.1, 2), (0.2, 9), (0.3, 4), (1.5, 3), (2.1, 2), (2.2, 0)]
    assert _chart.visible(steps, 1.0) == [(0.0, 9), (0.3, 4), (1.5, 3), (2.1, 2), (2.2, 0)]


# The origin that hangs


def test_an_origin_that_hangs_answers_when_that_is_over(tmp_path: Path) -> None:
    _origin._create(tmp_path / "origin.sqlite")
    server = _origin._Server(0, tmp_path / "origin.sqlite", capacity=2, cost=0.0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        origin = Origin(server.server_address[1])
        now = time.monotonic()
        origin.hang(now, now + 0.5)
        assert asyncio.run(_schemes.fetch_async(origin, HOT_KEY)).version == 1
        assert _schemes.fetch(origin, HOT_KEY).version == 2
        first, second = origin.calls()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert first.start < now + 0.5 <= first.end <= second.start
    assert not first.failed


# What cannot be done


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--day", f"{os.devnull}/day"], "cannot make the folder"),
        (["--day", "{}", "--out", "{}/picture.svg"], "pictures of its own"),
        (["--day", "{}", "--processes", "2"], "no processes"),
        (["--day", "{}", "--seconds", "2"], "too short"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_runs(
    tmp_path: Path, options: list[str], complaint: str
) -> None:
    made = run(tmp_path, *(option.format(tmp_path) for option in options))
    assert made.code == 2
    (line,) = made.err.splitlines()
    assert complaint in line
    assert not list(tmp_path.iterdir())


def test_what_was_measured_of_a_day_that_was_cut_short_makes_no_charts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would not go with those that may be there, of another day."""

    def gone(self: Origin) -> list[Call]:
        raise _origin.OriginError("the origin went away")

    begin: Callable[..., None] = _progress.Live.begin

    def second(self: _progress.Live, name: str, seconds: float) -> None:
        begin(self, name, seconds)
        if name.startswith("singleflight"):
            monkeypatch.setattr(Origin, "calls", gone)

    monkeypatch.setattr(_progress.Live, "begin", second)
    made = run(tmp_path, "--day", str(tmp_path))
    assert made.code == 2
    assert "4 of 5 schemes are missing" in made.out
    assert "the origin went away" in made.err
    assert not list(tmp_path.iterdir())


def test_a_chart_that_cannot_be_written_in_the_end_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a day of which the results are there, and a folder in the way of a chart
    seen = _figures.Run(3.0, (Call(-0.1, -0.1, 0.0, 1, False),), (Read(0.5, 0.0, 1),), (), 0)
    figures = _figures.evaluate(seen, Settings(seconds=3.0, day=True))
    results = [_measure.Result(step, seen, figures) for step in _day.STEPS]

    def measured(*_: object) -> list[_measure.Result]:
        (tmp_path / "day-2.svg").mkdir()
        return results

    monkeypatch.setattr(_measure, "measure", measured)
    made = run(tmp_path, "--day", str(tmp_path))
    assert made.code == 2
    problem = os.strerror(errno.EACCES if os.name == "nt" else errno.EISDIR)
    assert f"cannot write {tmp_path / 'day-2.svg'}: {problem}" in made.err
    assert (tmp_path / "day-1.svg").is_file()
    assert "| 5. limits |" in made.out


# The pages


def test_the_page_shows_the_figures_of_the_day_in_the_repository() -> None:
    content = json.loads((ROOT / "docs/day.json").read_text("utf-8"))
    page = (ROOT / "docs/ten-minutes.md").read_text("utf-8")
    assert content["parameters"]["seconds"] == DAY
    assert _pages.table(content) in page
    for n, each in enumerate(content["schemes"], 1):
        assert f"](day-{n}.svg)" in page
        assert f"{n}. {each['code']}" in Chart(ROOT / f"docs/day-{n}.svg").lines
        for option in re.findall(r"\w+=(?:\([^)]*\)|[\d.]+)", each["code"]):
            assert option in page


def test_the_readme_shows_the_number_of_that_day() -> None:
    without, protected, *_ = json.loads((ROOT / "docs/day.json").read_text("utf-8"))["schemes"]
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert protected["calls_per_expiry_while_well"] == "1"
    assert f"{without['calls_per_expiry_while_well']} calls" in readme
    assert "](docs/herd.svg)" in readme
