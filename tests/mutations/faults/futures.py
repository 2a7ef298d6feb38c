"""Groups, and their futures."""

from fault import Fault

FAULTS = [
    Fault(
        "a-thread-of-a-future-does-not-know-what-it-loads",
        "futures._Load.run",
        "            thread.flight = flight\n",
        "",
        "9, no hangs: a cycle round a loop that a submitted load runs waits for ever",
        "cycles::a_cycle_round_a_loaders_own_event_loop_is_seen[submit-elsewhere]",
    ),
    Fault(
        "a-cancelled-future-stays-aboard",
        "futures.SubmitFuture.cancel",
        """\
                self._table.leave(mine.following or mine, mine)
        return True
""",
        """\
                pass
        return True
""",
        "6, leaving: cancelling the last future of a task's load does not cancel the load",
        "group::cancelling_the_last_future_cancels_the_load_of_a_task",
    ),
]
