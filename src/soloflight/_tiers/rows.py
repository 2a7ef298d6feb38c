"""The steps that a host's tier takes on its file; those that change it, in a transaction.

They are those of `memory.Memory`, and reply alike. `number` is that of the last news.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import leases
from .database import Connection, clock
from .envelope import windows
from .verbs import (
    BEHIND,
    CLEARED,
    DONE,
    ENDED,
    FENCED,
    FRESH,
    INVALIDATED,
    LEAD,
    LOOK,
    PUT,
    REFRESH,
    REFRESHED,
    STALE,
    TOLD,
    WAIT,
    Reply,
)

ROWS = 200
"""Values that are dropped at once: others wait meanwhile."""
NEWS = 10_000
"""News that are kept. Who has missed more than those drops all that it has."""

_VALUE = """
SELECT (SELECT ifnull(max(n), 0) FROM news), until, envelope
FROM (SELECT 1) LEFT JOIN v ON d = ?
"""
_BOTH = """
SELECT (SELECT ifnull(max(n), 0) FROM news), v.until, v.envelope,
       l.token, l.until, l.ended, l.how, l.failures, l.kept
FROM (SELECT 1) LEFT JOIN v ON v.d = ? LEFT JOIN l ON l.d = ?
"""
_ITS = "d = ? AND token = ? AND kept > ?"
"""A lease, while it is its own's."""


class Asked(NamedTuple):
    """What a verb `ask` takes."""

    d: bytes
    token: bytes
    mode: str
    waited: bytes
    seen: bytes


class Lease(NamedTuple):
    """As in `memory`. `left`: the seconds for which the key stays busy."""

    token: bytes = b""
    left: float = 0.0
    ended: bytes = b""
    how: bytes = b""
    failures: int = 0


def value(db: Connection, d: bytes) -> tuple[int, bytes, float]:
    """What there is, and the seconds that it has left."""
    number, until, envelope = db.execute(_VALUE, (d,)).fetchone()
    left = until - clock() if envelope else 0.0
    return (number, envelope, left) if left > 0 else (number, b"", 0.0)


def answer(
    db: Connection, asked: Asked, full: float, lives: Callable[[bytes], bool]
) -> tuple[int, Reply]:
    """What is said to who asks. (A lease is not granted yet by that.)

    `full`: the seconds of a lease; `lives`: whether the process does that has one.
    """
    number, until, envelope, token, busy, ended, how, failures, kept = db.execute(
        _BOTH, (asked.d, asked.d)
    ).fetchone()
    now = clock()
    left = until - now if envelope else 0.0
    lease = Lease()
    if token is not None and now < kept:
        lease = Lease(token, busy - now, ended, how, failures)
    if not left > 0:
        envelope, left = b"", 0.0
    return number, _answer(asked, envelope, left, lease, full, lives)


def _answer(
    asked: Asked,
    envelope: bytes,
    left: float,
    lease: Lease,
    full: float,
    lives: Callable[[bytes], bool],
) -> Reply:
    _, token, mode, waited, seen = asked
    version, swr, tail = windows(envelope)
    fresh = left - tail
    if envelope:
        if version == waited or (fresh > 0 and mode != REFRESH and version != seen):
            return Reply(FRESH, envelope, left)
        if version == seen and mode == LOOK:
            envelope, left = b"", 0.0  # which cannot be read there
    servable = mode == LOOK and envelope and fresh + swr > 0
    if lease.token == token:
        return Reply(LEAD, envelope, left, full, lease.failures)
    if lease.token and lease.left > 0 and lives(lease.token):
        if mode == BEHIND or servable:
            return Reply(STALE, envelope, left, lease.left)
        return Reply(WAIT, lease.token, 0.0, lease.left)
    if lease.ended and lease.ended == waited:
        return Reply(ENDED, lease.how)
    if envelope and mode != REFRESH and not lease.token and lease.left > 0:  # held off
        return Reply(STALE, envelope, left, lease.left)
    if servable and fresh <= 0:
        return Reply(STALE, envelope, left)
    return Reply(LEAD, envelope, left, full, lease.failures)


def lead(db: Connection, asked: Asked, reply: Reply, retain: float) -> None:
    """Grant a lease."""
    until = clock() + reply.lease
    _set_lease(db, asked.d, asked.token, until, b"", b"", reply.failures, until + retain)


def number(db: Connection) -> int:
    """That of the last news."""
    (last,) = db.execute("SELECT ifnull(max(n), 0) FROM news").fetchone()
    return int(last)


