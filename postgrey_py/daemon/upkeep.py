# SPDX-License-Identifier: GPL-2.0-or-later
"""Background jobs: checkpoints, and the clean-up of old records.

Checkpoints wait for the disk and run in the worker thread; the clean-up runs in the loop's own thread, because there
is no lock between two that write, in slices of a few milliseconds with as much time for mail in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from postgrey_py.daemon.clock import Evidence, Reading, Trust, distrust, format_span, read_clocks, update_trust
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.worker import Worker
from postgrey_py.database.lock import LOCK
from postgrey_py.database.maintenance import Count, compact, expire, survey
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

# How long after a clean-up was refused a second wish for it is obeyed.
INSIST_SECONDS = 600.0

_END = object()


class CleanUp(NamedTuple):
    """A clean-up that was done: when it ended, in seconds since 1970, and the records of each table by name."""

    ended: float
    counts: Mapping[str, Count]


class Upkeep:
    """The background jobs of a server: `checkpoint_often` and `clean_up_daily`.

    `settle` commits what was decided so far: it is called before each slice of a clean-up.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        log: Log,
        outage: Outage,
        worker: Worker,
        settle: Callable[[], None],
        read_clocks: Callable[[], Reading] = read_clocks,
    ) -> None:
        self._environment = store.environment
        self._store = store
        self._settings = settings
        self._log = log
        self._outage = outage
        self._worker = worker
        self._settle = settle
        self._read_clocks = read_clocks
        self._trust = Trust(read_clocks())
        self._evidence: Evidence | None = Evidence(int(self._trust.last.wall), settings)
        self._clean_up_wanted = asyncio.Event()
        # Who waits for the end of the next clean-up: told what was done, or why it was not.
        self._waiting: list[asyncio.Future[CleanUp | str]] = []
        self.last_clean_up: CleanUp | None = None
        # Of the table that is being cleaned up; None while there is no clean-up.
        self.progress: Count | None = None
        # By the clock of time.monotonic.
        self.next_clean_up: float | None = None
        # Up to this time, by the steady clock, another wish is an order.
        self._insist_until = float("-inf")

    def clean_up_soon(self) -> None:
        """Start a clean-up now, or right after the one that is under way."""
        self._clean_up_wanted.set()

    async def clean_up_now(self) -> CleanUp | str:
        """Start a clean-up like `clean_up_soon`, and await it; returns what was done, or why it was not."""
        ended: asyncio.Future[CleanUp | str] = asyncio.get_running_loop().create_future()
        self._waiting.append(ended)
        self.clean_up_soon()
        return await ended

    async def checkpoint_often(self) -> None:
        """Look after checkpoints, logs and the lock; returns only by cancellation."""
        commits, last = 0, time.monotonic()
        while True:
            await asyncio.sleep(CHECKPOINT_LOOK_SECONDS)
            self._look_at_the_clock()
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

    async def clean_up_daily(self) -> None:
        """Remove old records, daily and when it is wanted; returns only by cancellation."""
        # Before mail comes in whose times would be no evidence.
        with contextlib.suppress(DatabaseError):
            await self._check_evidence()
        delay = FIRST_CLEAN_UP_SECONDS
        while True:
            self.next_clean_up = time.monotonic() + delay
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._clean_up_wanted.wait(), delay)
            is_wanted = self._clean_up_wanted.is_set()
            self._clean_up_wanted.clear()
            self.next_clean_up = None
            waiting, self._waiting = self._waiting, []
            outcome: CleanUp | str = "broken off"
            try:
                outcome, delay = await self._try_to_clean_up(is_wanted)
            finally:
                for ended in waiting:
                    # Who has gone away meanwhile has cancelled it.
                    if not ended.done():
                        ended.set_result(outcome)

    async def _try_to_clean_up(self, is_wanted: bool) -> tuple[CleanUp | str, float]:
        """Clean up where that may be; returns what was done, or why it was not, and the seconds to the next try."""
        try:
            if self._outage.is_down:
                return "the database is down", FIRST_CLEAN_UP_SECONDS
            await self._check_evidence()
            refusal = self._refuse_clean_up(is_wanted)
            if refusal is not None:
                return refusal, self._trust.remaining()
            self.last_clean_up = await self._clean_up()
        except DatabaseError as error:
            return str(error), FIRST_CLEAN_UP_SECONDS
        return self.last_clean_up, CLEAN_UP_SECONDS

    async def _check_evidence(self) -> None:
        """Once, ask the records whether the clock was right at the start. Raises DatabaseError, which it has told."""
        if self._evidence is None:
            return
        for table in (self._store.triplets, self._store.clients):
            if table is self._store.triplets or self._settings.auto_whitelist_clients:
                await self.in_slices(survey(table, self._evidence.see))
        reason, self._evidence = self._evidence.doubt(), None
        if reason:
            self._trust = distrust(self._trust, reason)
            self._log.line(Level.WARNING, f"the clock may be wrong ({reason}): the first clean-up waits a day")

    def _look_at_the_clock(self) -> None:
        before, self._trust = self._trust, update_trust(self._trust, self._read_clocks())
        if self._trust.until != before.until:
            # Whoever insisted knew nothing of it.
            self._insist_until = float("-inf")
            self._log.line(
                Level.WARNING, f"the clock may be wrong ({self._trust.reason}): the next clean-up waits a day"
            )

    def _refuse_clean_up(self, is_wanted: bool) -> str | None:
        """Return, and log, why there is none: the clock is not trusted, and nobody insists. None where there may be."""
        self._look_at_the_clock()
        now = self._trust.last.steady
        if self._trust.is_given() or (is_wanted and now < self._insist_until):
            return None
        text = f"no clean-up for {format_span(self._trust.remaining())}, the clock may be wrong: {self._trust.reason}"
        if is_wanted:
            self._insist_until = now + INSIST_SECONDS
            text += "; where it is right, send SIGUSR1 again within ten minutes"
        self._log.line(Level.WARNING, text)
        return text

    async def _clean_up(self) -> CleanUp:
        """One clean-up of both databases, with requests answered in between. Raises DatabaseError."""
        now, settings = int(self._trust.last.wall), self._settings
        self._log.line(Level.WARNING, "cleaning up old entries...")
        counts = {
            "triplets": await self._clean_up_table(
                self._store.triplets, "main", lambda value: is_old_triplet(parse_record(value), now, settings)
            )
        }
        if settings.auto_whitelist_clients:
            counts["clients"] = await self._clean_up_table(
                self._store.clients, "clients", lambda value: is_old_client(parse_record(value), now, settings)
            )
        await self._checkpoint(now=True)
        return CleanUp(time.time(), counts)

    async def _clean_up_table(self, table: Table, name: str, is_old: Callable[[bytes], bool]) -> Count:
        count = self.progress = Count()
        try:
            await self.in_slices(expire(table, is_old, count))
        finally:
            self.progress = None
        self._log.line(
            Level.WARNING, f"cleaning {name} database finished. before: {count.before}, after: {count.after}"
        )
        if count.is_worth_compacting():
            await self.in_slices(compact(table))
            self._log.line(Level.INFO, f"compacting {name} database finished")
        return count

    async def in_slices(self, slices: Iterator[None]) -> None:
        """Do these slices one by one, each with no transaction open, and leave as much time to mail as each took.

        Raises DatabaseError, after which the database is down.
        """
        try:
            while True:
                self._settle()
                if self._outage.is_down:
                    raise DatabaseError("broken off: the database is down")
                started = time.monotonic()
                if next(slices, _END) is _END:
                    return
                await asyncio.sleep(time.monotonic() - started)
        except DatabaseError as error:
            self._outage.failed(error)
            raise
