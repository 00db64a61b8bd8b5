# SPDX-License-Identifier: GPL-2.0-or-later
"""Going on when memory runs out: under a limit (`ulimit -v`), or where the system gives no more than it has.

Whoever meets a MemoryError gives up the one thing that it was doing, and calls `Shortage.met`.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from postgrey_py.daemon.logs import Log
from postgrey_py.greylist.loglines import Level

# Given back piece by piece each time that memory runs out, so that there is some to give up things in good order: where
# there is none at all, Python itself ends. Address space only: nothing is ever written to it. Python takes memory for
# small things in pieces of this size.
BALLAST_PIECE = 1 << 20
BALLAST_PIECES = 8

COMPLAINT_SECONDS = 60.0

# When to take the ballast back, and to try again what was given up.
PAUSE_SECONDS = 1.0


class Shortage:
    """Measures against a lack of memory. One per server.

    `relieve` gives memory back, and takes less from then on. `recover` takes more again, step by step, and tells when
    that is as much as ever. `clock` is that of the event loop.
    """

    def __init__(
        self, log: Log, clock: Callable[[], float], relieve: Callable[[], None], recover: Callable[[], bool]
    ) -> None:
        self._log = log
        self._clock = clock
        self._relieve = relieve
        self._recover = recover
        self._ballast = [mmap.mmap(-1, BALLAST_PIECE) for _ in range(BALLAST_PIECES)]
        self._times = 0
        self._told_at = float("-inf")
        self._is_spent = asyncio.Event()

    def met(self, place: str) -> None:
        """Take measures after memory ran out `place` ("for a request"), which was given up. Never raises."""
        if self._ballast:
            self._ballast.pop().close()
        with contextlib.suppress(MemoryError):
            self._times += 1
            self._is_spent.set()
            self._relieve()
        with contextlib.suppress(MemoryError):
            self._tell(place)

    def _tell(self, place: str) -> None:
        if self._clock() - self._told_at < COMPLAINT_SECONDS:
            return
        times = f" ({self._times} times by now)" if self._times > 1 else ""
        self._log.line(
            Level.CRITICAL,
            f"out of memory {place}{times}: connections are closed, and the server goes on; look at its limits"
            " (ulimit -v, LimitAS=) and at what else runs here",
        )
        self._told_at = self._clock()

    async def keep_doing(self, job: Callable[[], Awaitable[None]]) -> None:
        """Do this job, from its beginning again when memory runs out in it."""
        while True:
            try:
                return await job()
            except MemoryError:
                self.met("in the background")
            await asyncio.sleep(PAUSE_SECONDS)

    async def keep_ballast(self) -> None:
        """Take the ballast back when the worst is over; returns only by cancellation."""
        while True:
            await self._is_spent.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            with contextlib.suppress(MemoryError, OSError):
                self._is_spent.clear()
                if not self._recover():
                    self._is_spent.set()
                while len(self._ballast) < BALLAST_PIECES:
                    # Where this fails it is tried again.
                    self._is_spent.set()
                    self._ballast.append(mmap.mmap(-1, BALLAST_PIECE))


def run_to_the_end(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None], met: Callable[[str], None]
) -> None:
    """Run the event loop until this is done, then end what else runs in it.

    asyncio lets a MemoryError of its own end the loop. Nothing is lost by that but a turn: what is ready stays so, and
    sockets are looked at again.
    """
    task = loop.create_task(work)
    try:
        while not task.done():
            try:
                loop.run_until_complete(task)
            except MemoryError:
                met("in the event loop")
        # Raises what it has raised.
        task.result()
    finally:
        others = asyncio.all_tasks(loop)
        for other in others:
            other.cancel()
        if others:
            loop.run_until_complete(asyncio.gather(*others, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
