# SPDX-License-Identifier: GPL-2.0-or-later
"""The one import of Berkeley DB, whichever name the binding has here, and what its errors mean."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

# A command that takes the path of a database file, and exits with 0 if every page of it is sound, and with DAMAGED if
# not. A process of its own, because some damage makes Berkeley DB abort while it looks.
VERIFY: tuple[str, ...]
DAMAGED: int

try:
    from berkeleydb import db

    # Python itself exits with 1 when it finds no module.
    DAMAGED = 3
    _PROGRAM = """
import sys
from berkeleydb import db
try:
    db.DB().verify(sys.argv[1])
except (db.DBError, MemoryError) as error:
    print(error, file=sys.stderr)
    sys.exit(%d)
"""
    VERIFY = (sys.executable, "-c", _PROGRAM % DAMAGED)
except ImportError:  # Debian packages the same binding under its older name.
    from bsddb3 import db

    # DB.verify of bsddb3 forgets what it has found. This is in Debian's package db5.3-util.
    DAMAGED = 1
    VERIFY = ("db5.3_verify",)

__all__ = ["DAMAGED", "VERIFY", "BerkeleyDBError", "db", "explain", "is_damage", "names_system_error"]

# The binding tells ENOMEM, which Berkeley DB also says of its own regions, as Python's MemoryError, and fails where the
# text of an error is not UTF-8.
BerkeleyDBError: Any = (db.DBError, MemoryError, UnicodeDecodeError)

# What the operating system says of a file or of the process; whatever Berkeley DB makes of it, it is no damage.
_REFUSALS = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EIO", "EFBIG", "ENOMEM", "EMFILE", "ENFILE")
)
# These say that a file is not there, and a damaged file may name one that never was: only as the error itself they
# are the system's.
_SYSTEM_ERRORS = _REFUSALS | {errno.ENOENT, errno.ENOTDIR, errno.EAGAIN, errno.EBUSY}


def is_damage(error: Exception) -> bool:
    """Whether a Berkeley DB error may say that the files are damaged or do not belong together.

    A disk that is full, or a permission that is missing, does not: nothing is set aside for that. But the library's
    last word is often just that something went wrong: what it means is for `proof` to find out.
    """
    if isinstance(error, MemoryError) or _code(error) in _SYSTEM_ERRORS:
        return False
    return not names_system_error(explain(error))


def names_system_error(text: str) -> bool:
    """Whether a message of the library names an error of the system."""
    return any(os.strerror(number) in text for number in _REFUSALS)


def explain(error: Exception) -> str:
    """The error in one line."""
    text = str(error.args[1] if len(error.args) > 1 else error).strip().replace("\n", " ")
    return text or os.strerror(errno.ENOMEM)


def _code(error: Exception) -> Any:
    return error.args[0] if error.args else None
