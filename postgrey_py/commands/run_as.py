# SPDX-License-Identifier: GPL-2.0-or-later
"""Give up root's rights before anything that strangers wrote is read."""

from __future__ import annotations

import codecs
import os

from postgrey_py import accounts
from postgrey_py.accounts import Account
from postgrey_py.errors import AccountError, PostgreyError
from postgrey_py.greylist.settings import PATHS


def run_as(user: str | None) -> None:
    """Run as this user from now on, for good; None is the server's user, who may be missing. Raises PostgreyError.

    Only root can; anybody else stays who they are.
    """
    if os.geteuid() != 0:
        if user is not None and os.geteuid() != _find(user).uid:
            raise PostgreyError(f"only root can run this as {user}: leave --user out, or run it as root")
        return
    try:
        account = _find(user or PATHS.user)
    except PostgreyError:
        if user is None:
            return
        raise
    if account.uid == 0:
        return
    # Python reads codecs when they are first used, and may be installed where the user must not look (below /root).
    for codec in ("ascii", "latin-1", "utf-8"):
        codecs.lookup(codec)
    accounts.become(account)


def _find(user: str) -> Account:
    try:
        return accounts.find_user(user)
    except AccountError as error:
        raise PostgreyError(f"{error} here (--user)") from None
