"""Faults that somebody could make in the protocol; a test must notice each of them.

A fault replaces one piece of text, which occurs exactly once in its file. What changes nothing that
anybody could see is no fault, and is not in here.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Fault(NamedTuple):
    name: str
    file: str  # in src/soloflight
    old: str
    new: str
    breaks: str  # which law of the protocol, and what a user would see
    by: str  # the test that is known to kill it: "table::x" is test_x in tests/test_table.py

    @property
    def test(self) -> str:
        file, name = self.by.split("::")
        folder, _, file = file.rpartition("/")
        return f"{Path('tests', folder, f'test_{file}.py')}::test_{name}"


FAULTS = [
    # One flight, and the order of landing
    Fault(
        "remove-before-store",
        "_table.py",
        """\
                        stored = entry
                        flight.outcome = outcome
""",
        """\
                        flights.pop(key, None)
""",
        "2, order of landing: a call that falls between loads a second time",
        "locks::forget_holds_though_the_flight_is_landing",
    ),
    Fault(
        "no-second-look",
        "_table.py",
        "if look and self.shelf is not None:",
        "if False:",
        "2, order of landing: who missed just before a load ended loads once more",
        "table::a_call_that_missed_just_before_a_load_ended_hits_after_all",
    ),
    Fault(
        "second-look-takes-what-expired",
        "_shelf.py",
        "if not now < entry.fresh_until and not (type(entry) is Aging and now < entry.calm_until):",
        "if False:",
        "2, order of landing: an expired entry is served for ever, as long as the cache has it",
        "decorators::any_real_number_is_a_duration",
    ),
    Fault(
        "second-look-keeps-the-key",
        "_table.py",
        """\
        self.land(mine, None if isinstance(found, Error) else Found(found.value))
