"""The queue of the default cache: what stays, and who goes.

SIEVE (Zhang et al., NSDI 2024): one queue in the order of insertion; a hit marks its entry; a hand
goes from old to new, unmarks what is marked, and the first that is not has to go. A hit moves
nothing, so it takes no lock.

Alone it misses every call of a loop that is larger than the cache, and where the hand settles at
the young end it takes newcomers before their second call. So there is one rule more. A *ghost*
remembers what has gone lately: a hash and a number, no key. A key that comes back after a shorter
time than entries lie unused comes in marked. And usually the hand decides who goes, but with a
chance, which the same returns steer, the newest goes, if nobody has asked for it: so a loop keeps
a part of itself.

An entry is a node of the queue. Its `visited` is the number of its last use, one counter for all of
them; below zero it is unmarked.

Invariants, at every step, as a key's ``__eq__`` and ``__hash__`` may run anything, here and in
other threads, and a signal handler may run or raise between any two lines:

1. What is in an index is in the queue: linked before, unlinked after.
2. What is in the queue and in no index is seen by nobody, and goes when the hand comes.
3. Linking and unlinking are lines without a call, a jump or an allocation: nobody sees them half
   done. The rest expects anything to have changed after each operation on a dict.
4. The total is the sum of the sizes of what is linked.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Hashable
from math import inf
from typing import Any

from .._interruptions import is_interruption, users_errors
from .._locks import register
from .._runners import RLock, me
from .._tally import Tally
from .entry import Entry, entry_of
from .index import Index, Scoped
from .storing import Owner, Right

FOLD = (1 << 32) - 1
"""The part of a size that counts its entry: each has a 1 there. And that of a hash that tells."""

STEPS = 64  # entries that the hand unmarks in one store; then the one that it is at goes
FAILURES = 8  # entries that are passed by in one store, as their keys raise
BURIED = 8  # entries of dead instances that go in one change

# The rule. Found by simulation, on a plateau: twice as much or half of any changes little.
CERTAIN = 1024
LEAST = 8  # of a chance in CERTAIN: so that it is known what comes of it
UP, DOWN = 64, 128


class Sieve:
    """The entries of all who share a cache. Needs the lock, where it does not say otherwise."""

    __slots__ = (
        "__weakref__", "age", "chance", "dead", "evictions", "expired", "finger", "ghosts", "hand",
        "index", "lock", "maxsize", "root", "slots", "stamps", "tags", "total", "turn", "uses",
    )  # fmt: skip

    def __init__(self, maxsize: float) -> None:
        self.maxsize = maxsize
        self.lock: RLock = RLock()
        self.index = Index()  # what has none of its own is in here
        self.uses = Tally(1)  # the numbers of uses: a hit takes one without the lock
        # Written without the lock, wherever an instance dies:
        self.dead: deque[Index] = deque()  # of instances that are gone
        self.evictions = self.expired = self.total = 0
        self.root = root = entry_of(None, inf)
        root.newer = root.older = root
        root.visited = 0  # as if it were marked
        self.hand = root  # whoever is asked next whether it goes
        self.finger = root  # whoever is asked next whether it has expired
        # The rule (`_comes_back`):
        self.slots = 1  # one less than a power of two: so all bits of a hash tell
        self.tags = array("q", [0])  # the hash of what has gone lately
        self.stamps = array("q", [0])  # its last use; below zero: the hand has taken it
        self.ghosts = 0  # for how many entries that will do
        self.age = 0  # for how long entries lie unused, times 64
        self.chance, self.turn = CERTAIN, 0  # at first what is there stays, until told otherwise
        register(self)  # it may be used with no function, and so with no table

    def __del__(self) -> None:
        # Or its entries would wait for the collector to find the ring.
        node = self.root
        while (newer := node.newer) is not None:
            node.newer = node.older = None
            node = newer

    def forked(self) -> None:
        """It is whole at every step: there is nothing to make good in a child."""

    @property
    def count(self) -> int:
        """How many entries there are."""
        return self.total & FOLD

    # The queue

    def unlink(self, node: Entry[Any]) -> None:
        """Take an entry out, if it is in; it ends when no lock is held."""
        me.local.thread.dropped.append(node)
        self._take_out(node)

    def _take_out(self, node: Entry[Any]) -> None:
        try:
            if self.hand is not node and self.finger is not node:
                node.older.newer, node.newer.older = node.newer, node.older; node.older = node.newer = None; self.total -= node.size  # fmt: skip  # noqa: E501
            else:
                # At once: neither is ever at what is out; nor what is in behind the hand, which may
                # never come there again.
                newer = node.newer; node.older.newer, newer.older = newer, node.older; node.older = node.newer = None; self.total -= node.size; self.hand = newer if self.hand is node else self.hand; self.finger = newer if self.finger is node else self.finger  # fmt: skip  # noqa: E501
        except AttributeError:
            pass  # it is out

    def store(
        self, owner: Owner, key: Hashable, node: Entry[Any], right: Right | None = None
    ) -> Entry[Any] | None:
        """Show an entry under a key, as the newest.

        Returns one that had to go, to be let go of when no lock is held. This is a part of every
        miss: what nearly always happens is in line, and is what is nearly always needed.
        """
        index, short = self.index, key
        if type(key) is Scoped:
            index, short = key
        old = gone = None
        try:
            old = index.get(short)
            # User code in there may have fenced it; or it was stored, and interrupted after that.
            if old is node or (right is not None and right.fenced):
                return None
            root = self.root
            if self.dead or owner.uneven or not owner.now < root.newer.fresh_until:
                self._sweep(owner)
            if old is None or old.older is None:
                uses = self.uses
                uses.besides += 1; node.visited = -next(uses.counter)  # fmt: skip
                node.tag = tag = hash(key) if right is None else right.hash
                slot = tag % self.slots
                if self.tags[slot] == tag:
                    self._come_back(node, slot)
            else:  # as if it were the old one
                node.tag = old.tag
                node.visited = old.visited
            if self.total + node.size > self.maxsize:
                if node.size > self.maxsize:
                    self.drop(key)  # what is there is out of date
                    return None
                gone = self._make_room(self.maxsize - node.size, old)
            # The very one that the index will have: it must not end where the other one goes.
            node.key = key if old is None or old.older is None else old.key
            # Make it the newest:
            node.newer = root; node.older = root.older; root.older.newer = node; root.older = node; self.total += node.size  # fmt: skip  # noqa: E501
            index[short] = node
            # User code that ran in there may have fenced it, or stored something.
            if (right is not None and right.fenced) or root.older is not node:
                self._settle(index, short, node, old, right)
            elif old is not None:
                self.unlink(old)
        except BaseException as error:
            with users_errors:
                self._settle(index, short, node, old, right, lost=True)
            if not owner.copes(error):
                raise
        return gone

    def put(self, owner: Owner, key: Hashable, node: Entry[Any]) -> None:
        """The same for somebody who may be called where a lock is held."""
        me.local.thread.dropped.append(self.store(owner, key, node))

    def _settle(
        self,
        index: Index,
        short: Hashable,
        node: Entry[Any],
        old: Entry[Any] | None,
        right: Right | None,
        lost: bool = False,
    ) -> None:
        """Show an entry alone, or nothing under its key if it has lost its right, or had to go.

        Where a key stores itself while it is compared for an insertion, a dict shows it twice.
        """
        while True:
            if getattr(node, "newer", node) is None:
                lost, root = True, self.root  # it had to go, perhaps before it was shown
                node.newer = root; node.older = root.older; root.older.newer = node; root.older = node; self.total += node.size  # fmt: skip  # noqa: E501
            newest = self.root.older
            while (found := index.pop(short, None)) is not None:
                if found is not node:
                    self.unlink(found)
            if old is not None:
                self.unlink(old)
            lost = lost or (right is not None and right.fenced)
            if lost:
                self.unlink(node)
                return
            index[short] = node
            fenced = right is not None and right.fenced
            if not fenced and node.newer is not None and self.root.older is newest:
                return  # nothing has changed again

    def drop(self, key: Hashable) -> Entry[Any] | None:
        """No longer show the entry of a key; returns that."""
        index, short = key if type(key) is Scoped else (self.index, key)
        node: Entry[Any] | None = index.pop(short, None)
        if node is not None:
            self.unlink(node)
        return node

    def empty(self, index: Index) -> None:
        """Drop what is in an index, entry by entry."""
        try:
            while True:
                self.unlink(index.popitem()[1])
        except KeyError:
            pass  # it is empty

    def _sweep(self, owner: Owner) -> None:
        """Drop some of what dead instances left, and of what has expired.

        That is two at the old end, and two of those that the finger comes to: with ttls that
        differ, one that lives long would shelter all that are behind it.
        """
        if self.dead:
            owner.tidy()
        now = owner.now
        for _ in range(2):
            node = self.root.newer
            if not self._end(node, owner, now):
                break
        # Where the key of the oldest raises, that stays; and shelters others as well.
        if owner.uneven or (node is self.root.newer and not now < node.fresh_until):
            for _ in range(2):
                node = self.finger
                self.finger = node.newer or self.root
                self._end(node, owner, now)

    def _end(self, node: Entry[Any], owner: Owner, now: float) -> bool:
        """Drop an entry if it has expired; whether it had."""
        if now < node.fresh_until or now < node.until or not owner.owns(node):
            return False
        try:
            found = self.drop(node.key)
        except Exception as error:  # of its key: that costs nobody else's entry
            if is_interruption(error):
                raise
            return False
        if found is node:
            self.expired += 1
        else:
            self.unlink(node)
        return True

    # Who goes

    def _come_back(self, node: Entry[Any], slot: int) -> None:
        """A newcomer was here lately: was it right that it went?"""
        now, stamp, mean = -node.visited, self.stamps[slot], self.age >> 6
        if not stamp:
            return  # there is nothing in this slot
        self.stamps[slot] = 0
        self.age += now - abs(self.hand.visited or self.root.newer.visited) - mean
        good = now - abs(stamp) < mean  # back sooner than entries lie unused
        if good:
            node.visited = now
        if stamp < 0:
            self.chance = min(CERTAIN, self.chance + UP)
        elif good:
            self.chance = max(LEAST, self.chance - DOWN)

    def _make_room(self, room: float, old: Entry[Any] | None) -> Entry[Any] | None:
        """Have others go until no more than `room` is taken, but for an old entry, if there is one.

        Returns the last one that went.
        """
        steps, failures, gone = STEPS, 0, None
        while self.total > room and (
            old is None or old.older is None or self.total > room + old.size
        ):
            turn = self.turn + self.chance
            if turn < CERTAIN:
                self.turn = turn
                victim = self.hand
            else:
                self.turn = turn - CERTAIN
                victim = self.root.older  # if it is unmarked: else the hand's turn comes
            if victim.visited >= 0:
                victim, steps = self.pick(steps)
                if victim is self.root:  # a signal handler has cleared it: look anew
                    continue
            # Below zero where the hand takes it.
            stamp = victim.visited if victim is self.hand else -victim.visited
            key = victim.key
            try:
                if type(key) is Scoped:
                    found = key.of.pop(key.key, None)
                else:
                    found = self.index.pop(key, None)
            except Exception as error:  # of its key: it stays, and another one goes, a few times
                failures += 1
                if is_interruption(error) or failures > FAILURES:
                    raise
                victim.visited = abs(victim.visited)
                continue
            if gone is not None:
                me.local.thread.dropped.append(gone)
            gone = victim
            self._take_out(victim)
            if found is victim:
                self.evictions += 1
                if self.total >= self.ghosts and self.total & FOLD >= self.ghosts:
                    self._grow()
                tag = victim.tag
                slot = tag % self.slots
                self.tags[slot] = tag
                self.stamps[slot] = stamp
            elif found is not None:
                self.unlink(found)
        return gone

    def pick(self, steps: int = STEPS) -> tuple[Entry[Any], int]:
        """Whom the hand takes: who was not asked for since it was there last.

        It is at the root if there is nobody. At the most it passes by so many `steps`.
        """
        root, node = self.root, self.hand
        while node.visited >= 0:
            if node is root:
                node = root.newer
                if node is root:
                    break
                continue
            node.visited = -node.visited
            if steps:
                steps -= 1
                if type(node.key) is Scoped:
                    node.key.of.used = True  # which the mark would have said
                node = node.newer or root
        self.hand = node
        return node, steps

    def _grow(self) -> None:
        """Have a ghost for at least twice as many as there are entries."""
        slots = (1 << max(4, (2 * self.count).bit_length())) - 1
        # Whatever an interruption leaves, there are as many slots as are used, and it comes again.
        self.slots, self.ghosts = 1, 0
        self.tags = array("q", bytes(8 * slots))
        self.stamps = array("q", bytes(8 * slots))
        self.slots = slots
        self.ghosts = (slots + 1) // 2
