# SPDX-License-Identifier: GPL-2.0-or-later
"""Open the environment of a dbdir as Postgrey 1.37 does, and have all of its regions on the disk.

The regions are mapped files with holes in them. Once the disk is full, the first touch of a hole would kill us with
SIGBUS; so there is room for all of them before anything is opened, and then it is taken. Called by `environment`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from pathlib import Path
from typing import Any

from postgrey_py.database.binding import BerkeleyDBError, db
from postgrey_py.database.configuration import CACHE_BYTES, FILE_NAME, Configuration
from postgrey_py.database.layout import REGION_FILES
from postgrey_py.errors import DatabaseError

# 1.37: the regions are files in dbdir, not memory of our own (DB_PRIVATE), so that others may join the environment.
_FLAGS = db.DB_CREATE | db.DB_RECOVER | db.DB_THREAD | db.DB_INIT_TXN | db.DB_INIT_MPOOL | db.DB_INIT_LOG

# Who joins the environment takes a primary region of another size than it tells of itself for an unfinished one.
_PRIMARY = "__db.001"
_FIRST_CACHE = "__db.003"

_MAPS = Path("/proc/self/maps")
_FALLOC_FL_KEEP_SIZE = 1
_CANNOT = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def require_room(dbdir: Path, configuration: Configuration) -> None:
    """Raise DatabaseError on a disk without room for the regions."""
    old = sum(path.stat().st_blocks * 512 for path in dbdir.glob(REGION_FILES))
    free, needed = shutil.disk_usage(dbdir).free + old, configuration.region_bytes
    if free < needed:
        why = f" (as {FILE_NAME} in it asks for)" if configuration.lines else ""
        text = f"{free >> 20} of {needed >> 20} MiB are free{why}"
        raise DatabaseError(f"can't open the database in {dbdir}: {text}")


def open_environment(home: Path, configuration: Configuration) -> Any:
    """Recover and open the environment in the directory `home`, which must stay that directory while it is open.

    Raises BerkeleyDBError, or OSError where a region finds no room.
    """
    environment = db.DBEnv()
    try:
        environment.set_cachesize(0, CACHE_BYTES, 1)
        environment.set_lg_bsize(configuration.log_buffer_bytes)
        environment.set_flags(db.DB_AUTO_COMMIT, 1)
        environment.set_flags(db.DB_REGION_INIT, 1)
        environment.open(os.fspath(home), _FLAGS, 0o600)
        # Whatever DB_CONFIG says: what is answered is on the disk before.
        environment.set_flags(db.DB_TXN_NOSYNC, 0)
        environment.set_flags(db.DB_TXN_WRITE_NOSYNC, 0)
        gigabytes, octets, caches = environment.get_cachesize()
        _fill_regions(home, ((gigabytes << 30) + octets) // caches)
    except BaseException:
        with contextlib.suppress(*BerkeleyDBError):
            environment.close()
        raise
    return environment


def _fill_regions(dbdir: Path, cache_bytes: int) -> None:
    """Take all the room on the disk that the regions will ever need: they grow up to what is mapped of them.

    `cache_bytes` is the size of each cache, for systems that do not tell what is mapped.
    """
    mapped = _mapped_bytes()
    for path in dbdir.glob(REGION_FILES):
        descriptor = os.open(path, os.O_RDWR)
        try:
            status = os.fstat(descriptor)
            size = max(status.st_size, mapped.get(status.st_ino, 0), cache_bytes if path.name >= _FIRST_CACHE else 0)
            if path.name != _PRIMARY:
                os.posix_fallocate(descriptor, 0, size)
            elif not _allocate_beyond_end(descriptor, size):
                os.posix_fallocate(descriptor, 0, status.st_size)
        finally:
            os.close(descriptor)


def _mapped_bytes() -> dict[int, int]:
    """Return how many bytes of each file are in our memory, by its inode."""
    mapped: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for line in _MAPS.read_text(encoding="latin-1").splitlines():
            addresses, _, _, _, inode = line.split(maxsplit=5)[:5]
            first, last = addresses.split("-")
            mapped[int(inode)] = mapped.get(int(inode), 0) + int(last, 16) - int(first, 16)
    return mapped


def _allocate_beyond_end(descriptor: int, size: int) -> bool:
    """Reserve blocks for a file of this size and leave its size as it is; false where the system can't do that."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None:
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
    if fallocate(descriptor, _FALLOC_FL_KEEP_SIZE, 0, size) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number))
