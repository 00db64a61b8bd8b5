# SPDX-License-Identifier: GPL-2.0-or-later
"""A thread that waits for the disk while the event loop goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

from postgrey_py.errors import DatabaseError

# Is told how many seconds a flush took, and how it failed.
Done = Callable[[float, DatabaseError | None], None]


class _Flush(NamedTuple):
    work: Callable[[], None]
    done: Done


class Flusher:
    """Does one flush after the other. Lives as long as the event loop; the thread starts with the first flush.

    `call_soon_threadsafe` is that of the event loop.
    """

    def __init__(self, call_soon_threadsafe: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon_threadsafe
        self._flushes: SimpleQueue[_Flush | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], None], done: Done) -> None:
        """Do `work`, which may raise DatabaseError, in the thread; `done` is called in the loop."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="postgrey-flush", daemon=True)
            self._thread.start()
        self._flushes.put(_Flush(work, done))

    def close(self) -> None:
        """Wait until all is done that was begun, and end the thread."""
        if self._thread is not None:
            self._flushes.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (flush := self._flushes.get()) is not None:
            started, failure = time.perf_counter(), None
            try:
                flush.work()
            except DatabaseError as error:
                failure = error
            except Exception as error:
                # A bug must not leave those waiting who wait for this.
                failure = DatabaseError(f"a bug: {error!r}")
            self._report(flush.done, time.perf_counter() - started, failure)

    def _report(self, done: Done, seconds: float, failure: DatabaseError | None) -> None:
        self._call_soon(lambda: done(seconds, failure))
