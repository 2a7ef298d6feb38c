"""What is logged, and when."""

from fault import Fault

FAULTS = [
    Fault(
        "told-before-the-landing",
        "ledger.Ledger.fail_to_reload",
        '            tell("%s: a reload failed", flight, error=error.exception, traceback=error.traceback)\n',
        """\
            from .._locks import log

            log.warning("%s: a reload failed", flight)
""",
        "17, nobody else's code: who has a handler's lock and follows the load waits for ever",
        "telling::what_is_told_of_a_task_is_told_after_its_landing",
    ),
    Fault(
        "told-under-a-lock",
        "_locks.tell_all",
        "while thread.untold and not is_held(thread.lock):",
        "while thread.untold:",
        "17, nobody else's code: a handler's lock is asked for by who holds one of ours: a hang",
        "telling::nothing_is_told_while_a_lock_of_ours_is_held",
    ),
    Fault(
        "a-handler-may-raise",
        "_locks.tell_all",
        "        except Exception:\n",
        "        except ZeroDivisionError:\n",
        "3, hand-over: where the log server is down, its error replaces the value that was loaded",
        "telling::a_handler_that_raises_changes_nothing",
    ),
    Fault(
        "nobody-tells",
        "table.FlightTable.land",
        """\
            if thread.untold:
                tell_all()
""",
        "",
        "3, hand-over: a store that fails is told by whoever happens to take a lock next",
        "telling::a_failed_reload_is_told_after_its_followers_have_their_answer",
    ),
    Fault(
        "told-again-and-again",
        "ledger.Ledger.tell_once",
        "            self._told.add(text)\n",
        "",
        "the surface, executor: one that was shut down fills the log, a line for each stale hit",
        "executor_queue::an_executor_that_refuses_is_asked_again_by_the_next_caller",
    ),
]
