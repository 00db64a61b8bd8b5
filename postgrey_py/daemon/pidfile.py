# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that names the process of a server in the background, and whether one that is there names one that runs."""

from __future__ import annotations

import contextlib
import os
import re
import stat

from postgrey_py.daemon.places import open_directory_of
from postgrey_py.daemon.process import PROCESS_NAME
from postgrey_py.errors import StartupError

MODE = 0o644

# No system of ours has larger process ids; source: PID_MAX_LIMIT of Linux.
_MAX_PID = 1 << 22
# A number of that size, with whatever white space somebody left around it.
_MOST_BYTES = 64

# O_NONBLOCK because the opening of a FIFO would wait for its other end.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

# Zombies, and processes that are about to be one.
_DEAD = "ZXx"

_PIDFILE_OPTION = re.compile(rb"[\0 ]--?pidfile[=\0 ]([^\0 ]+)")


class Pidfile:
    """The file with our process id, while the server runs.

    It is written as root where root starts the server, and may lie in a directory of the server's user. So it is a new
    file that takes the place of the old one, never something that the name leads to; and, unlike in 1.37, it stays
    root's: who may write it could have any process killed.
    """

    def __init__(self, path: str) -> None:
        """Write it. Raises StartupError where another postgrey's is, or where that is not allowed."""
        self._directory, self._name = open_directory_of(path, f"--pidfile={path}")
        try:
            self._write(path)
        except OSError as error:
            os.close(self._directory)
            if os.path.islink(path):
                raise StartupError(
                    f"--pidfile={path}: that is a symbolic link, which is not followed; name the file itself"
                ) from error
            raise StartupError(f"--pidfile={path}: {error.strerror}") from error
        except StartupError:
            os.close(self._directory)
            raise

    def _write(self, path: str) -> None:
        """Write it. Raises OSError and StartupError."""
        running = None
        with contextlib.suppress(FileNotFoundError):
            running = find_running(self._read(path), path)
        if running is not None:
            raise StartupError(f"--pidfile={path}: postgrey already runs as process {running}")
        new = f".{self._name}.{os.getpid()}"
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new, dir_fd=self._directory)
            descriptor = os.open(new, _WRITE | os.O_CREAT | os.O_EXCL, MODE, dir_fd=self._directory)
        except PermissionError:
            # Not root, in a directory of root; what is there already may be ours.
            descriptor = os.open(self._name, _WRITE, dir_fd=self._directory)
            new = self._name
        with open(descriptor, "wb", buffering=0) as file:
            # Others must be able to read whom to signal, whatever our umask. One that is not ours was made for us.
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, MODE)
            file.write(_content())
            file.truncate()
        if new == self._name:
            return
        try:
            os.replace(new, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError:
            os.unlink(new, dir_fd=self._directory)
            raise

    def _read(self, path: str) -> bytes:
        """Return the start of what is there. Raises OSError, and StartupError for what is no file of its own."""
        with open(os.open(self._name, _READ, dir_fd=self._directory), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise StartupError(
                    f"--pidfile={path}: what is there is a device, a FIFO or a second name of another file; remove it"
                )
            return file.read(_MOST_BYTES)

    def remove(self) -> None:
        """Remove it, if it is still ours; where the directory is root's, as /run is, the init script must do that."""
        with contextlib.suppress(OSError):
            with open(os.open(self._name, _READ, dir_fd=self._directory), "rb") as file:
                is_ours = file.read(_MOST_BYTES) == _content()
            if is_ours:
                os.unlink(self._name, dir_fd=self._directory)
        self.close()

    def close(self) -> None:
        """Close the directory, and leave the pidfile."""
        os.close(self._directory)


def find_running(octets: bytes, path: str) -> int | None:
    """Return the process that a pidfile of this path with this content names, if that is a running postgrey's.

    It is none of ours when the number was given to something else after a reboot, is that of a thread, of a zombie
    that nobody reaps (as in a container), or of a postgrey that was told to use another pidfile.
    """
    digits = octets.strip()
    if not digits.isdigit() or not 0 < int(digits) <= _MAX_PID or int(digits) == os.getpid():
        return None
    pid = int(digits)
    if not os.path.exists("/proc/self/stat"):
        return pid if _exists(pid) else None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            name, _, rest = file.read().partition(b"(")[2].rpartition(b")")
        with open(f"/proc/{pid}/status", "rb") as file:
            is_thread = b"\nTgid:\t%d\n" % pid not in file.read()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            used = _PIDFILE_OPTION.findall(file.read())
    except OSError:
        return None
    if not name.startswith(PROCESS_NAME.encode()) or rest.split()[0].decode() in _DEAD or is_thread:
        return None
    # Of a relative path nobody knows any more what it was relative to.
    others = {os.path.realpath(os.fsdecode(other)) for other in used if other.startswith(b"/")}
    return None if others and os.path.realpath(path) not in others else pid


def _content() -> bytes:
    return b"%d\n" % os.getpid()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
