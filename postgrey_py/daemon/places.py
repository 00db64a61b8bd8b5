# SPDX-License-Identifier: GPL-2.0-or-later
"""Directories in which the server, while it may be root, makes files by name: pidfile and Unix sockets.

Whoever owns a directory decides what its names lead to. Root must not be led out of a directory of somebody else.
"""

from __future__ import annotations

import errno
import os
import stat

from postgrey_py.accounts import name_of_user
from postgrey_py.errors import StartupError

_MAX_LINKS = 40
# illumos has no O_PATH.
_LOOK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC


def open_directory_of(path: str, complaint: str) -> tuple[int, str]:
    """Return a descriptor of the directory of this absolute path, and the last name of the path.

    Raises StartupError, which begins with `complaint`, where the directory is not to be had, or where the way to it is
    a symbolic link of somebody else than root or this process's own user.
    """
    names = [name for name in os.path.dirname(path).split("/") if name]
    links = 0
    directory = os.open("/", _LOOK | os.O_DIRECTORY)
    try:
        while names:
            name = names.pop(0)
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                if found.st_uid not in (0, os.geteuid()):
                    raise StartupError(
                        f"{complaint}: {name} is a symbolic link of {name_of_user(found.st_uid)}, who could lead it"
                        " anywhere; name the directory itself"
                    )
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                target = os.readlink(name, dir_fd=directory)
                names = [part for part in target.split("/") if part] + names
                if target.startswith("/"):
                    directory = _step(directory, "/")
                continue
            directory = _step(directory, name)
    except OSError as error:
        os.close(directory)
        raise StartupError(f"{complaint}: {error.strerror}") from error
    except StartupError:
        os.close(directory)
        raise
    return directory, os.path.basename(path)


def _step(directory: int, name: str) -> int:
    """Open this name in a directory that is then closed. A link that was put there meanwhile is an error."""
    entered = os.open(name, _LOOK | os.O_DIRECTORY, dir_fd=directory)
    os.close(directory)
    return entered
