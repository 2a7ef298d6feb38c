"""The queue of the default cache, and the rule by which entries stay or go."""

from fault import Fault

WHOLE = "8, nothing is left behind: "
STAYS = "16, a hit is cheap, but counts: "

FAULTS = [
    # The invariants
    Fault(
        "unlinked-before-it-is-hidden",
        "sieve.Sieve._make_room",
        """\
                if type(key) is Scoped:
                    found = key.of.pop(key.key, None)
                else:
                    found = self.index.pop(key, None)
""",
        """\
                self.unlink(victim)
                if type(key) is Scoped:
                    found = key.of.pop(key.key, None)
                else:
                    found = self.index.pop(key, None)
""",
        WHOLE + "where the key of what goes raises, it is shown for ever",
        "sieve::keys_may_do_what_they_like",
    ),
    Fault(
        "the-links-lead-one-way",
        "sieve.Sieve._settle",
        "root.older.newer = node; ",
        "",
        WHOLE + "what was settled is in the queue from one side only",
        "sieve::keys_may_do_what_they_like",
    ),
    Fault(
        "the-hand-is-at-what-is-out",
        "sieve.Sieve._take_out",
        " self.hand = newer if self.hand is node else self.hand;",
        "",
        WHOLE + "what is gone is asked whether it goes",
        "queue::an_interrupt_at_any_line_leaves_it_whole[plain-miss]",
    ),
    Fault(
        "what-was-stored-meanwhile-does-not-matter",
        "sieve.Sieve.store",
        "if (right is not None and right.fenced) or root.older is not node:",
        "if right is not None and right.fenced:",
        WHOLE + "what a key had evicted before it was shown is never evicted",
        "sieve::keys_may_do_what_they_like",
    ),
    Fault(
        "settled-once-for-all",
        "sieve.Sieve._settle",
        "if not fenced and node.newer is not None and self.root.older is newest:",
        "if True:",
        WHOLE + "what had to go while it was settled is never evicted",
        "sieve::keys_may_do_what_they_like",
    ),
    Fault(
        "who-had-to-go-ends-at-once",
        "table.FlightTable.land",
        "with self.lock: gone = self._off(flight, landing, now)",
        "with self.lock: self._off(flight, landing, now)",
        "17, nobody else's code under our locks: the destructor of what is evicted runs there",
        "law_17::a_miss_that_evicts",
    ),
    Fault(
        "who-had-to-go-for-a-put-ends-at-once",
        "sieve.Sieve.put",
        "me.local.thread.dropped.append(self.store(owner, key, node))",
        "self.store(owner, key, node)",
        "17, nobody else's code under our locks: what a key has evicted in there ends there",
        "law_17::a_key_that_stores_in_the_middle_of_a_store",
    ),
    Fault(
        "the-total-drifts",
        "sieve.Sieve._take_out",
        "self.total -= node.size; self.hand",
        "self.hand",
        WHOLE + "the cache has room for fewer and fewer",
        "deadlines::the_default_cache_keeps_each_exception_as_long_as_it_is_an_answer",
    ),
    Fault(
        "shown-before-it-is-linked",
        "sieve.Sieve.store",
        "            # Make it the newest:\n",
        "            index[short] = node\n",
        WHOLE + "a child that is forked in between shows what is never evicted",
        "queue::a_child_that_is_forked_at_any_line_of_a_change_has_a_whole_queue[plain-large]",
    ),
    Fault(
        "the-finger-is-at-what-is-out",
        "sieve.Sieve._take_out",
        "; self.finger = newer if self.finger is node else self.finger",
        "",
        WHOLE + "what is gone is asked whether it has expired, and another one goes in its place",
        "queue::an_interrupt_at_any_line_leaves_it_whole[plain-reload]",
    ),
    Fault(
        "what-was-fenced-while-it-was-shown-stays",
        "sieve.Sieve.store",
        "if (right is not None and right.fenced) or root.older is not node:",
        "if root.older is not node:",
        "7, the fence: who looks without a lock sees what was invalidated, for a moment",
        "locks::what_a_key_fences_while_it_is_shown_is_seen_by_nobody_after_that",
    ),
    Fault(
        "what-the-hand-unmarked-was-never-hit",
        "sieve.Sieve.pick",
        "                    node.key.of.used = True",
        "                    pass",
        "the surface: who asks twice is told that nobody does",
        "default_cache::nothing_is_told_where_the_hand_has_passed_by_since_they_were_hit[threads]",
    ),
    Fault(
        "more-than-there-is-room-for",
        "sieve.Sieve._make_room",
        "old is None or old.older is None or self.total",
        "old is None or self.total",
        WHOLE + "where a key has its own old entry go, the cache holds one too many",
        "sieve_cache::it_holds_no_more_than_it_may_where_a_key_replaces_its_old_value_by_another_one",
    ),
    Fault(
        "what-was-dropped-ends-at-once",
        "sieve.Sieve.unlink",
        "        me.local.thread.dropped.append(node)\n",
        "",
        "17, nobody else's code under our locks: the destructor of a value runs there",
        "law_17::what_has_expired[threads]",
    ),
    # Who goes
    Fault(
        "a-successor-is-not-marked",
        "sieve.Sieve.store",
        "node.visited = old.visited\n",
        "node.visited = -abs(old.visited)\n",
        STAYS + "what is asked for all the time goes after it was reloaded",
        "sieve_cache::what_is_replaced_stays_as_long_as_if_it_were_the_old_one",
    ),
    Fault(
        "the-hand-never-tires",
        "sieve.Sieve.pick",
        "                steps -= 1\n",
        "",
        "8, nobody pays for all of it at once: one store goes through a whole cache that was hit",
        "queue::a_store_looks_at_few_entries_however_many_are_marked[1-fresh]",
    ),
    Fault(
        "each-store-ends-all-that-has-expired",
        "sieve.Sieve._sweep",
        """\
        for _ in range(2):
            node = self.root.newer
""",
        """\
        while True:
            node = self.root.newer
""",
        "8, nobody pays for all of it at once: one store drops whatever has expired",
        "default_cache::what_has_expired_goes_where_something_is_stored[threads]",
    ),
    Fault(
        "the-finger-stays",
        "sieve.Sieve._sweep",
        "                self.finger = node.newer or self.root\n",
        "",
        WHOLE + "what expires behind what never does is kept",
        "default_cache::one_that_lives_long_does_not_shelter_those_behind_it[threads]",
    ),
    Fault(
        "by-anybodys-clock",
        "sieve.Sieve._end",
        " or not owner.owns(node)",
        "",
        "3, hand-over: of two functions that share a cache, one drops what is fresh for the other",
        "default_cache::each_function_drops_its_own_by_its_own_clock[threads]",
    ),
    Fault(
        "all-of-the-dead-at-once",
        "shelf.OwnShelf._bury",
        "            most -= 1\n",
        "",
        "8, nobody pays for all of it at once: a store buries whatever an instance left",
        "queue::what_dead_instances_left_is_buried_in_bounded_steps",
    ),
    Fault(
        "told-of-each-that-died",
        "shelf.OwnShelf.tidy",
        "owner.in_vain = 0 if index.used else owner.in_vain + 1",
        "owner.in_vain += 1",
        "the surface: instances that are hit are told to be in vain",
        "default_cache::nothing_is_told_where_they_were_hit[threads]",
    ),
    # The rule
    Fault(
        "no-ghost",
        "sieve.Sieve.store",
        "if self.tags[slot] == tag:",
        "if False:",
        STAYS + "what comes back is not known any more",
        "rule::of_a_trace_no_more_misses_than[moving]",
    ),
    Fault(
        "the-ghost-is-one-slot",
        "sieve.Sieve._make_room",
        "if self.total >= self.ghosts and self.total & FOLD >= self.ghosts:",
        "if False:",
        STAYS + "the last that has gone is all that is remembered",
        "rule::of_a_trace_no_more_misses_than[moving]",
    ),
    Fault(
        "hashes-as-they-are",
        "sieve.Sieve._grow",
        "(1 << max(4, (2 * self.count).bit_length())) - 1",
        "1 << max(4, (2 * self.count).bit_length())",
        STAYS + "of keys whose low bits are alike one is remembered",
        "rule::of_a_trace_no_more_misses_than[multiples]",
    ),
    Fault(
        "who-comes-back-is-a-newcomer",
        "sieve.Sieve._come_back",
        "            node.visited = now\n",
        "            pass\n",
        STAYS + "what comes back soon goes again before its next call",
        "rule::of_a_trace_no_more_misses_than[moving]",
    ),
    Fault(
        "whoever-comes-back-stays",
        "sieve.Sieve._come_back",
        "good = now - abs(stamp) < mean",
        "good = True",
        STAYS + "in a loop that is too large all come back marked, and none stays",
        "rule::of_a_trace_no_more_misses_than[loop]",
    ),
    Fault(
        "the-hand-learns-nothing",
        "sieve.Sieve._come_back",
        "min(CERTAIN, self.chance + UP)",
        "self.chance",
        STAYS + "beside a loop the hand takes all, and each call misses",
        "rule::of_a_trace_no_more_misses_than[mixed]",
    ),
    Fault(
        "the-newest-learns-nothing",
        "sieve.Sieve._come_back",
        "max(LEAST, self.chance - DOWN)",
        "self.chance",
        STAYS + "what comes back after some tens of others is never there",
        "rule::of_a_trace_no_more_misses_than[returning]",
    ),
    Fault(
        "by-whom-it-went-is-forgotten",
        "sieve.Sieve._make_room",
        "stamp = victim.visited if victim is self.hand else -victim.visited",
        "stamp = -victim.visited",
        STAYS + "beside a loop the hand takes all, and each call misses",
        "rule::of_a_trace_no_more_misses_than[mixed]",
    ),
    Fault(
        "the-newest-never-goes",
        "sieve.Sieve._make_room",
        "                victim = self.root.older  #",
        "                victim = self.hand  #",
        STAYS + "a loop that is larger than the cache misses each time",
        "rule::of_a_trace_no_more_misses_than[loop]",
    ),
    Fault(
        "the-hand-begins-anew",
        "sieve.Sieve.pick",
        "        self.hand = node\n",
        "",
        STAYS + "what was unmarked a moment ago goes first",
        "rule::of_a_trace_no_more_misses_than[skewed]",
    ),
    Fault(
        "nobody-lies-unused",
        "sieve.Sieve._come_back",
        "        self.age += now - abs(self.hand.visited or self.root.newer.visited) - mean\n",
        "",
        STAYS + "nobody ever comes back soon enough",
        "rule::of_a_trace_no_more_misses_than[moving]",
    ),
    # By hand
    Fault(
        "a-key-of-elsewhere-is-taken-apart",
        "sieve_cache.SieveCache._own",
        'getattr(key.of.owner, "sieve", None) is not self._sieve',
        "False",
        "7, the fence: what is put into a cache by hand is seen by a function that has another one",
        "sieve_cache::a_key_of_a_function_is_any_key_in_another_cache",
    ),
    Fault(
        "a-read-marks-nothing",
        "sieve_cache.SieveCache._use",
        "node.visited = next(uses.counter)",
        "next(uses.counter)",
        STAYS + "what is read by hand goes as if nobody had asked",
        "sieve_cache::popitem_takes_the_oldest_that_was_not_asked_for",
    ),
    Fault(
        "by-hand-is-a-hit",
        "sieve_cache.SieveCache._use",
        "uses.besides += 1; ",
        "",
        "the surface, stats: reads by hand are counted as hits of the function",
        "sieve::keys_may_do_what_they_like",
    ),
    Fault(
        "sizes-drift",
        "sieve_cache._exact",
        "int(whole)",
        "whole",
        WHOLE + "sums of sizes that are no whole numbers are never zero again",
        "sieve_cache::a_small_size_beside_a_large_one_is_not_lost",
    ),
]
