# SPDX-License-Identifier: GPL-2.0-or-later
"""A sign of life for the service manager, which restarts a server that hangs; source: sd_watchdog_enabled(3).

It comes from the event loop, so that it stops when the loop does: Berkeley DB may search for ever in a page that
was overwritten behind its back, and a start finds and repairs such pages.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import MutableMapping

import sdnotify

# One sign may be late.
SIGNS_PER_LIMIT = 3


def take_watchdog_seconds(environment: MutableMapping[str, str]) -> float | None:
    """How long the service manager waits for a sign of life from this process; None when it does not wait.

    The variables that tell of it leave the environment.
    """
    limit, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    # A process that has detached is not the one that is watched.
    if pid != str(os.getpid()) or not (limit.isascii() and limit.isdigit()) or int(limit) == 0:
        return None
    return int(limit) / 1e6


async def keep_watchdog_calm(environment: MutableMapping[str, str]) -> None:
    """Give signs of life until cancelled; returns at once when nobody waits for them."""
    seconds = take_watchdog_seconds(environment)
    notifier = sdnotify.SystemdNotifier()
    while seconds is not None:
        notifier.notify("WATCHDOG=1")
        await asyncio.sleep(seconds / SIGNS_PER_LIMIT)
