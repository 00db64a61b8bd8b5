# SPDX-License-Identifier: GPL-2.0-or-later
"""A limit to log lines that anybody who can connect can cause without end, and that belong to no mail."""

from __future__ import annotations

from collections.abc import Callable

from postgrey_py.greylist.loglines import Level, LogLine

# So many in so long are logged, as 1.37 logs all of them.
LINES = 100
SECONDS = 60.0


class Flood:
    """Lets the first lines of a kind through and counts the others; `clock` returns seconds."""

    def __init__(self, kind: str, clock: Callable[[], float]) -> None:
        self._kind = kind
        self._clock = clock
        self._since = clock()
        self._logged = 0
        self._dropped = 0

    def admit(self, line: LogLine) -> list[LogLine]:
        """Return the lines to log now: this one, or none; and what there is to say about those that were dropped."""
        admitted: list[LogLine] = []
        if self._clock() - self._since >= SECONDS:
            if self._dropped:
                admitted.append(self._note(f"{self._dropped} more lines about {self._kind} were not logged"))
            self._since, self._logged, self._dropped = self._clock(), 0, 0
        self._logged += 1
        if self._logged <= LINES:
            return [*admitted, line]
        if self._logged == LINES + 1:
            admitted.append(self._note(f"too many lines about {self._kind}: for a minute they are only counted"))
        self._dropped += 1
        return admitted

    def _note(self, text: str) -> LogLine:
        return LogLine(Level.WARNING, text)
