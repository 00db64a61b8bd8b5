# SPDX-License-Identifier: GPL-2.0-or-later
"""Flushes one after the other in a thread, whose end the loop is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from postgrey_py.daemon.flusher import Flusher
from postgrey_py.errors import DatabaseError

FULL = DatabaseError("the disk is full")


class Loop:
    """Calls in this thread what the flusher wants called."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.done: list[DatabaseError | None] = []
        self.flusher = Flusher(self._calls.put)

    def start(self, work: Callable[[], None]) -> None:
        self.flusher.start(work, self.note)

    def note(self, seconds: float, failure: DatabaseError | None) -> None:
        assert seconds >= 0
        self.done.append(failure)

    def run(self, calls: int) -> None:
        for _ in range(calls):
            self._calls.get(timeout=30)()


def test_work_is_done_in_another_thread_and_in_order() -> None:
    loop = Loop()
    threads: list[str] = []

    def note(number: int) -> None:
        threads.append(f"{number} {threading.current_thread().name}")

    for number in range(3):
        loop.start(partial(note, number))
    loop.run(3)
    loop.flusher.close()
    assert threads == [f"{number} postgrey-flush" for number in range(3)]
    assert loop.done == [None] * 3


def test_a_failure_is_told_and_the_next_flush_done() -> None:
    def fail() -> None:
        raise FULL

    loop = Loop()
    loop.start(fail)
    loop.start(lambda: None)
    loop.run(2)
    loop.flusher.close()
    assert loop.done == [FULL, None]


def test_a_bug_leaves_nobody_waiting() -> None:
    def stumble() -> None:
        raise ZeroDivisionError

    loop = Loop()
    loop.start(stumble)
    loop.run(1)
    loop.flusher.close()
    assert str(loop.done[0]) == "a bug: ZeroDivisionError()"


def test_closing_waits_for_what_was_begun() -> None:
    loop, begun, may_end = Loop(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(timeout=30)

    loop.start(work)
    assert begun.wait(timeout=30)
    closing = threading.Thread(target=loop.flusher.close)
    closing.start()
    assert closing.is_alive()
    may_end.set()
    closing.join(timeout=30)
    loop.run(1)
    assert loop.done == [None]


def test_closing_what_never_began_is_nothing() -> None:
    before = threading.active_count()
    Loop().flusher.close()
    assert threading.active_count() == before
