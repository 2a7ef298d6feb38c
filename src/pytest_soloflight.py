"""The pytest plugin of soloflight. It imports nothing of it before a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "soloflight_clear",
        "start each test with nothing cached, and fail one that leaves a load in progress",
        type="bool",
        default=False,
    )


@pytest.fixture
def fresh_caches() -> Iterator[None]:
    """Nothing is cached when the test begins, and no load is in progress when it has ended.

    Refreshes have a second to end. Where a load goes on, the test has an error that names it. All
    that this process has cached is dropped then; what a tier has stays there.
    """
    from soloflight.testing import assert_no_flights, clear_local_copies

    clear_local_copies()
    try:
        yield
        assert_no_flights()
    finally:
        clear_local_copies()


@pytest.fixture(autouse=True)
def _soloflight(request: pytest.FixtureRequest) -> None:
    if request.config.getini("soloflight_clear"):
        request.getfixturevalue("fresh_caches")
