"""Threads, and loads in an executor."""

from fault import Fault

FAULTS = [
    Fault(
        "only-one-follower-wakes",
        "threads._wait",
        """\
                waiters.wake()
                return
""",
        """\
                return
""",
        "3, hand-over: the second thread behind the turnstile waits for ever",
        "turnstile::followers_are_woken_and_need_not_look_by_themselves",
    ),
    Fault(
        "follower-looks-at-the-cache",
        "threads.Threads.call",
        "                if type(flight.landing) is Loaded:",
        """\
                if flight is not mine:
                    outcome = table.shelf and table.shelf.look(call.key)
                    if outcome is not None:
                        return outcome
                    continue
                if type(flight.landing) is Loaded:""",
        "3, hand-over: a value that the cache refuses is loaded once for every follower",
        "threads::followers_get_a_value_that_is_not_stored",
    ),
    Fault(
        "nobody-leads-anew",
        "threads.Threads.call",
        "                if flight is mine:\n",
        """\
                raise RuntimeError("abandoned")
                if flight is mine:
""",
        "5, interruptions are personal: a Ctrl-C in the leader is an error of all who follow",
        "threads::an_interruption_is_personal_and_one_follower_leads_anew",
    ),
    Fault(
        "interruptions-land-in-threads",
        "direct.direct.source",
        """\
            except Exception as error:
                # Without""",
        """\
            except BaseException as error:
                # Without""",
        "5, interruptions are personal: one Ctrl-C or SystemExit is raised in every thread aboard",
        "threads::an_interruption_is_personal_and_one_follower_leads_anew",
    ),
    Fault(
        "no-recovery-in-threads",
        "threads.Threads.call",
        """\
        except BaseException:
            table.recover(mine, landing)
            raise
        finally:
            mine""",
        """\
        finally:
            mine""",
        "5, interruptions are personal: a Ctrl-C in the leader leaves the key stuck for ever",
        "threads::an_interruption_is_personal_and_one_follower_leads_anew",
    ),
    Fault(
        "a-new-deadline-for-each-wait",
        "threads.Threads.call",
        "wait(table, flight, signal, deadline, runs)",
        """\
anew = deadline and monotonic() + self.wait_timeout
                    wait(table, flight, signal, anew, runs)""",
        "the surface, one deadline for the whole call: wait_timeout starts anew with each flight",
        "patience::wait_timeout_is_one_deadline_for_all_the_flights_of_a_call",
    ),
    Fault(
        "threads-do-not-look-for-closed-loops",
        "threads._wait",
        """\
            if table.abandon_gone(flight):
                return
""",
        "",
        "11, any caller: a thread that follows a load whose loop was closed waits for ever",
        "group::who_waits_for_the_flight_of_a_loop_that_is_closed_leads_anew",
    ),
    Fault(
        "load-under-the-lock",
        "threads.Threads.call",
        "partial(released, self.source) if held else self.source",
        "self.source",
        "9, no hangs: a destructor that loads holds up every caller of the function it ended in",
        "locks::user_code_inside_the_lock_may_lead_and_holds_nobody_up",
    ),
    Fault(
        "wait-under-the-lock",
        "threads.wait",
        "if is_held(thread.lock):",
        "if False:",
        "9, no hangs: a destructor that follows a flight keeps that from landing",
        "locks::user_code_inside_the_lock_may_follow_a_flight",
    ),
    Fault(
        "refresh-returns-what-is-stale",
        "landing.Failed.taken",
        "if may_hit and self.instead is not None:",
        "if self.instead is not None:",
        "the surface, refresh(): a load that failed returns the old value as if it were new",
        "failures::refresh_raises_what_the_load_raised",
    ),
    Fault(
        "taken-over-before-it-leads",
        "thread_loads.take_over",
        " and flight.since is not None:",
        ":",
        "10, refresh is a flight: a follower runs a refresh that its starter then finds needless",
        "executor_queue::a_refresh_that_its_starter_does_not_lead_yet_is_run_by_nobody",
    ),
    Fault(
        "a-load-runs-twice",
        "_once.Once.take",
        "return self.setdefault(None, who) is who",
        "return True",
        "1, one flight: who asks whether a load has begun ends it, and it runs a second time",
        "executor_queue::an_executor_that_refuses_does_not_end_what_somebody_has_taken_over",
    ),
    Fault(
        "what-no-executor-has-goes-on",
        "thread_loads.ThreadLoad.is_on_its_own",
        "return self._submitted or not self.withdraw()",
        "return True",
        "5, interruptions are personal: who is interrupted before it has a thread leaves it stuck",
        "interrupts_refreshes::an_interrupt_while_an_executor_loads_leaves_the_key_free",
    ),
    Fault(
        "who-took-it-over-is-not-asked",
        "thread_loads.ThreadLoad.is_on_its_own",
        "return self._submitted or not self.withdraw()",
        "return self._submitted",
        "5, no caller owns the load: an interrupted starter abandons what a follower runs already",
        "executor_queue::an_executor_that_refuses_does_not_end_what_somebody_has_taken_over",
    ),
    Fault(
        "an-executors-load-ends-with-who-started-it",
        "thread_loads.ThreadLoad.is_on_its_own",
        "return self._submitted or not self.withdraw()",
        "return False",
        "5, no caller owns the load: interrupting the first caller makes the others load again",
        "interrupts_refreshes::an_interrupt_of_the_leader_leaves_those_who_follow_a_load_elsewhere_aboard",
    ),
    Fault(
        "cancelled-in-a-queue",
        "thread_loads.ThreadLoad.start",
        "                future.add_done_callback(partial(_never_ran, table, waiting))",
        "                pass",
        "9, no hangs: a load that was cancelled in its executor's queue leaves its callers waiting",
        "executor_queue::who_waits_for_a_load_that_is_cancelled_while_it_is_queued_leads_anew",
    ),
    Fault(
        "no-thread-of-an-executor-helps",
        "threads.Threads.call",
        "deadline is None or not elsewhere or thread.works",
        "deadline is None or not elsewhere",
        "9, no hangs: loads on one executor that need each other wait for its only thread",
        "executor_queue::nested_loads_do_not_starve_on_one_thread",
    ),
    Fault(
        "a-refused-refresh-keeps-the-key",
        "serving._refresh",
        "            table.call_off(mine)\n",
        "",
        "8, nothing is left behind: when an executor refused once, nobody refreshes any more",
        "executor_queue::an_executor_that_refuses_is_asked_again_by_the_next_caller",
    ),
    Fault(
        "what-could-not-start-has-failed",
        "table.FlightTable.call_off",
        "        mine.is_refresh = False\n",
        "",
        "10, refresh is a flight: one that could not start holds off the next attempt",
        "task_refreshes::a_refresh_without_a_task_is_tried_again_by_the_next_caller",
    ),
    Fault(
        "a-refresh-has-no-context",
        "thread_loads.ThreadLoad.__init__",
        "copy_context().run,",
        "lambda source, *args: source(*args),",
        "10, refresh is a flight: a refresh knows nothing of the tenant or the trace of its caller",
        "serving::a_refresh_runs_in_a_copy_of_the_context_of_the_caller_that_started_it",
    ),
    Fault(
        "a-queue-costs",
        "thread_loads.ThreadLoad.run",
        "            table.begin(flight)\n",
        "",
        "the surface, early_refresh: where an executor is busy, all is refreshed far too early",
        "executor_queue::the_time_in_a_queue_is_no_part_of_what_a_load_costs",
    ),
    Fault(
        "an-old-ticket-keeps-itself",
        "threads.Threads.call",
        "            del call, signal  # breaks",
        "            del call  # breaks",
        "8, nothing is left behind: a load that was cancelled keeps its arguments in a cycle",
        "schedules::what_the_threads_saw_can_be_explained[patience]",
    ),
    Fault(
        "a-thread-of-the-pool-is-used-once",
        "pool.Pool._work",
        "            self._idle.append(None)\n",
        "            pass\n",
        "10, refresh is a flight: after eight refreshes the pool's threads are made for nothing",
        "executor::a_thread_of_the_pool_that_is_idle_is_used_again",
    ),
    Fault(
        "a-turn-is-lost",
        "pool.Line.turn_over",
        """\
        self._turns.append(None)
        if self._jobs:""",
        "        if self._jobs:",
        "10, refresh is a flight: after six refreshes a function has no more",
        "executor::a_thread_of_the_pool_that_is_idle_is_used_again",
    ),
    Fault(
        "what-waits-is-not-looked-for",
        "pool.Line.turn_over",
        "        if self._jobs:\n",
        "        if False:\n",
        "10, refresh is a flight: what found no turn left is queued for good",
        "executor::by_default_they_share_a_few_daemon_threads",
    ),
    Fault(
        "a-function-takes-all-threads",
        "pool.Line.begin",
        "self._turns = deque([None] * TURNS)",
        "self._turns = deque([None] * THREADS)",
        "10, refresh is a flight: hanging refreshes of one function stop those of all others",
        "executor::refreshes_of_one_function_that_hang_stop_no_other_function",
    ),
    Fault(
        "a-line-is-its-parents",
        "pool.Pool.begin",
        """\
        for line in list(self.lines):
            line.begin()
""",
        "",
        "14, fork: a child refreshes nothing where the refreshes of its parent hang",
        "executor::the_pool_of_a_child_begins_anew",
    ),
    Fault(
        "a-thread-does-not-know-what-it-loads",
        "threads.Threads.call",
        "outer, thread.flight = thread.flight, mine",
        "outer = thread.flight",
        "9, no hangs: a cycle round a loop that a loader runs waits for ever",
        "cycles::a_cycle_round_a_loaders_own_event_loop_is_seen[do-elsewhere]",
    ),
    Fault(
        "a-thread-of-an-executor-does-not-know-what-it-loads",
        "thread_loads.ThreadLoad.run",
        "outer, thread.flight = thread.flight, flight",
        "outer = thread.flight",
        "9, no hangs: a cycle round a loop that a loader runs on an executor waits for ever",
        "cycles::a_cycle_round_a_loaders_own_event_loop_is_seen[executor-elsewhere]",
    ),
    Fault(
        "the-pool-has-the-queue-of-threads",
        "pool.Pool.begin",
        "| None = None\n",
        "| None = queue.SimpleQueue()\n",
        "9, no hangs: where gevent patches after the import, a refresh blocks all greenlets",
        "gevent::greenlets_of_a_program_that_is_patched_after_the_import_share_loads[a-refresh-in-the-pool]",
    ),
    Fault(
        "nobody-hurries",
        "serving.at_once",
        "if long := flight.load.hurry():",
        "if long := 0.0:",
        "10, refresh is a flight: eight hanging refreshes anywhere stop those of the process",
        "executor::refreshes_of_many_functions_that_hang_stop_no_other_for_long",
    ),
    Fault(
        "a-long-wait-is-not-told",
        "serving.at_once",
        "                ledger.tell_once(\n",
        "                str.format(\n",
        "10, refresh is a flight: an executor that hangs stops all refreshes, in silence",
        "executor::an_executor_of_ones_own_that_hangs_is_told",
    ),
    Fault(
        "who-hangs-hurries-as-well",
        "pool.Line.hurry",
        """\
        if len(self._running) >= TURNS:
            return
""",
        "",
        "10, refresh is a flight: a function whose loads hang takes one thread after the other",
        "executor::a_function_whose_own_refreshes_hang_gets_no_more_threads",
    ),
    Fault(
        "what-a-caller-has-run-is-queued",
        "thread_loads.ThreadLoad.run",
        "                self._leave_the_queue()\n",
        "                pass\n",
        "8, nothing is left behind: a refresh that a caller has run stays queued, with its key",
        "executor::a_refresh_that_a_caller_has_run_leaves_the_queue",
    ),
    Fault(
        "handlers-end-the-threads-of-the-pool",
        "pool.Line.serve",
        """\
        except BaseException:
            pass
        finally""",
        """\
        except ZeroDivisionError:
            pass
        finally""",
        "10, refresh is a flight: after eight that could not be told, no refresh runs any more",
        "executor::log_handlers_do_not_end_the_threads_of_the_pool",
    ),
]
