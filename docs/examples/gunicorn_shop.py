"""Flask in many processes: a tier makes one load of what each of them would load for itself."""

import logging
import os
from sqlite3 import connect

from flask import Flask

from soloflight import cached_singleflight
from soloflight.tiers import HostTier

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("shop")
app = Flask(__name__)
tier = HostTier("run/soloflight")  # a folder on a local disk, the same for all processes


@cached_singleflight(ttl=300, stale_while_revalidate=60, tier=tier)
def load_names() -> dict[int, str]:  # the annotation says how it is read from the tier
    log.info("names are loaded")
    database = connect("shop.db", timeout=30)
    try:
        return dict(database.execute("SELECT id, name FROM products").fetchall())
    finally:
        database.close()


@app.get("/names")
def names() -> dict[str, object]:
    return {"names": load_names(), "process": os.getpid()}


@app.get("/cached")
def cached() -> dict[str, object]:
    return {"cached": load_names.peek() is not None, "process": os.getpid()}


@app.delete("/names")
def drop() -> str:
    load_names.invalidate()  # in all processes
    return ""
