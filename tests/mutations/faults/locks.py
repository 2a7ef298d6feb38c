"""Locks, and forks."""

from fault import Fault

FAULTS = [
    Fault(
        "a-lock-inside-a-lock",
        "_locks.locked",
        "    if is_held(before):\n        again",
        "    if False:\n        again",
        "9, no hangs: two functions whose values end in each other's caches lock each other out",
        "locks::user_code_inside_two_locks_may_change_what_the_other_one_guards",
    ),
    Fault(
        "a-failed-background-load-keeps-itself",
        "_locks.outside",
        """\
call(*args)
    finally:
        del call, args""",
        """\
call(*args)
    finally:
        pass""",
        "8, nothing is left behind: a refresh that failed keeps its arguments in a cycle",
        "schedules::what_the_threads_saw_can_be_explained[stale]",
    ),
    Fault(
        "a-child-has-its-parents-locks",
        "_locks._in_child",
        "            lock._at_fork_reinit()",
        "            pass",
        "14, fork: a child waits for a lock that nobody holds",
        "locks::a_child_never_gets_a_lock_that_a_thread_of_its_parent_holds",
    ),
    Fault(
        "no-lock-is-taken-for-a-fork",
        "_locks._before",
        '        taken.extend(filter(methodcaller("acquire", timeout=patience), [lock]))',
        "        pass",
        "14, fork: a child gets a cache in the middle of a change",
        "locks::a_fork_waits_for_the_end_of_a_change",
    ),
    Fault(
        "a-fork-waits-without-end",
        "_locks._before",
        'methodcaller("acquire", timeout=patience)',
        'methodcaller("acquire")',
        "14, fork: who forks inside a slow change of a cache hangs",
        "locks::a_child_never_gets_a_lock_that_a_thread_of_its_parent_holds",
    ),
    Fault(
        "a-lock-is-noted-when-it-is-taken",
        "_locks._before",
        'taken.extend(filter(methodcaller("acquire", timeout=patience), [lock]))',
        "if lock.acquire(timeout=patience):\n            taken.append(lock)",
        "14, fork: a Ctrl-C between the two leaves a function locked for good",
        "locks::an_interruption_in_a_hook_of_a_fork_leaves_no_lock_taken[_before]",
    ),
    Fault(
        "after-a-fork-it-is-tried-once",
        "_locks",
        "    for _ in range(2):\n",
        "    for _ in range(1):\n",
        "14, fork: a Ctrl-C right after it leaves every function locked for good",
        "locks::an_interruption_in_a_hook_of_a_fork_leaves_no_lock_taken[_release]",
    ),
    Fault(
        "a-lock-is-forgotten-before-it-is-released",
        "_locks._release",
        "    deque(map(_let_go, map(taken.pop, repeat(-1, len(taken)))), maxlen=0)",
        """\
    while taken:
        lock = taken.pop()
        lock.release()""",
        "14, fork: a Ctrl-C between the two leaves a function locked for good",
        "locks::an_interruption_in_a_hook_of_a_fork_leaves_no_lock_taken[_release]",
    ),
]
