# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock that keeps a second server off a dbdir, and what happens to it while the server runs.

1.37 locks `postgrey.lock`, and so do we. Since a file can be removed by hand, the directory itself is locked as well:
a second server of ours then stays away all the same. Belongs to an `Environment`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from postgrey_py.database.access import unusable
from postgrey_py.errors import DatabaseError

LOCK = "postgrey.lock"

# A lock that was removed between opening and locking it is opened again.
_ATTEMPTS = 5
_NONE = -1

_DESCRIPTORS = Path("/proc/self/fd")


class Lock:
    """postgrey.lock of one dbdir, and the directory it is in, held from the start on. Raises DatabaseError."""

    def __init__(self, dbdir: Path) -> None:
        self._dbdir = dbdir
        self._path = dbdir / LOCK
        self._directory = _NONE
        self._file = _NONE
        # Of the directory that was locked last: device and inode.
        self._identity = _NONE, _NONE
        self._take()

    def home(self) -> Path:
        """A path of the locked directory itself, whatever becomes of the name dbdir.

        Where there is no /proc, it is dbdir.
        """
        path = _DESCRIPTORS / str(self._directory)
        return path if path.exists() else self._dbdir

    def is_held(self) -> bool:
        """Whether dbdir is the directory that it was, with the lock in it under its name."""
        return self._is_same_directory() and _leads_to(self._path, self._file)

    def require_directory(self) -> None:
        """Raise DatabaseError where dbdir is not the directory any more that it was."""
        if not self._is_same_directory():
            raise DatabaseError(
                f"dbdir {self._dbdir} is gone, or another directory is in its place: put it back, and stop postgrey"
                " before its files are moved"
            )

    def keep(self) -> bool:
        """Take the lock anew where it was removed or replaced, with the database in use; true where that was so.

        Raises DatabaseError where the database must not be used any longer: its directory is not where it was, or
        another server has the lock.
        """
        self.require_directory()
        if _leads_to(self._path, self._file):
            return False
        old, self._file = self._file, self._lock_file()
        os.close(old)
        return True

    def renew(self) -> bool:
        """Take the lock in what dbdir is now, with no database in use; true where that is another directory.

        Raises DatabaseError where that can't be, and has no lock then.
        """
        if self.is_held():
            return False
        before = self._identity
        self.release()
        self._take()
        return self._identity != before

    def release(self) -> None:
        """Let others have the lock. The file stays, as with 1.37."""
        for descriptor in (self._file, self._directory):
            if descriptor != _NONE:
                os.close(descriptor)
        self._file = self._directory = _NONE

    def _take(self) -> None:
        try:
            self._directory = os.open(self._dbdir, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise unusable(self._dbdir, error) from error
        try:
            # First, so that who is too late leaves the file alone.
            self._lock_directory()
            self._file = self._lock_file()
        except BaseException:
            self.release()
            raise
        status = os.fstat(self._directory)
        self._identity = status.st_dev, status.st_ino

    def _lock_directory(self) -> None:
        try:
            fcntl.flock(self._directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise self._is_locked() from error
        except OSError as error:
            # Some network file systems lock no directories; there the file must do.
            if error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise unusable(self._dbdir, error) from error

    def _lock_file(self) -> int:
        """A descriptor of the lock file, which is made if need be, and locked."""
        for _ in range(_ATTEMPTS):
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            except OSError as error:
                raise unusable(self._dbdir, error) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                raise self._is_locked() from error
            if _leads_to(self._path, descriptor):
                return descriptor
            os.close(descriptor)
        raise DatabaseError(f"{self._path} is removed again and again: find out who does it")

    def _is_same_directory(self) -> bool:
        return _leads_to(self._dbdir, self._directory)

    def _is_locked(self) -> DatabaseError:
        return DatabaseError(f"{self._path} is locked: another postgrey runs on this dbdir; stop it first")


def _leads_to(path: Path, descriptor: int) -> bool:
    """Whether `path` is the file behind `descriptor`."""
    if descriptor == _NONE:
        return False
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False
