# SPDX-License-Identifier: GPL-2.0-or-later
"""The outage of a database: when it began, what was logged about it, and how it is reopened.

Mail passes while `is_down`. Whoever meets an error of the database calls `failed`; whoever lets a request pass because
of that calls `passed`; `run` opens the database again. Nobody else decides what an administrator is told about it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from postgrey_py.daemon.logs import Log
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.loglines import Level

# How often a database that stays broken is complained of.
COMPLAINT_SECONDS = 60.0

# The first try to open it again comes at once, the next after FIRST_PAUSE, and each later one after twice as long.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0

# A database that works for so long has recovered: the next failure is another outage.
CALM_SECONDS = 60.0


def next_pause(pause: float) -> float:
    """Return the pause before the next try, after one of so many seconds."""
    return min(max(FIRST_PAUSE_SECONDS, 2 * pause), LONGEST_PAUSE_SECONDS)


class Outage:
    """Whether the database is down. One per server.

    `reopen` opens the database and proves that it keeps what is written, or raises DatabaseError. `clock` is that of
    the event loop.
    """

    def __init__(self, reopen: Callable[[], Awaitable[None]], log: Log, clock: Callable[[], float]) -> None:
        self.is_down = False
        # Why it is, or was the last time.
        self.reason = ""
        # How often it went down, and how many requests passed because of that, since the start.
        self.times = 0
        self.passed_in_all = 0
        self._reopen = reopen
        self._log = log
        self._clock = clock
        self._went_down = asyncio.Event()
        # Whether the log's last word is that the database fails.
        self._is_told = False
        self._told_at = 0.0
        self._passed = 0
        self._since = 0.0

    @property
    def seconds(self) -> int:
        """For how many seconds the database has been down, 1 for less than that; 0 when it is up."""
        return max(1, int(self._clock() - self._since)) if self.is_down else 0

    def failed(self, error: DatabaseError) -> None:
        """Let all mail pass until the database is open again; further failures until then are ignored."""
        if self.is_down:
            return
        self.is_down = True
        self._since = self._clock()
        self.reason = str(error)
        self.times += 1
        self._went_down.set()
        if self._is_told:
            self._complain(error)
        else:
            self._tell(f"the database failed, mail passes without greylisting: {error}")

    def passed(self, requests: int = 1) -> None:
        """Count requests that passed because the database is down."""
        self._passed += requests
        self.passed_in_all += requests

    async def run(self) -> None:
        """Open the database again whenever it has failed; returns only by cancellation."""
        while True:
            await self._went_down.wait()
            pause = await self._open_again(0.0)
            self._say_that_it_works()
            # One that fails again at once, or now and then, is not believed so soon a second time.
            while await self._fails_within(CALM_SECONDS):
                pause = await self._open_again(pause)
            if self._is_told:
                self._say_that_it_works()

    async def _open_again(self, pause: float) -> float:
        """Try until the database is open, first after this pause; returns the pause that a next try has to make."""
        while True:
            # Even without a pause, what is under way in this turn of the loop ends before the database is closed.
            await asyncio.sleep(pause)
            pause = next_pause(pause)
            try:
                await self._reopen()
            except DatabaseError as error:
                self._complain(error)
            else:
                self._went_down.clear()
                self.is_down = False
                return pause

    async def _fails_within(self, seconds: float) -> bool:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._went_down.wait(), seconds)
        return self.is_down

    def _complain(self, error: DatabaseError) -> None:
        """Log, now and then, that the database is still down."""
        if self._clock() - self._told_at >= COMPLAINT_SECONDS:
            self._tell(f"the database still fails, {self._passed} requests passed without greylisting: {error}")

    def _tell(self, text: str) -> None:
        self._is_told = True
        self._told_at = self._clock()
        self._log.line(Level.CRITICAL, text)

    def _say_that_it_works(self) -> None:
        text = f"the database works again, mail is greylisted; {self._passed} requests passed without"
        self._is_told = False
        self._passed = 0
        self._log.line(Level.WARNING, text)
