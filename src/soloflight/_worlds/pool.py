"""The pool: a few threads for the process, and a line in front of them for each function."""

from __future__ import annotations

import os
import queue
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any
from weakref import WeakSet

from .._locks import tell, tell_all

THREADS = 8
"""The most that the pool has, but for those that `Line.hurry` adds."""
TURNS = 6
"""The most of them that the refreshes of one function take."""


class Pool:
    """A few daemon threads, made when they are needed, that serve one function after the other.

    Nobody waits for them when the interpreter exits. (Those of a `ThreadPoolExecutor` are joined.)
    """

    def __init__(self) -> None:
        self.lines: WeakSet[Line] = WeakSet()
        self.begin()

    def begin(self) -> None:
        """Begin, or begin anew in a forked child, where its threads are gone."""
        # May be used by a signal handler in the middle of `call`: single operations only.
        self._lines: queue.SimpleQueue[Line] | None = None
        self._idle: deque[None] = deque()  # one for each thread that waits, or will in a moment
        self._threads: deque[None] = deque()
        for line in list(self.lines):
            line.begin()

    def call(self, line: Line) -> None:
        """Have a thread come by at a line."""
        if self._lines is None:
            self._lines = queue.SimpleQueue()  # only now: gevent may have patched it
        try:
            self._idle.pop()
        except IndexError:
            if len(self._threads) < THREADS:
                self._threads.append(None)
                try:
                    Thread(target=self._work, name="soloflight", daemon=True).start()
                except BaseException:
                    self._threads.pop()
                    raise
        self._lines.put(line)

    def _work(self) -> None:
        assert self._lines is not None
        while True:
            line = self._lines.get()
            line.serve()
            self._idle.append(None)
            line.turn_over()
            del line  # its function may go


class Line:
    """The refreshes of one function that wait for a thread of the pool.

    A turn is the right to a thread: the pool serves turns in the order in which they came, and a
    function has only so many, so that one whose loads hang leaves threads to the others.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        pool.lines.add(self)
        self.begin()

    def begin(self) -> None:
        # Single operations only: see `Pool.begin`.
        self._jobs: deque[Callable[[], object]] = deque()
        self._running: deque[None] = deque()
        self._turns = deque([None] * TURNS)
        self._hurries = deque([None] * TURNS)  # rights to a thread besides those of the pool

    def __call__(self, run: Callable[..., object], *args: Any) -> Callable[[], object]:
        """Have something run; returns what `drop` takes."""
        job = partial(run, *args)
        self._jobs.append(job)
        try:
            self._call()
        except BaseException:
            self.drop(job)  # what could not be started is not kept
            raise
        return job

    def drop(self, job: Callable[[], object]) -> None:
        """It need not be run any more."""
        with suppress(ValueError):
            self._jobs.remove(job)

    def _call(self) -> None:
        """Use a turn, where there is one left; those that are used go on with what waits."""
        try:
            self._turns.pop()
        except IndexError:
            return
        try:
            self._pool.call(self)
        except BaseException:
            self._turns.append(None)
            raise

    def serve(self) -> None:
        """Run what waits longest. Whatever that raises, and log handlers, the thread goes on."""
        try:
            job = self._jobs.popleft()
        except IndexError:
            return  # it was run in a hurry, or by who needed it
        self._running.append(None)
        try:
            try:
                job()
            except BaseException as error:  # of an interruption in its landing, say
                tell("a refresh could not land", error=error)
                tell_all()
        except BaseException:
            pass
        finally:
            self._running.pop()
            del job

    def turn_over(self) -> None:
        """Give a turn back; first that, then look: whoever found no turn left something before."""
        self._turns.append(None)
        if self._jobs:
            with suppress(RuntimeError):  # no thread could be started
                self._call()

    def hurry(self) -> None:
        """Something has waited for long: give it a thread, unless all that it may have are used.

        Those of the pool hang then, with the loads of others.
        """
        if len(self._running) >= TURNS:
            return
        try:
            self._hurries.pop()
        except IndexError:
            return
        try:
            Thread(target=self._serve_all, name="soloflight", daemon=True).start()
        except BaseException:
            self._hurries.append(None)
            raise

    def _serve_all(self) -> None:
        while self._jobs:
            self.serve()
        self._hurries.append(None)


pool = Pool()
"""Of the process."""
if hasattr(os, "register_at_fork"):
    for _ in range(2):  # an interruption may strike in there, and ends it
        os.register_at_fork(after_in_child=pool.begin)
