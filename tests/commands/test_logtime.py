# SPDX-License-Identifier: GPL-2.0-or-later
"""Times of log lines in all spellings; the heads around them are in test_loghead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, datetime, timezone

import pytest

from postgrey_py.commands.logtime import LIKELY_STARTS, LogClock, find_stamp, precision


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp())


NOW = utc(2026, 11, 21, 12)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("line", "stamp", "rest"),
    [
        ("Nov 21 09:48:33 mx", "Nov 21 09:48:33", " mx"),
        ("Nov  1 09:48:33.123456 mx", "Nov  1 09:48:33", " mx"),
        ("2026-11-21T09:48:33.123+01:00 mx", "2026-11-21T09:48:33.123+01:00", " mx"),
        ("2026-11-21 09:48:33,5 mx", "2026-11-21 09:48:33,5", " mx"),
        ("Sat 2026-11-21 09:48:33 CET mx", "Sat 2026-11-21 09:48:33 CET", " mx"),
        ("1795250913.123456 mx", "1795250913.123456", " mx"),
        ("2026 Nov 21 09:48:33 mx", "2026 Nov 21 09:48:33", " mx"),
        ("21. Okt 09:48:33 mx", "21. Okt 09:48:33", " mx"),
    ],
)
def test_a_stamp_is_found_as_it_is_written(line: str, stamp: str, rest: str) -> None:
    found = find_stamp(line)
    assert found is not None
    assert (found[0], line[found[1] :]) == (stamp, rest)
    assert find_stamp(f"<22>{line}", 4) == (stamp, found[1] + 4)


@pytest.mark.parametrize(
    "line", ["", "mx postfix", "Xyz 21 09:48:33", "Nov 21 9:48:33", "1795250913 mx", "1795250913.1234567", "Nov 21"]
)
def test_what_is_no_stamp_is_none(line: str) -> None:
    assert find_stamp(line) is None


@pytest.mark.parametrize(
    ("stamp", "exactness"),
    [
        ("Nov 21 09:48:33", 0),
        ("2026 Nov 21 09:48:33", 1),
        ("2026-11-21T09:48:33", 1),
        ("2026-11-21T09:48:33Z", 2),
        ("1795250913.123456", 2),
        ("nonsense", 0),
    ],
)
def test_how_exactly_a_time_is_known(stamp: str, exactness: int) -> None:
    assert precision(stamp) == exactness


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("Nov 21 09:48:33", utc(2026, 11, 21, 8, 48, 33)),
        ("Jul 21 09:48:33", utc(2026, 7, 21, 7, 48, 33)),
        ("2026-11-21T09:48:33Z", utc(2026, 11, 21, 9, 48, 33)),
        ("2026-11-21T09:48:33-0530", utc(2026, 11, 21, 15, 18, 33)),
        ("1795250913.123456", 1795250913),
        ("2026-10-25 02:30:00", None),
        ("2026-02-29T09:48:33Z", None),
        ("2026-11-21T24:00:00Z", None),
        ("nonsense", None),
    ],
)
def test_stamps_in_seconds(stamp: str, seconds: int | None) -> None:
    found = LogClock(NOW).seconds(stamp)
    if stamp == "2026-10-25 02:30:00":
        # That hour was twice.
        assert found in (utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30))
    else:
        assert found == seconds


def test_the_name_of_the_zone_tells_the_hour_that_was_twice() -> None:
    clock = LogClock(NOW)
    summer = clock.seconds("Sun 2026-10-25 02:30:00 CEST")
    winter = clock.seconds("Sun 2026-10-25 02:30:00 CET")
    assert (summer, winter) == (utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30))


@pytest.mark.parametrize(
    ("stamp", "day"),
    [
        ("Nov 21 09:00:00", date(2026, 11, 21)),
        # Clocks may differ by a day; more, and it is of last year.
        ("Nov 22 09:00:00", date(2026, 11, 22)),
        ("Nov 23 09:00:00", date(2025, 11, 23)),
        ("Feb 29 09:00:00", date(2024, 2, 29)),
        ("Feb 30 09:00:00", None),
        ("2027-01-01T00:00:00Z", date(2027, 1, 1)),
        ("1795250913.000000", date(2026, 11, 21)),
        ("nonsense", None),
    ],
)
def test_the_day_of_a_stamp(stamp: str, day: date | None) -> None:
    clock = LogClock(NOW)
    assert clock.day(stamp) == day
    # Once more, from what is remembered.
    assert clock.day(stamp) == day


def test_what_only_begins_like_a_stamp_does_not_spoil_others() -> None:
    clock = LogClock(NOW)
    assert clock.day("Nov 21 09:xx:00") is None
    assert clock.day("Nov 21 09:00:00") == date(2026, 11, 21)


def test_likely_starts_are_those_of_stamps() -> None:
    assert {b"Jan ", b"Dec ", b"1970", b"2199"} <= LIKELY_STARTS
    assert not {b"1969", b"2200", b"Okt "} & LIKELY_STARTS
