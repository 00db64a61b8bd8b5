# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from postgrey_py.greylist.records import (
    Record,
    format_record,
    has_passed,
    is_due,
    is_old_client,
    is_old_triplet,
    is_pending,
    is_record,
    is_trusted,
    parse_record,
    release,
    seconds_seen,
)
from postgrey_py.greylist.settings import SECONDS_PER_DAY, Settings

untimed = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

NOW = 1_700_000_000
DAY = SECONDS_PER_DAY


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        (b"1700000000,1700000301", (1700000000, 1700000301)),
        (b"0,0", (0, 0)),
        (b"5,1700000000", (5, 1700000000)),
        # Very old files have a third field.
        (b"1,2,mail.example.com", (1, 2)),
        (b"1,2,", (1, 2)),
        (b"1,2,3,4", (1, 2)),
        # Without a second field.
        (b"1", (1, None)),
        (b"", (0, None)),
        (b"1,", (1, 0)),
        (b",1", (0, 1)),
        (b",", (0, 0)),
        # Numbers as Perl reads them: what they begin with.
        (b"-5,+7", (-5, 7)),
        (b" 12 , 34\n", (12, 34)),
        (b"12abc,34.9", (12, 34)),
        (b"abc,def", (0, 0)),
        (b"1_000,0x10", (1, 0)),
        (b"--1,1-", (0, 1)),
        (b"\xff1,\xb2", (0, 0)),
        (b"\x001,1\x00", (0, 1)),
        (b"007,08", (7, 8)),
    ],
)
def test_records_are_parsed(value: bytes, numbers: tuple[int, int | None]) -> None:
    assert parse_record(value) == numbers


@untimed
@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_what_is_stored_reads_the_same(first: int, second: int) -> None:
    value = format_record(first, second)
    assert value == f"{first},{second}".encode()
    assert parse_record(value) == parse_record(value + b",mail.example.com") == (first, second)


@untimed
@given(st.binary(max_size=30) | st.lists(st.binary(max_size=5), max_size=4).map(b",".join))
# Python refuses to read or to write numbers of more than 4300 digits.
@example(b"9" * 4300)
@example(b"1," + b"9" * 5000)
@example(b"-" + b"9" * 5000 + b",1")
def test_any_value_is_read_and_judged(value: bytes) -> None:
    first, second = parse_record(value)
    assert (second is None) == (b"," not in value)
    for number in (first, second or 0):
        format_record(number + 1, number - 1)
    is_old_triplet(parse_record(value), NOW, Settings())
    is_old_client(parse_record(value), NOW, Settings())


@pytest.mark.parametrize(
    ("first", "last", "is_old"),
    [
        # Has passed (seen again after the delay): kept for max-age, 35 days, to the second.
        (NOW - 300, NOW, False),
        (NOW - 35 * DAY - 300, NOW - 35 * DAY, False),
        (NOW - 35 * DAY - 301, NOW - 35 * DAY - 1, True),
        (NOW - 10 * DAY, NOW - 10 * DAY + 300, False),
        # Never has: kept for the retry window, two days.
        (NOW, NOW, False),
        (NOW - 2 * DAY, NOW - 2 * DAY, False),
        (NOW - 2 * DAY - 1, NOW - 2 * DAY - 1, True),
        (NOW - 10 * DAY, NOW - 10 * DAY + 299, True),
        (NOW - 10 * DAY, NOW - 2 * DAY - 1, False),
        # The clock was set back.
        (NOW + 100 * DAY, NOW + 100 * DAY, False),
        (NOW + DAY, NOW - 2 * DAY - 1, True),
    ],
)
def test_old_triplets(first: int, last: int, is_old: bool) -> None:
    assert is_old_triplet((first, last), NOW, Settings()) == is_old
    assert is_old_triplet(parse_record(format_record(first, last) + b",mail.example.com"), NOW, Settings()) == is_old


def test_what_is_old_depends_on_the_options() -> None:
    patient = Settings(delay=600, retry_window=5 * DAY, max_age=100 * DAY)
    assert is_old_triplet((NOW - 3 * DAY - 599, NOW - 3 * DAY), NOW, Settings()) is False
    assert is_old_triplet((NOW - 6 * DAY - 599, NOW - 6 * DAY), NOW, Settings()) is False
    assert is_old_triplet((NOW - 3 * DAY - 599, NOW - 3 * DAY), NOW, patient) is False
    assert is_old_triplet((NOW - 6 * DAY - 599, NOW - 6 * DAY), NOW, patient) is True
    assert is_old_triplet((NOW - 99 * DAY - 600, NOW - 99 * DAY), NOW, Settings()) is True
    assert is_old_triplet((NOW - 99 * DAY - 600, NOW - 99 * DAY), NOW, patient) is False


