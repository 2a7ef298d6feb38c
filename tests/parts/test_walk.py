"""The rooms that a call walks through: few moves between them."""

from __future__ import annotations

import pytest

import walk

LIMITS = {
    "miss (threads)": 18,
    "miss (tasks)": 30,  # 24 from Python 3.12 on, where its load takes its first step at once
    "invalidate": 14,
    "put": 24,
    "clear": 18,
    "stale hit": 17,
    "hit": 0,
}
"""The most moves that each kind of call may take. To be lowered where it takes fewer."""


@pytest.mark.parametrize("kind", walk.KINDS)
def test_a_call_moves_no_more_than_it_may(kind: str) -> None:
    walked = walk.KINDS[kind]()
    assert walked.moves <= LIMITS[kind], " > ".join(walked.path)
