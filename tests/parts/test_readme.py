"""The examples of the README and of the docstrings run."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import soloflight
from soloflight import Group, cached_singleflight, singleflight

ROOT = Path(__file__).parents[2]


def run_examples(page: Path, **changes: str) -> int:
    """Run the examples of a page, one after the other; how many there are."""
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "__main__"}
    blocks = list(re.finditer(r"```python\n(.*?)```", text, re.DOTALL))
    for block in blocks:
        source = "\n" * text.count("\n", 0, block.start(1)) + block[1]
        for written, here in changes.items():
            source = source.replace(written, here)
        exec(compile(source, str(page), "exec", dont_inherit=True), namespace)
    return len(blocks)


def test_the_examples_of_the_readme_run_in_order(tmp_path: Any) -> None:
    pytest.importorskip("fcntl", reason="there is no HostTier on Windows")
    pytest.importorskip("msgspec", reason="msgspec has no wheel for this Python")
    assert run_examples(ROOT / "README.md", **{"/run/shop/soloflight": str(tmp_path)}) > 5


@pytest.mark.skipif(sys.platform == "win32", reason="there is no HostTier on Windows")
def test_the_example_of_the_tiers_runs(tmp_path: Path) -> None:
    pytest.importorskip("msgspec", reason="msgspec has no wheel for this Python")
    assert run_examples(ROOT / "docs/tiers.md", **{"/run/shop/soloflight": str(tmp_path)}) == 1


@pytest.mark.parametrize(
    "thing",
    [soloflight, singleflight, cached_singleflight, Group, Group.submit],
    ids=lambda thing: thing.__name__,
)
def test_the_examples_of_the_docstrings_run(thing: Any) -> None:
    names = vars(soloflight).copy()
    (examples,) = doctest.DocTestFinder(recurse=False).find(thing, module=False, globs=names)
    assert examples.examples
    assert doctest.DocTestRunner().run(examples).failed == 0
