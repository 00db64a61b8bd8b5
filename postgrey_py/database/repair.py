# SPDX-License-Identifier: GPL-2.0-or-later
"""What to do with database files that do not open: nothing is ever deleted, all is copied or set aside first.

Called by `environment` while it opens, with the file not in use.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from postgrey_py.database.binding import DAMAGED, SALVAGE, VERIFY, db
from postgrey_py.errors import DatabaseError

# What a repair may take on the disk; for larger databases three times their size (copy, dump, new file).
ROOM_BYTES = 64 << 20

LOG_FILES = "log.??????????"

# How a process ends that met damage it could not bear, unlike one that somebody killed.
_CRASHES = (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGFPE)

_NUMBER_AT, _PAGE_BYTES_AT = 8, 20
_MIN_PAGE_BYTES, _MAX_PAGE_BYTES = 512, 64 << 10

_RECORD_MARK = b" "
_RECORD = re.compile(rb"\d+(,\d+)+")
# What stands in a salvaged dump for a key that could not be read.
_LOST_KEY = b"UNKNOWN_KEY"


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
    Nor do unused pages in places; `verifies` tells the two apart. Source: struct _page in Berkeley DB's db_page.h.
    """
    with path.open("rb") as file:
        page_bytes = int.from_bytes(file.read(_PAGE_BYTES_AT + 4)[_PAGE_BYTES_AT:], sys.byteorder)
        if not _MIN_PAGE_BYTES <= page_bytes <= _MAX_PAGE_BYTES:
            return False
        file.seek(0)
        number = 0
        while octets := file.read(_MAX_PAGE_BYTES * 16 // page_bytes * page_bytes):
            for start in range(_NUMBER_AT, len(octets), page_bytes):
                if octets[start : start + 4] != number.to_bytes(4, sys.byteorder):
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
    copy = _dated(path, "before-reset")
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
    aside = _dated(dbdir / "logs", "aside")
    aside.mkdir(mode=0o700)
    for file in (*dbdir.glob(LOG_FILES), *dbdir.glob("__db.???")):
        file.rename(aside / file.name)
    return aside


def salvage(path: Path) -> tuple[Path, int]:
    """Set a damaged database file aside and put one in its place with the records that can still be read from it.

    Returns where the damaged file is, and the number of records. It stays where it was until the new one is complete,
    so that a crash or a full disk on the way costs nothing.
    """
    new = path.with_name(f"{path.name}.salvaged")
    new.unlink(missing_ok=True)
    # Without environment and log: quicker by far, and nothing refers to the file before it is complete.
    handle = db.DB()
    try:
        handle.open(os.fspath(new), dbtype=db.DB_BTREE, flags=db.DB_CREATE | db.DB_EXCL, mode=0o600)
        # Where the tree is broken, only a search of all pages finds what is behind; but there is old stuff among that.
        for command in SALVAGE:
            for key, value in _salvaged_records(path, command):
                handle.put(key, value)
        count = int(handle.stat()["nkeys"])
    finally:
        handle.close()
    aside = _dated(path, "damaged")
    path.rename(aside)
    new.rename(path)
    return aside, count


def _salvaged_records(path: Path, command: Sequence[str]) -> Iterator[tuple[bytes, bytes]]:
    """The records of a damaged file that look like ours: two numbers under some key."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="salvage-") as dump:
        # It exits with an error when it has met damage, whatever it could save.
        subprocess.run([*command, os.fspath(path)], stdout=dump, stderr=subprocess.DEVNULL, check=False)
        dump.seek(0)
        key = b""
        # The dump has a key and its value in turn, a line each, in hex behind a space; other lines are its head and
        # foot. Either of the two may be missing.
        for line in dump:
            with contextlib.suppress(ValueError):
                item = bytes.fromhex(line.decode("ascii")) if line.startswith(_RECORD_MARK) else b""
                if not _RECORD.fullmatch(item):
                    key = item
                elif key not in (b"", _LOST_KEY):
                    yield key, item
                    key = b""


def _dated(path: Path, label: str) -> Path:
    """A path that does not exist yet: `path.label-YYYYMMDD-HHMMSS`, numbered if need be."""
    base = f"{path.name}.{label}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidate, number = path.with_name(base), 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{base}-{number}")
    return candidate
