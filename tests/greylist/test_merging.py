# SPDX-License-Identifier: GPL-2.0-or-later
"""Merged records against the single server that would have seen all tries."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postgrey_py.greylist.merging import merge_clients, merge_triplets
from postgrey_py.greylist.records import Record, has_passed, is_old_triplet, is_pending
from postgrey_py.greylist.settings import Settings

SETTINGS = Settings(delay=10, retry_window=50, max_age=200)

# The times at which a sender tries at one host.
Tries = list[int]


def record_of(tries: Tries) -> tuple[int, int]:
    """The record that 1.37 has of these tries, without a clean-up in between."""
    first = last = tries[0]
    for now in tries[1:]:
        if not has_passed((first, last), SETTINGS.delay) and not is_pending((first, last), now, SETTINGS):
            first = now
        last = now
    return first, last


def passes(record: Record, now: int) -> bool:
    """Whether a try at this time passes by this record."""
    if has_passed(record, SETTINGS.delay):
        return True
    return is_pending(record, now, SETTINGS) and now - record[0] >= SETTINGS.delay


times = st.integers(0, 400)
tries = st.lists(times, min_size=1, max_size=6).map(sorted)
hosts = st.lists(tries, min_size=1, max_size=4)
numbers = st.tuples(times, times | st.none())


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        # Both wait: the delay counts from the first try.
        ((0, 0), (5, 5), (0, 5)),
        # The second try was at the other host, when the delay was over: it has passed.
        ((0, 0), (12, 12), (0, 12)),
        ((0, 0), (50, 50), (0, 50)),
        # The first was out of its retry window by then, and lends nothing.
        ((0, 0), (51, 51), (51, 51)),
        ((0, 9), (51, 55), (51, 55)),
        # Who has passed has passed, and the last time is the last of both.
        ((0, 20), (100, 100), (0, 100)),
        ((0, 20), (15, 17), (0, 20)),
        ((30, 60), (0, 0), (0, 60)),
        # But for what had been forgotten by then.
        ((0, 20), (220, 220), (0, 220)),
        ((0, 20), (221, 221), (221, 221)),
        # A missing last time, as in very old files.
        ((0, None), (5, 5), (0, 5)),
    ],
)
def test_two_records(one: Record, other: Record, merged: Record) -> None:
    assert merge_triplets([one, other], SETTINGS) == merge_triplets([other, one], SETTINGS) == merged


def test_record_never_looks_passed_without_a_try_that_passed() -> None:
    # A retry window that is shorter than two delays: the last try came after the first window.
    short = Settings(delay=10, retry_window=12)
    assert merge_triplets([(0, 0), (9, 15)], short) == (9, 15)


@given(st.lists(numbers, min_size=1, max_size=5), st.randoms())
def test_order_and_repetition_do_not_matter(records: list[Record], random: object) -> None:
    shuffled = [*records, *records]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    merged = merge_triplets(records, SETTINGS)
    assert merge_triplets(shuffled, SETTINGS) == merged
    assert merge_triplets([merged], SETTINGS) == merged
    clients = merge_clients(records)
    assert merge_clients(shuffled) == merge_clients([clients, *records]) == clients


@given(hosts)
@example([[0], [51], [5, 9]])
def test_mail_has_passed_only_where_one_came_back_in_time(hosts: list[Tries]) -> None:
    merged = merge_triplets([record_of(one) for one in hosts], SETTINGS)
    if has_passed(merged, SETTINGS.delay):
        everywhere = sorted(seen for one in hosts for seen in one)
        assert any(
            SETTINGS.delay <= later - earlier <= SETTINGS.retry_window for earlier, later in combinations(everywhere, 2)
        )


@given(hosts, st.integers(0, 400))
@example([[0], [45]], 60)
def test_nobody_waits_longer_than_at_one_host_alone(hosts: list[Tries], more: int) -> None:
    records = [record_of(one) for one in hosts]
    now = max(record[1] for record in records) + more
    merged = merge_triplets(records, SETTINGS)
    for record in records:
        is_out_of_date = is_old_triplet(record, now, SETTINGS)
        # A record tells of one window only, which may end earlier than that of a later try.
        is_at_the_end = not has_passed(merged, SETTINGS.delay) and now - merged[0] > SETTINGS.retry_window
        if passes(record, now) and not is_out_of_date and not is_at_the_end:
            assert passes(merged, now)


@given(hosts)
def test_window_ends_earlier_by_less_than_the_delay(hosts: list[Tries]) -> None:
    records = [record_of(one) for one in hosts]
    merged = merge_triplets(records, SETTINGS)
    if not has_passed(merged, SETTINGS.delay):
        last = max(first for first, _ in records)
        assert last - merged[0] < SETTINGS.delay


def test_counts_of_a_client_do_not_grow_by_repetition() -> None:
    assert merge_clients([(3, 100), (5, 50)]) == (5, 100)
    assert merge_clients([(2, None)]) == (2, 0)
