"""What is cached, and for how long."""

from fault import Fault

FAULTS = [
    Fault(
        "second-look-takes-what-expired",
        "_shelf.Shelf.look",
        "if not now < entry.fresh_until and not (type(entry) is Aging and now < entry.calm_until):",
        "if False:",
        "2, order of landing: an expired entry is served for ever, as long as the cache has it",
        "decorators::any_real_number_is_a_duration",
    ),
    Fault(
        "what-is-over-leaves-the-older",
        "_shelf.Shelf.limit",
        "if now < entry.until:",
        "if True:",
        "3, hand-over: what is over when it is stored leaves the older entry in some caches",
        "shelf::a_value_whose_time_to_use_is_over_takes_the_older_one_along",
    ),
    Fault(
        "a-failed-store-is-raised",
        "_store.Store._apply",
        """\
            self._renew(owner, repr(error))
            owner.failed(error)
""",
        """\
            self._renew(owner, repr(error))
            owner.failed(error)
            raise
""",
        "3, hand-over: a cache that fails turns a value that was loaded into an error",
        "shelf::a_default_cache_that_was_interrupted_in_mid_change_is_replaced",
    ),
    Fault(
        "a-fence-in-a-store-is-not-looked-for",
        "_shelf.Shelf.store",
        "if flight is not None and flight.fenced:",
        "if False:",
        "7, the fence: what user code fenced while its entry was shown is put into the cache",
        "locks::a_fence_holds_though_a_key_gives_up_the_lock_while_its_entry_is_shown",
    ),
    Fault(
        "the-sweep-goes-by-key",
        "_shelf.Shelf.store",
        "                if index.get(short) is gone:\n",
        "                if True:\n",
        "16, a hit is cheap: what was just reloaded is not seen and is loaded again",
        "shelf::the_sweep_spares_what_was_stored_since",
    ),
    Fault(
        "a-refusal-goes-by-key",
        "_shelf.Shelf.refused",
        "        if self.find(key) is entry:\n",
        "        if True:\n",
        "7, the fence: a refused value hides what user code stored after it",
        "shelf::a_refusal_spares_what_was_stored_since",
    ),
    Fault(
        "drop-only-hides",
        "_shelf.Shelf.drop",
        """\
        self.ring.forget(gone)
        self._store.change(self, key, None)
""",
        """\
        self.ring.forget(gone)
""",
        "7, the fence: what was invalidated fills the cache and stays alive in it",
        "shelf::clear_and_invalidate_empty_the_cache",
    ),
    Fault(
        "clear-spares-the-instances",
        "_shelf.Shelf.hide_all",
        "        for index in (self.index, *self.instances()):\n            index.clear()",
        "        for index in (self.index,):\n            index.clear()",
        "7, the fence: clear() of a method leaves entries that somebody holds to be seen",
        "shelf::clear_hides_the_entries_of_all_instances",
    ),
    Fault(
        "hits-are-not-replayed",
        "_store.Store._apply",
        "                        ring.replay(cache)",
        "                        pass",
        "16, a hit is cheap, but counts: the hottest key is evicted as if nobody asked for it",
        "shelf::what_was_hit_lately_stays",
    ),
    Fault(
        "a-waiting-store-is-not-looked-at-again",
        "_store.Store._catch_up",
        "if entry is not None and owner.find(key) is not entry:",
        "if False:",
        "7, the fence: what was invalidated before its turn came is put into the cache",
        "store::a_store_that_had_to_wait_is_dropped_with_the_cache_that_broke",
    ),
    Fault(
        "the-dead-are-not-buried",
        "_store.Store._apply",
        "                    self._bury()",
        "                    pass",
        "13, methods: the entries of dead instances fill the cache",
        "shelf::the_entries_of_a_dead_instance_go_at_the_next_store",
    ),
    Fault(
        "a-deadline-belongs-to-what-came-before",
        "_entry.state",
        """\
    if now < entry.fresh_until:
        early""",
        """\
    if now <= entry.fresh_until:
        early""",
        "the surface, ttl: what is over at a time is fresh at that time",
        "entry::a_deadline_belongs_to_what_comes_after_it",
    ),
    Fault(
        "stale-for-ever",
        "_entry.state",
        "    if now < entry.stale_until:\n",
        "    if True:\n",
        "the surface, stale_while_revalidate: a value is served for as long as the cache has it",
        "serving::until_a_deadline_and_no_longer",
    ),
    Fault(
        "the-second-look-knows-no-hold-off",
        "_shelf.Shelf.look",
        " and not (type(entry) is Aging and now < entry.calm_until):",
        ":",
        "the surface, stale_if_error: who missed before a reload failed loads once more, at once",
        "failures::who_comes_too_late_for_an_attempt_that_failed_is_held_off_as_well",
    ),
    Fault(
        "a-failure-holds-nothing-off",
        "_policy.Policy.hold_off",
        "        entry.calm_until = max(entry.calm_until, min(now + wait, entry.until))\n",
        "",
        "the surface, retry_after: an origin that is down is asked by every caller",
        "failures::attempts_are_held_off_twice_as_long_each_time_up_to_the_most",
    ),
    Fault(
        "held-off-beyond-the-end",
        "_policy.Policy.hold_off",
        "min(now + wait, entry.until)",
        "now + wait",
        "the surface, stale_if_error: a value is served beyond its last deadline",
        "hold_off::nobody_is_held_off_beyond_the_last_deadline",
    ),
    Fault(
        "one-exception-for-all",
        "_entry.Raising.handed",
        "        return self.kept.copy()",
        "        return self.kept",
        "8, nothing is left behind: a cached exception keeps what its callers chained to it",
        "error_ttl::each_caller_gets_an_exception_of_its_own",
    ),
    Fault(
        "a-kept-exception-keeps-frames",
        "_policy.Policy.error_entry",
        "        entry.kept = error.bare()",
        "        entry.kept = error.copy()",
        "8, nothing is left behind: a cached exception keeps the loader's frames alive",
        "retention::a_cached_exception_keeps_no_frame_alive",
    ),
    Fault(
        "the-time-after-the-look",
        "_shelf.Shelf.alive",
        """\
        now = self.timer()  # first: what is found then may have replaced what expires meanwhile
        entry = self.find(key)
""",
        """\
        entry = self.find(key)
        now = self.timer()
""",
        "7, the fence: peek() shows nothing where something was put a moment ago",
        "shelf::peek_finds_what_has_replaced_an_entry_that_expires_meanwhile",
    ),
    Fault(
        "not-early-in-a-given-cache",
        "_shelf.Shelf.limit",
        "                self.policy.calm(entry)",
        "                pass",
        "the surface, early_refresh: it has no effect where the cache's own ttu ends entries",
        "early::early_is_before_the_end_that_a_given_cache_has_set",
    ),
    # At the door, and what is refused
    Fault(
        "a-duration-stays-what-it-is",
        "_durations.number",
        "    return found\n",
        "    return value\n",
        "15, refuse: with a float32 of numpy a lifetime is wrong by minutes",
        "durations::an_entry_lives_for_exactly_so_long",
    ),
    Fault(
        "a-repr-may-raise",
        "_shown.shown",
        "    except BaseException as error:",
        "    except ZeroDivisionError as error:",
        "1, whatever the key is: its repr replaces WaitTimeout, and the stale value is lost",
        "shown::a_key_without_a_repr_is_said_to_have_none",
    ),
    Fault(
        "what-one-caller-can-use-is-shared",
        "_load.loaded",
        "        if refused is not None:\n",
        "        if False:\n",
        "15, refuse: the second caller of a generator gets nothing",
        "for_one::it_is_refused_for_everyone_aboard",
    ),
    Fault(
        "every-error-is-hidden",
        "_policy.Policy.hides",
        "        if not self.hidden:\n",
        "        if True:\n",
        "15, refuse: stale_if_error hides errors that it does not name",
        "hidden_errors::what_is_not_hidden_reaches_everyone_and_holds_nothing_off",
    ),
    Fault(
        "a-hold-off-outlasts-what-is-hidden",
        "_policy.Policy.hold_off",
        "min(now + wait, until)",
        "min(now + wait, entry.until)",
        "15, refuse: an error that is not hidden any more is, by the pause after it",
        "hidden_errors::the_pause_ends_with_the_time_that_the_error_is_hidden",
    ),
    Fault(
        "an-uncopied-error-is-kept-itself",
        "_outcome._Bare.of",
        "            if made is None and self._stand_in:\n",
        "            if False:\n",
        "8, nothing is left behind: last_error keeps the frames of the load",
        "retention::a_failed_reload_keeps_no_frame_alive",
    ),
]
