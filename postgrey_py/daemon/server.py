# SPDX-License-Identifier: GPL-2.0-or-later
"""The server: accept connections, pass their requests to the decider, obey signals, stop.

Startup, loop and shutdown are `Server.run`; a connection is nothing but bytes in, bytes out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, cast

from postgrey_py.daemon.commits import Commits
from postgrey_py.daemon.decider import Decider
from postgrey_py.daemon.flood import Flood
from postgrey_py.daemon.flusher import Flusher
from postgrey_py.daemon.listeners import close_listeners, describe_listener
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.replies import Replies
from postgrey_py.daemon.systemd import keep_watchdog_calm
from postgrey_py.daemon.upkeep import Upkeep
from postgrey_py.daemon.whitelists import WhitelistFiles
from postgrey_py.daemon.worker import Worker
from postgrey_py.database.reopening import reopen
from postgrey_py.database.store import Store
from postgrey_py.errors import StartupError
from postgrey_py.greylist.loglines import Level, LogLine
from postgrey_py.greylist.policy import Policy
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.texts import ReplyTexts
from postgrey_py.protocol.reader import RequestReader, RequestShape, RequestTooLongError

# Connections that the system may hold for us until we accept them; 1.37 takes the system's largest number too.
LISTEN_QUEUE_SIZE = socket.SOMAXCONN

# File descriptors kept back from connections: Berkeley DB must be able to open its next log file at any time.
RESERVED_DESCRIPTORS = 64

# What one connection may say in one turn, so that none keeps the others waiting: some dozen requests.
INPUT_BYTES = 16 << 10

# After this many a listener lets others have their turn.
ACCEPTED_AT_ONCE = 100

COMPLAINT_INTERVAL = 60.0

# At a stop, how long to wait for the first request of those who have just been accepted.
LAST_REQUESTS_SECONDS = 0.25


class Connection(asyncio.BufferedProtocol):
    """One client's connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._replies = Replies(self._write, self._close)
        self._reader = RequestReader(server.shape)
        self._transport: asyncio.Transport | None = None
        self._is_closing = False
        self._has_asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._is_closing = True
        self._server.forget(self)

    def get_buffer(self, _: int) -> memoryview:
        return self._server.input

    def buffer_updated(self, size: int) -> None:
        if self._is_closing:
            return
        try:
            requests = self._reader.feed(bytes(self._server.input[:size]))
        except RequestTooLongError as error:
            line = LogLine(Level.WARNING, f"closing a connection: {error}")
            self._server.log.write(self._server.too_long.admit(line))
            self.hang_up()
            return
        if requests and not self._has_asked:
            self._has_asked = True
            self._server.hear(self)
        for request in requests:
            if not self._server.decider.add(self._replies, request):
                self._is_closing = True
                break
            if self._server.settings.exim:
                self.hang_up()
                break
        if requests and len(self._server.connections) == 1:
            # Nobody else can have asked in this turn: its end need not wait for another look at the sockets.
            self._server.commits.end_turn(is_alone=True)
        elif requests:
            self._server.commits.end_turn_soon()

    def eof_received(self) -> bool:
        # A client that has said all it has to say still gets its answers; the transport stays open for them.
        self._replies.hang_up()
        return True

    def pause_writing(self) -> None:
        # A client that asks and does not read its answers is not listened to until it does.
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._is_closing:
            self._transport.resume_reading()

    def hang_up(self) -> None:
        """Listen to no more requests, and close the connection once those that came are answered."""
        self._is_closing = True
        self._replies.hang_up()

    def _write(self, octets: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)

    def _close(self) -> None:
        # What was written to it is sent first.
        if self._transport is not None:
            self._transport.close()


