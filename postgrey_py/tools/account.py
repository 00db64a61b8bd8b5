# SPDX-License-Identifier: GPL-2.0-or-later
"""Give up root's rights before anything that strangers wrote is read."""

from __future__ import annotations

import codecs
import os
import pwd

from postgrey_py.errors import PostgreyError
from postgrey_py.greylist.settings import PATHS


def become(user: str | None) -> None:
    """Run as this user from now on, for good; None is the server's user, who may be missing. Raises PostgreyError.

    Only root can; anybody else stays who they are.
    """
    if os.geteuid() != 0:
        if user is not None and os.geteuid() != _find(user).pw_uid:
            raise PostgreyError(f"only root can run this as {user}: leave --user out, or run it as root")
        return
    try:
        account = _find(user or PATHS.user)
    except PostgreyError:
        if user is None:
            return
        raise
    if account.pw_uid == 0:
        return
    # Python reads codecs when they are first used, and may be installed where the user must not look (below /root).
    for codec in ("ascii", "latin-1", "utf-8"):
        codecs.lookup(codec)
    try:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    except OSError as error:
        raise PostgreyError(f"can't run as {account.pw_name}: {error.strerror}") from error


def _find(user: str) -> pwd.struct_passwd:
    """The account of this name or number."""
    try:
        return pwd.getpwuid(int(user)) if user.isascii() and user.isdigit() else pwd.getpwnam(user)
    except (KeyError, OverflowError) as error:
        raise PostgreyError(f"there is no user {user} here (--user)") from error
