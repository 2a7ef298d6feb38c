"""Processes that hear from PostgreSQL what others have written: docs/invalidation.md."""

from __future__ import annotations

import os
import threading
import time

import psycopg

from soloflight import cached_singleflight


@cached_singleflight(ttl=300)
def load_user(user_id: int) -> str:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT name FROM users WHERE id = %s", (user_id,)).fetchone()
    assert row is not None
    return str(row[0])


# [write]
def rename_user(user_id: int, name: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("UPDATE users SET name = %s WHERE id = %s", (name, user_id))
        connection.execute("SELECT pg_notify('users', %s)", (str(user_id),))
    load_user.invalidate(user_id)  # here, at once; everywhere else PostgreSQL tells, at commit


def listen() -> None:
    while True:
        try:
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as news:
                news.execute("LISTEN users")
                load_user.clear()  # what was said before this moment was not heard
                for message in news.notifies():
                    load_user.invalidate(int(message.payload))
        except psycopg.OperationalError:
            time.sleep(1)


# [start]
def start() -> None:
    """In each process, after a fork."""
    threading.Thread(target=listen, name="listen", daemon=True).start()
