"""The documentation: its examples run, its links lead somewhere, it builds without a warning."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
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


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for needed in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(needed, reason="the documentation is built with Sphinx")
    for needed in ("msgspec", "redis"):
        pytest.importorskip(needed, reason="the reference is made from what is imported")
    paths = f"import sys; sys.path[:0] = {[str(Path(soloflight.__file__).parents[1])]!r}"
    trees, site = tmp_path / "trees", tmp_path / "site"
    arguments = ["-qW", "--keep-going", "-d", str(trees), str(DOCS), str(site)]
    build = f"from sphinx.cmd.build import main; sys.exit(main({arguments!r}))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{paths}; {build}"],
        capture_output=True, text=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "load_user" in (site / "index.html").read_text("utf-8")
