"""Flask's async views: each request has an event loop of its own, which ends with it."""

import logging

import aiosqlite
from flask import Flask

from soloflight import cached_singleflight

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
log = logging.getLogger("shop")
app = Flask(__name__)


@cached_singleflight(ttl=0.5, stale_while_revalidate=60)
async def load_product(product_id: int) -> dict:
    log.info("product %s is loaded", product_id)
    async with aiosqlite.connect("shop.db", timeout=30) as database:  # of the loop that loads
        select = "SELECT name FROM products WHERE id = ?"
        async with database.execute(select, [product_id]) as rows:
            (name,) = await rows.fetchone()
    return {"id": product_id, "name": name}


@app.get("/products/<int:product_id>")
async def show(product_id: int) -> dict:
    return await load_product(product_id)
