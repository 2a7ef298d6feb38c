"""Flask, and SQLAlchemy: a repository is made for each request, and what it loads is shared."""

import logging
from dataclasses import dataclass

from flask import Flask, Response, g, jsonify, request
from sqlalchemy import create_engine, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from soloflight import cached_singleflight

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("shop")
Session = sessionmaker(create_engine("sqlite:///shop.db?timeout=30"))
app = Flask(__name__)


class Base(DeclarativeBase): ...


class Row(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@dataclass(frozen=True)
class Product:
    id: int
    name: str


class Products:
    @cached_singleflight(ttl=300, per_instance=False)  # one cache for all instances
    def get(self, product_id: int) -> Product:
        log.info("product %s is loaded", product_id)
        with Session() as session:
            row = session.get_one(Row, product_id)
            return Product(row.id, row.name)  # plain data: `row` belongs to its session

    def rename(self, product_id: int, name: str) -> None:
        with Session.begin() as session:
            session.execute(update(Row).where(Row.id == product_id).values(name=name))
        self.get.invalidate(product_id)  # after the commit


@app.before_request
def begin() -> None:
    g.products = Products()


@app.get("/products/<int:product_id>")
def show(product_id: int) -> Response:
    return jsonify(g.products.get(product_id))


@app.put("/products/<int:product_id>")
def rename(product_id: int) -> str:
    g.products.rename(product_id, request.args["name"])
    return ""


@app.get("/stats")
def stats() -> Response:
    return jsonify(Products.get.stats())
