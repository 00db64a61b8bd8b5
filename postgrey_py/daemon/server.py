# SPDX-License-Identifier: GPL-2.0-or-later
"""The server: everything that lives as long as the event loop, put together; obey signals, stop.

Startup, loop and shutdown are `Server.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from postgrey_py.daemon.acceptor import Acceptor
from postgrey_py.daemon.commits import Commits
from postgrey_py.daemon.control.commands import answer
from postgrey_py.daemon.control.connections import ControlConnections
from postgrey_py.daemon.decider import Decider
from postgrey_py.daemon.engine import Engine
from postgrey_py.daemon.flusher import Flusher
from postgrey_py.daemon.history import History
from postgrey_py.daemon.listeners import close_listeners, describe_listener
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.memory import run_to_the_end
from postgrey_py.daemon.meter import Meter
from postgrey_py.daemon.orders import Orders
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.reception import Reception
from postgrey_py.daemon.survey import Survey
from postgrey_py.daemon.systemd import keep_watchdog_calm
from postgrey_py.daemon.tally import Tally
from postgrey_py.daemon.upkeep import Upkeep
from postgrey_py.daemon.whitelists import WhitelistFiles
from postgrey_py.daemon.worker import Worker
from postgrey_py.database.reopening import reopen
from postgrey_py.database.store import Store
from postgrey_py.errors import DatabaseError, OrderError, StartupError
from postgrey_py.greylist.loglines import Level
from postgrey_py.greylist.policy import Policy
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.texts import ReplyTexts
from postgrey_py.protocol.descriptions import describe_for_log
from postgrey_py.publicsuffix import find_domain_of

if TYPE_CHECKING:
    from postgrey_py.daemon.web.site import Site

# Connections that the system may hold for us until we accept them; 1.37 takes the system's largest number too.
LISTEN_QUEUE_SIZE = socket.SOMAXCONN

# File descriptors kept back from connections: Berkeley DB must be able to open its next log file at any time.
RESERVED_DESCRIPTORS = 64

# At a stop, how long to wait for the first request of those who have just been accepted.
LAST_REQUESTS_SECONDS = 0.25


class Server:
    """Everything that lives as long as the event loop.

    `control` is the control socket, None for none, and `web` are the sockets of --metrics, all of them bound.
    """

    def __init__(
        self,
        settings: Settings,
        texts: ReplyTexts,
        store: Store,
        whitelists: WhitelistFiles,
        log: Log,
        listeners: list[socket.socket],
        loop: asyncio.AbstractEventLoop,
        control: socket.socket | None = None,
        web: Sequence[socket.socket] = (),
    ) -> None:
        self._settings = settings
        self._log = log
        self._store = store
        self._worker = Worker()
        self._outage = Outage(self._reopen, log, loop.time)
        self._flusher = Flusher(loop.call_soon_threadsafe)
        self._meter = Meter() if web else None
        self._commits = Commits(store, log, self._outage, self._flusher, loop, meter=self._meter)
        self._orders = Orders(settings.dbdir, log, time.time)
        self._tally = Tally(int(time.time()), lambda: self._outage.passed_in_all)
        in_place = store.environment.is_in_place
        self._history = History(settings.dbdir, self._tally, log, time.time, in_place)
        self._history.read()
        self._domain_of = find_domain_of(settings)
        self._decider = Decider(
            self._make_policy(whitelists),
            texts,
            store,
            self._commits,
            self._outage,
            self._tally,
            ignore_test_time=settings.ignore_test_time,
            use_allowance=self._use_allowance,
            describe=describe_for_log if log.wants_fields else None,
        )
        self._orders.changed = lambda _: self._renew_policy()
        self._upkeep = Upkeep(store, settings, log, self._outage, self._worker, self._commits.settle)
        self._survey = Survey(store, settings, self._upkeep, time.time)
        most = max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_DESCRIPTORS)
        self._reception = Reception(self._decider, self._commits, log, loop.time, settings, most, self._meter)
        self._connections = self._reception.connections
        self.shortage = self._reception.shortage
        self._acceptor = Acceptor(listeners, self._reception, log, loop)
        self._whitelists = whitelists
        self._listeners = listeners
        self._loop = loop
        self._control_socket = control
        self._web = web
        self._stop_wanted = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until TERM or INT; `ready` is called as soon as requests are answered. Raises StartupError."""
        self._loop.set_exception_handler(self._log_exception)
        for number, react in (
            (signal.SIGTERM, self._stop_wanted.set),
            (signal.SIGINT, self._stop_wanted.set),
            (signal.SIGHUP, self._start_reload),
            (signal.SIGUSR1, self._upkeep.clean_up_soon),
        ):
            self._loop.add_signal_handler(number, react)
        for listener in self._listeners:
            try:
                listener.listen(self._settings.listen_queue_size or LISTEN_QUEUE_SIZE)
            except OSError as error:
                # Another server was bound to the same port at the same moment, and was quicker.
                raise StartupError(f"can't listen on {describe_listener(listener)}: {error.strerror}") from error
            listener.setblocking(False)
        # Who reads this of one may go to any of them.
        for listener in self._listeners:
            self._log.line(Level.NOTICE, f"listening on {describe_listener(listener)}")
        self._acceptor.start()
        engine = self._make_engine()
        control = await self._start_control(engine)
        site = await self._start_site(engine)
        keep_doing = self.shortage.keep_doing
        jobs = [
            self._start(work)
            for work in (
                keep_doing(self._upkeep.checkpoint_often),
                keep_doing(self._upkeep.clean_up_daily),
                keep_doing(self._outage.run),
                keep_doing(self.shortage.keep_ballast),
                keep_doing(lambda: self._history.keep(self._worker)),
            )
        ]
        if site is not None:
            jobs.append(self._start(keep_doing(self._survey.repeat)))
        ready()
        jobs.append(self._start(keep_doing(lambda: keep_watchdog_calm(os.environ))))
        await self._stop_wanted.wait()
        if control is not None:
            await control.close()
        if site is not None:
            await site.close()
        self._acceptor.stop()
        close_listeners(self._listeners)
        for job in jobs:
            job.cancel()
        # Who was accepted on the way out gets an answer; who waits in a socket that was passed, from the next server.
        await self._await_newcomers()
        self._decider.stop_waiting()
        for connection in list(self._connections.open):
            connection.hang_up()
        self._commits.end_turn()
        await self._quiet()
        await self._history.write(self._worker)
        # Connections close, and what was begun ends, in the next turns of the loop.
        await asyncio.sleep(0)
        self._worker.close()
        self._flusher.close()

    def _make_engine(self) -> Engine:
        """Return the parts of the server that its administrator asks about."""
        return Engine(
            settings=self._settings,
            store=self._store,
            outage=self._outage,
            decider=self._decider,
            whitelists=self._whitelists,
            upkeep=self._upkeep,
            orders=self._orders,
            tally=self._tally,
            log=self._log,
            worker=self._worker,
            connections=lambda: len(self._connections.open),
            clock=time.time,
            started=time.time(),
            listeners=[describe_listener(listener) for listener in self._listeners],
            reload=self._reload,
        )

    async def _start_control(self, engine: Engine) -> ControlConnections | None:
        """Listen on the control socket, if there is one."""
        if self._control_socket is None:
            return None
        control = ControlConnections(lambda call, user, send: answer(engine, call, user, send), self._log)
        await control.start(self._control_socket)
        return control

    async def _start_site(self, engine: Engine) -> Site | None:
        """Serve the page and the metrics, if they are wanted."""
        if self._meter is None:
            return None
        try:
            # Libraries that nobody else needs.
            from postgrey_py.daemon.web.site import Site

            site = Site(engine, self._meter, self._survey, self._log)
            await site.start(self._web)
        except Exception as error:  # noqa: BLE001 - whatever other libraries do, mail goes on
            self._log.complain(f"--metrics={self._settings.metrics}: there are no metrics: {error!r}")
            return None
        for listener in self._web:
            self._log.line(Level.NOTICE, f"metrics and page on {describe_listener(listener)}")
        return site

    async def _await_newcomers(self) -> None:
        """Wait, but not for long, until everybody who was accepted has asked."""
        nobody_is_new = asyncio.Event()
        self._connections.call_when_nobody_is_new(nobody_is_new.set)
        self._loop.call_later(LAST_REQUESTS_SECONDS, nobody_is_new.set)
        await nobody_is_new.wait()

    async def _quiet(self) -> None:
        """Wait until nothing that was decided waits for the disk."""
        quiet = asyncio.Event()
        self._commits.when_quiet(quiet.set)
        await quiet.wait()

    async def _reopen(self) -> None:
        """Open the database again, and go on with it. Raises DatabaseError."""
        await self._quiet()
        try:
            await self._worker.do(lambda: reopen(self._store.environment))
        except MemoryError as error:
            raise DatabaseError(f"out of memory: {error!r}") from error
        self._store.attach()

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        """Forget a task that has ended, and log the exception that ended it, if any."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, MemoryError):
            self.shortage.met("in the background")
        elif error is not None:
            self._log.line(Level.CRITICAL, f"a bug, in the background: {error!r}")

    def _start_reload(self) -> None:
        self._start(self._reload())

    async def _reload(self, cause: str = "HUP received") -> list[str]:
        """Read the whitelists anew, beside serving; what can't be read stays as it is. Returns the complaints."""
        self._log.line(Level.WARNING, f"{cause}: reloading whitelists...")
        # In a thread of its own: the worker may be waiting for the disk, and patterns take long to compile.
        complaints = await asyncio.to_thread(self._whitelists.reload)
        for text in complaints:
            self._log.complain(text)
        self._renew_policy()
        self._log.line(Level.WARNING, f"reloaded {self._whitelists.summary()}")
        return complaints

    def _make_policy(self, whitelists: WhitelistFiles) -> Policy:
        """The rules with the whitelists that were read last, and the orders that are in force."""
        return Policy(self._settings, whitelists.current, overrides=self._orders.current, domain_of=self._domain_of)

    def _renew_policy(self) -> None:
        self._decider.policy = self._make_policy(self._whitelists)

    def _use_allowance(self, number: int, instance: str | None) -> None:
        """A mail passes by an allowance; one for a single mail is used up by that."""
        if self._orders.use(number, instance):
            self._start(self._save_orders())

    async def _save_orders(self) -> None:
        try:
            await self._orders.save(self._worker)
        except OrderError as error:
            self._log.line(Level.WARNING, f"orders: {error}")

    def _log_exception(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Write a line to the log about an error that asyncio would print with a traceback."""
        error = context.get("exception")
        if isinstance(error, MemoryError):
            self.shortage.met("in the event loop")
        elif not isinstance(error, (ConnectionError, TimeoutError)):
            text = f"{context.get('message')}: {error!r}" if error else str(context.get("message"))
            self._log.line(Level.ERROR, text)


def serve(make_server: Callable[[asyncio.AbstractEventLoop], Server], ready: Callable[[], None]) -> None:
    """Run a server in a new event loop until it is told to stop."""
    with contextlib.closing(asyncio.new_event_loop()) as loop, contextlib.suppress(KeyboardInterrupt):
        server = make_server(loop)
        run_to_the_end(loop, server.run(ready), server.shortage.met)
