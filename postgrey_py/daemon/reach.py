# SPDX-License-Identifier: GPL-2.0-or-later
"""Find Unix sockets that the mail server cannot connect to, because it may not enter their directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from postgrey_py.accounts import Account

_OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH


def find_unreachable_sockets(paths: tuple[str, ...], account: Account | None) -> list[str]:
    """Return a warning for each of these sockets that nobody but the server's user and root can reach.

    Without an account, or as root, there is nothing to say: a trial may be meant for its own user.
    """
    if account is None or account.uid == 0:
        return []
    closed = ((path, _closed_directory(path, account)) for path in paths)
    return [
        f"--unix={path}: only {account.name} can enter {directory}, so the mail server can't connect, and Postfix"
        f" defers all mail with 451: chmod 0711 {directory}, or choose another path"
        for path, directory in closed
        if directory
    ]


def _closed_directory(path: str, account: Account) -> Path | None:
    """The directory above this path, if any, that is the server's user's or root's alone."""
    for directory in Path(path).parents:
        try:
            status = os.stat(directory)
        except OSError:
            continue
        if status.st_uid in (0, account.uid) and not status.st_mode & _OTHERS_ENTER:
            return directory
    return None
