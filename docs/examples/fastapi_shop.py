"""FastAPI, and SQLAlchemy with asyncio: a loader opens a session of its own."""

import logging
from dataclasses import dataclass

from fastapi import FastAPI, HTTPException
from sqlalchemy import update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from soloflight import Stats, cached_singleflight

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("shop")
Session = async_sessionmaker(create_async_engine("sqlite+aiosqlite:///shop.db?timeout=30"))
app = FastAPI()


class Base(DeclarativeBase): ...


class Row(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@dataclass(frozen=True)
class Product:
    id: int
    name: str


@cached_singleflight(ttl=300, stale_while_revalidate=60, error_ttl={LookupError: 5})
async def load_product(product_id: int) -> Product:
    log.info("product %s is loaded", product_id)
    async with Session() as session:
        row = await session.get(Row, product_id)
    if row is None:
        raise LookupError(product_id)
    return Product(row.id, row.name)  # plain data: `row` belongs to its session


@app.get("/products/{product_id}")
async def show(product_id: int) -> Product:
    try:
        return await load_product(product_id)
    except LookupError:
        raise HTTPException(404) from None


@app.put("/products/{product_id}")
async def rename(product_id: int, name: str) -> None:
    async with Session.begin() as session:
        await session.execute(update(Row).where(Row.id == product_id).values(name=name))
    load_product.invalidate(product_id)  # after the commit


@app.get("/stats")
async def stats() -> Stats:
    return load_product.stats()
