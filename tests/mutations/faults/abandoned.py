"""Refreshes that were abandoned, and the end of the interpreter."""

from fault import Fault

FAULTS = [
    Fault(
        "an-abandoned-refresh-holds-nothing-off",
        "table.FlightTable._store_nothing",
        "elif now is not None and flight.is_refresh and flight.load.runner is not NOBODY:",
        "elif False:",
        "10, an abandoned refresh is a failed one: each stale hit asks the origin, and none lands",
        "task_refreshes::a_refresh_that_is_cancelled_leaves_the_table_and_the_next_attempt_is_held_off",
    ),
    Fault(
        "what-has-not-begun-holds-off",
        "table.FlightTable._store_nothing",
        "elif now is not None and flight.is_refresh and flight.load.runner is not NOBODY:",
        "elif now is not None and flight.is_refresh:",
        "10, refresh is a flight: one that was cancelled in a queue holds off the next, unloaded",
        "executor_queue::a_refresh_that_is_cancelled_while_it_is_queued_leaves_the_table",
    ),
    Fault(
        "loads-of-callers-hold-off",
        "table.FlightTable._store_nothing",
        "elif now is not None and flight.is_refresh and flight.load.runner is not NOBODY:",
        "elif now is not None and flight.load.runner is not NOBODY:",
        "5, interruptions are personal: a Ctrl-C in one caller holds off the reload of the others",
        "stale_if_error::a_reload_that_was_interrupted_holds_nobody_off",
    ),
    Fault(
        "no-loop-is-short-lived",
        "tasks.Tasks._behind",
        "            if ends_early:\n",
        "            if False:\n",
        "10, refresh is a flight: where each call has its own loop, no stale value is replaced",
        "task_refreshes::a_refresh_whose_loop_was_merely_closed_is_abandoned",
    ),
    Fault(
        "what-is-cancelled-may-raise-something-else",
        "task_loads.TaskLoad._run",
        'if failed and getattr(task, "cancelling", int)():',
        "if False:",
        "10, refresh is a flight: where it raises what it likes when cancelled, none ever lands",
        "exit_refreshes::a_refresh_ends_with_its_loop_and_the_next_caller_loads_in_the_foreground",
    ),
    Fault(
        "short-lived-loops-are-not-told",
        "tasks.Tasks._behind",
        "            table.ledger.tell_once(\n",
        "            str(\n",
        "10, an abandoned refresh is told once: nobody learns why stale hits are slow",
        "exit_refreshes::a_refresh_ends_with_its_loop_and_the_next_caller_loads_in_the_foreground",
    ),
    Fault(
        "an-abandoned-refresh-is-told-at-once",
        "table.FlightTable._hold_off",
        "        runner = flight.load.runner\n",
        """\
        self.ledger.tell_once("a refresh was abandoned")
        runner = flight.load.runner
""",
        "10, refresh is a flight: each end of a program is a warning",
        "exit::nobody_waits_for_what_will_never_land[refreshes-in-asyncio-run]",
    ),
    Fault(
        "frozen-threads-are-waited-for",
        "waits.check_frozen",
        "    if flight.load.runner.is_frozen():\n",
        "    if False:\n",
        "9, no hangs: an interpreter never ends whose last destructors call a function",
        "exit::nobody_waits_for_a_thread_that_the_end_has_frozen[a-daemon-thread-loads]",
    ),
    Fault(
        "frozen-loops-are-waited-for",
        "_runners.Home.is_frozen",
        "return is_finalizing() and asyncio._get_running_loop() is not self()",
        "return False",
        "9, no hangs: an interpreter never ends whose last destructors follow a frozen loop's task",
        "exit::nobody_waits_for_a_thread_that_the_end_has_frozen[a-loop-in-a-daemon-thread-loads]",
    ),
    Fault(
        "futures-wait-for-frozen-threads",
        "futures.SubmitFuture.exception",
        "check_frozen(mine.following or mine)",
        "pass",
        "9, no hangs: an interpreter never ends whose last destructors wait for a future",
        "exit::nobody_waits_for_a_thread_that_the_end_has_frozen[a-future]",
    ),
    Fault(
        "frozen-locks-are-waited-for",
        "_locks.locked",
        "    if exiting:\n",
        "    if False:\n",
        "9, no hangs: an interpreter never ends that has frozen a thread inside of a lock",
        "exit::nobody_waits_for_a_thread_that_the_end_has_frozen[a-thread-that-holds-the-lock]",
    ),
    Fault(
        "a-landing-waits-for-a-frozen-lock",
        "table.FlightTable.land",
        "if is_held(before) or exiting:",
        "if is_held(before):",
        "9, no hangs: an interpreter never ends that has frozen a thread inside of a lock",
        "exit::nobody_waits_for_a_thread_that_the_end_has_frozen[a-thread-that-holds-the-lock]",
    ),
    Fault(
        "no-loop-lives-on",
        "_runners.Trust.may_end_early",
        " and loop.age() < self._proven",
        "",
        "10, refresh is a flight: after one lost refresh, every other loop loads in the foreground",
        "task_refreshes::loops_that_live_on_refresh_behind_whatever_became_of_another",
    ),
]
