"""The table: one flight, and its transitions."""

from fault import Fault

FAULTS = [
    Fault(
        "remove-before-store",
        "table.FlightTable._off",
        """\
                if shelf.ttu is None or (shelf.limit(key, entry) and flights.has(flight)):
                    gone = shelf.store(key, entry, flight)
""",
        """\
                flights.remove(flight)
                if shelf.ttu is None or shelf.limit(key, entry):
                    shelf.store(key, entry, flight)
                entry = None
""",
        "2, order of landing: a call that falls between loads a second time",
        "locks::forget_holds_though_the_flight_is_landing",
    ),
    Fault(
        "no-second-look",
        "table.FlightTable.claim",
        "if may_hit and self.shelf is not None:",
        "if False:",
        "2, order of landing: who missed just before a load ended loads once more",
        "table::a_call_that_missed_just_before_a_load_ended_hits_after_all",
    ),
    Fault(
        "second-look-keeps-the-key",
        "table.FlightTable._hit",
        "        self.land(mine, None if isinstance(found, Error) else Found(found.value))\n",
        "",
        "8, nothing is left behind: the next call that misses follows a flight that nobody runs",
        "table::a_call_that_missed_just_before_a_load_ended_hits_after_all",
    ),
    Fault(
        "off-by-key",
        "table.FlightTable._off",
        "if number in flights and flights[number] is flight: del",
        "if number in flights: del",
        "1, one flight: a forgotten flight takes its successor off; a third load starts beside it",
        "group::a_forgotten_flight_never_takes_its_successor_off_the_table",
    ),
    Fault(
        "over-before-removal",
        "table.FlightTable._off",
        """\
            try:
                number = flight.hash  # as in `Flights.remove`: this is a part of every miss
""",
        """\
            try:
                if not flight.over:
                    flight.landing = landing
                    flight.over = True
                number = flight.hash  # as in `Flights.remove`: this is a part of every miss
""",
        "2, order of landing: who calls again as soon as it has the value finds the old flight",
        "table::a_flight_that_is_over_has_its_outcome_and_a_free_key_at_every_line",
    ),
    Fault(
        "wake-before-removal",
        "table.FlightTable._off",
        """\
            try:
                number = flight.hash  # as in `Flights.remove`: this is a part of every miss
""",
        """\
            try:
                if not flight.over:
                    flight.landing = landing
                    flight.over = True
                    for waiters in list(flight.waiters.values()):
                        waiters.wake()
                number = flight.hash  # as in `Flights.remove`: this is a part of every miss
""",
        "4, the key is free before anyone wakes: who tries again at once gets the old error again",
        "table::who_wakes_finds_the_entry_and_the_key_free",
    ),
    Fault(
        "over-before-outcome",
        "table.FlightTable._off",
        """\
                    flight.landing = landing
                    flight.over = True  # last: who follows looks at it without the lock
""",
        """\
                    flight.over = True
                    flight.landing = landing
""",
        "3, hand-over: who looks in between takes the flight for abandoned and loads again",
        "table::a_flight_that_is_over_has_its_outcome_and_a_free_key_at_every_line",
    ),
    Fault(
        "land-is-not-idempotent",
        "table.FlightTable._off",
        """\
                if not flight.over:
                    flight.landing = landing
""",
        """\
                if True:
                    flight.landing = landing
""",
        "3, hand-over: a second landing takes the outcome away from those who have not read it yet",
        "table::landing_twice_counts_an_error_once",
    ),
    Fault(
        "a-landing-leaves-it-open",
        "table.FlightTable._off",
        "flight.over = True  # last",
        "pass  # last",
        "3, hand-over: a flight that has landed wakes nobody, and who comes next waits for ever",
        "table::landing_twice_counts_an_error_once",
    ),
    Fault(
        "emptied-before-woken",
        "table.FlightTable.land",
        """\
                for waiters in list(flight.waiters.values()):
                    waiters.wake()
                flight.waiters = {}""",
        """\
                woken, flight.waiters = flight.waiters, {}
                for waiters in woken.values():
                    waiters.wake()""",
        "5, interruptions are personal: a Ctrl-C in a landing leaves tasks waiting for ever",
        "interrupts::an_interrupt_at_any_line_leaves_everyone_answered_and_the_key_free",
    ),
    Fault(
        "board-what-is-over",
        "table.FlightTable._follow",
        """\
        if not flight.over:
            mine.signal = board(flight.waiters, mine)
""",
        """\
        mine.signal = board(flight.waiters, mine)
""",
        "8, nothing is left behind: a late follower is a cycle that keeps the value alive",
        "table::who_comes_when_its_flight_has_just_landed_gets_what_landed_and_keeps_nothing",
    ),
    Fault(
        "a-signal-is-given-for-good",
        "table.FlightTable.signal_of",
        "signal, mine.signal = mine.signal, None",
        "signal = mine.signal",
        "8, nothing is left behind: a call that waited is a cycle that keeps its arguments alive",
        "schedules::what_the_threads_saw_can_be_explained[patience]",
    ),
    Fault(
        "errors-stay-on-the-table",
        "table.FlightTable._off",
        "                if number in flights and flights[number] is flight: del",
        """\
                if type(landing) is Failed:
                    pass
                elif number in flights and flights[number] is flight: del""",
        "4, errors are never cached: who tries again gets the old error without a load",
        "threads::the_key_is_free_before_anyone_wakes",
    ),
    Fault(
        "recovery-forgets-the-follower",
        "table.FlightTable.recover",
        "self.leave(mine.following or mine, mine)",
        "pass",
        "6, leaving: a follower that left is counted and kept until the flight ends",
        "threads::a_caller_leaves_after_wait_timeout_and_the_flight_goes_on",
    ),
    Fault(
        "recovery-loses-the-outcome",
        "table.FlightTable.recover",
        """\
                self.land(mine, landing)
            finally:""",
        """\
                self.land(mine, None)
            finally:""",
        "5, interruptions are personal: a Ctrl-C right after a load throws away what was loaded",
        "table::an_interrupt_between_load_and_landing_lands_what_was_loaded",
    ),
    Fault(
        "recovery-lands-what-runs-elsewhere",
        "table.FlightTable.recover",
        "leaves = not inline and (mine.following is not None or mine.load.is_on_its_own())",
        "leaves = mine.following is not None",
        "5, no caller owns the load: cancelling the first caller makes the others load again",
        "tasks::an_interrupted_caller_changes_nothing_for_the_rest",
    ),
    Fault(
        "a-leaver-ends-the-flight",
        "table.FlightTable.recover",
        "self.leave(mine.following or mine, mine)",
        "self.land(mine.following or mine, None)",
        "6, leaving: the wait_timeout of one caller makes all the others load again",
        "threads::a_caller_leaves_after_wait_timeout_and_the_flight_goes_on",
    ),
    Fault(
        "the-starter-takes-its-load-along",
        "table.FlightTable._leave",
        "or flight.aboard():",
        "or (flight.aboard() and mine is not flight):",
        "5, no caller owns the load: cancelling the first caller makes the others load again",
        "tasks::an_interrupted_caller_changes_nothing_for_the_rest",
    ),
    Fault(
        "who-leaves-before-its-start-ends-it",
        "task_loads.TaskLoad.goes_on",
        "return self.starts",
        "return False",
        "6, leaving: a follower that leaves ends a load whose starter is about to board it",
        "task_loads::a_follower_that_leaves_before_the_load_has_begun_does_not_end_it",
    ),
    Fault(
        "a-load-never-ends-with-its-callers",
        "tasks.Tasks.call",
        "                    load.starts = False\n",
        "",
        "6, leaving: an async load goes on when every task that wanted it was cancelled",
        "task_loads::a_starter_that_leaves_after_wait_timeout_leaves_no_load_behind",
    ),
    Fault(
        "who-was-interrupted-is-about-to-board",
        "tasks.Tasks.call",
        "            load.starts = False  # its caller boards no more\n",
        "",
        "6, leaving: an async load whose starter was interrupted before it boarded has no end",
        "task_loads::a_starter_that_is_interrupted_before_it_boards_leaves_no_load_behind",
    ),
    Fault(
        "a-waiter-is-kept",
        "table.FlightTable._leave",
        "            waiters.callers.pop(mine, None)",
        "            pass",
        "6, leaving: an async load is never cancelled, and in_flight() counts who has left",
        "threads::a_caller_leaves_after_wait_timeout_and_the_flight_goes_on",
    ),
    Fault(
        "the-load-runs-on",
        "table.FlightTable.leave",
        """\
        if critical(self.lock, self._leave, flight, mine):
            flight.load.cancel()
""",
        "        critical(self.lock, self._leave, flight, mine)\n",
        "6, leaving: an async load that nobody wants any more runs to its end",
        "task_loads::when_the_last_caller_leaves_the_load_is_cancelled",
    ),
    Fault(
        "newcomers-board-a-dying-flight",
        "table.FlightTable._leave",
        """\
        self._off(flight, None)
        return True
""",
        """\
        return True
""",
        "6, leaving: a newcomer waits for the clean-up of a cancelled load before it loads",
        "task_loads::a_newcomer_never_joins_a_dying_flight",
    ),
    Fault(
        "a-fenced-load-displaces",
        "table.FlightTable._off",
        """\
                or flight.over
                or (flights.get(flight.hash) is not flight and not flights.has(flight))
""",
        "                or flight.over\n",
        "7, the fence: a load from before put() or invalidate() throws out what came after it",
        "table::a_fenced_load_does_not_displace_what_was_stored_after_the_fence",
    ),
    Fault(
        "forget-leaves-it-on-the-table",
        "table.FlightTable._fence",
        "if not self.flights.remove(flight):",
        "if not self.flights.has(flight):",
        "7, the fence: a call after forget() or invalidate() joins the load from before it",
        "threads::a_load_that_began_before_the_fence_is_neither_seen_nor_joined",
    ),
    Fault(
        "a-fence-leaves-no-mark",
        "table.FlightTable._fence",
        "        flight.fenced = True\n",
        "",
        "7, the fence: what user code fenced while its entry was shown is put into the cache",
        "locks::a_fence_holds_though_a_key_gives_up_the_lock_while_its_entry_is_shown",
    ),
    Fault(
        "clear-leaves-no-mark",
        "table.FlightTable._take_all_off",
        'self._fence(flight, "clear")',
        "self.flights.remove(flight)",
        "7, the fence: what user code cleared while its entry was shown is put into the cache",
        "locks::a_fence_holds_though_a_key_gives_up_the_lock_while_its_entry_is_shown",
    ),
    Fault(
        "forget-leaves-what-is-landing",
        "table.FlightTable._forget",
        "if self.shelf is not None and flight.landing is not None:",
        "if False:",
        "7, the fence: what was forgotten in the middle of its store is served afterwards",
        "locks::forget_holds_though_the_flight_is_landing",
    ),
    Fault(
        "refresh-takes-what-is-there",
        "table.FlightTable.claim",
        "if may_hit and self.shelf is not None:",
        "if self.shelf is not None:",
        "10, refresh is a flight: refresh() returns the old value and loads nothing",
        "threads::refresh_loads_now_and_stores",
    ),
    Fault(
        "two-refreshes",
        "table.FlightTable.claim_behind",
        """\
        found = self.flights.setdefault(mine.hash, mine)
        flight = mine if found is mine else self.flights.entered(found, mine)
""",
        "        flight = self.flights[mine.hash] = mine\n",
        "10, refresh is a flight: whoever finds a stale value starts a refresh, all at once",
        "early_refresh::a_cycle_has_one_refresh_however_many_threads_draw_it",
    ),
    Fault(
        "a-refresh-of-what-was-replaced",
        "table.FlightTable.claim_behind",
        "if self.shelf.find(mine.key) is not served or self",
        "if self",
        "10, refresh is a flight: what was refreshed a moment ago is refreshed again",
        "early::a_value_that_was_replaced_while_the_dice_fell_is_not_refreshed",
    ),
    Fault(
        "a-needless-refresh-keeps-the-key",
        "table.FlightTable.claim_behind",
        """\
            self.land(mine, None)
            return False
        mine""",
        """\
            return False
        mine""",
        "8, nothing is left behind: who misses next follows a refresh that nobody runs",
        "early::a_value_that_was_replaced_while_the_dice_fell_is_not_refreshed",
    ),
    Fault(
        "a-refresh-knows-no-hold-off",
        "table.FlightTable.claim_behind",
        " is not served or self.timer() < served.calm_until:",
        " is not served:",
        "the surface, retry_after: who found a value stale before a refresh failed tries at once",
        "schedules::what_the_threads_saw_can_be_explained[stale]",
    ),
    Fault(
        "a-load-on-a-thread-ends-with-its-callers",
        "_runners.Load.goes_on",
        "return True",
        "return False",
        "6, leaving: a load in an executor whose callers have left is thrown away, and done again",
        "executor::a_leader_has_patience_as_well_and_its_load_goes_on",
    ),
    Fault(
        "what-has-ended-still-hangs",
        "table.FlightTable._off",
        "                        self.overdue.remove(flight)",
        "                        pass",
        "8, nothing is left behind: after a few loads that hung for a while, nobody loads any more",
        "max_flight_age::when_one_of_them_has_ended_there_is_room_for_another",
    ),
    Fault(
        "an-exception-is-no-entry",
        "direct.failed",
        "return Failed(error, entry, took)",
        "return Failed(error, None, took)",
        "the surface, error_ttl: each caller asks anew for what does not exist",
        "error_ttl::an_exception_is_an_answer_for_its_time",
    ),
    Fault(
        "what-is-not-stored-leaves-the-older",
        "direct.Loaded.is_newer",
        "return True",
        "return False",
        "3, hand-over: an old value is served again after a load whose value is over at once",
        "load::what_is_not_to_be_stored_is_handed_over_and_displaces_what_is_older",
    ),
    Fault(
        "an-error-displaces-what-is-stale",
        "landing.Landing.is_newer",
        "return False",
        "return True",
        "the surface, stale_if_error: the first reload that fails drops what was to be served",
        "stale_if_error::the_leader_and_all_who_follow_get_the_old_value[threads]",
    ),
    Fault(
        "a-child-has-its-parents-flights",
        "table.FlightTable.forked",
        "        self.flights.clear()\n",
        "",
        "14, fork: a child waits for a load that nobody runs",
        "locks::a_child_does_not_wait_for_a_load_of_its_parent",
    ),
]
