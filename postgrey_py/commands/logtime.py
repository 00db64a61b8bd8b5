# SPDX-License-Identifier: GPL-2.0-or-later
"""The time at the start of a log line: `Nov 21 09:48:33` of old, or ISO 8601 as rsyslog and systemd write it now."""

from __future__ import annotations

import re
import time
from datetime import date, datetime, timedelta, timezone

TRADITIONAL_LENGTH = 15

_TRADITIONAL = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_STAMP = re.compile(f"{_TRADITIONAL}|{_ISO}", re.ASCII)
_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Clocks of log hosts differ; what seems to come from further ahead is of an earlier year.
_LATEST_AHEAD = timedelta(days=1)
# A 29th of February may be that of eight years ago.
_MOST_YEARS_BACK = 8

# With which four bytes nearly all lines of a log begin that have a time.
LIKELY_STARTS = frozenset(
    [*(f"{month} ".encode("ascii") for month in _MONTHS), *(b"%d" % year for year in range(1970, 2200))]
)


def lacks_time(line: bytes) -> bool:
    """Whether this is no line of a log. Empty ones, and the journal's own remarks (`-- No entries --`), can pass."""
    return line[:4] not in LIKELY_STARTS and line.strip() != b"" and not line.startswith(b"-- ")


def stamp_of(line: str) -> str:
    """The time of a line as it is written there; where there is none, as many characters as it would have."""
    if line[3:4] == " " and line[15:16] == " ":
        return line[:TRADITIONAL_LENGTH]
    stamp = _STAMP.match(line)
    return stamp[0] if stamp else line[:TRADITIONAL_LENGTH].rstrip()


class LogClock:
    """Reads the times of log lines. `now`, in seconds, decides the year where a time has none: the latest that fits.

    A time without zone is local.
    """

    def __init__(self, now: float) -> None:
        self._latest = datetime.fromtimestamp(now) + _LATEST_AHEAD
        self._hours: dict[tuple[str, str], int | None] = {}
        self._days: dict[str, date | None] = {}

    def seconds(self, stamp: str) -> int | None:
        """A stamp (of `stamp_of`) in seconds since 1970; None where it is none."""
        if not _STAMP.fullmatch(stamp):
            return None
        # The hour is computed once for all the lines in it.
        if stamp[0].isdigit():
            zone = _ZONE.search(stamp, TRADITIONAL_LENGTH)
            prefix, suffix, minutes = stamp[:13], zone[0] if zone else "", stamp[14:19]
        else:
            prefix, suffix, minutes = stamp[:9], "", stamp[10:15]
        key = (prefix, suffix)
        if key not in self._hours:
            self._hours[key] = self._hour(stamp, suffix)
        hour = self._hours[key]
        return None if hour is None else hour + 60 * int(minutes[:2]) + int(minutes[3:])

    def day(self, stamp: str) -> date | None:
        """The day that is written in a stamp, whatever its zone."""
        prefix = stamp[:10] if stamp[:1].isdigit() else stamp[:6]
        # Of what only begins like a stamp nothing is kept: others that begin like it are good.
        if prefix not in self._days and _STAMP.fullmatch(stamp):
            self._days[prefix] = self._date(stamp)
        return self._days.get(prefix)

    def _hour(self, stamp: str, zone: str) -> int | None:
        day = self.day(stamp)
        if day is None:
            return None
        hour = int(stamp[11:13] if stamp[0].isdigit() else stamp[7:9])
        try:
            if not zone:
                return int(time.mktime((day.year, day.month, day.day, hour, 0, 0, 0, 0, -1)))
            return int(datetime(day.year, day.month, day.day, hour, tzinfo=_timezone(zone)).timestamp())
        except (ValueError, OverflowError):
            return None

    def _date(self, stamp: str) -> date | None:
        try:
            if stamp[0].isdigit():
                return date.fromisoformat(stamp[:10])
            month, day = _MONTHS.index(stamp[:3]) + 1, int(stamp[4:6])
        except ValueError:
            return None
        for year in range(self._latest.year, self._latest.year - _MOST_YEARS_BACK - 1, -1):
            try:
                found = date(year, month, day)
            except ValueError:
                continue
            if found <= self._latest.date():
                return found
        return None


def _timezone(zone: str) -> timezone:
    if zone == "Z":
        return timezone.utc
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return timezone(-offset if zone[0] == "-" else offset)
