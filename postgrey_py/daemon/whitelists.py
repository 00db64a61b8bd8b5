# SPDX-License-Identifier: GPL-2.0-or-later
"""Whitelist files -> whitelists, at start and on HUP.

A line or file that can't be used costs a complaint, never an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from postgrey_py.greylist.plural import counted
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.whitelists import KINDS, USUAL, AnyList, Watch, Whitelists
from postgrey_py.listfiles import as_text, read_list_files


class WhitelistFiles:
    """The whitelists of these settings as they were last read.

    `current` is the bundle, `complaints` has what there was to say about the files and lines when it was read, and
    `failures` how many of these tell of something that is not in force. `paths` has the files of each kind of list that
    there is, and `read_at` when it was read, in seconds since 1970. `report` is told, later, of patterns that take too
    long.
    """

    def __init__(self, settings: Settings, report: Callable[[str], None]) -> None:
        files = {name: getattr(settings, kind.files) for name, kind in KINDS.items()}
        self.paths: dict[str, tuple[str, ...]] = {
            name: paths for name, paths in files.items() if paths or name in USUAL
        }
        # What a pattern costs others is the time of the thread that answers them.
        self._watch = Watch(time.thread_time, lambda remark: report(as_text(remark)))
        self._unreadable: dict[str, set[str]] = {kind: set(paths) for kind, paths in self.paths.items()}
        self.read_at = dict.fromkeys(self.paths, 0.0)
        self._read: list[str] = []
        self.current = Whitelists()
        self.complaints: list[str] = []
        self.failures = 0
        self.reload()

    def reload(self) -> list[str]:
        """Read the files again; returns what there is to complain of.

        Unlike in 1.37, a list stays whole as it was where one of its files could be read before and can't any more.
        """
        complaints: list[str] = []
        failures = 0
        lists: dict[str, Any] = {}
        for kind, paths in self.paths.items():
            lines, unreadable = read_list_files(paths)
            complaints += unreadable.values()
            failures += len(unreadable)
            if not set(unreadable) <= self._unreadable[kind]:
                complaints.append(f"the {KINDS[kind].title} stays as it was")
                continue
            self._unreadable[kind] = set(unreadable)
            self.read_at[kind] = time.time()
            self._read += [path for path in paths if path not in unreadable and os.path.lexists(path)]
            lists[kind] = KINDS[kind].make(lines, self._watch)
            complaints += (as_text(remark.text) for remark in lists[kind].remarks)
            failures += sum(not remark.is_in_force for remark in lists[kind].remarks)
        # All at once, when all are made.
        self.current = replace(self.current, **lists)
        self.complaints, self.failures = complaints, failures
        return complaints

    def summary(self) -> str:
        """Return how many entries of each list that has files are in force, and how many lines are not used."""
        lists: list[tuple[str, AnyList]] = [
            (kind, getattr(self.current, kind)) for kind, paths in self.paths.items() if paths
        ]
        unused = sum(not remark.is_in_force for _, one in lists for remark in one.remarks)
        counts = [f"{counted(one.in_force, 'entries')} for {KINDS[kind].entries}" for kind, one in lists]
        *others, last = counts or ["nothing"]
        total = f"{', '.join(others)} and {last}" if others else last
        return f"whitelists: {total} in force, {counted(unused, 'lines')} not used"

    def lost_to(self, user: str) -> list[str]:
        """Return complaints about files that were read, but that the user the server runs as now may not read."""
        return [
            f"{path} can't be read by user {user}, so SIGHUP will not read it again: chown or chmod it"
            for path in dict.fromkeys(self._read)
            if not os.access(path, os.R_OK)
        ]
