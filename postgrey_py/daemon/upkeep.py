# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes on beside answering: checkpoints, the clean-up of old records, and reopening a database that failed.

Checkpoints and reopening wait for the disk and run in one worker thread; the clean-up runs in the loop's own thread,
because there is no lock between two that write, in slices of a few milliseconds with as much time for mail in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.turn import Turn
from postgrey_py.database.environment import Environment
from postgrey_py.database.maintenance import Count, compact, expire
from postgrey_py.database.store import Store, Table
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.policy import Level
from postgrey_py.greylist.records import is_old_client, is_old_triplet
from postgrey_py.greylist.settings import SECONDS_PER_DAY, Settings

# How often it is looked whether a checkpoint is due: after much log, and, because other programs read the database
# files as they are, at least once a minute while there are changes.
CHECKPOINT_LOOK_SECONDS = 5.0
CHECKPOINT_SECONDS = 60.0
REOPEN_SECONDS = 3.0

# Soon after the start, but not among all else that starts with the machine.
FIRST_CLEAN_UP_SECONDS = 1800.0
CLEAN_UP_SECONDS = float(SECONDS_PER_DAY)

Result = TypeVar("Result")

_END = object()


class Upkeep:
    """The background jobs of a server. `run` does them until it is cancelled."""

    def __init__(self, environment: Environment, store: Store, settings: Settings, log: Log) -> None:
        self._environment = environment
        self._store = store
        self._settings = settings
        self._log = log
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="postgrey-disk")
        self._clean_up_wanted = asyncio.Event()
        self._reopen_wanted = asyncio.Event()

    def clean_up_soon(self) -> None:
        """Start a clean-up now, or right after the one that is under way."""
        self._clean_up_wanted.set()

    def reopen(self, _: DatabaseError) -> None:
        """The database has failed: try to open it again until that works."""
        self._reopen_wanted.set()

    async def in_worker(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, done in the worker thread after all that was given to it before."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def run(self, turn: Turn) -> None:
        """Do all background jobs; returns only by cancellation."""
        await asyncio.gather(self._checkpoint_often(turn), self._clean_up_daily(turn), self._reopen_when_wanted(turn))

    def close(self) -> None:
        """Wait until the worker is done with what it was given, and stop it."""
        self._worker.shutdown()

    async def _checkpoint_often(self, turn: Turn) -> None:
        commits, last = 0, time.monotonic()
        while True:
            await asyncio.sleep(CHECKPOINT_LOOK_SECONDS)
            is_due = self._store.commits != commits and time.monotonic() - last >= CHECKPOINT_SECONDS
            if is_due:
                # Counted before: what is written beside this one is a matter for the next.
                commits, last = self._store.commits, time.monotonic()
            if not self._reopen_wanted.is_set():
                await self._checkpoint(turn, is_due)

    async def _checkpoint(self, turn: Turn, now: bool = False) -> None:
        def work() -> list[str]:
            self._environment.checkpoint(now)
            return self._environment.remove_logs()

        try:
            removed = await self.in_worker(work)
        except DatabaseError as error:
            turn.database_failed(error)
            return
        if removed:
            self._log.line(Level.WARNING, "cleaning up old logs...")
            for path in removed:
                self._log.line(Level.WARNING, f"rm {path}")

    async def _clean_up_daily(self, turn: Turn) -> None:
        delay = FIRST_CLEAN_UP_SECONDS
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._clean_up_wanted.wait(), delay)
            self._clean_up_wanted.clear()
            delay = CLEAN_UP_SECONDS
            if not self._reopen_wanted.is_set():
                try:
                    await self._clean_up(turn)
                except DatabaseError as error:
                    turn.database_failed(error)
                    delay = FIRST_CLEAN_UP_SECONDS

    async def _clean_up(self, turn: Turn) -> None:
        """One clean-up of both databases, with requests answered in between. Raises DatabaseError."""
        now, settings = int(time.time()), self._settings
        self._log.line(Level.WARNING, "cleaning up old entries...")
        await self._clean_up_table(
            turn, self._store.triplets, "main", lambda value: is_old_triplet(value, now, settings)
        )
        if settings.auto_whitelist_clients:
            await self._clean_up_table(
                turn, self._store.clients, "clients", lambda value: is_old_client(value, now, settings)
            )
        await self._checkpoint(turn, now=True)

    async def _clean_up_table(self, turn: Turn, table: Table, name: str, is_old: Callable[[bytes], bool]) -> None:
        count = Count()
        await self._in_slices(turn, expire(table, is_old, count))
        self._log.line(
            Level.WARNING, f"cleaning {name} database finished. before: {count.before}, after: {count.after}"
        )
        if count.is_worth_compacting():
            await self._in_slices(turn, compact(table))
            self._log.line(Level.INFO, f"compacting {name} database finished")

    async def _in_slices(self, turn: Turn, slices: Iterator[None]) -> None:
        """Do these slices one by one, each with no transaction open, and leave as much time to mail as each took."""
        while True:
            turn.finish()
            if self._reopen_wanted.is_set():
                raise DatabaseError("the clean-up is broken off")
            started = time.monotonic()
            if next(slices, _END) is _END:
                return
            await asyncio.sleep(time.monotonic() - started)

    async def _reopen_when_wanted(self, turn: Turn) -> None:
        def work() -> None:
            self._environment.close_databases()
            self._environment.open(verify=True)

        while True:
            await self._reopen_wanted.wait()
            try:
                await self.in_worker(work)
            except DatabaseError as error:
                turn.database_still_fails(error)
                await asyncio.sleep(REOPEN_SECONDS)
            else:
                self._reopen_wanted.clear()
                turn.database_works()
