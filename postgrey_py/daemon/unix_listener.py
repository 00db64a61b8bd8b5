# SPDX-License-Identifier: GPL-2.0-or-later
"""A listening Unix socket of our own, and its file.

Its directory may belong to somebody else than root, who can put another file in its place at any time; what root does
there must not reach that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

from postgrey_py.accounts import Account, acting_as
from postgrey_py.daemon.places import open_directory_of
from postgrey_py.errors import StartupError

# Source: sun_path of sys/un.h, whose last byte ends the path.
MAX_UNIX_PATH_BYTES = 107

_MODES = 0o777


class UnixListener(socket.socket):
    """A Unix socket of our own; `path` and `identity` are those of its file, as long as they are known."""

    path = ""
    identity: tuple[int, int] | None = None

    def remove_file(self) -> None:
        """Remove its file, as far as that is allowed, unless another has taken its place."""
        with contextlib.suppress(OSError):
            # The socket may be closed by now.
            if _identity(os.lstat(self.path)) == self.identity:
                os.unlink(self.path)


def bind_unix(path: str, mode: int, account: Account | None, option: str = "--unix") -> UnixListener:
    """Bind a socket, which has its mode from the first moment and is the account's. Raises StartupError.

    `option` is the one that named it. The mode is made by the mask, which can't give set-ID and sticky bits; they mean
    nothing here.
    """
    length = len(os.fsencode(path))
    if length > MAX_UNIX_PATH_BYTES:
        raise StartupError(
            f"{option}={path}: can't listen there: the path has {length} bytes; the limit for a socket is"
            f" {MAX_UNIX_PATH_BYTES + 1} bytes with the one that ends it"
        )
    directory, name = open_directory_of(path, f"{option}={path}: can't listen there")
    listener = UnixListener(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(_MODES & ~mode)
    try:
        _remove_stale_socket(path, directory, name, option)
        if account is None or os.geteuid() != 0:
            listener.bind(path)
        elif not _bind_as(account, listener, path):
            listener.bind(path)
            _give_away(name, directory, account)
        listener.path = path
        listener.identity = _identity(os.stat(name, dir_fd=directory, follow_symlinks=False))
    except OSError as error:
        listener.close()
        raise StartupError(f"{option}={path}: can't listen there: {error.strerror or error}") from error
    except StartupError:
        listener.close()
        raise
    finally:
        os.umask(umask)
        os.close(directory)
    return listener


def make_directory_of(path: str, account: Account) -> None:
    """Make the directory that this socket is to be in, for the account. One that is there, or can't be, is left alone.

    Nobody but root may write in the directory above it, such as /run; in any other a stranger could put a link in its
    place before it is given away.
    """
    directory = os.path.dirname(path)
    with contextlib.suppress(OSError):
        above = os.stat(os.path.dirname(directory))
        if above.st_uid == 0 and not above.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            os.mkdir(directory, 0o755)
            os.chown(directory, account.uid, account.gid, follow_symlinks=False)


def _bind_as(account: Account, listener: socket.socket, path: str) -> bool:
    """Bind with the rights of this account, who then owns the file; false where the directory is not the account's.

    In a directory of the account's own nobody is harmed by what it may put in the way.
    """
    with acting_as(account):
        try:
            listener.bind(path)
        except PermissionError:
            return False
        # In a directory with the set-group-ID bit it has another group.
        with contextlib.suppress(OSError):
            os.chown(path, -1, account.gid, follow_symlinks=False)
    return True


def _give_away(name: str, directory: int, account: Account) -> None:
    """Give the socket that was just bound to the account, by its own descriptor. Raises OSError."""
    descriptor = os.open(name, getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != 0 or found.st_nlink != 1:
            raise OSError(errno.EEXIST, "somebody has put something else there")
        # What the descriptor leads to can't be replaced any more. Without /proc: no links are followed at least.
        place = f"/proc/self/fd/{descriptor}"
        if os.path.exists(place):
            os.chown(place, account.uid, account.gid)
        else:
            os.chown(name, account.uid, account.gid, dir_fd=directory, follow_symlinks=False)
    finally:
        os.close(descriptor)


def _remove_stale_socket(path: str, directory: int, name: str, option: str) -> None:
    """Make way for a socket at `path` where a dead server left one. Raises StartupError for anything alive."""
    try:
        if not stat.S_ISSOCK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise StartupError(f"{option}={path}: there is a file that is no socket; remove it or choose another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(path)
        raise StartupError(f"{option}={path}: another server listens there")
    except ConnectionRefusedError:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StartupError(f"{option}={path}: can't listen there: {error.strerror}") from error


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
