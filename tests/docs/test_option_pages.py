"""docs/options: each option has its place, and each count is named where it is explained."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest

from soloflight import Stats, cached_singleflight, singleflight

ROOT = Path(__file__).parents[2]
OPTIONS = ROOT / "docs/options"
INDEX = (OPTIONS / "index.md").read_text("utf-8")


def options_of(decorator: Callable[..., Any]) -> list[str]:
    parameters = signature(decorator).parameters.values()
    return [p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY]


@pytest.mark.parametrize("option", options_of(cached_singleflight))
def test_an_option_has_a_heading_and_a_row(option: str) -> None:
    pages = [
        page for page in OPTIONS.glob("*.md") if f"\n## `{option}`\n" in page.read_text("utf-8")
    ]
    assert len(pages) == 1, option
    (row,) = re.findall(rf"(?m)^\| \[`{option}`\]\((.*)$", INDEX)
    assert row.startswith(f"{pages[0].name}#{option})")
    assert row.endswith("| ✓ |") == (option in options_of(singleflight))


def test_there_is_no_option_that_there_is_not() -> None:
    rows = re.findall(r"(?m)^\| \[`(\w+)`\]", INDEX)
    assert sorted(rows) == sorted(options_of(cached_singleflight))


@pytest.mark.parametrize("count", [field.name for field in fields(Stats)])
def test_a_count_is_explained(count: str) -> None:
    pages = [*OPTIONS.glob("*.md"), ROOT / "docs/operating.md"]
    assert any(f"`{count}`" in page.read_text("utf-8") for page in pages)
