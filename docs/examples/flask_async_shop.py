"""Flask's async views: each request has an event loop of its own, which ends with it."""

import logging
import os

import httpx
from flask import Flask

from soloflight import cached_singleflight

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
log = logging.getLogger("shop")
stock = os.environ.get("SHOP_STOCK", "http://localhost:8001")  # another service
app = Flask(__name__)


@cached_singleflight(ttl=0.5, stale_while_revalidate=60)
async def load_product(product_id: int) -> dict:
    log.info("product %s is loaded", product_id)
    async with httpx.AsyncClient() as client:  # it belongs to the event loop that loads
        response = await client.get(f"{stock}/products/{product_id}")
    return response.raise_for_status().json()  # the data, not the response


@app.get("/products/<int:product_id>")
async def show(product_id: int) -> dict:
    return await load_product(product_id)
