"""What strikes from outside: entries are dropped, and flights are fenced.

A flight goes first, and once more at last. First: it must not land where user code that runs in
here gives up the lock. Last: a claim takes no lock, and one that came between would find the old
entry and hand it to those who follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from .._entries.entry import Entry
from .._entries.index import Index
from .._locks import critical
from .._outcome import Value
from .table import FlightTable


def invalidate(table: FlightTable, key: Hashable) -> bool:
    """Drop the entry of `key` and fence its flight; whether there was either."""
    fenced, entry = critical(table.lock, _invalidate, table, key)
    return fenced or entry is not None  # the entry is released here, outside the lock


def _invalidate(table: FlightTable, key: Hashable) -> tuple[bool, Entry[Any] | None]:
    assert table.shelf is not None
    fenced = table.take_off(key) is not None
    try:
        entry = table.shelf.drop(key)
        table.shelf.tidy()
    finally:
        fenced = table.take_off(key) is not None or fenced
    return fenced, entry


def put(table: FlightTable, key: Hashable, value: Value[Any]) -> None:
    """Fence the flight of `key` and store an entry; a bare value only displaces the old."""
    old = critical(table.lock, _put, table, key, value)
    del old  # released outside the lock


def _put(table: FlightTable, key: Hashable, value: Value[Any]) -> Entry[Any] | None:
    shelf = table.shelf
    assert shelf is not None
    table.take_off(key)
    try:
        old = shelf.drop(key)
        if isinstance(value, Entry) and (shelf.ttu is None or shelf.limit(key, value)):
            shelf.store(key, value)
        else:
            shelf.tidy()
    finally:
        table.take_off(key)
    return old


def clear(
    table: FlightTable,
    belongs: Callable[[Hashable], bool] | None = None,
    index: Index | None = None,
) -> None:
    """Drop every entry and fence every flight; `belongs`: of these keys, in this index."""
    if belongs is None:
        critical(table.lock, _clear, table)
    else:
        old = critical(table.lock, _clear_some, table, belongs, index)
        del old  # released outside the lock


def _clear(table: FlightTable) -> None:
    assert table.shelf is not None
    table.take_all_off()
    try:
        table.shelf.clear()
    finally:
        table.take_all_off()


def _clear_some(
    table: FlightTable, belongs: Callable[[Hashable], bool], index: Index | None
) -> list[Entry[Any] | None]:
    shelf = table.shelf
    assert shelf is not None
    _take_off(table, belongs)
    try:
        old = [shelf.drop(key) for key in shelf.keys(index) if belongs(key)]
        shelf.tidy()
        return old
    finally:
        _take_off(table, belongs)


def _take_off(table: FlightTable, belongs: Callable[[Hashable], bool]) -> None:
    for flight in table.flights:
        if belongs(flight.key):
            table.fence(flight)
