# SPDX-License-Identifier: GPL-2.0-or-later
"""Users and groups of the system: find them by name or number, and switch to one for good."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from postgrey_py.errors import AccountError


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group that a process can run as."""

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


def name_of_user(uid: int) -> str:
    """The name of the user with this number, for messages; `uid N` where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"


def become(account: Account) -> None:
    """Switch from root to this account, with its groups only. Raises AccountError when root could be regained."""
    try:
        os.initgroups(account.name, account.gid)
        os.setgid(account.gid)
        os.setuid(account.uid)
    except OSError as error:
        raise AccountError(f"can't become user {account.name}: {error.strerror}") from error
    ids = (os.getresuid(), os.getresgid())
    if ids != ((account.uid,) * 3, (account.gid,) * 3):
        raise AccountError(f"can't become user {account.name}: users and groups are {ids} after that")
    strange = set(os.getgroups()) - set(os.getgrouplist(account.name, account.gid))
    if strange:
        raise AccountError(f"can't become user {account.name}: still in the groups {sorted(strange)} after that")
    if account.uid != 0:
        with contextlib.suppress(PermissionError):
            os.setuid(0)
            raise AccountError(f"still root after becoming user {account.name}")


@contextlib.contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """Have the rights of this account on files for a while, as root, and be root again afterwards. Raises OSError."""
    gid = os.getegid()
    os.setegid(account.gid)
    try:
        os.seteuid(account.uid)
        try:
            yield
        finally:
            os.seteuid(0)
    finally:
        os.setegid(gid)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
