# SPDX-License-Identifier: GPL-2.0-or-later
"""The order of log files by time; events must be read in the order in which they happened.

clock = LogClock(time.time())
watch = TimeWatch(clock)
log = LogText(in_order_of_time(open_log_files(paths), clock), watch.look)
"""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Sequence

from postgrey_py.commands.logfiles import LogFile
from postgrey_py.commands.loghead import find_head
from postgrey_py.commands.logtime import LogClock

# Where a time of day is local, it goes back by an hour in autumn.
_SECONDS_BACK = 2 * 3600

_PEEKED_BYTES = 8192


def in_order_of_time(files: Sequence[LogFile], clock: LogClock) -> list[LogFile]:
    """Return the files, sorted by their first time: a shell has `mail.log` before `mail.log.1`, which is older.

    Files without a time, and standard input, stay at their places.
    """
    if len(files) < 2:
        return list(files)
    starts = [None if file.is_standard_input else _first_time(file.file, clock) for file in files]
    dated = iter(sorted((start, place) for place, start in enumerate(starts) if start is not None))
    return [file if start is None else files[next(dated)[1]] for file, start in zip(files, starts, strict=True)]


class TimeWatch:
    """Sees whether the time goes back within a file, from the first and last line of each block.

    `latest` is the latest time seen in all files, in seconds; None as long as there is none.
    """

    def __init__(self, clock: LogClock) -> None:
        self.latest: int | None = None
        self._clock = clock
        self._name = ""
        self._latest_of_file = 0
        self._complaint: str | None = None

    def look(self, name: str, block: bytes) -> None:
        """Take a block of this file into account."""
        if name != self._name:
            self._name, self._latest_of_file = name, 0
        for line in (block[: block.find(b"\n")], block[block.rfind(b"\n", 0, -1) + 1 :]):
            seconds = _time_of(line, self._clock)
            if seconds is None:
                continue
            if seconds < self._latest_of_file - _SECONDS_BACK and self._complaint is None:
                self._complaint = (
                    f"the time goes back in {name}: give logs oldest first, or mail that came back is missed"
                )
            self._latest_of_file = max(self._latest_of_file, seconds)
            self.latest = max(self.latest or 0, seconds)

    def complaint(self) -> str | None:
        """One line about the time that went back; None when it did not."""
        return self._complaint


def _first_time(file: io.BufferedIOBase, clock: LogClock) -> int | None:
    try:
        start: bytes = file.peek(_PEEKED_BYTES)  # type: ignore[attr-defined]
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        # That is told when the file is read.
        return None
    times = (_time_of(line, clock) for line in start.split(b"\n"))
    return next((seconds for seconds in times if seconds is not None), None)


def _time_of(line: bytes, clock: LogClock) -> int | None:
    head = find_head(line.decode("latin-1"))
    return None if head is None or not head.stamp else clock.seconds(head.stamp)
