# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes on beside answering: checkpoints, and the clean-up of old records.

Checkpoints wait for the disk and run in the worker thread; the clean-up runs in the loop's own thread, because there
is no lock between two that write, in slices of a few milliseconds with as much time for mail in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.worker import Worker
from postgrey_py.database.lock import LOCK
from postgrey_py.database.maintenance import Count, compact, expire
from postgrey_py.database.store import Store, Table
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.loglines import Level
from postgrey_py.greylist.records import is_old_client, is_old_triplet, parse_record
from postgrey_py.greylist.settings import SECONDS_PER_DAY, Settings

# How often it is looked whether a checkpoint is due: after much log, and, because other programs read the database
# files as they are, at least once a minute while there are changes.
CHECKPOINT_LOOK_SECONDS = 5.0
CHECKPOINT_SECONDS = 60.0

# Soon after the start, but not among all else that starts with the machine.
FIRST_CLEAN_UP_SECONDS = 1800.0
CLEAN_UP_SECONDS = float(SECONDS_PER_DAY)

_END = object()


class Upkeep:
    """The background jobs of a server. `run` does them until it is cancelled.

    `end_turn` commits and answers what was decided so far: it is called before each slice of a clean-up.
    """

    def __init__(
        self, store: Store, settings: Settings, log: Log, outage: Outage, worker: Worker, end_turn: Callable[[], None]
    ) -> None:
        self._environment = store.environment
        self._store = store
        self._settings = settings
        self._log = log
        self._outage = outage
        self._worker = worker
        self._end_turn = end_turn
        self._clean_up_wanted = asyncio.Event()

    def clean_up_soon(self) -> None:
        """Start a clean-up now, or right after the one that is under way."""
        self._clean_up_wanted.set()

    async def run(self) -> None:
        """Do all background jobs; returns only by cancellation."""
        await asyncio.gather(self._checkpoint_often(), self._clean_up_daily())

    async def _checkpoint_often(self) -> None:
        commits, last = 0, time.monotonic()
        while True:
            await asyncio.sleep(CHECKPOINT_LOOK_SECONDS)
            is_due = self._store.commits != commits and time.monotonic() - last >= CHECKPOINT_SECONDS
            if is_due:
                # Counted before: what is written beside this one is a matter for the next.
                commits, last = self._store.commits, time.monotonic()
            await self._checkpoint(is_due)

    async def _checkpoint(self, now: bool = False) -> None:
        """One look after the lock, the checkpoint, and the removal of logs, in the worker."""
        if self._outage.is_down:
            return

        def work() -> tuple[bool, list[str]]:
            was_lost = self._environment.keep_lock()
            self._environment.checkpoint(now)
            return was_lost, self._environment.remove_logs()

        try:
            was_lost, removed = await self._worker.do(work)
        except DatabaseError as error:
            self._outage.failed(error)
            return
        if was_lost:
            self._log.line(
                Level.CRITICAL,
                f"{LOCK} in {self._environment.dbdir} was removed or replaced, and is made anew: leave it alone,"
                " without it two servers can destroy the database",
            )
        if removed:
            self._log.line(Level.WARNING, "cleaning up old logs...")
            for path in removed:
                self._log.line(Level.WARNING, f"rm {path}")

    async def _clean_up_daily(self) -> None:
        delay = FIRST_CLEAN_UP_SECONDS
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._clean_up_wanted.wait(), delay)
            self._clean_up_wanted.clear()
            delay = CLEAN_UP_SECONDS
            if not self._outage.is_down:
                try:
                    await self._clean_up()
                except DatabaseError as error:
                    self._outage.failed(error)
                    delay = FIRST_CLEAN_UP_SECONDS

    async def _clean_up(self) -> None:
        """One clean-up of both databases, with requests answered in between. Raises DatabaseError."""
        now, settings = int(time.time()), self._settings
        self._log.line(Level.WARNING, "cleaning up old entries...")
        await self._clean_up_table(
            self._store.triplets, "main", lambda value: is_old_triplet(parse_record(value), now, settings)
        )
        if settings.auto_whitelist_clients:
            await self._clean_up_table(
                self._store.clients, "clients", lambda value: is_old_client(parse_record(value), now, settings)
            )
        await self._checkpoint(now=True)

    async def _clean_up_table(self, table: Table, name: str, is_old: Callable[[bytes], bool]) -> None:
        count = Count()
        await self._in_slices(expire(table, is_old, count))
        self._log.line(
            Level.WARNING, f"cleaning {name} database finished. before: {count.before}, after: {count.after}"
        )
        if count.is_worth_compacting():
            await self._in_slices(compact(table))
            self._log.line(Level.INFO, f"compacting {name} database finished")

    async def _in_slices(self, slices: Iterator[None]) -> None:
        """Do these slices one by one, each with no transaction open, and leave as much time to mail as each took."""
        while True:
            self._end_turn()
            if self._outage.is_down:
                raise DatabaseError("the clean-up is broken off")
            started = time.monotonic()
            if next(slices, _END) is _END:
                return
            await asyncio.sleep(time.monotonic() - started)
