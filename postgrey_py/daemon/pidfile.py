# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that names the process of a server in the background, and whether one that is there names one that runs."""

from __future__ import annotations

import contextlib
import os

from postgrey_py.accounts import Account
from postgrey_py.daemon.process import PROCESS_NAME
from postgrey_py.errors import StartupError


class Pidfile:
    """The file with our process id, while the server runs."""

    def __init__(self, path: str, account: Account | None) -> None:
        """Write it. Raises StartupError where another postgrey's is, or where that is not allowed."""
        self.path = path
        running = _running_postgrey(path)
        if running is not None:
            raise StartupError(f"--pidfile={path}: postgrey already runs as process {running}")
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
            # Others must be able to read whom to signal, whatever our umask.
            os.chmod(path, 0o644)
            if account is not None and os.geteuid() == 0:
                os.chown(path, account.uid, account.gid)
        except OSError as error:
            raise StartupError(f"--pidfile={path}: {error.strerror}") from error

    def remove(self) -> None:
        """Remove it; where the directory is root's, as /run is, it stays for the init script to remove."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def _running_postgrey(pidfile: str) -> int | None:
    """The process that a pidfile names, if it is alive and not something else that got the number after a reboot."""
    try:
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read(20))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return pid if file.read().startswith(PROCESS_NAME) and pid != os.getpid() else None
    except OSError:
        return pid if not os.path.isdir("/proc/self") else None
