"""What else becomes of a flight: its outcome, the fences, its age, what is served meanwhile."""

from fault import Fault

FAULTS = [
    Fault(
        "ttl-from-the-start",
        "direct.landed",
        "entry.fresh_until = now + policy.ttl",
        "entry.fresh_until = now - took + policy.ttl",
        "3, hand-over: what took longer to load than its ttl is never served from the cache",
        "threads::ttl_counts_from_the_end_of_the_load",
    ),
    Fault(
        "frames-of-ours-in-tracebacks",
        "_outcome.Error.reset",
        """\
        if error is self.exception:
            error.with_traceback(self.traceback)
""",
        """\
        if error is self.exception:
""",
        "4, the loader's traceback: every error shows frames of this library",
        "threads::an_error_has_the_traceback_of_the_loader_alone",
    ),
    Fault(
        "an-attribute-error-is-the-outcomes",
        "_outcome.Error.reset",
        "if isinstance(error, AttributeError) and error.obj is self:",
        "if False:",
        "8, nothing is left behind: a loader's AttributeError keeps its frames, and is renamed",
        "outcome::an_attribute_error_stays_as_it_was_raised_and_keeps_no_frame",
    ),
    Fault(
        "invalidate-fences-only-last",
        "table.FlightTable._invalidate",
        """\
        fenced = self._take_off(key, "invalidate") is not None
        try:""",
        """\
        fenced = False
        try:""",
        "7, the fence: a load lands in the middle of invalidate() and its value is served after it",
        "locks::a_load_that_lands_in_the_middle_of_a_fence_is_fenced_already",
    ),
    Fault(
        "invalidate-fences-only-first",
        "table.FlightTable._invalidate",
        '            fenced = self._take_off(key, "invalidate") is not None or fenced',
        "            pass",
        "7, the fence: who claims in the middle of invalidate() hands on the old entry after it",
        "table::a_claim_in_the_middle_of_a_fence_is_fenced_as_well",
    ),
    Fault(
        "put-fences-only-last",
        "table.FlightTable._put",
        """\
        self._take_off(key, "put")
        try:""",
        "        try:",
        "7, the fence: a load lands in the middle of put() and its value wins",
        "locks::a_load_that_lands_in_the_middle_of_a_fence_is_fenced_already",
    ),
    Fault(
        "put-fences-only-first",
        "table.FlightTable._put",
        """\
        finally:
            self._take_off(key, "put")
""",
        """\
        finally:
            pass
""",
        "7, the fence: who claims in the middle of put() hands on the old entry after it",
        "table::a_claim_in_the_middle_of_a_fence_is_fenced_as_well",
    ),
    Fault(
        "clear-fences-only-last",
        "table.FlightTable._clear",
        """\
        self._take_all_off(belongs)
        try:""",
        "        try:",
        "7, the fence: a load lands in the middle of clear() and its value is served after it",
        "locks::a_load_that_lands_in_the_middle_of_a_fence_is_fenced_already",
    ),
    Fault(
        "clear-fences-only-first",
        "table.FlightTable._clear",
        """\
        finally:
            self._take_all_off(belongs)
""",
        """\
        finally:
            pass
""",
        "7, the fence: who claims in the middle of clear() hands on an old entry after it",
        "table::a_claim_in_the_middle_of_a_fence_is_fenced_as_well",
    ),
    Fault(
        "refresh-takes-a-hit-for-a-load",
        "landing.Found.taken",
        "return self if may_hit else None",
        "return self",
        "10, refresh is a flight: refresh() that follows a caller who hit after all loads nothing",
        "table::a_refresh_that_follows_a_caller_who_hits_after_all_loads",
    ),
    Fault(
        "a-fenced-load-holds-off",
        "direct._held_off",
        "if table.flights.has(flight):",
        "if True:",
        "7, the fence: a load from before put() fails, and what was put is not refreshed in time",
        "refreshes::a_fenced_refresh_that_fails_holds_nothing_off",
    ),
    Fault(
        "no-value-in-place-of-an-error",
        "landing.Failed.taken",
        "if may_hit and self.instead is not None:",
        "if False:",
        "the surface, stale_if_error: a reload that fails is an error though there is a value",
        "stale_if_error::the_leader_and_all_who_follow_get_the_old_value",
    ),
    Fault(
        "impatient-refresh-returns-what-is-stale",
        "serving.out_of_patience",
        "if may_hit and table.shelf is not None",
        "if table.shelf is not None",
        "the surface, refresh(): at its wait_timeout it returns the old value as if it were new",
        "patience::refresh_wants_the_new_value_or_none",
    ),
    Fault(
        "an-impatient-caller-ends-the-load",
        "serving.out_of_patience",
        "                table.go_on(flight)  # before its last caller leaves\n",
        "",
        "6, leaving: where every task gets the stale value for its patience, none ever loads",
        "patience::a_leader_whose_patience_ends_gets_it_too_and_the_load_goes_on",
    ),
    Fault(
        "old-flights-are-joined",
        "overdue.Overdue.is_due",
        "now - flight.since >= self.max_age",
        "now - flight.since < 0",
        "the surface, max_flight_age: a load that hangs owns its key for ever",
        "max_flight_age::the_next_caller_leads_a_new_load_and_the_old_one_is_fenced",
    ),
    Fault(
        "what-waits-for-a-thread-is-given-up",
        "table.FlightTable._replaced",
        "if flight.load.withdraw():",
        "if False:",
        "the surface, max_abandoned: loads that have not begun count among those that hang",
        "executor_queue::a_load_that_has_not_begun_makes_room_for_the_next_when_it_is_too_old",
    ),
    Fault(
        "any-number-may-hang",
        "overdue.Overdue.is_full",
        "return len(self.of(flight)) >= self._max_abandoned",
        "return False",
        "the surface, max_abandoned: an origin that hangs gets one load more each max_flight_age",
        "max_flight_age::so_many_loads_of_a_key_may_hang",
    ),
    Fault(
        "an-option-that-fails-holds-nothing-off",
        "direct.failed_by_option",
        "    if flight.is_refresh and table.shelf is not None:",
        "    if False:",
        "the surface, retry_after: where ttl() fails, each caller starts a refresh, unheard",
        "load::a_refresh_that_ends_in_an_error_of_an_option_is_told_and_held_off",
    ),
    Fault(
        "stale-hits-are-not-noted",
        "template",
        """\
        {note}
    {sf}entry = None
""",
        """\
        {sf}next({sf}counter)
    {sf}entry = None
""",
        "16, a hit is cheap, but counts: the hottest key is evicted while it is stale",
        "shelf::what_was_hit_lately_stays_though_it_is_stale",
    ),
    Fault(
        "a-callable-of-stale-if-error-leaves-a-ring",
        "direct._held_off",
        "del table, shelf, flight, error, raised",
        "pass",
        "8, nothing is left behind: what hides an error raises, and the callers' frames stay",
        "retention::what_raises_beside_a_stale_entry_keeps_nothing_alive",
    ),
    Fault(
        "a-timer-leaves-a-ring",
        "direct.failed",
        "del table, flight, error",
        "pass",
        "8, nothing is left behind: a timer raises, and the callers' frames stay",
        "retention::what_raises_beside_a_stale_entry_keeps_nothing_alive[False-timer]",
    ),
    Fault(
        "a-stack-is-shared",
        "for_one",
        "(closing, aclosing, ExitStack, AsyncExitStack)",
        "(closing, aclosing)",
        "15, refuse what cannot work: an ExitStack is entered and left by each of its callers",
        "for_one::it_is_refused_for_everyone_aboard",
    ),
]
