"""What is logged, and when."""

from fault import Fault

FAULTS = [
    Fault(
        "told-before-the-landing",
        "ledger.Ledger.fail_to_reload",
        "        if outage is mine:\n",
        """\
        if outage is mine:
            from .._locks import log

            log.warning("%s: a reload failed", flight)
        elif outage is None:
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
    Fault(
        "an-outage-is-told-each-time",
        "ledger.Ledger.fail_to_reload",
        "if outage is mine:",
        "if True:",
        "the surface, logging: while an origin is down, each reload that fails is a record",
        "ledger::an_outage_is_logged_once_and_its_end_with_what_was_left_out",
    ),
    Fault(
        "an-outage-has-no-end",
        "ledger.Ledger.load_again",
        "self.outage.pop(None, None)",
        "self.outage.get(None)",
        "the surface, logging: of all outages but the first, nobody hears",
        "ledger::an_outage_is_logged_once_and_its_end_with_what_was_left_out",
    ),
    Fault(
        "an-observer-is-told-at-once",
        "ledger.Ledger.observe",
        "log_later(partial(self._observe, Event(what, key, why)))",
        "self._observe(Event(what, key, why))",
        "17, nobody else's code: an observer runs under a lock of ours, and may wait for it",
        "ledger::what_is_told_may_have_a_miss_itself",
    ),
    Fault(
        "an-observer-that-raises-goes-on",
        "ledger.Ledger._observe",
        "            self.observer = None\n",
        "",
        "17, nobody else's code: an observer that is broken fills the log, a record for each event",
        "ledger::an_observer_that_raises_is_logged_and_told_no_more",
    ),
]
