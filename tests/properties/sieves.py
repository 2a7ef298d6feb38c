"""What must hold of a `Sieve` at every step: the invariants at the head of its module."""

from __future__ import annotations

from typing import Any

from soloflight._entries.index import Index, Scoped
from soloflight._entries.sieve import Sieve
from soloflight._runners import me


def queue(sieve: Sieve) -> list[Any]:
    """Its entries, from old to new; the links must say the same in both directions."""
    nodes, node = [], sieve.root.newer
    while node is not sieve.root:
        assert node is not None, "the ring is broken"
        assert node.older.newer is node
        nodes.append(node)
        node = node.newer
    back, node = [], sieve.root.older
    while node is not sieve.root:
        back.append(node)
        node = node.older
    assert back == nodes[::-1]
    return nodes


def check(sieve: Sieve, *indexes: Index) -> list[Any]:
    """That it is whole; `indexes` are all that there are. Returns its queue."""
    nodes = queue(sieve)
    linked = set(map(id, nodes))
    assert len(linked) == len(nodes) == sieve.count
    assert sum(node.size for node in nodes) == sieve.total
    for at in (sieve.hand, sieve.finger):
        assert at is sieve.root or id(at) in linked
    for index in (sieve.index, *sieve.dead, *indexes):
        for short, node in list(dict.items(index)):
            assert id(node) in linked, "what is in an index is in the queue"
            key = node.key if type(node.key) is Scoped else (sieve.index, node.key)
            assert key[0] is index
            assert key[1] == short
    return nodes


def rests(sieve: Sieve, *indexes: Index) -> int:
    """That it is whole, and nobody is at it. Returns how many of its entries nobody sees."""
    nodes = check(sieve, *indexes)
    assert sieve.total <= sieve.maxsize
    assert not me.local.thread.dropped
    everything = (sieve.index, *sieve.dead, *indexes)
    seen = {id(node) for index in everything for node in dict.values(index)}
    return len(nodes) - len(seen)