@pytest.mark.parametrize("value", [b"", b"1700000000", b"rubbish", b"1700000000,", b"1700000000,rubbish"])
def test_records_without_a_last_seen_are_old(value: bytes) -> None:
    assert is_old_triplet(parse_record(value), NOW, Settings())
    assert is_old_client(parse_record(value), NOW, Settings())


@pytest.mark.parametrize(
    ("last", "is_old"), [(NOW, False), (NOW - 35 * DAY, False), (NOW - 35 * DAY - 1, True), (NOW + DAY, False)]
)
@pytest.mark.parametrize("count", [1, 5, 1000])
def test_old_clients(count: int, last: int, is_old: bool) -> None:
    assert is_old_client((count, last), NOW, Settings()) == is_old
    assert is_old_client((count, last), NOW, Settings(max_age=100 * DAY)) is False


@pytest.mark.parametrize(
    ("triplet", "passed", "pending"),
    [
        ((NOW, NOW), False, True),
        ((NOW - 299, NOW), False, True),
        ((NOW - 300, NOW), True, False),
        ((NOW - 9 * DAY, NOW - 8 * DAY), True, False),
        # When the retry window is over, the delay begins anew.
        ((NOW - 2 * DAY, NOW - 2 * DAY), False, True),
        ((NOW - 2 * DAY - 1, NOW - 2 * DAY), False, False),
        ((NOW - 9 * DAY, NOW - 9 * DAY + 299), False, False),
        # The clock was set back.
        ((NOW + DAY, NOW + DAY), False, True),
        ((NOW + DAY, NOW), False, True),
        # Without a second time.
        ((NOW, None), False, True),
        ((0, None), False, False),
    ],
)
def test_mail_has_passed_or_is_pending_or_neither(triplet: Record, passed: bool, pending: bool) -> None:
    assert has_passed(triplet, Settings().delay) is passed
    assert is_pending(triplet, NOW, Settings()) is pending


def test_the_delay_says_what_has_passed() -> None:
    assert [has_passed((NOW, NOW + 60), delay) for delay in (0, 60, 61)] == [True, True, False]
    assert is_pending((NOW, NOW + 60), NOW + 60, Settings(delay=61))
    assert not is_pending((NOW, NOW + 60), NOW + 60, Settings(delay=60))


@pytest.mark.parametrize(("triplet", "seconds"), [((NOW, NOW + 7), 7), ((NOW, NOW - 7), -7), ((NOW, None), 0)])
def test_how_long_a_triplet_was_seen(triplet: Record, seconds: int) -> None:
    assert seconds_seen(triplet) == seconds


@pytest.mark.parametrize(
    ("passes", "needed", "trusted"),
    [(4, 5, False), (5, 5, True), (6, 5, True), (0, 1, False), (1, 1, True), (0, 0, False), (99, 0, False)],
)
def test_clients_are_trusted_after_so_many_passes(passes: int, needed: int, trusted: bool) -> None:
    assert is_trusted((passes, NOW), Settings(auto_whitelist_clients=needed)) is trusted


@pytest.mark.parametrize(
    ("last", "due"),
    [(NOW, False), (NOW - 3599, False), (NOW - 3600, True), (NOW - DAY, True), (NOW + 1, True), (None, True)],
)
def test_clients_are_counted_once_an_hour(last: int | None, due: bool) -> None:
    assert is_due((3, last), NOW) is due


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        (b"1,2", True),
        (b"1,2,3", True),
        (b"1", False),
        (b"", False),
        (b"1,", False),
        (b"1,x", False),
        (b"-1,2", False),
        (b"1,2\n", False),
    ],
)
def test_values_that_look_like_records(value: bytes, ours: bool) -> None:
    assert is_record(value) is ours


@pytest.mark.parametrize(
    ("triplet", "released"),
    [
        ((1000, 1000), (800, 800)),
        ((1000, None), (800, 800)),
        ((800, 900), (800, 900)),
        ((100, 100), (100, 100)),
    ],
)
def test_released_triplet_passes_at_its_next_try(triplet: Record, released: Record) -> None:
    settings = Settings(delay=300)
    assert release(triplet, 1100, settings) == released
    assert is_pending(released, 1100, settings)
    assert not has_passed(released, settings.delay)
    assert has_passed((released[0], 1100), settings.delay)