class Server:
    """Everything that lives as long as the event loop."""

    def __init__(
        self,
        settings: Settings,
        texts: ReplyTexts,
        store: Store,
        whitelists: WhitelistFiles,
        log: Log,
        listeners: list[socket.socket],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.log = log
        self._store = store
        self._worker = Worker()
        self._outage = Outage(self._reopen, log, loop.time)
        self._flusher = Flusher(loop.call_soon_threadsafe)
        self.commits = Commits(store, log, self._outage, self._flusher, loop)
        self.decider = Decider(
            _policy(settings, whitelists),
            texts,
            store,
            self.commits,
            self._outage,
            ignore_test_time=settings.ignore_test_time,
        )
        self.upkeep = Upkeep(store, settings, log, self._outage, self._worker, self.commits.settle)
        self.connections: set[Connection] = set()
        self.shape = RequestShape()
        self.too_long = Flood("requests that are too long", loop.time)
        self._newcomers: set[Connection] = set()
        self._nobody_is_new = asyncio.Event()
        # All connections read into this one: what is in it is used up before another reads.
        self.input = memoryview(bytearray(INPUT_BYTES))
        self._whitelists = whitelists
        self._listeners = listeners
        self._loop = loop
        self._stop_wanted = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_listening = False
        self._complained = -COMPLAINT_INTERVAL
        self._most_connections = max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_DESCRIPTORS)

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until TERM or INT; `ready` is called as soon as requests are answered. Raises StartupError."""
        self._loop.set_exception_handler(self._log_exception)
        for number, react in (
            (signal.SIGTERM, self._stop_wanted.set),
            (signal.SIGINT, self._stop_wanted.set),
            (signal.SIGHUP, self._start_reload),
            (signal.SIGUSR1, self.upkeep.clean_up_soon),
        ):
            self._loop.add_signal_handler(number, react)
        for listener in self._listeners:
            try:
                listener.listen(self.settings.listen_queue_size or LISTEN_QUEUE_SIZE)
            except OSError as error:
                # Another server was bound to the same port at the same moment, and was quicker.
                raise StartupError(f"can't listen on {describe_listener(listener)}: {error.strerror}") from error
            listener.setblocking(False)
            self.log.line(Level.NOTICE, f"listening on {describe_listener(listener)}")
        self._listen()
        jobs = [self._start(self.upkeep.run()), self._start(self._outage.run())]
        ready()
        jobs.append(self._start(keep_watchdog_calm(os.environ)))
        await self._stop_wanted.wait()
        self._stop_listening()
        close_listeners(self._listeners)
        for job in jobs:
            job.cancel()
        # Who was accepted on the way out gets an answer; who waits in a socket that was passed, from the next server.
        if self._newcomers:
            self._loop.call_later(LAST_REQUESTS_SECONDS, self._nobody_is_new.set)
            await self._nobody_is_new.wait()
        for connection in list(self.connections):
            connection.hang_up()
        self.commits.end_turn()
        await self._quiet()
        # Connections close, and what was begun ends, in the next turns of the loop.
        await asyncio.sleep(0)
        self._worker.close()
        self._flusher.close()

    async def _quiet(self) -> None:
        """Wait until nothing that was decided waits for the disk."""
        quiet = asyncio.Event()
        self.commits.when_quiet(quiet.set)
        await quiet.wait()

    async def _reopen(self) -> None:
        """Open the database again, and go on with it. Raises DatabaseError."""
        await self._quiet()
        await self._worker.do(lambda: reopen(self._store.environment))
        self._store.attach()

    def hear(self, connection: Connection) -> None:
        """A connection has asked for the first time, or will never do so."""
        self._newcomers.discard(connection)
        if self._stop_wanted.is_set() and not self._newcomers:
            self._nobody_is_new.set()

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.hear(connection)
        self.connections.discard(connection)
        if not self._is_listening and len(self.connections) < self._most_connections:
            self._listen_again()

    def _listen(self) -> None:
        self._is_listening = True
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    def _listen_again(self) -> None:
        if not self._stop_wanted.is_set():
            self._listen()

    def _stop_listening(self) -> None:
        self._is_listening = False
        for listener in self._listeners:
            self._loop.remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if len(self.connections) + len(self._tasks) >= self._most_connections:
                self._wait_for_room("no more files may be open")
                return
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                self._wait_for_room(error.strerror)
                self._loop.call_later(1.0, self._listen_again)
                return
            self._admit(accepted)

    def _admit(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        connection = Connection(self)
        self._newcomers.add(connection)
        self._start(self._loop.connect_accepted_socket(lambda: connection, accepted))

    def _wait_for_room(self, reason: str | None) -> None:
        """Leave new connections in the queue, and go on serving those that there are."""
        self._stop_listening()
        if time.monotonic() - self._complained >= COMPLAINT_INTERVAL:
            self._complained = time.monotonic()
            text = f"{len(self.connections)} connections are open, others have to wait: {reason}"
            self.log.line(Level.ERROR, text)

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        """A task has ended; one that ended by a bug must not do so in silence."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # A client may be gone before its connection is set up.
        if error is not None and not isinstance(error, OSError):
            self.log.line(Level.CRITICAL, f"a bug, in the background: {error!r}")

    def _start_reload(self) -> None:
        self._start(self._reload())

    async def _reload(self) -> None:
        """Read the whitelists anew, beside serving; what can't be read stays as it is."""
        self.log.line(Level.WARNING, "HUP received: reloading whitelists...")
        # In a thread of its own: the worker may be waiting for the disk, and patterns take long to compile.
        for text in await asyncio.to_thread(self._whitelists.reload):
            self.log.complain(text)
        self.decider.policy = _policy(self.settings, self._whitelists)
        self.log.line(Level.WARNING, f"reloaded {self._whitelists.summary()}")

    def _log_exception(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio would print with a traceback becomes a line in the log."""
        error = context.get("exception")
        if not isinstance(error, (ConnectionError, TimeoutError)):
            text = f"{context.get('message')}: {error!r}" if error else str(context.get("message"))
            self.log.line(Level.ERROR, text)


def _policy(settings: Settings, whitelists: WhitelistFiles) -> Policy:
    """The rules with the whitelists that were read last."""
    return Policy(settings, whitelists.current)


def serve(
    settings: Settings,
    texts: ReplyTexts,
    store: Store,
    whitelists: WhitelistFiles,
    log: Log,
    listeners: list[socket.socket],
    ready: Callable[[], None],
) -> None:
    """Run a server in a new event loop until it is told to stop."""

    async def run() -> None:
        await Server(settings, texts, store, whitelists, log, listeners).run(ready)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
