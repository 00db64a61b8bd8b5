# SPDX-License-Identifier: GPL-2.0-or-later
"""The base of all errors that an administrator is told, and those that several modules raise.

Each message says what is wrong, where, and what to do about it; only a command's `main()` prints one.
"""


class PostgreyError(Exception):
    """Anything that an administrator is told in one line."""


class UsageError(PostgreyError):
    """The command line is wrong."""


class StartupError(PostgreyError):
    """The server can't start: a socket, the pidfile, the user or the lock is not to be had."""


class AccountError(PostgreyError):
    """There is no such user or group, or this process can not become it."""


class DatabaseError(PostgreyError):
    """The database can't be opened, read or written."""


class PatternError(PostgreyError):
    """A regular expression can't be used."""


class ListFileError(PostgreyError):
    """The file of a list can't be read, or is no text."""


class OrderError(PostgreyError):
    """An administrator's order can't be understood or carried out."""


class InterchangeError(PostgreyError):
    """A line of exported records is none, or can't be used."""


class ControlError(PostgreyError):
    """A control message, or what it asks for, is refused. `code` is a word for programs, the text is for people."""

    def __init__(self, message: str, *, code: str = "refused") -> None:
        super().__init__(message)
        self.code = code
