# SPDX-License-Identifier: GPL-2.0-or-later
"""Services of the service manager: listening sockets that it made and holds, and its watchdog.

Sockets that are passed (sd_listen_fds(3)) outlive the server: while it is restarted, connections wait in them.
The watchdog (sd_watchdog_enabled(3)) restarts a server that hangs. Its signs of life come from the event loop, so that
they stop when the loop does: Berkeley DB may search for ever in a page that was overwritten behind its back, and a
start finds and repairs such pages.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import MutableMapping

import sdnotify

from postgrey_py.errors import StartupError

FIRST_DESCRIPTOR = 3

# One sign may be late.
SIGNS_PER_LIMIT = 3


class PassedSocket(socket.socket):
    """A listener that belongs to the service manager: the server closes its descriptor, and leaves its file alone."""


def take_passed_sockets(environment: MutableMapping[str, str]) -> list[PassedSocket]:
    """The sockets that were passed to this process, none in most cases. Raises StartupError.

    The variables that tell of them leave the environment, so that no child takes them for its own.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [_take(descriptor) for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))]


def _take(descriptor: int) -> PassedSocket:
    try:
        os.set_inheritable(descriptor, False)
        passed = PassedSocket(fileno=descriptor)
        is_listening = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise StartupError(f"descriptor {descriptor} of LISTEN_FDS is not a socket: {error.strerror}") from error
    if passed.type != socket.SOCK_STREAM or not is_listening:
        raise StartupError(f"descriptor {descriptor} of LISTEN_FDS does not listen: Accept=no and ListenStream= only")
    return passed


def take_watchdog_seconds(environment: MutableMapping[str, str]) -> float | None:
    """Return how long the service manager waits for a sign of life from this process; None when it does not wait.

    The variables that tell of it leave the environment.
    """
    limit, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    # A process that has detached is not the one that is watched.
    if pid != str(os.getpid()) or not (limit.isascii() and limit.isdigit()) or int(limit) == 0:
        return None
    return int(limit) / 1e6


async def keep_watchdog_calm(environment: MutableMapping[str, str]) -> None:
    """Notify the watchdog until cancelled; returns at once when there is none."""
    seconds = take_watchdog_seconds(environment)
    notifier = sdnotify.SystemdNotifier()
    while seconds is not None:
        notifier.notify("WATCHDOG=1")
        await asyncio.sleep(seconds / SIGNS_PER_LIMIT)
