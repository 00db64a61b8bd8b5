# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the clock can be trusted so far that a clean-up may go by it.

A clock that jumps ahead makes everything old, for ever once a clean-up has seen it. There are two witnesses: a clock
that nobody can set, since the start, and the times in the database, for what was before. All is decided by what is
passed in; `upkeep` reads clocks and records.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from postgrey_py.greylist.records import parse_record
from postgrey_py.greylist.settings import SECONDS_PER_DAY, SECONDS_PER_HOUR, Settings

# A clock that goes wrong by no more than this is being set right, or slow.
LARGEST_STEP = SECONDS_PER_HOUR

# How long a clean-up waits for somebody to notice.
DISTRUST_SECONDS = SECONDS_PER_DAY

# Records may be newer than the clock by so much.
FUTURE_SECONDS = SECONDS_PER_DAY


# A server that nobody sends mail for less than this is nothing to wonder about.
SHORTEST_WINDOW = 2 * SECONDS_PER_DAY


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks at one moment: the wall's, and one that goes on steadily, also while the machine is suspended."""

    wall: float
    steady: float


def read_clocks() -> Reading:
    """Read the clocks. Where no clock counts the time of a suspension, that looks like a jump, and does no harm."""
    steady = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
    return Reading(time.time(), steady)


@dataclass(frozen=True, slots=True)
class Trust:
    """The trust in the wall clock since the last look: there is none before `until`, because of `reason`."""

    last: Reading
    until: float = float("-inf")
    reason: str = ""

    def is_given(self) -> bool:
        """Whether the wall clock was trusted at the last look."""
        return self.last.steady >= self.until

    def remaining(self) -> float:
        """Seconds from the last look until it will be trusted."""
        return max(0.0, self.until - self.last.steady)


def update_trust(trust: Trust, now: Reading) -> Trust:
    """Return the trust in the clock after this look: none for a day when it has jumped since the last one."""
    jump = (now.wall - trust.last.wall) - (now.steady - trust.last.steady)
    if abs(jump) <= LARGEST_STEP:
        return replace(trust, last=now)
    direction = "ahead" if jump > 0 else "back"
    return distrust(replace(trust, last=now), f"it jumped {direction} by {format_span(abs(jump))}")


def distrust(trust: Trust, reason: str) -> Trust:
    """Do not trust the clock for a day."""
    return replace(trust, until=trust.last.steady + DISTRUST_SECONDS, reason=reason)


def format_span(seconds: float) -> str:
    """A number of days, or of hours where these are few, in words."""
    hours = round(seconds / SECONDS_PER_HOUR)
    return f"{round(seconds / SECONDS_PER_DAY)} days" if hours > 48 else f"{hours} hours"


class Evidence:
    """The evidence of the time of the start in the records that were there then."""

    def __init__(self, started: int, settings: Settings) -> None:
        self._started = started
        # What was to be retried is forgotten sooner than all else.
        self._window = min(max(settings.retry_window, SHORTEST_WINDOW), settings.max_age)
        self._newest: int | None = None
        self._is_recent = False
        self._has_future = False

    def see(self, value: bytes) -> bool:
        """Take a record's value into account; true when no other can change the verdict."""
        last_seen = parse_record(value)[1]
        if last_seen is None:
            return False
        if last_seen > self._started + FUTURE_SECONDS:
            self._has_future = True
        elif self._newest is None or last_seen > self._newest:
            self._newest = last_seen
            self._is_recent = last_seen >= self._started - self._window
        return self._is_recent

    def doubt(self) -> str:
        """Return the reason to think that the clock was wrong at the start; nothing where there is none."""
        if self._is_recent:
            return ""
        if self._newest is not None:
            return f"at the start the newest record was {format_span(self._started - self._newest)} old"
        return "at the start all records were from the future" if self._has_future else ""
