# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections of the control socket: lines in, lines out, all of it bounded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import select
import socket
import struct
from collections.abc import Awaitable, Callable

from postgrey_py.daemon.logs import Log
from postgrey_py.errors import ControlError, DatabaseError, OrderError
from postgrey_py.greylist.loglines import Level
from postgrey_py.protocol.control import (
    MAX_MESSAGE_BYTES,
    Call,
    format_error,
    format_item,
    format_result,
    parse_call,
)

MOST_CONNECTIONS = 16

# Who has connected and asks nothing, or does not read what he is told, for so long is cut off.
IDLE_SECONDS = 60.0
UNREAD_SECONDS = 30.0

# So often it is looked whether somebody who waits for an answer is still there.
GONE_SECONDS = 0.2
# So often somebody who waits is sent a sign of life: an empty item.
LIFE_SECONDS = 10.0

# Source: unix(7), struct ucred: process, user, group.
_CREDENTIALS = struct.Struct("3i")

Send = Callable[[object], Awaitable[None]]
# Carries out a request of this user: sends items, and returns the result. Raises PostgreyError.
Answer = Callable[[Call, str, Send], Awaitable[object]]


class ControlConnections:
    """The control socket of a server, as long as it serves."""

    def __init__(self, answer: Answer, log: Log) -> None:
        self._answer = answer
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.AbstractServer | None = None

    async def start(self, listener: socket.socket) -> None:
        """Begin to accept connections."""
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_MESSAGE_BYTES)

    async def close(self) -> None:
        """Accept nobody any more, and break off what is under way."""
        if self._server is not None:
            self._server.close()
        # More than once: up to Python 3.11 wait_for() may lose a cancellation, and somebody may just have come.
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=GONE_SECONDS)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer, len(self._tasks)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, others: int) -> None:
        """Answer the requests of one connection, one after the other."""
        connection = _Connection(reader, writer)
        try:
            try:
                if others >= MOST_CONNECTIONS:
                    raise ControlError(f"there are {others} connections to the control socket already", code="busy")
                user = _find_user(writer.get_extra_info("socket"))
                while (line := await connection.read()) is not None:
                    await self._answer_one(connection, line, user)
            except ControlError as error:
                # The end of the conversation.
                await connection.send(format_error(error))
        except (OSError, asyncio.TimeoutError):
            # Gone, or as good as that.
            pass
        finally:
            connection.abort()

    async def _answer_one(self, connection: _Connection, line: bytes, user: str) -> None:
        """Answer a request, well or with an error."""
        try:
            result = await connection.attend(self._answer(parse_call(line), user, connection.send_item))
        except (OSError, asyncio.TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, mail goes on, and the administrator is told
            await connection.send(format_error(self._explain(error)))
        else:
            await connection.send(format_result(result))

    def _explain(self, error: Exception) -> ControlError:
        """Return what the administrator is told about this error."""
        if isinstance(error, ControlError):
            return error
        if isinstance(error, OrderError):
            return ControlError(str(error), code="refused")
        if isinstance(error, DatabaseError):
            return ControlError(f"the database fails: {error}", code="database")
        if isinstance(error, MemoryError):
            return ControlError("there is not enough memory now", code="memory")
        self._log.line(Level.CRITICAL, f"a bug, in a control command: {error!r}")
        return ControlError(f"a bug: {error!r}", code="bug")


class _Connection:
    """One connection: reads and sends whole lines, with time limits."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes | None:
        """Return the next line; None at the end. Raises ControlError when it is too long, and OSError."""
        try:
            line = await asyncio.wait_for(self._reader.readline(), IDLE_SECONDS)
        except ValueError:
            raise ControlError(f"a message has more than {MAX_MESSAGE_BYTES} bytes", code="too-long") from None
        return line if line.endswith(b"\n") else None

    async def attend(self, work: Awaitable[object]) -> object:
        """Await this, and break it off when the client goes away meanwhile: nobody wants it any more."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._keep_company())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ConnectionAbortedError("the client has gone")
            return working.result()
        finally:
            for task in (working, leaving):
                task.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    async def _keep_company(self) -> None:
        """Send signs of life until the client has hung up. One that only says no more waits for its answer."""
        descriptor = self._writer.get_extra_info("socket").fileno()
        poll = select.poll()
        # A hang-up is always told of.
        poll.register(descriptor, 0)
        # The event loop tells nobody of a hang-up.
        rounds = 0
        while not self._writer.transport.is_closing() and not poll.poll(0):
            await asyncio.sleep(GONE_SECONDS)
            rounds += 1
            if rounds * GONE_SECONDS >= LIFE_SECONDS:
                rounds = 0
                self._writer.write(format_item({}))

    async def send_item(self, value: object) -> None:
        """Send a value, and wait while too much is not read yet. Raises OSError."""
        await self.send(format_item(value))

    async def send(self, line: bytes) -> None:
        """Send a line, and wait while too much is not read yet. Raises OSError."""
        self._writer.write(line)
        await asyncio.wait_for(self._writer.drain(), UNREAD_SECONDS)

    def abort(self) -> None:
        """Close the connection; what was sent arrives."""
        with contextlib.suppress(OSError):
            self._writer.close()


def _find_user(connection: socket.socket) -> str:
    """Return the name of the user on the other side. Raises ControlError unless it is root or our own.

    The mode of the socket's file says the same; this holds for a file that somebody has changed.
    """
    peer_credentials = getattr(socket, "SO_PEERCRED", None)
    if peer_credentials is None:
        return "the administrator"
    _, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, peer_credentials, _CREDENTIALS.size))
    if user not in (0, os.geteuid()):
        raise ControlError("the control socket is for root and the user that the server runs as", code="not-allowed")
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
