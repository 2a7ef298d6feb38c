"""The documentation: its examples run, its links lead somewhere, it builds without a warning."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import soloflight
from pages import DOCS, ROOT, anchors, included, links, pages, run_examples

HERE = {page.relative_to(DOCS).as_posix(): page for page in pages()}
WITH_README = {**HERE, "README.md": ROOT / "README.md", "CONTRIBUTING.md": ROOT / "CONTRIBUTING.md"}
EXAMPLES = {name for name, page in HERE.items() if "\n```python\n" in page.read_text("utf-8")}
EXAMPLES -= {"develop.md"}  # those are pieces of tests and of the source

each = partial(pytest.mark.parametrize, "name")


@each(sorted(EXAMPLES))
def test_the_examples_of_a_page_run_in_order(name: str, tmp_path: Path) -> None:
    changes = {}
    if "soloflight.tiers" in HERE[name].read_text("utf-8"):
        if sys.platform == "win32":
            pytest.skip("there is no HostTier on Windows")
        pytest.importorskip("msgspec", reason="msgspec has no wheel for this Python")
        changes = {"/run/shop/soloflight": str(tmp_path)}
    assert run_examples(HERE[name], **changes) > 0


@each(sorted(WITH_README))
def test_no_link_of_a_page_is_dead(name: str) -> None:
    page = WITH_README[name]
    dead = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        there = target.exists()
        if there and anchor and target.suffix == ".md":
            there = anchor in anchors(target)
        if not there:
            dead.append(link)
    assert dead == []


@each(sorted(HERE))
def test_what_a_page_shows_of_other_files_is_there(name: str) -> None:
    page = HERE[name]
    assert [file for file in included(page) if not (page.parent / file).is_file()] == []


def build(docs: Path, site: Path) -> tuple[int, str]:
    """Build a site; the exit code, and the warnings, which are errors."""
    for needed in ("sphinx", "furo", "myst_parser", "msgspec", "prometheus_client", "redis"):
        if find_spec(needed) is None:
            pytest.skip(f"there is no {needed}, and the site is built with it, or tells of it")
    paths = f"import sys; sys.path[:0] = {[str(Path(soloflight.__file__).parents[1])]!r}"
    arguments = ["-qW", "--keep-going", "-d", f"{site}-trees", str(docs), str(site)]
    built = f"from sphinx.cmd.build import main; sys.exit(main({arguments!r}))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{paths}; {built}"],
        capture_output=True, text=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    assert build(DOCS, tmp_path / "site") == (0, "")
    assert "load_user" in (tmp_path / "site/index.html").read_text("utf-8")


def test_a_dead_link_is_an_error_and_one_to_the_sources_is_not(tmp_path: Path) -> None:
    for folder in ("_extensions", "_static"):
        shutil.copytree(DOCS / folder, tmp_path / "docs" / folder)
    shutil.copy(DOCS / "conf.py", tmp_path / "docs")
    for file in ("README.md", "setup.py", "tests/README.md"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    dead = ["none.md", "index.md#none", "../none.md", "../none.py", "#none"]
    alive = ["page.md", "page.md#it", "../README.md", "../README.md#it", "../setup.py"]
    alive += ["../tests/", "../tests", "_static"]  # folders
    written = "# It\n\n- [Another](page.md)\n\n" + " ".join(f"[x]({link})" for link in alive)
    (tmp_path / "docs/index.md").write_text(written, encoding="utf-8")
    (tmp_path / "docs/page.md").write_text("# It\n", encoding="utf-8")
    assert build(tmp_path / "docs", tmp_path / "site") == (0, "")
    assert len(list(tmp_path.glob("site/_downloads/*/*"))) == 2

    written += "".join(f"\n\n[x]({link})" for link in dead)
    (tmp_path / "docs/index.md").write_text(written, encoding="utf-8")
    code, warnings = build(tmp_path / "docs", tmp_path / "site")
    assert code != 0
    lines = [int(line) for line in re.findall(r"index\.md:(\d+): WARNING", warnings)]
    assert lines == [7 + 2 * n for n in range(len(dead))]


@pytest.mark.parametrize("module", ["soloflight", "soloflight.tiers", "soloflight.testing"])
def test_every_public_name_is_in_the_reference(module: str) -> None:
    reference = (DOCS / "reference.md").read_text("utf-8")
    told = set()
    for part in re.split(r"(?:current|auto)module:: ", reference)[1:]:
        if part.partition("\n")[0] == module:
            told |= set(re.findall(r"(?m)^\.\. auto\w+:: (\w+)$", part))
    assert set(import_module(module).__all__) - told == set()


GUARANTEES = (DOCS / "guarantees.md").read_text("utf-8")
PROMISES = re.split(r"^## ", GUARANTEES, flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.partition("\n")[0])
def test_a_promise_has_tests_that_show_it(promise: str) -> None:
    said = promise.partition("<summary>Shown by</summary>\n\n")[2].partition("\n\n</details>")[0]
    shown_by = [re.fullmatch(r"- `(tests/[\w/]+\.py)::(\w+)`", line) for line in said.split("\n")]
    for line in shown_by:
        assert line
        source = (ROOT / line[1]).read_text("utf-8")
        assert re.search(rf"^(async )?def {line[2]}\(", source, re.MULTILINE), line[2]


def test_the_promises_are_numbered_as_the_tests_number_them() -> None:
    table = (DOCS / "develop.md").read_text("utf-8").partition("\n## The laws\n")[2]
    numbers = {int(number) for number in re.findall(r"\| (\d+) \|", table.partition("\n## ")[0])}
    told = [int(n) for n in re.findall(r"^(\d+)\. ", "\n".join(PROMISES), re.MULTILINE)]
    assert told == sorted(numbers) == list(range(1, 19))
