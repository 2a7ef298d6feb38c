"""The examples of the README and of the docstrings run."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

import soloflight
from pages import ROOT, run_examples
from soloflight import Group, cached_singleflight, singleflight


def test_the_examples_of_the_readme_run_in_order(tmp_path: Any) -> None:
    pytest.importorskip("fcntl", reason="there is no HostTier on Windows")
    pytest.importorskip("msgspec", reason="msgspec has no wheel for this Python")
    assert run_examples(ROOT / "README.md", **{"/run/shop/soloflight": str(tmp_path)}) > 5


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
