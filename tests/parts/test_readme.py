"""The examples of the README and of the docstrings run."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

import soloflight
from soloflight import Group, cached_singleflight, singleflight

README = Path(__file__).parents[2] / "README.md"


def test_the_examples_of_the_readme_run_in_order() -> None:
    text = README.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"```python\n(.*?)```", text, re.DOTALL))
    assert len(blocks) > 5
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        source = "\n" * line + block[1]
        exec(compile(source, str(README), "exec", dont_inherit=True), namespace)


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
