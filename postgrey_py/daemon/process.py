# SPDX-License-Identifier: GPL-2.0-or-later
"""Properties of the process however it was started: standard streams, name, mask, limits, and whose rights it has."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import sys
from dataclasses import replace

import setproctitle

from postgrey_py.accounts import Account, become, find_group, find_user
from postgrey_py.daemon.privileges import drop_capabilities, empty_bounding_set, forbid_new_privileges
from postgrey_py.errors import AccountError, StartupError
from postgrey_py.greylist.settings import Settings

PROCESS_NAME = "postgrey"
UMASK = 0o077

# So many more objects than at the last time let Python look for garbage. What may be some are closed connections.
COLLECTION_THRESHOLD = 10_000


def open_standard_streams() -> None:
    """Let standard streams that the caller has closed lead to /dev/null, so that no socket gets their numbers.

    To be called before anything else is opened: a descriptor gets the lowest number that is free.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def find_account(settings: Settings) -> Account | None:
    """The user and group to run as, or None to stay who we are. Raises StartupError."""
    if settings.user is None and settings.group is None:
        return None
    try:
        user = find_user(settings.user if settings.user is not None else str(os.geteuid()))
        account = user if settings.group is None else replace(user, gid=find_group(settings.group))
    except AccountError as error:
        raise StartupError(f"{error}: create it, or name another with --user and --group") from None
    if os.geteuid() != 0 and (account.uid, account.gid) != (os.geteuid(), os.getegid()):
        raise StartupError(
            f"only root can run it as --user={account.name}; leave --user and --group out to run it as yourself"
        )
    return account


def prepare_process(arguments: list[str]) -> None:
    """Set the name of the process, its mask, its limit of open files, and that terminals do not stop it."""
    setproctitle.setproctitle(" ".join([PROCESS_NAME, *arguments]))
    # `pgrep -x postgrey` goes by this one.
    setproctitle.setthreadtitle(PROCESS_NAME)
    os.umask(UMASK)
    # A terminal may stop background jobs that write to it (`stty tostop`): mail would stop, too.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def spare_garbage_collector() -> None:
    """Run the garbage collector less often, and exclude the objects that exist now, which live as long as the server.

    A turn with many connections holds thousands of objects for a moment, none of them garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTION_THRESHOLD)


def drop_privileges(account: Account | None) -> None:
    """Switch from root to this account for good, and gain no privileges from now on. Raises AccountError.

    To be called before there are threads: what is taken here is taken from one thread.
    """
    if account is not None and os.geteuid() == 0:
        if account.uid != 0:
            empty_bounding_set()
        become(account)
        if account.uid != 0:
            drop_capabilities()
    forbid_new_privileges()
