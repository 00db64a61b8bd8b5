# SPDX-License-Identifier: GPL-2.0-or-later
"""Users and groups of the system: find them by name or number, and become one for good."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from dataclasses import dataclass

from postgrey_py.errors import AccountError


@dataclass(frozen=True, slots=True)
class Account:
    """As whom a process runs."""

    uid: int
    gid: int
    name: str


def find_user(user: str) -> Account:
    """The account of this name or number, with its own group. Raises AccountError."""
    try:
        found = pwd.getpwuid(int(user)) if _is_number(user) else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        raise AccountError(f"there is no user {user}") from None
    return Account(found.pw_uid, found.pw_gid, found.pw_name)


def find_group(group: str) -> int:
    """The number of the group of this name or number. Raises AccountError."""
    try:
        return (grp.getgrgid(int(group)) if _is_number(group) else grp.getgrnam(group)).gr_gid
    except (KeyError, OverflowError):
        raise AccountError(f"there is no group {group}") from None


def become(account: Account) -> None:
    """Root becomes this account, with its groups and no others. Raises AccountError when root could be regained."""
    try:
        os.initgroups(account.name, account.gid)
        os.setgid(account.gid)
        os.setuid(account.uid)
    except OSError as error:
        raise AccountError(f"can't become user {account.name}: {error.strerror}") from error
    if account.uid != 0:
        with contextlib.suppress(PermissionError):
            os.setuid(0)
            raise AccountError(f"still root after becoming user {account.name}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
