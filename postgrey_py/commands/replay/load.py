# SPDX-License-Identifier: GPL-2.0-or-later
"""Ask a policy server many questions, over some connections at a time, and measure how long it takes to answer.

Each connection has one question under way, as Postfix has. Called by `policy_test`.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from array import array
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from postgrey_py.errors import PostgreyError

# As long as Postfix waits (smtpd_policy_service_timeout).
ANSWER_SECONDS = 100.0

# What has never answered is most likely no policy server at all.
FIRST_ANSWER_SECONDS = 10.0

# So many questions wait for a connection before more of the log is read.
MAX_WAITING = 200

_END = b"\n\n"
_START = b"action="
_DOUBT = ": is it a policy server?"
_MAX_REPLY_BYTES = 64 << 10

# Is told of each question and its answer.
Listener = Callable[[bytes, bytes], None]


class Service(NamedTuple):
    """The address of a policy server: `path` is that of a Unix socket, or None; `text` is how Postfix writes it."""

    text: str
    path: str | None
    host: str = ""
    port: int = 0


class Load:
    """`connections` to a service, opened when they are first needed. Use it within a running event loop.

    `latencies` are in seconds, one for each answer.
    """

    def __init__(self, service: Service, connections: int, on_answer: Listener | None = None) -> None:
        self.latencies = array("d")
        self.service = service
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_answer = on_answer
        self._connections = [_PolicyConnection(self) for _ in range(connections)]
        self._watch = asyncio.get_running_loop().call_later(1.0, self._look_for_silence)

    async def open(self) -> None:
        """Open the first connection, to see whether the service is there when there is no question.

        Raises PostgreyError.
        """
        await self.wait(self._connections[0].open())

    async def ask(self, question: bytes, choice: int, due: float | None = None) -> None:
        """Send a request; `choice` picks the connection, so that questions with the same are asked in order.

        Waits while too many wait before it. `due` (of time.perf_counter) is when its latency begins, instead of when it
        is sent. Raises PostgreyError as soon as the service fails.
        """
        connection = self._connections[choice % len(self._connections)]
        connection.add(question, due)
        while len(connection.waiting) >= MAX_WAITING:
            await self._wait_for_room(connection)

    async def wait(self, something: Coroutine[Any, Any, None]) -> None:
        """Wait for something else. Raises PostgreyError as soon as the service fails."""
        task = asyncio.ensure_future(something)
        await asyncio.wait([task, self.failure], return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        if self.failure.done():
            self.failure.result()

    async def finish(self) -> None:
        """Wait for the last answer. Raises PostgreyError."""
        for connection in self._connections:
            while connection.is_busy:
                await self._wait_for_room(connection)

    def close(self) -> None:
        """Close all connections."""
        self._watch.cancel()
        if self.failure.done():
            # It has been told, or an earlier one has.
            self.failure.exception()
        else:
            # What closing does to questions that are under way is no failure.
            self.failure.cancel()
        for connection in self._connections:
            connection.close()

    def answered(self, question: bytes, answer: bytes, seconds: float) -> None:
        """Take note of an answer."""
        self.latencies.append(seconds)
        if self._on_answer is not None:
            self._on_answer(question, answer)

    def fail(self, problem: str) -> None:
        """Stop the load with this error."""
        if not self.failure.done():
            self.failure.set_exception(PostgreyError(f"{self.service.text} {problem}"))

    async def _wait_for_room(self, connection: _PolicyConnection) -> None:
        connection.room.clear()
        await self.wait(_until(connection.room))

    def _look_for_silence(self) -> None:
        limit = ANSWER_SECONDS if self.latencies else min(ANSWER_SECONDS, FIRST_ANSWER_SECONDS)
        if any(connection.silence() > limit for connection in self._connections):
            self.fail(f"does not answer within {limit:.0f} seconds")
        self._watch = asyncio.get_running_loop().call_later(1.0, self._look_for_silence)


class _PolicyConnection(asyncio.Protocol):
    """One connection, opened anew when the server has closed it between two questions."""

    def __init__(self, load: Load) -> None:
        self.waiting: deque[tuple[bytes, float | None]] = deque()
        self.room = asyncio.Event()
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None
        self._question = b""
        self._asked = 0.0
        self._sent = 0.0
        self._buffer = b""
        self._has_answered = False

    @property
    def is_busy(self) -> bool:
        return bool(self._question or self.waiting)

    async def open(self) -> None:
        """Connect, before there is a question."""
        self._open()
        assert self._opening is not None
        await self._opening

    def add(self, question: bytes, due: float | None) -> None:
        self.waiting.append((question, due))
        if not self._question:
            self._ask_next()

    def silence(self) -> float:
        """Return how many seconds an answer has been waited for; 0 where none is owed."""
        return time.perf_counter() - self._sent if self._question else 0.0

    def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._has_answered = False
        self._buffer = b""
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer, or all of it; what is no answer ends the load."""
        self._buffer += data
        if not self._question:
            self._load.fail(f"speaks unasked, {_show(self._buffer)}{_DOUBT}")
            return
        if self._buffer[: len(_START)] != _START[: len(self._buffer)]:
            # It may be another protocol, in which nothing ever looks like an end.
            self._load.fail(f"answers {_show(self._buffer)}{_DOUBT}")
            return
        answer, end, rest = self._buffer.partition(_END)
        if not end:
            if len(self._buffer) > _MAX_REPLY_BYTES:
                self._load.fail(f"sends without an end{_DOUBT}")
            return
        if rest:
            self._load.fail(f"sends {_show(rest)} behind an answer{_DOUBT}")
            return
        self._buffer = b""
        self._has_answered = True
        question, self._question = self._question, b""
        self._load.answered(question, answer + end, time.perf_counter() - self._asked)
        self._ask_next()
        self.room.set()

    def connection_lost(self, _: Exception | None) -> None:
        """Ask again where it was closed between answers; fail where an answer was begun or none ever came."""
        self._transport = None
        if not self._question or self._load.failure.done():
            return
        if self._has_answered and not self._buffer:
            # It was closed before the question came, as servers do with --exim: as Postfix does, ask again.
            self._open()
        else:
            self._load.fail(f"closed the connection instead of answering request {len(self._load.latencies) + 1}")

    def _ask_next(self) -> None:
        if not self.waiting:
            return
        self._question, due = self.waiting.popleft()
        self._sent = time.perf_counter()
        self._asked = self._sent if due is None else due
        if self._transport is None or self._transport.is_closing():
            self._open()
        else:
            self._send()

    def _send(self) -> None:
        assert self._transport is not None
        if self._question:
            self._transport.write(self._question)

    def _open(self) -> None:
        self._opening = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        loop, service = asyncio.get_running_loop(), self._load.service
        try:
            if service.path is not None:
                connecting: Coroutine[Any, Any, object] = loop.create_unix_connection(lambda: self, service.path)
            else:
                connecting = loop.create_connection(lambda: self, service.host, service.port)
            await asyncio.wait_for(connecting, FIRST_ANSWER_SECONDS)
        except asyncio.TimeoutError:
            self._load.fail(f"is not to be reached within {FIRST_ANSWER_SECONDS:.0f} seconds")
        except (OSError, UnicodeError) as error:
            self._load.fail(f"is not to be reached: {_explain(error)}")


def _show(octets: bytes) -> str:
    """The first line of what a service sends, in quotes."""
    return repr(octets.partition(b"\n")[0].rstrip(b"\r")[:60].decode("ascii", "backslashreplace"))


def _explain(error: Exception) -> str:
    """Return the reason why a service could not be reached.

    asyncio writes addresses into what it tells, and may have tried several.
    """
    numbers = re.findall(r"\[Errno (\d+)\]", str(error))
    return ", ".join(dict.fromkeys(os.strerror(int(number)) for number in numbers)) or (
        getattr(error, "strerror", None) or str(error)
    )


async def _until(event: asyncio.Event) -> None:
    await event.wait()
