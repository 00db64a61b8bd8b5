# SPDX-License-Identifier: GPL-2.0-or-later
"""The times of log lines, as syslog, rsyslog, journalctl and containers write them.

    Nov 21 09:48:33                     traditional; months of other languages, day first, with a year
    2026-11-21T09:48:33.123+01:00       ISO 8601, also with a space, and with a zone or none
    Sat 2026-11-21 09:48:33 CET         journalctl -o short-full
    1795250913.123456                   journalctl -o short-unix

Where a line has its time is the business of `loghead`.
"""

from __future__ import annotations

import re
import time
from datetime import date, datetime, timedelta, timezone

from postgrey_py.commands.months import months_of

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Each part has a greatest length, so that a line of any length is done with at once.
_WORD = r"[^\s\d\[\]<>:|=/(),\"]"
_NAME = (
    rf"(?:[A-Za-z\x80-\xff]{_WORD}{{0,47}}(?: {_WORD}{{1,32}})?"
    r"|(?:[Tt]hg |Th)?\d\d?[^\s\d:.,/]{0,6}(?: [^\s\d]{6})?)"
)
_STAMP = re.compile(
    r"(?:"
    r"(?:(?P<weekday>[A-Z][a-z]{2}) )?(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[T ]"
    rf"|(?:(?P<year_before>\d{{4}}) )?(?P<name>{_NAME}) {{1,5}}(?P<day_behind>\d\d?)(?:,? (?P<year_behind>\d{{4}}))? "
    rf"|(?P<day_before>\d\d?)\.? (?P<name_behind>{_NAME})(?: (?P<year_last>\d{{4}}))?,? "
    r")"
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?:[.,]\d{1,9})?(?P<zone>Z| ?[+-]\d\d:?\d\d| UTC| GMT)?(?(weekday)(?: (?P<local>[A-Z]{1,6}|[+-]\d\d))?)"
    r"|(?P<seconds>\d{9,10})\.\d{6}(?![\d.])",
    re.ASCII,
)
_FRACTION = re.compile(r"[.,]\d{1,9}", re.ASCII)

# Clocks of log hosts differ; what seems to come from further ahead is of an earlier year.
_LATEST_AHEAD = timedelta(days=1)
# A 29th of February may be that of eight years ago.
_MOST_YEARS_BACK = 8

# With which four bytes nearly all lines of a log begin that have a time.
LIKELY_STARTS = frozenset(
    [*(f"{month} ".encode("ascii") for month in _MONTHS), *(b"%d" % year for year in range(1970, 2200))]
)


def find_stamp(line: str, place: int = 0) -> tuple[str, int] | None:
    """Return the time that stands at this place of a line, as written there, and where it ends; None if none does.

    A traditional time ends with its seconds; what of them follows the point is left out, and passed over.
    """
    found = _STAMP.match(line, place)
    if found is None:
        return None
    name = found["name"] or found["name_behind"]
    if name is None:
        return found[0], found.end()
    if name not in _MONTHS and not months_of(name):
        return None
    end = found.end("second")
    fraction = _FRACTION.match(line, end)
    return line[place:end], fraction.end() if fraction else end


def precision(stamp: str) -> int:
    """Return how exactly a time is known: 2 with its zone, 1 with its year, else 0."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        return 0
    if found["seconds"] or found["zone"]:
        return 2
    return 1 if _year_of(found) is not None else 0


class LogClock:
    """Reads the times of log lines. `now`, in seconds, decides the year where a time has none: the latest that fits.

    A time without zone is local.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self._latest = datetime.fromtimestamp(now) + _LATEST_AHEAD
        self._hours: dict[tuple[str, str], int | None] = {}
        self._days: dict[str, date | None] = {}

    def seconds(self, stamp: str) -> int | None:
        """A stamp (of `find_stamp`) in seconds since 1970; None where it is none."""
        found = _STAMP.fullmatch(stamp)
        if found is None:
            return None
        if found["seconds"]:
            return int(found["seconds"])
        # The hour is computed once for all the lines in it.
        key = (stamp[: found.start("minute")], found["zone"] or found["local"] or "")
        if key not in self._hours:
            self._hours[key] = self._hour(found)
        hour = self._hours[key]
        return None if hour is None else hour + 60 * int(found["minute"]) + int(found["second"])

    def day(self, stamp: str) -> date | None:
        """The day that is written in a stamp, whatever its zone."""
        prefix, colon, _ = stamp.partition(":")
        if prefix in self._days and colon:
            return self._days[prefix]
        # Of what only begins like a stamp nothing is kept: others that begin like it are good.
        found = _STAMP.fullmatch(stamp)
        if found is None:
            return None
        if found["seconds"]:
            return datetime.fromtimestamp(int(found["seconds"])).date()
        self._days[prefix] = self._date(found)
        return self._days[prefix]

    def _hour(self, found: re.Match[str]) -> int | None:
        day = self._date(found)
        if day is None:
            return None
        hour, zone = int(found["hour"]), (found["zone"] or "").strip()
        try:
            if zone:
                return int(datetime(day.year, day.month, day.day, hour, tzinfo=_timezone(zone)).timestamp())
            is_summer = -1 if time.tzname[0] == time.tzname[1] else _index(time.tzname, found["local"])
            return int(time.mktime((day.year, day.month, day.day, hour, 0, 0, 0, 0, is_summer)))
        except (ValueError, OverflowError):
            return None

    def _date(self, found: re.Match[str]) -> date | None:
        year, name = _year_of(found), found["name"] or found["name_behind"]
        if name is None:
            return _make_date(int(found["year"]), int(found["month"]), int(found["day"]))
        months = (_MONTHS.index(name) + 1,) if name in _MONTHS else months_of(name)
        day = int(found["day_behind"] or found["day_before"])
        if year is not None:
            return _make_date(year, months[0], day) if months else None
        for year in range(self._latest.year, self._latest.year - _MOST_YEARS_BACK - 1, -1):
            days = [_make_date(year, month, day) for month in months]
            if fitting := [day for day in days if day is not None and day <= self._latest.date()]:
                return max(fitting)
        return None


def _year_of(found: re.Match[str]) -> int | None:
    year = found["year"] or found["year_before"] or found["year_behind"] or found["year_last"]
    return int(year) if year else None


def _make_date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _index(names: tuple[str, str], name: str | None) -> int:
    """Whether a zone's name is that of winter, 0, or of summer, 1; -1 where that is not known."""
    return names.index(name) if name in names else -1


def _timezone(zone: str) -> timezone:
    if zone in ("Z", "UTC", "GMT"):
        return timezone.utc
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return timezone(-offset if zone[0] == "-" else offset)
