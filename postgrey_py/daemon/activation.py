# SPDX-License-Identifier: GPL-2.0-or-later
"""Listening sockets that the service manager made and holds (socket activation); source: sd_listen_fds(3).

They outlive the server: while it is restarted, connections wait in them. `main` takes them over at start.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from postgrey_py.errors import StartupError

FIRST_DESCRIPTOR = 3


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
