# SPDX-License-Identifier: GPL-2.0-or-later
"""What to do with database files that do not open: nothing is ever deleted, all is copied or set aside first.

Called by `environment` while it opens, with the file not in use.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from postgrey_py.database.binding import BerkeleyDBError, db

_RECORD_MARK = b" "


def verifies(path: Path) -> bool:
    """Whether every page of this database file is sound."""
    try:
        # The handle is used up by this, and is closed by it too.
        db.DB().verify(os.fspath(path))
    except BerkeleyDBError:
        return False
    return True


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
    for file in (*dbdir.glob("log.??????????"), *dbdir.glob("__db.???")):
        file.rename(aside / file.name)
    return aside


def salvage(path: Path) -> tuple[Path, Iterator[tuple[bytes, bytes]]]:
    """Set a damaged database file aside; returns its new path, and the records that can still be read from it."""
    aside = _dated(path, "damaged")
    path.rename(aside)
    return aside, _salvaged_records(aside)


def _salvaged_records(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The records of a damaged file that look like ours: `number,number` under some key."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="salvage-") as dump:
        with contextlib.suppress(BerkeleyDBError):
            # "Verification failed" is what it says when it has saved something.
            db.DB().verify(os.fspath(path), None, dump.name, db.DB_SALVAGE)
        # The dump has a key and a value in turn, a line each, in hex behind a space; other lines are its head and foot.
        lines = (line[1:-1] for line in dump if line.startswith(_RECORD_MARK))
        for key, value in zip(lines, lines, strict=False):
            with contextlib.suppress(ValueError):
                record = bytes.fromhex(value.decode("ascii"))
                if all(part.isdigit() for part in record.split(b",")):
                    yield bytes.fromhex(key.decode("ascii")), record


def _dated(path: Path, label: str) -> Path:
    """A path that does not exist yet: `path.label-YYYYMMDD-HHMMSS`, numbered if need be."""
    base = f"{path.name}.{label}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidate, number = path.with_name(base), 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{base}-{number}")
    return candidate
