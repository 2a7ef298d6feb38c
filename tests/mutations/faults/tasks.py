"""Tasks, and the loads that run in them."""

from fault import Fault

FAULTS = [
    Fault(
        "wait-for-what-is-over",
        "tasks.Tasks.call",
        """\
                if not flight.over:
                    alone""",
        """\
                if True:
                    alone""",
        "9, no hangs: a task that comes when its flight has just landed waits for nothing",
        "task_loads::a_task_that_comes_when_its_flight_has_just_landed_gets_what_landed",
    ),
    Fault(
        "the-other-loop-is-not-woken",
        "tasks.LoopWaiters.wake",
        "loop.call_soon_threadsafe(self._ring)",
        "loop.call_soon(self._ring)",
        "11, any caller: a task of another loop hears of the landing when its loop wakes by itself",
        "mixtures::what_they_saw_can_be_explained[values]",
    ),
    Fault(
        "a-task-that-left-stops-the-bell",
        "tasks.LoopWaiters._ring",
        "if signal is not None and not signal.done():",
        "if signal is not None:",
        "6, leaving: a task that was cancelled as the flight landed leaves the others waiting",
        "task_loads::a_caller_that_is_cancelled_as_the_flight_lands_keeps_nobody_waiting",
    ),
    Fault(
        "interruptions-land-in-tasks",
        "direct.direct_async.source",
        """\
            except Exception as error:
                failure""",
        """\
            except BaseException as error:
                failure""",
        "5, interruptions are personal: one CancelledError is raised in every task aboard",
        "tasks::an_interruption_is_personal_and_one_follower_leads_anew",
    ),
    Fault(
        "interruption-for-a-follower",
        "tasks.Tasks.call",
        """\
                if flight is mine:
                    serving.raise_interruption(mine)
""",
        """\
                serving.raise_interruption(flight)
                if flight is mine:
""",
        "5, interruptions are personal: who wakes first gets what the load was interrupted by",
        "task_loads::an_interruption_goes_to_its_starter_though_another_one_wakes_first",
    ),
    Fault(
        "an-interruption-in-the-first-step-is-unheard",
        "task_loads.TaskLoad._run",
        "heard = self.starts or (waiters",
        "heard = (waiters",
        "5, interruptions are personal: one of the first step is logged as well as raised",
        "loops::what_the_tasks_saw_can_be_explained[interruptions]",
    ),
    Fault(
        "one-future-for-all",
        "tasks._board",
        "    ours.callers[mine] = ref(signal)\n",
        """\
    signal = next((other() for other in ours.callers.values()), signal)
    ours.callers[mine] = ref(signal)
""",
        "5, interruptions are personal: cancelling one task cancels every task that waits with it",
        "tasks::an_interrupted_caller_changes_nothing_for_the_rest",
    ),
    Fault(
        "no-recovery-in-tasks",
        "tasks.Tasks.call",
        """\
        except BaseException:
            load.starts = False  # its caller boards no more
            table.recover(mine, None)
            raise
        finally:
""",
        "        finally:\n",
        "6, leaving: a load goes on when every task that wanted it was cancelled",
        "task_loads::when_the_last_caller_leaves_the_load_is_cancelled",
    ),
    Fault(
        "nobody-lands-a-task-that-never-ran",
        "task_loads.TaskLoad.start",
        "            task.add_done_callback(never_ran)\n",
        "",
        "9, no hangs: a load cancelled before its first step leaves its callers waiting for ever",
        "task_loads::a_task_that_is_cancelled_before_its_first_step_is_abandoned",
    ),
    Fault(
        "the-coroutine-of-a-task-is-closed",
        "task_loads.TaskLoad.start",
        """\
                if task is not None:
                    task.cancel()
                elif run""",
        """\
                if run""",
        "5, interruptions are personal: Ctrl-C as a load gets its task logs a RuntimeError of ours",
        "interrupts::an_interrupt_at_any_line_leaves_everyone_answered_and_the_key_free[default-task]",
    ),
    Fault(
        "a-coroutine-without-a-task-is-dropped",
        "task_loads.TaskLoad.start",
        """\
                elif run is not None:
                    run.close()
""",
        "",
        "8, nothing is left behind: Ctrl-C before a load has its task warns of a lost coroutine",
        "interrupts::an_interrupt_at_any_line_leaves_everyone_answered_and_the_key_free[default-task]",
    ),
    Fault(
        "tasks-have-no-edges",
        "tasks.wait",
        "with nullcontext() if runner is None else Edge((runner,), flight):",
        "with nullcontext():",
        "9, no hangs: two async loads that wait for each other hang",
        "tasks::a_cycle_of_two_loads_gets_a_deadlock_error",
    ),
    Fault(
        "tasks-do-not-look-for-closed-loops",
        "tasks.wait",
        "                waiters.watch(table, flight)",
        "                pass",
        "11, any caller: a task that follows a load whose loop was closed waits for ever",
        "task_loads::the_flight_of_a_loop_that_was_merely_closed_is_abandoned",
    ),
    Fault(
        "a-refresh-ends-with-its-followers",
        "serving.at_once",
        "ticket(call.key, table.name, load, is_refresh=True)",
        "ticket(call.key, table.name, load)",
        "6, leaving: a refresh is cancelled with the last task that happened to wait for it",
        "task_refreshes::a_follower_that_leaves_a_refresh_does_not_end_it",
    ),
    Fault(
        "nobody-holds-the-task-of-a-refresh",
        "task_loads.TaskLoad._run",
        "            held.tasks[task] = flight\n",
        "            held.tasks.clear()\n",
        "9, no hangs: a load whose future nobody else holds is collected, with its task",
        "task_refreshes::a_refresh_is_held_although_asyncio_holds_tasks_weakly",
    ),
    Fault(
        "loads-hold-their-tasks",
        "task_loads.TaskLoad._run",
        """\
            if self._task is None:  # this is its first step, in `start`
                self._task = ref(task)
            elif never_ran is not None:
""",
        """\
            first, self._task = self._task is None, partial(lambda task: task, task)
            if not first and never_ran is not None:
""",
        "11, any caller: an event loop that is dropped keeps its keys for ever",
        "dropped_loops::its_keys_are_free_once_it_is_collected",
    ),
    Fault(
        "first-steps-nest",
        "task_loads.TaskLoad.start",
        "eager = eager and plain and not thread.eager",
        "eager = eager and plain",
        "9, no hangs: async loads that need each other fill the stack at a tenth of its depth",
        "limits::loads_of_tasks_do_not_nest_on_the_stack",
    ),
    Fault(
        "the-main-task-has-no-edge",
        "tasks._runner",
        "    return ref(outer) if any(",
        "    return ref(outer) if False and any(",
        "9, no hangs: a cycle round a loop that a loader runs waits for ever",
        "cycles::a_cycle_round_a_loaders_own_event_loop_is_seen",
    ),
    Fault(
        "any-task-is-the-main-task",
        "tasks._runner",
        'any("run_until_complete" in end for end in ends)',
        "True",
        "9, no false alarms: a task that was merely started in a loader's loop is accused",
        "cycles::a_background_task_in_a_loaders_own_event_loop_is_not_accused",
    ),
    Fault(
        "no-main-task-has-a-loader",
        "tasks.Tasks.call",
        "me.local.thread.flight is None and current_task() not in held.tasks",
        "current_task() not in held.tasks",
        "9, no hangs: a loop that a loader runs waits for a load of its own that needs the loader",
        "cycles::a_cycle_round_a_loaders_own_event_loop_is_seen",
    ),
    Fault(
        "nobody-holds-who-waits",
        "tasks.Tasks.call",
        "                    held.signals.add(signal)\n",
        "                    pass\n",
        "11, any caller: a task that waits, and that nobody holds, is collected meanwhile",
        "dropped_loops::callers_that_nobody_holds_are_held_while_their_loop_lives",
    ),
]
