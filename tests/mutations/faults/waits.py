"""Who waits for whom."""

from fault import Fault

FAULTS = [
    Fault(
        "no-look-for-a-cycle",
        "waits.Edge.__enter__",
        """\
            self.check()
        except""",
        """\
            pass
        except""",
        "9, no hangs: a loader that asks for its own key waits for half a second, or for ever",
        "tasks::a_loader_that_asks_for_its_own_key_gets_a_deadlock_error",
    ),
    Fault(
        "look-before-the-edge",
        "waits.Edge.__enter__",
        """\
            for runner in self._runners:
                _waiting[runner] = ref(self._flight)
            self.check()
""",
        """\
            self.check()
            for runner in self._runners:
                _waiting[runner] = ref(self._flight)
""",
        "9, no hangs: two that close a cycle at the same moment both see none",
        "waits::the_edge_is_there_when_the_walk_begins",
    ),
    Fault(
        "no-look-at-the-path-again",
        "waits.Edge.check",
        "if path is not None and _cycle(self._runners, self._flight) == path:",
        "if path is not None:",
        "9, no false alarms: waits that did not exist at the same time are called a deadlock",
        "waits::a_cycle_that_is_gone_at_the_second_look_is_none",
    ),
    Fault(
        "an-edge-stays",
        "waits.Edge.__exit__",
        "                _waiting.pop(runner, None)",
        "                pass",
        "9, no false alarms: a thread that gave up waiting is accused as long as that flight flies",
        "waits::an_edge_ends_with_its_wait",
    ),
    Fault(
        "a-blocked-loop-is-no-runner",
        "_runners.runners_here",
        "return (me.local.thread,) if loop is None else (me.local.thread, held_by(loop).home)",
        "return (me.local.thread,)",
        "9, no hangs: a thread that blocks the loop which must run its leader hangs",
        "group::a_thread_that_would_block_the_loop_that_runs_its_leader_gets_a_deadlock_error",
    ),
    Fault(
        "a-closed-loop-waits",
        "waits._cycle",
        " or last.load.runner.is_gone():",
        ":",
        "9, no false alarms: a cycle through a task whose loop was closed is called a deadlock",
        "group::a_wait_that_ended_with_its_loop_is_no_part_of_a_cycle",
    ),
    Fault(
        "an-edge-hides-the-outer-one",
        "waits.Edge.__exit__",
        "                _waiting[runner] = outer",
        "                _waiting.pop(runner, None)",
        "9, no hangs: a signal handler that waits in the middle of a wait hides that one's cycle",
        "waits::an_edge_ends_with_its_wait",
    ),
    Fault(
        "a-cycle-is-looked-for-once",
        "threads._wait",
        "            edge.check()\n",
        "",
        "9, no hangs: a cycle that was hidden by a signal handler's wait is never seen",
        "group::a_wait_in_a_signal_handler_hides_no_cycle",
    ),
    Fault(
        "greenlets-are-one-thread",
        "threads.Threads.call",
        """\
        if threading.local is not me.kind:
            me.adapt()  # before a ticket says whose it is
""",
        "",
        "9, no false alarms: where gevent patches after the import, who follows is a deadlock",
        "gevent::greenlets_of_a_program_that_is_patched_after_the_import_share_loads[a-herd]",
    ),
]
