# SPDX-License-Identifier: GPL-2.0-or-later
"""A thread that waits for the disk while the event loop goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from postgrey_py.errors import DatabaseError

# Is told how many seconds a flush took, and how it failed.
Done = Callable[[float, DatabaseError | None], None]

# How long to wait when memory has run out.
PAUSE_SECONDS = 0.1


class _Flush:
    """One flush, from the wish for it until `done` was called."""

    __slots__ = ("_done", "_failure", "_seconds", "work")

    def __init__(self, work: Callable[[], None], done: Done) -> None:
        self.work = work
        self._done: Done | None = done
        self._seconds = 0.0
        self._failure: DatabaseError | None = None

    def run(self) -> None:
        """Do the work. Raises MemoryError, and may be called again then."""
        started = time.perf_counter()
        try:
            self.work()
        except (DatabaseError, MemoryError) as error:
            if isinstance(error, MemoryError):
                raise
            self._failure = error
        except Exception as error:
            # A bug must not leave those waiting who wait for this.
            self._failure = DatabaseError(f"a bug: {error!r}")
        self._seconds = time.perf_counter() - started

    def report(self) -> None:
        """Call `done`, once."""
        if self._done is not None:
            done, self._done = self._done, None
            done(self._seconds, self._failure)


class Flusher:
    """Does one flush after the other. Lives as long as the event loop; the thread starts with the first flush.

    `call_soon_threadsafe` is that of the event loop.
    """

    def __init__(self, call_soon_threadsafe: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon_threadsafe
        self._flushes: SimpleQueue[_Flush | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], None], done: Done) -> None:
        """Do `work`, which may raise DatabaseError, in the thread; `done` is called in the loop.

        Raises MemoryError, with nothing begun.
        """
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="postgrey-flush", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # There is no memory for its stack, or a limit to their number.
                raise MemoryError(str(error)) from error
            self._thread = thread
        self._flushes.put(_Flush(work, done))

    def close(self) -> None:
        """Wait until all is done that was begun, and end the thread."""
        if self._thread is not None:
            self._flushes.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (flush := self._flushes.get()) is not None:
            # Those who wait for it would wait for ever if the thread ended, and it can be done twice.
            while not self._is_done(flush):
                time.sleep(PAUSE_SECONDS)

    def _is_done(self, flush: _Flush) -> bool:
        """Do one flush and have it reported; false where memory ran out."""
        try:
            flush.run()
            self._call_soon(flush.report)
        except MemoryError:
            return False
        return True
