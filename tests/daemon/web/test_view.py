# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from postgrey_py.daemon.web.view import BUCKET_SECONDS, BUCKETS, HISTORY_SECONDS, Bucket, WaitBin, Waits


def test_the_history_is_48_hours_of_ten_minutes() -> None:
    assert (BUCKETS, BUCKET_SECONDS, HISTORY_SECONDS) == (288, 600, 172_800)


def test_a_bucket_adds_up() -> None:
    bucket = Bucket(0, first=1, returned=1, early=2, waited=4, known=8, listed=16, unchecked=32)
    assert (bucket.deferred(), bucket.passed(), bucket.total()) == (3, 60, 63)


def test_what_came_back_is_not_lost() -> None:
    assert Bucket(0, first=5, returned=2).lost() == 3


def test_more_can_not_be_found_than_was_lost() -> None:
    """A mail may come back whose first try was counted before the history began."""
    assert Bucket(0, first=1, returned=2).lost() == 0


def test_waits_add_up() -> None:
    assert Waits((WaitBin(300, 2), WaitBin(None, 3))).total() == 5
    assert Waits().total() == 0
