# SPDX-License-Identifier: GPL-2.0-or-later
"""The one import of Berkeley DB, whichever name the binding has here, and what its errors mean."""

from __future__ import annotations

import errno
from typing import Any

try:
    from berkeleydb import db
except ImportError:  # Debian packages the same binding under its older name.
    from bsddb3 import db

__all__ = ["BerkeleyDBError", "db", "explain", "is_damage"]

BerkeleyDBError: type[Exception] = db.DBError

# What the operating system says of a file; all other errors say that its contents are not what they should be.
_SYSTEM_ERRORS = frozenset(
    getattr(errno, name)
    for name in (
        *("EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EIO", "EFBIG"),
        *("ENOMEM", "EMFILE", "ENFILE", "ENOENT", "ENOTDIR", "EAGAIN", "EBUSY"),
    )
)


def is_damage(error: Exception) -> bool:
    """Whether a Berkeley DB error says that the files are damaged or do not belong together.

    A disk that is full, or a permission that is missing, is not: nothing is set aside for that.
    """
    return _code(error) not in _SYSTEM_ERRORS


def explain(error: Exception) -> str:
    """The error in one line."""
    text = error.args[1] if len(error.args) > 1 else str(error)
    return str(text).strip().replace("\n", " ")


def _code(error: Exception) -> Any:
    return error.args[0] if error.args else None
