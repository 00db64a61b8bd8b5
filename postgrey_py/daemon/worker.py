# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread for slow work on the disk: checkpoints, and opening a database again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class Worker:
    """One thread that does one thing after the other. Lives as long as the event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="postgrey-disk")
        # Now: when memory runs out, no thread can be started.
        self._pool.submit(int)

    async def do(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, done in the thread after all that was given to it before."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Wait until all is done that was given to it, and stop it."""
        self._pool.shutdown()
