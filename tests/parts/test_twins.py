"""Twins: files that test the same in the world of threads and in that of tasks, in other words.

What can be said in the same words is one test, on the fixture `world`. What only one world has is
in a file of its own, such as `test_turnstile` and `test_task_loads`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def names_in(file: str) -> list[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = ast.FunctionDef, ast.AsyncFunctionDef
    names = [node.name for node in tree.body if isinstance(node, functions)]
    return [name for name in names if name.startswith("test_")]


@pytest.mark.parametrize("twins", [("worlds/test_threads.py", "worlds/test_tasks.py")])
def test_twins_have_the_same_tests_in_the_same_order(twins: tuple[str, str]) -> None:
    in_threads, in_tasks = map(names_in, twins)
    assert in_threads == in_tasks
