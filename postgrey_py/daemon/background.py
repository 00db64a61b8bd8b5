# SPDX-License-Identifier: GPL-2.0-or-later
"""Detach into the background, and report to the starting process that the server is ready, or why it is not."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import NoReturn

import daemon
import sdnotify

from postgrey_py.daemon.process import UMASK
from postgrey_py.errors import StartupError

_READY = b"\0"


class Readiness:
    """Reports to the process that started the server whether it is ready.

    A daemon's parent waits on a pipe and takes over the child's word as exit status; systemd gets READY=1.
    """

    def __init__(self, pipe: int | None = None) -> None:
        self._pipe = pipe

    def ready(self) -> None:
        """The server answers from now on."""
        self._tell(_READY)
        sdnotify.SystemdNotifier().notify("READY=1")

    def failed(self, message: str) -> None:
        """The server could not start; the parent prints why."""
        self._tell(message.encode("utf-8", "surrogateescape"))

    def fileno(self) -> int | None:
        """The descriptor that detaching must not close."""
        return self._pipe

    def _tell(self, octets: bytes) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.write(self._pipe, octets)
            os.close(self._pipe)
            self._pipe = None


def detach(listeners: list[socket.socket]) -> Readiness:
    """Go on in the background; the caller's process waits here, and exits when the server is ready or has failed.

    Raises StartupError.
    """
    reading, writing = os.pipe()
    try:
        is_parent = os.fork() != 0
    except OSError as error:
        raise StartupError(f"can't go into the background: {error.strerror}") from error
    if is_parent:
        os.close(writing)
        _await_readiness(reading)
    os.close(reading)
    readiness = Readiness(writing)
    # For detaching only: its own ways with owners, masks, pidfiles and signals are not those that a mail server needs.
    context = daemon.DaemonContext(
        umask=UMASK, files_preserve=[*listeners, readiness], signal_map={}, initgroups=False, detach_process=True
    )
    try:
        context.open()
    except (daemon.daemon.DaemonError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"can't go into the background: {reason}"
        readiness.failed(message)
        raise StartupError(message) from error
    return readiness


def _await_readiness(pipe: int) -> NoReturn:
    """Exit with 0 once the server says that it is ready, else print what it says and exit with 1."""
    with open(pipe, "rb") as words:
        said = words.read()
    if said != _READY:
        text = said.decode("utf-8", "surrogateescape") or "the server ended before it was ready; see the log"
        print(f"postgrey: {text}", file=sys.stderr, flush=True)
    os._exit(0 if said == _READY else 1)