""",
        "",
        "8, nothing is left behind: the next call that misses follows a flight that nobody runs",
        "table::a_call_that_missed_just_before_a_load_ended_hits_after_all",
    ),
    Fault(
        "off-by-key",
        "_table.py",
        """\
                if flights.get(key) is flight:
                    flights.pop(key, None)  # a key's""",
        """\
                if True:
                    flights.pop(key, None)  # a key's""",
        "1, one flight: a forgotten flight takes its successor off; a third load starts beside it",
        "group::a_forgotten_flight_never_takes_its_successor_off_the_table",
    ),
    Fault(
        "over-before-removal",
        "_table.py",
        """\
            try:
                if flights.get(key) is flight:
""",
        """\
            try:
                if not flight.over:
                    flight.outcome = outcome
                    flight.over = True
                    self.counts.errors += type(outcome) is Error
                if flights.get(key) is flight:
""",
        "2, order of landing: who calls again as soon as it has the value finds the old flight",
        "table::a_flight_that_is_over_has_its_outcome_and_a_free_key_at_every_line",
    ),
    Fault(
        "wake-before-removal",
        "_table.py",
        """\
            try:
                if flights.get(key) is flight:
""",
        """\
            try:
                if not flight.over:
                    flight.outcome = outcome
                    flight.over = True
                    self.counts.errors += type(outcome) is Error
                    for waiters in list(flight.waiters.values()):
                        waiters.wake()
                if flights.get(key) is flight:
""",
        "4, the key is free before anyone wakes: who tries again at once gets the old error again",
        "table::who_wakes_finds_the_entry_and_the_key_free",
    ),
    Fault(
        "over-before-outcome",
        "_table.py",
        """\
                    flight.outcome = outcome
                    flight.over = True
""",
        """\
                    flight.over = True
                    flight.outcome = outcome
""",
        "3, hand-over: who looks in between takes the flight for abandoned and loads again",
        "table::a_flight_that_is_over_has_its_outcome_and_a_free_key_at_every_line",
    ),
    Fault(
        "land-is-not-idempotent",
        "_table.py",
        """\
                if not flight.over:
                    flight.outcome = outcome
""",
        """\
                if True:
                    flight.outcome = outcome
""",
        "3, hand-over: a second landing takes the outcome away from those who have not read it yet",
        "table::landing_twice_counts_an_error_once",
    ),
    Fault(
        "emptied-before-woken",
        "_table.py",
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
        "_table.py",
        """\
        if not flight.over:
            board(flight, mine)
        else:
            self._clean(flight)
""",
        """\
        board(flight, mine)
        self._clean(flight)
""",
        "8, nothing is left behind: a late follower is a cycle that keeps the value alive",
        "table::who_comes_when_its_flight_has_just_landed_gets_what_landed_and_keeps_nothing",
    ),
    Fault(
        "wait-for-what-is-over",
        "_tasks.py",
        "                if not flight.over:\n                    if deadline",
        "                if True:\n                    if deadline",
        "9, no hangs: a task that comes when its flight has just landed waits for nothing",
        "tasks::a_task_that_comes_when_its_flight_has_just_landed_gets_what_landed",
    ),
    Fault(
        "only-one-follower-wakes",
        "_threads.py",
        """\
                waiters.wake()
                return
""",
        """\
                return
""",
        "3, hand-over: the second thread behind the turnstile waits for ever",
        "threads::followers_are_woken_and_need_not_look_by_themselves",
    ),
    Fault(
        "the-other-loop-is-not-woken",
        "_tasks.py",
        "self.loop.call_soon_threadsafe(self._ring)",
        "self.loop.call_soon(self._ring)",
        "11, any caller: a task of another loop hears of the landing when its loop wakes by itself",
        "bench/mixtures::what_they_saw_can_be_explained[values]",
    ),
    Fault(
        "a-task-that-left-stops-the-bell",
        "_tasks.py",
        """\
            if not signal.done():
                signal.set_result(None)
""",
        """\
            signal.set_result(None)
""",
        "6, leaving: a task that was cancelled as the flight landed leaves the others waiting",
        "tasks::a_caller_that_is_cancelled_as_the_flight_lands_keeps_nobody_waiting",
    ),
    # Hand-over
    Fault(
        "follower-looks-at-the-cache",
        "_threads.py",
        "outcome = handed_over(flight.outcome, look)",
        "outcome = table.shelf and table.shelf.look(key) or handed_over(None, look)",
        "3, hand-over: a value that the cache refuses is loaded once for every follower",
        "threads::followers_get_a_value_that_is_not_stored",
    ),
    Fault(
        "nobody-leads-anew",
        "_threads.py",
        "outcome = handed_over(flight.outcome, look)",
        "outcome = flight.outcome or Error(WaitTimeout('abandoned'), None)",
        "5, interruptions are personal: a Ctrl-C in the leader is an error of all who follow",
        "threads::an_interruption_is_personal_and_one_follower_leads_anew",
    ),
    Fault(
        "ttl-from-the-start",
        "_load.py",
        "shelf.policy.entry(value, now, flight.took)",
        "shelf.policy.entry(value, now - flight.took, flight.took)",
        "3, hand-over: what took longer to load than its ttl is never served from the cache",
        "threads::ttl_counts_from_the_end_of_the_load",
    ),
    Fault(
        "none-is-a-miss",
        "_template.py",
        'f"if {sf}entry is not None{fresh}:\\n"',
        'f"if {sf}entry is not None and {sf}entry.value is not None{fresh}:\\n"',
        "16, a hit is cheap: a loader that returns None pays a miss for every call",
        "threads::a_hit_takes_no_lock",
    ),
    Fault(
        "a-failed-store-is-raised",
        "_store.py",
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
    # Errors
    Fault(
        "errors-stay-on-the-table",
        "_table.py",
        """\
                if flights.get(key) is flight:
                    flights.pop(key, None)  # a key's""",
        """\
                if flights.get(key) is flight and type(outcome) is not Error:
                    flights.pop(key, None)  # a key's""",
        "4, errors are never cached: who tries again gets the old error without a load",
        "threads::the_key_is_free_before_anyone_wakes",
    ),
    Fault(
        "frames-of-ours-in-tracebacks",
        "_outcome.py",
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
        "_outcome.py",
        "if isinstance(error, AttributeError) and error.obj is self:",
        "if False:",
        "8, nothing is left behind: a loader's AttributeError keeps its frames, and is renamed",
        "threads::an_attribute_error_stays_as_it_was_raised_and_keeps_no_frame",
    ),
    Fault(
        "a-future-is-with-its-last-crew",
        "group.py",
        "            crew = mine.signal\n",
        "            crew = (self._mine or mine).signal\n",
        "9, no hangs: a future that is handed on while submit() is under way never ends",
        "group::a_future_that_is_handed_on_while_it_claims_is_woken",
    ),
    # Interruptions
    Fault(
        "interruptions-land-in-threads",
        "_threads.py",
        "        except Exception as error:\n            # Without",
        "        except BaseException as error:\n            # Without",
        "5, interruptions are personal: one Ctrl-C or SystemExit is raised in every thread aboard",
        "threads::an_interruption_is_personal_and_one_follower_leads_anew",
    ),
    Fault(
        "interruptions-land-in-tasks",
        "_task_loads.py",
        "            except Exception as error:\n                # Without",
        "            except BaseException as error:\n                # Without",
        "5, interruptions are personal: one CancelledError is raised in every task aboard",
        "tasks::an_interruption_is_personal_and_one_follower_leads_anew",
    ),
    Fault(
        "interruption-for-a-follower",
        "_tasks.py",
        "if outcome is None and flight is mine:\n                    raise_interruption(mine)",
        "if outcome is None and flight.load is not None:\n"
        "                    raise_interruption(flight)",
        "5, interruptions are personal: who wakes first gets what the load was interrupted by",
        "tasks::an_interruption_goes_to_its_starter_though_another_one_wakes_first",
    ),
    Fault(
        "one-future-for-all",
        "_tasks.py",
        "    waiters.callers[mine] = signal",
        "    mine.signal = waiters.callers[mine] = next(iter(waiters.callers.values()), signal)",
        "5, interruptions are personal: cancelling one task cancels every task that waits with it",
        "tasks::cancelling_any_caller_changes_nothing_for_the_rest",
    ),
    Fault(
        "no-recovery-in-threads",
        "_threads.py",
        """\
    except BaseException:
        table.recover(mine, outcome)
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
        "no-recovery-in-tasks",
        "_tasks.py",
        """\
    except BaseException:
        table.recover(mine, outcome)
        raise
    finally:
""",
        """\
    finally:
""",
        "6, leaving: a load goes on when every task that wanted it was cancelled",
        "tasks::when_the_last_caller_leaves_the_load_is_cancelled",
    ),
    Fault(
        "recovery-forgets-the-follower",
        "_table.py",
        """\
            self.leave(mine.following, mine)
        elif""",
        """\
            pass
        elif""",
        "6, leaving: a follower that left is counted and kept until the flight ends",
        "threads::a_caller_leaves_after_wait_timeout_and_the_flight_goes_on",
    ),
    Fault(
        "recovery-loses-the-outcome",
        "_table.py",
        "                self.land(mine, outcome)\n            finally:",
        "                self.land(mine, None)\n            finally:",
        "5, interruptions are personal: a Ctrl-C right after a load throws away what was loaded",
        "table::an_interrupt_between_load_and_landing_lands_what_was_loaded",
    ),
    Fault(
        "nobody-lands-a-task-that-never-ran",
        "_task_loads.py",
        """\
        task.add_done_callback(never_ran)
""",
        "",
        "9, no hangs: a load cancelled before its first step leaves its callers waiting for ever",
        "tasks::a_task_that_is_cancelled_before_its_first_step_is_abandoned",
    ),
    # Leaving
    Fault(
        "a-leaver-ends-the-flight",
        "_table.py",
        """\
            self.leave(mine.following, mine)
        elif""",
        """\
            self.land(mine.following, None)
        elif""",
        "6, leaving: the wait_timeout of one caller makes all the others load again",
        "threads::a_caller_leaves_after_wait_timeout_and_the_flight_goes_on",
    ),
    Fault(
        "the-starter-takes-its-load-along",
        "_table.py",
        "flight.unattended or flight.aboard():",
        "flight.unattended or (flight.aboard() and mine is not flight):",
        "5, no caller owns the load: cancelling the first caller makes the others load again",
        "tasks::cancelling_any_caller_changes_nothing_for_the_rest",
    ),
    Fault(
        "a-waiter-is-kept",
        "_table.py",
        "            waiters.callers.pop(mine, None)",
        "            pass",
        "6, leaving: an async load is never cancelled, and in_flight() counts who has left",
        "threads::a_caller_leaves_after_wait_timeout_and_the_flight_goes_on",
    ),
    Fault(
        "the-load-runs-on",
        "_table.py",
        """\
        if critical(self.lock, self._leave, flight, mine) and flight.load is not None:
            flight.load.cancel()
""",
        """\
        critical(self.lock, self._leave, flight, mine)
""",
        "6, leaving: an async load that nobody wants any more runs to its end",
        "tasks::when_the_last_caller_leaves_the_load_is_cancelled",
    ),
    Fault(
        "newcomers-board-a-dying-flight",
        "_table.py",
        """\
        self._off(flight, None)
        return True
""",
        """\
        return True
""",
        "6, leaving: a newcomer waits for the clean-up of a cancelled load before it loads",
        "tasks::a_newcomer_never_joins_a_dying_flight",
    ),
    Fault(
        "a-cancelled-future-stays-aboard",
        "group.py",
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
    Fault(
        "a-new-deadline-for-each-wait",
        "_threads.py",
        "wait(table, flight, mine.signal, deadline, runs)",
        "wait(table, flight, mine.signal, "
        "None if wait_timeout is None else monotonic() + wait_timeout, runs)",
        "the surface, one deadline for the whole call: wait_timeout starts anew with each flight",
        "threads::wait_timeout_is_one_deadline_for_all_the_flights_of_a_call",
    ),
    # The fence
    Fault(
        "a-fenced-load-displaces",
        "_table.py",
        "if shelf is not None and not flight.over and flights.get(key) is flight:",
        "if shelf is not None and not flight.over:",
        "7, the fence: a load from before put() or invalidate() throws out what came after it",
        "table::a_fenced_load_does_not_displace_what_was_stored_after_the_fence",
    ),
    Fault(
        "forget-leaves-it-on-the-table",
        "_table.py",
        "flight = self.flights.pop(key, None)",
        "flight = self.flights.get(key)",
        "7, the fence: a call after forget() or invalidate() joins the load from before it",
        "threads::a_load_that_began_before_the_fence_is_neither_seen_nor_joined",
    ),
    Fault(
        "a-fence-leaves-no-mark",
        "_table.py",
        """\
        if flight is not None:
            flight.fenced = True
""",
        """\
        if flight is not None:
""",
        "7, the fence: what user code fenced while its entry was shown is put into the cache",
        "locks::a_fence_holds_though_a_key_gives_up_the_lock_while_its_entry_is_shown",
    ),
    Fault(
        "clear-leaves-no-mark",
        "_table.py",
        """\
                self.flights.popitem()[1].fenced = True
""",
        """\
                self.flights.popitem()
""",
        "7, the fence: what user code cleared while its entry was shown is put into the cache",
        "locks::a_fence_holds_though_a_key_gives_up_the_lock_while_its_entry_is_shown",
    ),
    Fault(
        "a-fence-in-a-store-is-not-looked-for",
        "_shelf.py",
        "if flight is not None and flight.fenced:",
        "if False:",
        "7, the fence: what user code fenced while its entry was shown is put into the cache",
        "locks::a_fence_holds_though_a_key_gives_up_the_lock_while_its_entry_is_shown",
    ),
    Fault(
        "forget-leaves-what-is-landing",
        "_table.py",
        "if self.shelf is not None and self.shelf.find(key) is stored is not None:",
        "if False:",
        "7, the fence: what was forgotten in the middle of its store is served afterwards",
        "locks::forget_holds_though_the_flight_is_landing",
    ),
    Fault(
        "invalidate-fences-only-last",
        "_fences.py",
        "    fenced = table.take_off(key) is not None\n    try:",
        "    fenced = False\n    try:",
        "7, the fence: a load lands in the middle of invalidate() and its value is served after it",
        "locks::a_load_that_lands_in_the_middle_of_a_fence_is_fenced_already",
    ),
    Fault(
        "invalidate-fences-only-first",
        "_fences.py",
        "        fenced = table.take_off(key) is not None or fenced",
        "        pass",
        "7, the fence: who claims in the middle of invalidate() hands on the old entry after it",
        "table::a_claim_in_the_middle_of_a_fence_is_fenced_as_well",
    ),
    Fault(
        "put-fences-only-last",
        "_fences.py",
        "    table.take_off(key)\n    try:",
        "    try:",
        "7, the fence: a load lands in the middle of put() and its value wins",
        "locks::a_load_that_lands_in_the_middle_of_a_fence_is_fenced_already",
    ),
    Fault(
        "put-fences-only-first",
        "_fences.py",
        """\
    finally:
        table.take_off(key)
    return old
""",
        """\
    finally:
        pass
    return old
""",
        "7, the fence: who claims in the middle of put() hands on the old entry after it",
        "table::a_claim_in_the_middle_of_a_fence_is_fenced_as_well",
    ),
    Fault(
        "clear-fences-only-last",
        "_fences.py",
        "    table.take_all_off()\n    try:",
        "    try:",
        "7, the fence: a load lands in the middle of clear() and its value is served after it",
        "locks::a_load_that_lands_in_the_middle_of_a_fence_is_fenced_already",
    ),
    Fault(
        "clear-fences-only-first",
        "_fences.py",
        """\
    finally:
        table.take_all_off()
""",
        """\
    finally:
        pass
""",
        "7, the fence: who claims in the middle of clear() hands on an old entry after it",
        "table::a_claim_in_the_middle_of_a_fence_is_fenced_as_well",
    ),
    Fault(
        "refresh-takes-what-is-there",
        "_table.py",
        "if look and self.shelf is not None:",
        "if self.shelf is not None:",
        "10, refresh is a flight: refresh() returns the old value and loads nothing",
        "threads::refresh_loads_now_and_stores",
    ),
    Fault(
        "refresh-takes-a-hit-for-a-load",
        "_outcome.py",
        "if type(outcome) is Found and not look:",
        "if False:",
        "10, refresh is a flight: refresh() that follows a caller who hit after all loads nothing",
        "table::a_refresh_that_follows_a_caller_who_hits_after_all_loads",
    ),
    # The cache
    Fault(
        "the-sweep-goes-by-key",
        "_shelf.py",
        "                if index.get(short) is gone:\n",
        "                if True:\n",
        "16, a hit is cheap: what was just reloaded is not seen and is loaded again",
        "shelf::the_sweep_spares_what_was_stored_since",
    ),
    Fault(
        "a-refusal-goes-by-key",
        "_shelf.py",
        "        if self.find(key) is entry:\n",
        "        if True:\n",
        "7, the fence: a refused value hides what user code stored after it",
        "shelf::a_refusal_spares_what_was_stored_since",
    ),
    Fault(
        "drop-only-hides",
        "_shelf.py",
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
        "_shelf.py",
        "        for index in (self.index, *self.instances()):\n            index.clear()",
        "        for index in (self.index,):\n            index.clear()",
        "7, the fence: clear() of a method leaves entries that somebody holds to be seen",
        "shelf::clear_hides_the_entries_of_all_instances",
    ),
    Fault(
        "hits-are-not-replayed",
        "_store.py",
        "                        ring.replay(cache)",
        "                        pass",
        "16, a hit is cheap, but counts: the hottest key is evicted as if nobody asked for it",
        "shelf::what_was_hit_lately_stays",
    ),
    Fault(
        "a-waiting-store-is-not-looked-at-again",
        "_store.py",
        "if entry is not None and owner.find(key) is not entry:",
        "if False:",
        "7, the fence: what was invalidated before its turn came is put into the cache",
        "store::a_store_that_had_to_wait_is_dropped_with_the_cache_that_broke",
    ),
    # No hangs, no false alarms
    Fault(
        "no-look-for-a-cycle",
        "_waits.py",
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
        "_waits.py",
        """\
            _waiting[self._runner] = ref(self._flight)
            self.check()
""",
        """\
            self.check()
            _waiting[self._runner] = ref(self._flight)
""",
        "9, no hangs: two that close a cycle at the same moment both see none",
        "waits::the_edge_is_there_when_the_walk_begins",
    ),
    Fault(
        "no-look-at-the-path-again",
        "_waits.py",
        "if path is not None and _cycle(self._runner, self._flight) == path:",
        "if path is not None:",
        "9, no false alarms: waits that did not exist at the same time are called a deadlock",
        "waits::a_cycle_that_is_gone_at_the_second_look_is_none",
    ),
    Fault(
        "an-edge-stays",
        "_waits.py",
        "            _waiting.pop(self._runner, None)",
        "            pass",
        "9, no false alarms: a thread that gave up waiting is accused as long as that flight flies",
        "waits::an_edge_ends_with_its_wait",
    ),
    Fault(
        "a-blocked-loop-is-no-runner",
        "_waits.py",
        "(last.load.task, last.thread) if last.load",
        "(last.load.task,) if last.load",
        "9, no hangs: a thread that blocks the loop which must run its leader hangs",
        "group::a_thread_that_would_block_the_loop_that_runs_its_leader_gets_a_deadlock_error",
    ),
    Fault(
        "tasks-have-no-edges",
        "_tasks.py",
        "with Edge(task, flight) if task in loads else nullcontext():",
        "with nullcontext():",
        "9, no hangs: two async loads that wait for each other hang",
        "tasks::a_cycle_of_two_loads_gets_a_deadlock_error",
    ),
    Fault(
        "a-loop-waits-for-its-own-thread",
        "_tasks.py",
        "if flight.loop is None and flight.thread == me.thread:",
        "if False:",
        "9, no hangs: an event loop that runs inside a loader and asks for its key hangs",
        "group::a_loop_that_asks_for_the_key_of_the_thread_that_runs_it_gets_a_deadlock_error",
    ),
    # Any caller
    Fault(
        "threads-do-not-look-for-closed-loops",
        "_threads.py",
        """\
            if table.abandon_gone(flight):
                return
""",
        "",
        "11, any caller: a thread that follows a load whose loop was closed waits for ever",
        "group::who_waits_for_the_flight_of_a_loop_that_is_closed_leads_anew",
    ),
    Fault(
        "tasks-do-not-look-for-closed-loops",
        "_tasks.py",
        "                waiters.watch(table, flight)",
        "                pass",
        "11, any caller: a task that follows a load whose loop was closed waits for ever",
        "tasks::the_flight_of_a_loop_that_was_merely_closed_is_abandoned",
    ),
    Fault(
        "load-under-the-lock",
        "_threads.py",
        "if is_held(mine.thread.lock):",
        "if False:",
        "9, no hangs: a destructor that loads holds up every caller of the function it ended in",
        "locks::user_code_inside_the_lock_may_lead_and_holds_nobody_up",
    ),
    Fault(
        "wait-under-the-lock",
        "_threads.py",
        "if is_held(thread.lock):",
        "if False:",
        "9, no hangs: a destructor that follows a flight keeps that from landing",
        "locks::user_code_inside_the_lock_may_follow_a_flight",
    ),
    Fault(
        "a-lock-inside-a-lock",
        "_locks.py",
        "    if is_held(before):\n        again",
        "    if False:\n        again",
        "9, no hangs: two functions whose values end in each other's caches lock each other out",
        "locks::user_code_inside_two_locks_may_change_what_the_other_one_guards",
    ),
    # Keys and instances
    Fault(
        "keywords-have-an-order",
        "_keys.py",
        'f"frozenset({p.name}.items())"',
        'f"(*{p.name}.items(),)"',
        "12, keys are the bound arguments: f(a=1, b=2) and f(b=2, a=1) load twice",
        "keys::the_order_of_keyword_arguments_does_not_matter",
    ),
    Fault(
        "an-address-is-an-instance",
        "_instances.py",
        """\
            looks.pop(address, None)
""",
        "",
        "13, methods: an instance at a reused address is served the values of a dead one",
        "store::nothing_is_left_of_a_dead_instance",
    ),
    Fault(
        "the-dead-are-not-buried",
        "_store.py",
        "                    self._bury()",
        "                    pass",
        "13, methods: the entries of dead instances fill the cache",
        "shelf::the_entries_of_a_dead_instance_go_at_the_next_store",
    ),
    # Freshness and failure
    Fault(
        "a-deadline-belongs-to-what-came-before",
        "_entry.py",
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
        "_entry.py",
        "    if now < entry.stale_until:\n",
        "    if True:\n",
        "the surface, stale_while_revalidate: a value is served for as long as the cache has it",
        "serving::until_a_deadline_and_no_longer",
    ),
    Fault(
        "two-refreshes",
        "_table.py",
        """\
        assert self.shelf is not None
        flight = self.flights.setdefault(mine.key, mine)
""",
        """\
        assert self.shelf is not None
        flight = self.flights[mine.key] = mine
""",
        "10, refresh is a flight: whoever finds a stale value starts a refresh, all at once",
        "early_refresh::a_cycle_has_one_refresh_however_many_threads_draw_it",
    ),
    Fault(
        "a-refresh-of-what-was-replaced",
        "_table.py",
        "if self.shelf.find(mine.key) is not served or self",
        "if self",
        "10, refresh is a flight: what was refreshed a moment ago is refreshed again",
        "early::a_value_that_was_replaced_while_the_dice_fell_is_not_refreshed",
    ),
    Fault(
        "a-needless-refresh-keeps-the-key",
        "_table.py",
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
        "_table.py",
        " is not served or self.timer() < served.calm_until:",
        " is not served:",
        "the surface, retry_after: who found a value stale before a refresh failed tries at once",
        "bench/schedules::what_the_threads_saw_can_be_explained[stale]",
    ),
    Fault(
        "the-second-look-knows-no-hold-off",
        "_shelf.py",
        " and not (type(entry) is Aging and now < entry.calm_until):",
        ":",
        "the surface, stale_if_error: who missed before a reload failed loads once more, at once",
        "failures::who_comes_too_late_for_an_attempt_that_failed_is_held_off_as_well",
    ),
    Fault(
        "a-failure-holds-nothing-off",
        "_policy.py",
        "        entry.calm_until = max(entry.calm_until, min(now + wait, entry.until))\n",
        "",
        "the surface, retry_after: an origin that is down is asked by every caller",
        "failures::attempts_are_held_off_twice_as_long_each_time_up_to_the_most",
    ),
    Fault(
        "held-off-beyond-the-end",
        "_policy.py",
        "min(now + wait, entry.until)",
        "now + wait",
        "the surface, stale_if_error: a value is served beyond its last deadline",
        "hold_off::nobody_is_held_off_beyond_the_last_deadline",
    ),
    Fault(
        "a-fenced-load-holds-off",
        "_load.py",
        "    if table.flights.get(flight.key) is flight:\n",
        "    if True:\n",
        "7, the fence: a load from before put() fails, and what was put is not refreshed in time",
        "refreshes::a_fenced_refresh_that_fails_holds_nothing_off",
    ),
    Fault(
        "no-value-in-place-of-an-error",
        "_serving.py",
        "    if error.stale is None:\n",
        "    if True:\n",
        "the surface, stale_if_error: a reload that fails is an error though there is a value",
        "stale_if_error::the_leader_and_all_who_follow_get_the_old_value",
    ),
    Fault(
        "refresh-returns-what-is-stale",
        "_threads.py",
        "if look and type(outcome) is Error else outcome",
        "if type(outcome) is Error else outcome",
        "the surface, refresh(): a load that failed returns the old value as if it were new",
        "failures::refresh_raises_what_the_load_raised",
    ),
    Fault(
        "impatient-refresh-returns-what-is-stale",
        "_serving.py",
        "    if not look or table.shelf is None",
        "    if table.shelf is None",
        "the surface, refresh(): at its wait_timeout it returns the old value as if it were new",
        "patience::refresh_wants_the_new_value_or_none",
    ),
    Fault(
        "an-impatient-caller-ends-the-load",
        "_serving.py",
        "    (mine.following or mine).unattended = True\n",
        "",
        "6, leaving: where every task gets the stale value for its patience, none ever loads",
        "patience::a_leader_whose_patience_ends_gets_it_too_and_the_load_goes_on",
    ),
    Fault(
        "a-refresh-ends-with-its-followers",
        "_tasks.py",
        "    mine.unattended = True\n",
        "",
        "6, leaving: a refresh is cancelled with the last task that happened to wait for it",
        "serving_async::a_follower_that_leaves_a_refresh_does_not_end_it",
    ),
    Fault(
        "a-load-on-a-thread-ends-with-its-callers",
        "_table.py",
        "flight.load is None or flight.loop is None or",
        "flight.load is None or",
        "6, leaving: a load in an executor whose callers have left is thrown away, and done again",
        "executor::a_leader_has_patience_as_well_and_its_load_goes_on",
    ),
    Fault(
        "old-flights-are-joined",
        "_hanging.py",
        "now - flight.since >= self._max_age",
        "now - flight.since < 0",
        "the surface, max_flight_age: a load that hangs owns its key for ever",
        "max_flight_age::the_next_caller_leads_a_new_load_and_the_old_one_is_fenced",
    ),
    Fault(
        "any-number-may-hang",
        "_hanging.py",
        "return len(self.of(key)) >= self._max_abandoned",
        "return False",
        "the surface, max_abandoned: an origin that hangs gets one load more each max_flight_age",
        "max_flight_age::so_many_loads_of_a_key_may_hang",
    ),
    Fault(
        "what-has-ended-still-hangs",
        "_table.py",
        "                        self.hanging.remove(flight)",
        "                        pass",
        "8, nothing is left behind: after a few loads that hung for a while, nobody loads any more",
        "max_flight_age::when_one_of_them_has_ended_there_is_room_for_another",
    ),
    Fault(
        "taken-over-before-it-leads",
        "_executor.py",
        " and flight.since is not None:",
        ":",
        "10, refresh is a flight: a follower runs a refresh that its starter then finds needless",
        "executor_queue::a_refresh_that_its_starter_does_not_lead_yet_is_run_by_nobody",
    ),
    Fault(
        "a-load-runs-twice",
        "_executor.py",
        "return self._taken.setdefault(None, who) is who",
        "return True",
        "1, one flight: a follower and a thread of the executor run one load both",
        "bench/schedules::what_the_threads_saw_can_be_explained[stale]",
    ),
    Fault(
        "cancelled-in-a-queue",
        "_executor.py",
        "        future.add_done_callback(partial(_never_ran, table, waiting))",
        "        pass",
        "9, no hangs: a load that was cancelled in its executor's queue leaves its callers waiting",
        "executor_queue::who_waits_for_a_load_that_is_cancelled_while_it_is_queued_leads_anew",
    ),
    Fault(
        "no-thread-of-an-executor-helps",
        "_threads.py",
        " or submit is None or me.thread.works\n",
        " or submit is None\n",
        "9, no hangs: loads on one executor that need each other wait for its only thread",
        "executor_queue::nested_loads_do_not_starve_on_one_thread",
    ),
    Fault(
        "a-refused-refresh-keeps-the-key",
        "_threads.py",
        """\
            table.recover(mine, None)
            _load.not_started""",
        "            _load.not_started",
        "8, nothing is left behind: when an executor refused once, nobody refreshes any more",
        "executor_queue::an_executor_that_refuses_is_asked_again_by_the_next_caller",
    ),
    Fault(
        "a-refresh-has-no-context",
        "_executor.py",
        "partial(copy_context().run, load)",
        "load",
        "10, refresh is a flight: a refresh knows nothing of the tenant or the trace of its caller",
        "serving::a_refresh_runs_in_a_copy_of_the_context_of_the_caller_that_started_it",
    ),
    Fault(
        "a-queue-costs",
        "_executor.py",
        "            flight.since = table.timer()\n",
        "",
        "the surface, early_refresh: where an executor is busy, all is refreshed far too early",
        "executor_queue::the_time_in_a_queue_is_no_part_of_what_a_load_costs",
    ),
    Fault(
        "an-option-that-fails-holds-nothing-off",
        "_load.py",
        "    if flight.unattended and table.shelf is not None:",
        "    if False:",
        "the surface, retry_after: where ttl() fails, each caller starts a refresh, unheard",
        "load::a_refresh_that_ends_in_an_error_of_an_option_is_told_and_held_off",
    ),
    Fault(
        "one-exception-for-all",
        "_entry.py",
        "        return self.kept.copy()",
        "        return self.kept",
        "8, nothing is left behind: a cached exception keeps what its callers chained to it",
        "error_ttl::each_caller_gets_an_exception_of_its_own",
    ),
    Fault(
        "a-kept-exception-keeps-frames",
        "_policy.py",
        "        entry.kept = error.bare()",
        "        entry.kept = error.copy()",
        "8, nothing is left behind: a cached exception keeps the loader's frames alive",
        "retention::a_cached_exception_keeps_no_frame_alive",
    ),
    Fault(
        "an-exception-is-no-entry",
        "_table.py",
        "entry = outcome.entry if type(outcome) is Error else outcome",
        "entry = outcome",
        "the surface, error_ttl: each caller asks anew for what does not exist",
        "error_ttl::an_exception_is_an_answer_for_its_time",
    ),
    Fault(
        "forget-leaves-an-exception-that-is-landing",
        "_table.py",
        "stored = outcome.entry if type(outcome) is Error else outcome",
        "stored = outcome",
        "7, the fence: an exception that was forgotten in the middle of its store is raised",
        "locks::forget_holds_though_the_flight_is_landing",
    ),
    Fault(
        "stale-hits-are-not-noted",
        "_serving.py",
        "    table.shelf.note(key)\n",
        "    next(table.shelf.ring.counter)\n",
        "16, a hit is cheap, but counts: the hottest key is evicted while it is stale",
        "shelf::what_was_hit_lately_stays_though_it_is_stale",
    ),
    Fault(
        "the-time-after-the-look",
        "_shelf.py",
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
        "_shelf.py",
        "                self.policy.calm(entry)",
        "                pass",
        "the surface, early_refresh: it has no effect where the cache's own ttu ends entries",
        "early::early_is_before_the_end_that_a_given_cache_has_set",
    ),
    Fault(
        "a-failed-background-load-keeps-itself",
        "_locks.py",
        """\
        return released(call, *args) if is_held(me.thread.lock) else call(*args)
    finally:
        del call, args  # an""",
        """\
        return released(call, *args) if is_held(me.thread.lock) else call(*args)
    finally:
        pass  # an""",
        "8, nothing is left behind: a refresh that failed keeps its arguments in a cycle",
        "bench/schedules::what_the_threads_saw_can_be_explained[stale]",
    ),
    Fault(
        "an-old-ticket-keeps-itself",
        "_threads.py",
        "                mine.signal = None  # it holds that ticket\n",
        "",
        "8, nothing is left behind: a load that was cancelled keeps its arguments in a cycle",
        "bench/schedules::what_the_threads_saw_can_be_explained[patience]",
    ),
    Fault(
        "a-thread-of-the-pool-is-used-once",
        "_executor.py",
        "            self._idle.append(None)\n",
        "            pass\n",
        "10, refresh is a flight: after eight refreshes the pool's threads are made for nothing",
        "executor::a_thread_of_the_pool_that_is_idle_is_used_again",
    ),
    # Fork
    Fault(
        "a-child-has-its-parents-flights",
        "_table.py",
        """\
        self.flights = {}
        if self.hanging""",
        "        if self.hanging",
        "14, fork: a child waits for a load that nobody runs",
        "locks::a_child_does_not_wait_for_a_load_of_its_parent",
    ),
    Fault(
        "a-child-has-its-parents-locks",
        "_locks.py",
        "            lock._at_fork_reinit()",
        "            pass",
        "14, fork: a child waits for a lock that nobody holds",
        "locks::a_child_never_gets_a_lock_that_a_thread_of_its_parent_holds",
    ),
    Fault(
        "no-lock-is-taken-for-a-fork",
        "_locks.py",
        "        if lock.acquire(timeout=max(0.0, deadline - monotonic())):",
        "        if False:",
        "14, fork: a child gets a cache in the middle of a change",
        "locks::a_fork_waits_for_the_end_of_a_change",
    ),
    Fault(
        "a-fork-waits-without-end",
        "_locks.py",
        "lock.acquire(timeout=max(0.0, deadline - monotonic()))",
        "lock.acquire()",
        "14, fork: who forks inside a slow change of a cache hangs",
        "locks::a_child_never_gets_a_lock_that_a_thread_of_its_parent_holds",
    ),
]