def news(db: Connection, heard: int) -> tuple[int, list[Any]]:
    """The number of the last news, and those after the one that was heard: who, what, of what."""
    found = db.execute(
        "SELECT process, kind, d, n FROM news WHERE n > ? ORDER BY n", (heard,)
    ).fetchall()
    return (found[-1][3] if found else number(db)), [row[:3] for row in found]


def generation(db: Connection, f: bytes) -> tuple[int, int]:
    """The number of the last news, and how often a function was cleared."""
    found = db.execute(
        "SELECT (SELECT ifnull(max(n), 0) FROM news), (SELECT n FROM g WHERE f = ?)", (f,)
    ).fetchone()
    return found[0], found[1] or 0


def _set_lease(db: Connection, *lease: Any) -> None:
    db.execute(
        "REPLACE INTO l (d, token, until, ended, how, failures, kept) VALUES (?, ?, ?, ?, ?, ?, ?)",
        lease,
    )


def _set_value(db: Connection, d: bytes, envelope: bytes, keep: float) -> None:
    if keep > 0:
        db.execute(
            "REPLACE INTO v (d, until, envelope) VALUES (?, ?, ?)", (d, clock() + keep, envelope)
        )
    else:
        db.execute("DELETE FROM v WHERE d = ?", (d,))


def _fenced(db: Connection, d: bytes, token: bytes) -> Reply | None:
    """Where a lease is another's, or was dropped: that, and what is there."""
    if db.execute(f"SELECT 1 FROM l WHERE {_ITS}", (d, token, clock())).fetchone():
        return None
    _, envelope, left = value(db, d)
    return Reply(FENCED, envelope, left)


def store(db: Connection, d: bytes, token: bytes, envelope: bytes, keep: float | None) -> Reply:
    fenced = _fenced(db, d, token)
    if fenced is not None:
        return fenced
    if keep is None:
        _set_value(db, d, b"", 0.0)
        _set_lease(db, d, b"", 0.0, token, envelope, 0, clock() + TOLD)
    else:
        _set_value(db, d, envelope, keep)
        db.execute("DELETE FROM l WHERE d = ?", (d,))
    return Reply(DONE)


def fail(db: Connection, d: bytes, token: bytes, text: bytes, hold: float, retain: float) -> Reply:
    fenced = _fenced(db, d, token)
    if fenced is not None:
        return fenced
    now = clock()
    if hold > 0:
        (failures,) = db.execute("SELECT failures FROM l WHERE d = ?", (d,)).fetchone()
        _set_lease(db, d, b"", now + hold, token, text, failures + 1, now + hold + retain)
    else:
        _set_lease(db, d, b"", 0.0, token, text, 0, now + TOLD)
    return Reply(DONE)


def give(db: Connection, d: bytes, token: bytes) -> Reply:
    gone = db.execute(f"DELETE FROM l WHERE {_ITS}", (d, token, clock())).rowcount
    return Reply(DONE if gone else FENCED)


def renew(db: Connection, d: bytes, token: bytes, lease: float, retain: float) -> Reply:
    now = clock()
    there = db.execute(
        f"UPDATE l SET until = ?, kept = ? WHERE {_ITS}",
        (now + lease, now + lease + retain, d, token, now),
    ).rowcount
    return Reply(DONE if there else FENCED)


def renew_all(
    db: Connection, all_of: list[leases.Lease], lease: float, retain: float
) -> list[Reply]:
    return [renew(db, each.d, each.token, lease, retain) for each in all_of]


def drop(db: Connection, process: bytes, kind: str, d: bytes, envelope: bytes, keep: float) -> None:
    if kind == CLEARED:
        db.execute(
            "INSERT INTO g (f, n) VALUES (?, 1) ON CONFLICT (f) DO UPDATE SET n = n + 1", (d,)
        )
    elif kind != REFRESHED:
        db.execute("DELETE FROM l WHERE d = ?", (d,))
        if kind in (PUT, INVALIDATED):
            _set_value(db, d, envelope, keep if kind == PUT else 0.0)
    number = db.execute(
        "INSERT INTO news (process, kind, d) VALUES (?, ?, ?)", (process, kind, d)
    ).lastrowid
    if number and number % 256 == 0:
        db.execute("DELETE FROM news WHERE n <= ?", (number - NEWS,))


def has_expired(db: Connection) -> bool:
    now = clock()
    values = db.execute("SELECT 1 FROM v WHERE until <= ? LIMIT 1", (now,)).fetchone()
    return bool(values or db.execute("SELECT 1 FROM l WHERE kept <= ?", (now,)).fetchone())


def sweep(db: Connection) -> None:
    now = clock()
    db.execute("DELETE FROM l WHERE kept <= ?", (now,))
    db.execute("DELETE FROM v WHERE d IN (SELECT d FROM v WHERE until <= ? LIMIT ?)", (now, ROWS))
