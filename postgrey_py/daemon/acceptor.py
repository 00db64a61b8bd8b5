# SPDX-License-Identifier: GPL-2.0-or-later
"""Accepting connections, as many as there may be: for a new one the longest idle one is closed, or it has to wait."""

from __future__ import annotations

import asyncio
import errno
import socket

from postgrey_py.daemon.connection import Connection, is_readable
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.memory import PAUSE_SECONDS
from postgrey_py.daemon.reception import Reception
from postgrey_py.greylist.loglines import Level

# After this many a listener lets others have their turn.
ACCEPTED_AT_ONCE = 100

# A connection that is closed keeps its descriptor until the next turn. So many more than may be there may be accepted
# before that, which are taken from the reserve.
MOST_LEAVING = 16

# How soon to look again whether a connection has become idle, while others have to wait.
LOOK_SECONDS = 0.25

COMPLAINT_SECONDS = 60.0


class Acceptor:
    """Accepts connections for the reception. One per server."""

    def __init__(
        self,
        listeners: list[socket.socket],
        reception: Reception,
        log: Log,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._listeners = listeners
        self._reception = reception
        self._connections = reception.connections
        self._log = log
        self._loop = loop
        self._is_listening = False
        self._is_stopped = False
        # Whether a connection was closed for one that could not be accepted.
        self._has_made_room = False
        self._complained_at = float("-inf")
        self._tasks: set[asyncio.Task[object]] = set()
        self._connections.when_gone = self._use_free_place

    def start(self) -> None:
        """Accept connections from now on."""
        if not self._is_stopped:
            self._is_listening = True
            for listener in self._listeners:
                self._loop.add_reader(listener, self._accept, listener)

    def stop(self) -> None:
        """Accept no more connections."""
        self._is_stopped = True
        self._pause()

    def _pause(self) -> None:
        self._is_listening = False
        for listener in self._listeners:
            self._loop.remove_reader(listener)

    def _use_free_place(self) -> None:
        if not self._is_listening and len(self._connections.open) < self._reception.most:
            self.start()

    def _accept(self, listener: socket.socket) -> None:
        try:
            for _ in range(ACCEPTED_AT_ONCE):
                if not self._accept_one(listener):
                    break
            self._reception.tell_of_room()
        except MemoryError:
            self._reception.shortage.met("for a new connection")
            self._wait("out of memory", PAUSE_SECONDS)

    def _accept_one(self, listener: socket.socket) -> bool:
        """Accept the next connection; false where there is none, or no room for it in this turn."""
        if len(self._connections.open) >= self._reception.most:
            if self._connections.leaving >= MOST_LEAVING or not is_readable(listener.fileno()):
                return False
            if not self._reception.make_room():
                self._wait("no more files may be open", LOOK_SECONDS)
                return False
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return False
        except OSError as error:
            self._make_room_for_file(listener, error)
            return False
        self._has_made_room = False
        self._admit(accepted)
        return True

    def _make_room_for_file(self, listener: socket.socket, error: OSError) -> None:
        """No file could be opened for a connection: close one for the next turn, unless that was of no use."""
        if error.errno in (errno.EMFILE, errno.ENFILE) and not self._has_made_room:
            # Linux looks for a descriptor before it looks whether anybody waits.
            if not is_readable(listener.fileno()):
                return
            self._has_made_room = self._reception.make_room()
            if self._has_made_room:
                return
        self._has_made_room = False
        self._wait(error.strerror, PAUSE_SECONDS)

    def _admit(self, accepted: socket.socket) -> None:
        connection = Connection(self._reception)
        try:
            accepted.setblocking(False)
            self._connections.expect(connection)
            task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: connection, accepted))
            self._tasks.add(task)
            task.add_done_callback(lambda task: self._end_set_up(task, connection, accepted))
        except BaseException:
            self._connections.forget(connection)
            accepted.close()
            raise

    def _end_set_up(self, task: asyncio.Task[object], connection: Connection, accepted: socket.socket) -> None:
        """A connection is set up, or could not be: a client may be gone before."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._connections.forget(connection)
        accepted.close()
        if isinstance(error, MemoryError):
            self._reception.shortage.met("for a new connection")
        elif not isinstance(error, OSError):
            self._log.line(Level.CRITICAL, f"a bug, in a new connection: {error!r}")

    def _wait(self, reason: str | None, seconds: float) -> None:
        """Leave new connections in the queue for a while, and go on serving those that there are."""
        self._loop.call_later(seconds, self.start)
        self._pause()
        if self._loop.time() - self._complained_at >= COMPLAINT_SECONDS:
            self._complained_at = self._loop.time()
            text = f"{len(self._connections.open)} connections are open, others have to wait: {reason}"
            self._log.line(Level.ERROR, text)
