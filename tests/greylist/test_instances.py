# SPDX-License-Identifier: GPL-2.0-or-later
"""As many messages are remembered as there is room for, the oldest are forgotten first."""

from __future__ import annotations

from postgrey_py.greylist.instances import REMEMBERED_INSTANCES, RecentInstances


def remember(count: int) -> RecentInstances:
    instances = RecentInstances()
    for number in range(count):
        instances.remember(str(number))
    return instances


def test_nothing_is_remembered_at_first() -> None:
    assert "" not in RecentInstances()
    assert None not in RecentInstances()


def test_the_first_is_remembered_until_there_is_one_too_many() -> None:
    assert "0" in remember(REMEMBERED_INSTANCES)
    instances = remember(REMEMBERED_INSTANCES + 1)
    assert "0" not in instances
    assert "1" in instances
    assert str(REMEMBERED_INSTANCES) in instances


def test_the_same_again_takes_no_room() -> None:
    instances = remember(REMEMBERED_INSTANCES)
    instances.remember("5")
    assert "0" in instances
