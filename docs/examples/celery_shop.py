"""Celery: tasks call a loader, and a tier makes one load for all processes of the worker."""

import os
from sqlite3 import connect

from celery import Celery
from celery.utils.log import get_task_logger

from soloflight import cached_singleflight
from soloflight.tiers import HostTier

log = get_task_logger(__name__)
url = os.environ.get("SHOP_BROKER", "redis://localhost")
app = Celery("shop", broker=url, backend=url)
tier = HostTier("run/soloflight")  # a folder on a local disk, the same for all processes


@cached_singleflight(ttl=300, tier=tier)
def load_names() -> dict[int, str]:
    log.info("names are loaded")
    database = connect("shop.db", timeout=30)
    try:
        return dict(database.execute("SELECT id, name FROM products").fetchall())
    finally:
        database.close()


@app.task
def label(product_id: int) -> str:
    return f"{load_names()[product_id]} (no. {product_id})"


@app.task
def rename(product_id: int, name: str) -> None:
    database = connect("shop.db", timeout=30)
    try:
        with database:
            database.execute("UPDATE products SET name = ? WHERE id = ?", (name, product_id))
    finally:
        database.close()
    load_names.invalidate()  # after the commit; in all processes
