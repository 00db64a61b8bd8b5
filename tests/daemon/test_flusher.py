# SPDX-License-Identifier: GPL-2.0-or-later
"""Flushes one after the other in a thread, whose end the loop is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

import pytest

from postgrey_py.daemon import flusher as flusher_module
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


# Memory that runs out


def run(*works: Callable[[], None], call_soon: Callable[[Callable[[], None]], object]) -> list[str]:
    """What is reported of these flushes."""
    reports: list[str] = []
    flusher = Flusher(call_soon)
    for work in works:
        flusher.start(work, lambda _, failure: reports.append(str(failure)))
    flusher.close()
    return reports


def failing(*errors: Exception) -> Callable[[], None]:
    """Work that fails with these, and then does not."""
    left = list(errors)

    def work() -> None:
        if left:
            raise left.pop(0)

    return work


def test_flush_is_tried_until_there_is_memory_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher_module, "PAUSE_SECONDS", 0.0)
    works = failing(MemoryError(), MemoryError()), failing()
    assert run(*works, call_soon=lambda call: call()) == ["None", "None"]


def test_report_that_finds_no_memory_is_made_again_and_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher_module, "PAUSE_SECONDS", 0.0)
    failures = [False, True, True]

    def call_soon(call: Callable[[], None]) -> None:
        # It may have got through before memory ran out.
        call()
        if failures.pop():
            raise MemoryError

    assert run(failing(), call_soon=call_soon) == ["None"]


def test_thread_that_can_not_be_started_is_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    flusher = Flusher(lambda call: call())
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refuse)
        with pytest.raises(MemoryError, match="can't start new thread"):
            flusher.start(failing(), lambda *_: None)
    reports: list[object] = []
    flusher.start(failing(), lambda _, failure: reports.append(failure))
    flusher.close()
    assert reports == [None]
