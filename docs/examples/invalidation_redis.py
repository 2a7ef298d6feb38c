"""Processes that tell each other through Redis what they have written: docs/invalidation.md."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing

import redis

from soloflight import cached_singleflight

messages = redis.Redis.from_url(os.environ["REDIS_URL"], socket_keepalive=True)


@cached_singleflight(ttl=300)
def load_user(user_id: int) -> str:
    with closing(sqlite3.connect(os.environ["DATABASE"])) as connection:
        (name,) = connection.execute("SELECT name FROM users WHERE id = ?", (user_id,)).fetchone()
    return str(name)


# [write]
def rename_user(user_id: int, name: str) -> None:
    with closing(sqlite3.connect(os.environ["DATABASE"])) as connection, connection:
        connection.execute("UPDATE users SET name = ? WHERE id = ?", (name, user_id))
    load_user.invalidate(user_id)  # here, at once
    messages.publish("users", user_id)  # everywhere else, soon


def listen() -> None:
    while True:
        try:
            with messages.pubsub() as news:
                news.subscribe("users")
                for message in news.listen():
                    if message["type"] == "subscribe":
                        load_user.clear()  # what was said before this moment was not heard
                    else:
                        load_user.invalidate(int(message["data"]))
        except redis.ConnectionError:
            time.sleep(1)


# [start]
def start() -> None:
    """In each process, after a fork."""
    threading.Thread(target=listen, name="listen", daemon=True).start()
