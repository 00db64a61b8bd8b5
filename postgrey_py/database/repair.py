# SPDX-License-Identifier: GPL-2.0-or-later
"""Repair of database files that do not open: nothing is ever deleted, all is copied or set aside first.

Called by `environment` while it opens, with the file not in use.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from postgrey_py.database.binding import DAMAGED, VERIFY, db, names_system_error
from postgrey_py.database.layout import INTEGER_BYTES, LARGEST_PAGE, NUMBER_OFFSET, SMALLEST_PAGE, page_size_from
from postgrey_py.errors import DatabaseError

# How a process ends that met damage it could not bear, unlike one that somebody killed.
_CRASHES = (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGFPE)


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
    result = subprocess.run(
        [*VERIFY, os.fspath(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, errors="replace"
    )
    if result.returncode not in (0, DAMAGED, *_CRASHES) or names_system_error(result.stderr):
        last = "".join(result.stderr.strip().splitlines()[-1:])
        raise DatabaseError(f"can't check {path}: {VERIFY[0]} ended with status {result.returncode}: {last}")
    return result.returncode == 0


def forget_logs(path: Path, set_aside: Callable[[Path], object]) -> None:
    """Make a sound database file forget the log it belonged to; the file as it was is `set_aside`.

    That happens to a copy: whatever goes wrong, the file is where it was. Raises Berkeley DB's error or OSError.
    """
    copy = path.with_name(f"{path.name}.reset")
    try:
        shutil.copy2(path, copy)
        # An environment of its own without a log: one with a log refuses the file before it can be reset.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="reset-") as home:
            private = db.DBEnv()
            private.open(home, db.DB_CREATE | db.DB_PRIVATE | db.DB_INIT_MPOOL)
            try:
                private.lsn_reset(os.fspath(copy.absolute()))
            finally:
                private.close()
        _sync(copy)
        set_aside(path)
        copy.rename(path)
    finally:
        copy.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
