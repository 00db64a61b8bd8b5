# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing to standard error without ever waiting for whoever reads it.

A terminal that was stopped, a full pipe or a journal that hangs must not stop mail. O_NONBLOCK on standard error itself
would be one for all processes that share it; poll(2) says of a terminal only that it takes one more byte. So it is
opened once more, as a description of our own that does not block; where that is not allowed (a terminal of another
user, after su), a thread writes what waits in a bounded queue.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import select
import socket
import stat
import threading
import time
from collections import deque
from collections.abc import Callable

# How long a line may wait for a log that is busy, and how long a log that was too busy is then left alone.
LONGEST_WAIT_MS = 100
REST_SECONDS = 1.0

# What may wait for the writing thread, which is also about what a pipe holds.
QUEUE_BYTES = 64 << 10
FLUSH_SECONDS = 0.5


class StandardError:
    """A descriptor that is written to in whole lines, as far as it takes them now. `write` never raises."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._put = self._find_way(descriptor)
        self._rest = Rest()
        self._is_torn = False

    def write(self, lines: bytes) -> bool:
        """Write these lines; false where it does not take all of them.

        The line that it took a part of is ended before anything else is written.
        """
        octets = b"\n" + lines if self._is_torn else lines
        left = self._push(octets)
        if len(left) < len(octets):
            self._is_torn = bool(left) and octets[len(octets) - len(left) - 1] != ord("\n")
        return not left

    def _push(self, octets: bytes) -> bytes:
        """Write as much as can be written in good time; returns the rest."""
        has_stalled = False
        while octets:
            try:
                taken = self._put(octets)
            except BlockingIOError:
                taken = 0
            except OSError:
                break
            octets = octets[taken:]
            # A terminal may have room, but not enough for a line end.
            if octets and (has_stalled or not self._rest.is_writable(self.descriptor)):
                break
            has_stalled = taken == 0
        return octets

    def _find_way(self, descriptor: int) -> Callable[[bytes], int]:
        """A function that writes what can be written without waiting, and returns how many bytes that were."""
        if self.is_file:
            # A file takes everything, or has an error. Opened once more it would have another position.
            return lambda octets: os.write(descriptor, octets)
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            stream = socket.socket(fileno=os.dup(descriptor))
            return lambda octets: stream.send(octets, socket.MSG_DONTWAIT)
        try:
            own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_NONBLOCK)
        except OSError:
            return WritingThread(descriptor).put
        return lambda octets: os.write(own, octets)


class WritingThread:
    """Writes to a descriptor that may block; what finds no room in its queue is not taken."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._has_changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, octets: bytes) -> int:
        """Take all of these bytes, or none; returns how many. The first ones start the thread."""
        with self._has_changed:
            if self._bytes and self._bytes + len(octets) > QUEUE_BYTES:
                return 0
            self._queue.append(octets)
            self._bytes += len(octets)
            self._has_changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="postgrey-log", daemon=True)
            self._thread.start()
            atexit.register(self.flush)
        return len(octets)

    def flush(self) -> None:
        """Wait until all is written, but not for long."""
        with self._has_changed:
            self._has_changed.wait_for(lambda: not self._bytes, FLUSH_SECONDS)

    def _run(self) -> None:
        while True:
            with self._has_changed:
                self._has_changed.wait_for(lambda: self._queue)
                octets = left = self._queue.popleft()
            # Where it can't be written (the terminal is gone) there is nobody who could be told.
            with contextlib.suppress(OSError):
                while left:
                    left = left[os.write(self._descriptor, left) :]
            with self._has_changed:
                self._bytes -= len(octets)
                self._has_changed.notify_all()


class Rest:
    """Remembers that a log was too busy, so that only the first line of many waits for it."""

    def __init__(self) -> None:
        self._until = 0.0

    def is_writable(self, descriptor: int) -> bool:
        """Whether this descriptor takes something now, or within LONGEST_WAIT_MS."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        if poll.poll(0):
            return True
        if time.monotonic() < self._until:
            return False
        if poll.poll(LONGEST_WAIT_MS):
            return True
        self._until = time.monotonic() + REST_SECONDS
        return False
