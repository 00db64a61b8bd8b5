# SPDX-License-Identifier: GPL-2.0-or-later
"""What to do with database files that do not open: nothing is ever deleted, all is copied or set aside first.

Called by `environment` while it opens, with the file not in use.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from postgrey_py.database.binding import DAMAGED, VERIFY, db
from postgrey_py.database.layout import (
    INTEGER_BYTES,
    LARGEST_PAGE,
    LOG_FILES,
    NUMBER_OFFSET,
    REGION_FILES,
    SMALLEST_PAGE,
    page_size_from,
)
from postgrey_py.database.salvage import dated
from postgrey_py.errors import DatabaseError

# What a repair may take on the disk; for larger databases three times their size (copy, dump, new file).
ROOM_BYTES = 64 << 20

# How a process ends that met damage it could not bear, unlike one that somebody killed.
_CRASHES = (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGFPE)


def require_damage(dbdir: Path, problem: str) -> None:
    """Raise DatabaseError where the disk is full, or OSError where the files may not be used, instead of damage.

    Recovery fails with one and the same error for all three, and sound files must not be set aside.
    """
    databases = list(dbdir.glob("postgrey*.db"))
    for path in (*databases, *dbdir.glob(LOG_FILES)):
        with path.open("r+b"):
            pass
    needed = max(ROOM_BYTES, 3 * sum(path.stat().st_size for path in databases))
    free = shutil.disk_usage(dbdir).free
    if free < needed:
        raise DatabaseError(
            f"can't open the database in {dbdir} ({problem}): a repair takes {needed >> 20} MiB of disk,"
            f" and {free >> 20} MiB are free"
        )


def numbers_its_pages(path: Path) -> bool:
    """Whether each page of this database file begins as a page with its number does; a quick look.

    A page of zeros, which a crash of the machine may leave, does not, and Berkeley DB never comes back from reading it.
    Nor do unused pages in places; `verifies` tells the two apart.
    """
    with path.open("rb") as file:
        page_bytes = page_size_from(file.read(SMALLEST_PAGE))
        if page_bytes is None:
            return False
        file.seek(0)
        number = 0
        while octets := file.read(16 * LARGEST_PAGE):
            for start in range(NUMBER_OFFSET, len(octets), page_bytes):
                if octets[start : start + INTEGER_BYTES] != number.to_bytes(INTEGER_BYTES, sys.byteorder):
                    return False
                number += 1
    return True


def verifies(path: Path) -> bool:
    """Whether every page of this database file is sound. Raises DatabaseError or OSError where nobody can tell."""
    result = subprocess.run([*VERIFY, os.fspath(path)], capture_output=True, check=False)
    if result.returncode not in (0, DAMAGED, *_CRASHES):
        raise DatabaseError(f"can't check {path}: {VERIFY[0]} ended with status {result.returncode}")
    return result.returncode == 0


def reset_lsns(path: Path) -> Path:
    """Make a sound database file forget the log it belonged to, and return where a copy of it as it was is.

    Raises Berkeley DB's error or OSError; the copy stays.
    """
    copy = dated(path, "before-reset")
    shutil.copy2(path, copy)
    # An environment of its own without a log: one with a log refuses the file before it can be reset.
    private = db.DBEnv()
    private.open(os.fspath(path.parent), db.DB_CREATE | db.DB_PRIVATE | db.DB_INIT_MPOOL)
    try:
        private.lsn_reset(path.name)
    finally:
        private.close()
    return copy


def set_logs_aside(dbdir: Path) -> Path:
    """Move the log and region files of `dbdir` to a new dated directory in it, and return that.

    The regions can't be used again either: they tell of the logs.
    """
    aside = dated(dbdir / "logs", "aside")
    aside.mkdir(mode=0o700)
    for file in (*dbdir.glob(LOG_FILES), *dbdir.glob(REGION_FILES)):
        file.rename(aside / file.name)
    return aside
