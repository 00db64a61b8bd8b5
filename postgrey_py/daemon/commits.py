# SPDX-License-Identifier: GPL-2.0-or-later
"""Group commit: what is decided in one turn of the event loop is stored in one transaction, and answered from the disk.

A turn's transaction is committed at its end without waiting. The flush of the log behind it is waited for in the loop
while the disk is quick, since handing it over would take longer than it does. With a slow disk it is waited for in a
thread: the loop goes on deciding, and what it writes meanwhile is one transaction, committed when the flush is back
and made durable by the next one. Where the database fails, what was not yet answered passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from postgrey_py.daemon.flusher import Done
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.meter import Meter
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.replies import Slot
from postgrey_py.database.store import Store
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.loglines import Level, LogLine
from postgrey_py.greylist.texts import PASSED

# Flushes that take longer than this are waited for beside the loop: handing one over takes about a tenth of a
# millisecond. A client that is alone has nothing to gain from that, unless it keeps background jobs waiting.
SHORT_FLUSH_SECONDS = 0.0005
LONG_FLUSH_SECONDS = 0.005

# A disk that does not take the log for so long has failed. Postfix waits 100 seconds.
STUCK_SECONDS = 20.0


class FlushThread(Protocol):
    """The thread for flushes, as far as commits need it."""

    def start(self, work: Callable[[], None], done: Done) -> None: ...


class Loop(Protocol):
    """The event loop, as far as commits need it."""

    def call_soon(self, callback: Callable[[], None]) -> object: ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer: ...


class Timer(Protocol):
    """A timer of the event loop, from call_later."""

    def cancel(self) -> None: ...


class Commits:
    """Answers that are not sent yet, and the way of their records to the disk. One per server.

    `stopwatch` measures flushes, in seconds. `meter` is told of turns, flushes and answers, if there is one.
    """

    def __init__(
        self,
        store: Store,
        log: Log,
        outage: Outage,
        flusher: FlushThread,
        loop: Loop,
        stopwatch: Callable[[], float] = time.perf_counter,
        meter: Meter | None = None,
    ) -> None:
        self._store = store
        self._log = log
        self._outage = outage
        self._flusher = flusher
        self._loop = loop
        self._stopwatch = stopwatch
        self._meter = meter
        self._is_scheduled = False
        # How the database has failed in this turn.
        self.failure: DatabaseError | None = None
        # Of this turn; written during a flush and not yet committed; committed and waiting for the next flush; waiting
        # for the one that is under way.
        self._decided: list[Slot] = []
        # Answer a request that was decided when the turn is over, and its records are on the disk.
        self.add = self._decided.append
        self._written: list[Slot] = []
        self._committed: list[Slot] = []
        self._flushing: list[Slot] = []
        self._is_flushing = False
        self._stuck: Timer | None = None
        # The shorter of the last two flushes, since any may meet something else that keeps the disk busy. Nothing is
        # known of the disk at first: look at it from beside the loop.
        self._flush_seconds: float | None = None
        self._last_flush = 0.0
        self._when_quiet: list[Callable[[], None]] = []

    def fail(self, error: DatabaseError) -> None:
        """Note that the database has failed in this turn: at its end all of its requests pass."""
        self.failure = self.failure or error

    def end_turn_soon(self) -> None:
        """End the turn when all that has arrived by now was added."""
        if not self._is_scheduled:
            self._loop.call_soon(self.end_turn)
            self._is_scheduled = True

    def end_turn(self, is_alone: bool = False) -> None:
        """Commit what was decided in this turn, and answer what is on the disk.

        During a flush the transaction stays open: a commit would bring nobody an answer sooner. `is_alone` tells that
        nobody else can be waiting.
        """
        if self._is_flushing and self.failure is None and not self._outage.is_down:
            self._is_scheduled = False
            answers: list[Slot] = []
            try:
                answers = self._take_decided()
                self._written += (answer for answer in answers if answer.is_stored)
                # What left no record has nothing to wait for.
                self._release([answer for answer in answers if not answer.is_stored])
            except MemoryError:
                self._forsake(answers, self._decided)
        else:
            self.settle(is_alone)

    def settle(self, is_alone: bool = False) -> None:
        """Commit all that was decided, so that no transaction is open, and answer what is on the disk."""
        self._is_scheduled = False
        answers: list[Slot] = []
        try:
            answers = self._written + self._take_decided()
            self._written.clear()
            self._settle(answers, is_alone)
        except MemoryError:
            self._forsake(answers, self._written, self._decided)
            self._abort()

    def _take_decided(self) -> list[Slot]:
        """Return the requests of the turn, which is over."""
        answers = self._decided[:]
        if self._meter is not None:
            self._meter.decided(answers)
        self._decided.clear()
        return answers

    def _settle(self, answers: list[Slot], is_alone: bool) -> None:
        failure, self.failure = self.failure, None
        if self._outage.is_down and self._store.transaction is not None:
            # It failed beside this turn, and will be closed.
            failure = failure or DatabaseError("the database has failed")
        has_written = False
        try:
            if failure is None:
                has_written = self._store.commit_unflushed()
            else:
                self._store.abort()
        except DatabaseError as error:
            failure = failure or error
        if failure is not None:
            self._let_pass(self._committed + answers, failure)
            self._committed = []
        elif not has_written and not self._is_flushing:
            self._release(answers)
        elif self._is_flushing or self._is_slow(is_alone):
            self._release([answer for answer in answers if not answer.is_stored])
            self._committed += (answer for answer in answers if answer.is_stored)
            self._start_flush()
        else:
            # What was committed during a flush that is back by now goes with this one.
            answers[:0], self._committed = self._committed, []
            self._flush_in_loop(answers)

    def when_quiet(self, callback: Callable[[], None]) -> None:
        """Call this as soon as no flush is under way or wanted: now, or later in the loop."""
        if self._is_flushing:
            self._when_quiet.append(callback)
        else:
            callback()

    def _is_slow(self, is_alone: bool) -> bool:
        if self._flush_seconds is None:
            return True
        return self._flush_seconds > (LONG_FLUSH_SECONDS if is_alone else SHORT_FLUSH_SECONDS)

    def _flush_in_loop(self, answers: list[Slot]) -> None:
        started = self._stopwatch()
        try:
            self._store.flush()
        except DatabaseError as error:
            self._let_pass(answers, error)
            return
        self._learn(self._stopwatch() - started)
        self._release(answers)

    def _start_flush(self) -> None:
        """Flush what is committed, unless a flush is under way: then its end starts the next."""
        if self._is_flushing or not self._committed:
            return
        self._flushing, self._committed = self._committed, []
        self._is_flushing = True
        try:
            self._stuck = self._loop.call_later(STUCK_SECONDS, self._give_up)
            self._flusher.start(self._store.flush, self._flushed)
        except MemoryError:
            self._is_flushing = False
            if self._stuck is not None:
                self._stuck.cancel()
            self._forsake(self._flushing)

    def _flushed(self, seconds: float, failure: DatabaseError | None) -> None:
        """Take the result of a flush beside the loop."""
        self._is_flushing = False
        if self._stuck is not None:
            self._stuck.cancel()
        self._learn(seconds)
        answers, self._flushing = self._flushing, []
        try:
            if failure is None:
                self._release(answers)
            else:
                self._let_pass(answers + self._committed, failure)
                self._committed = []
        except MemoryError:
            self._forsake(answers)
        self.settle()
        self._start_flush()
        if not self._is_flushing:
            callbacks, self._when_quiet = self._when_quiet, []
            for callback in callbacks:
                callback()

    def _give_up(self) -> None:
        """Stop waiting for the flush that is under way, which takes too long."""
        answers = self._flushing + self._committed
        self._flushing, self._committed = [], []
        try:
            self._let_pass(answers, DatabaseError(f"the disk has not taken the log for {STUCK_SECONDS:.0f} seconds"))
        except MemoryError:
            self._forsake(answers)
        self.settle()

    def _learn(self, seconds: float) -> None:
        if self._meter is not None:
            self._meter.flushes.observe(seconds)
        self._flush_seconds = seconds if self._flush_seconds is None else min(seconds, self._last_flush)
        self._last_flush = seconds

    def _release(self, answers: list[Slot]) -> None:
        """Log and send these, and what waited behind them; those that have to wait are logged when they are sent."""
        for slot in answers:
            slot.is_ready = True
        lines: list[LogLine] = []
        sending = [slot.replies for slot in answers if slot.replies.collect(lines)]
        if lines:
            self._log.write(lines)
        for replies in sending:
            replies.send()
        if self._meter is not None:
            self._meter.answered(answers)

    def _forsake(self, *answers: list[Slot]) -> None:
        """Close the connections of these answers, for which memory has run out, so that they are asked for again."""
        for slots in answers:
            for slot in slots:
                slot.replies.give_up()
            slots.clear()

    def _abort(self) -> None:
        """Abort the open transaction; if that fails, the database has failed."""
        try:
            self._store.abort()
        except DatabaseError as error:
            self._outage.failed(error)

    def _let_pass(self, answers: list[Slot], failure: DatabaseError) -> None:
        """Let these pass, since their records are not on the disk: nobody is deferred, and no line says so."""
        self._outage.passed(sum(bool(answer.octets) and not answer.is_counted for answer in answers))
        self._outage.failed(failure)
        for slot in answers:
            slot.octets = slot.octets and PASSED
            slot.lines = [line for line in slot.lines if _is_told_anyhow(line)]
        self._release(answers)


def _is_told_anyhow(line: LogLine) -> bool:
    return line.is_complaint or line.level <= Level.ERROR
