# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import argparse

import pytest

from postgrey_py.commands.check.thresholds import State, judge, most_urgent, read_thresholds


@pytest.mark.parametrize(
    ("text", "bad", "good"),
    [
        # The examples of the guidelines.
        ("10", [-0.1, 10.1], [0, 10]),
        ("10:", [9.9], [10, 1e9]),
        ("~:10", [10.1], [-1e9, 10]),
        ("10:20", [9.9, 20.1], [10, 20]),
        ("@10:20", [10, 20], [9.9, 20.1]),
        # Others that they allow.
        ("0", [0.001, -1], [0]),
        (":5", [5.5, -1], [0, 5]),
        ("0.25:0.75", [0.2, 0.8], [0.5]),
        ("-5:-1", [0, -6], [-3]),
        ("~:", [], [-1e9, 1e9]),
    ],
)
def test_ranges(text: str, bad: list[float], good: list[float]) -> None:
    (found,) = read_thresholds(text).values()
    assert [found.is_bad(value) for value in (*bad, *good)] == [True] * len(bad) + [False] * len(good)


def test_ranges_are_given_by_metric() -> None:
    found = read_thresholds("latency=1, deferred=20:90,outage=0")
    assert {name: one.text for name, one in found.items()} == {"latency": "1", "deferred": "20:90", "outage": "0"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no range"),
        ("much", "is no range"),
        ("1,outage=", "is no range"),
        ("latency=", "is no range"),
        ("@", "is no range"),
        (":", "is no range"),
        ("1:2:3", "is no range"),
        ("nan", "is no range"),
        ("1e3", "is no range"),
        ("20:10", "20 is more than 10"),
        ("load=5", "'load' is none of latency, deferred, outage, warnings"),
        ("1,latency=2", "latency is given twice"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        read_thresholds(text)


def test_critical_comes_before_warning() -> None:
    warning, critical = read_thresholds("latency=1"), read_thresholds("latency=5")
    states = [judge("latency", value, warning, critical) for value in (0.5, 3, 7)]
    assert states == [State.OK, State.WARNING, State.CRITICAL]
    assert judge("outage", 99, warning, critical) is State.OK


def test_what_is_wrong_comes_before_what_is_unknown() -> None:
    assert most_urgent(State.OK, State.UNKNOWN) is State.UNKNOWN
    assert most_urgent(State.UNKNOWN, State.WARNING, State.OK) is State.WARNING
    assert most_urgent(State.UNKNOWN, State.CRITICAL, State.WARNING) is State.CRITICAL
    assert most_urgent() is State.OK
