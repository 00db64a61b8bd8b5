# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgrey --check`: read options and lists as a start would, say what is wrong with them, and touch nothing."""

from __future__ import annotations

import os
import sys

from postgrey_py.accounts import become
from postgrey_py.daemon.options import CommandLine
from postgrey_py.daemon.process import find_account
from postgrey_py.daemon.reach import find_unreachable_sockets
from postgrey_py.daemon.whitelists import WhitelistFiles


def check(command_line: CommandLine) -> int:
    """Print what there is to complain of; returns the exit status, which is 1 where something is not used.

    Root becomes the user that the server would run as, for good. Raises PostgreyError where a start would.
    """
    settings = command_line.settings
    # Somebody else than root can look at the lists all the same, only not with that user's eyes.
    account = find_account(settings) if os.geteuid() == 0 else None
    whitelists = WhitelistFiles(settings, lambda _: None)
    unreachable = find_unreachable_sockets(settings.unix, account)
    complaints = [*command_line.warnings, *whitelists.complaints, *unreachable]
    failures = len(command_line.warnings) + len(unreachable) + whitelists.failures
    if account is not None:
        become(account)
        lost = whitelists.lost_to(account.name)
        complaints += lost
        failures += len(lost)
    for text in complaints:
        print(f"postgrey: {text}", file=sys.stderr)
    print(f"postgrey: {whitelists.summary()}")
    return 1 if failures else 0
