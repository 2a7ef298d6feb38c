"""All cases: the laws that users would notice, as black-box tests.

A case is a function of a world that raises an AssertionError where a law is broken and a `Hang`
where somebody is left waiting. It waits for events and looks at what comes out. Time passes only
where a ttl must (`World.pass_time`), because not every library lets its clock be set, and where
callers settle (`World.settle`), because who waits inside a black box cannot be seen.
"""

from __future__ import annotations

import cases_calls
import cases_changes
import cases_failures
import cases_leaving
import cases_loads
import cases_stale
import kit

__all__ = [
    "CASES",
    "cases_calls",
    "cases_changes",
    "cases_failures",
    "cases_leaving",
    "cases_loads",
    "cases_stale",
]

CASES = sorted(kit.CASES, key=lambda case: case.law)
