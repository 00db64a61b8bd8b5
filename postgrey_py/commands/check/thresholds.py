# SPDX-License-Identifier: GPL-2.0-or-later
"""Ranges of values that are in order, as plugins of monitoring systems take them, and what they make of a value.

Source: the Monitoring Plugins Development Guidelines, "Threshold and Ranges".
"""

from __future__ import annotations

import argparse
import enum
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

_NUMBER = r"-?\d{1,15}(?:\.\d{1,9})?"
_RANGE = re.compile(rf"(?P<inside>@?)(?:(?P<start>~|{_NUMBER})?:)?(?P<end>{_NUMBER})?", re.ASCII)


class State(enum.IntEnum):
    """The state that a plugin tells; the numbers are its exit status."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


# Of several, the first of these is told.
_BY_URGENCY = (State.CRITICAL, State.WARNING, State.UNKNOWN, State.OK)


def most_urgent(*states: State) -> State:
    """Return the state that matters most: what is wrong comes before what could not be found out."""
    return min(states, key=_BY_URGENCY.index, default=State.OK)


class Range(NamedTuple):
    """The values from `start` to `end` are in order, or all others where `is_inside_bad`.

    `text` is how it was given.
    """

    start: float
    end: float
    is_inside_bad: bool
    text: str

    def is_bad(self, value: float) -> bool:
        """Return whether this value is worth an alert."""
        return (self.start <= value <= self.end) == self.is_inside_bad


class Metric(NamedTuple):
    """A value that is judged. `unit` is that of performance data, where `most` is the largest possible value."""

    name: str
    unit: str
    help: str
    most: int | None = None


METRICS = {
    metric.name: metric
    for metric in (
        Metric("latency", "s", "seconds until the answer"),
        Metric("deferred", "%", "share of the last hour's mail that was deferred, in per cent", 100),
        Metric("outage", "s", "seconds that the database has been down"),
        Metric("warnings", "", "number of warnings of postgreyctl status"),
    )
}

Thresholds = Mapping[str, Range]


def read_thresholds(text: str) -> dict[str, Range]:
    """Return the ranges of `latency=1,deferred=20:90` by metric; a lone range is that of the latency.

    Raises ArgumentTypeError.
    """
    found: dict[str, Range] = {}
    for part in text.split(","):
        name, equals, value = part.strip().rpartition("=")
        metric = name if equals else "latency"
        if metric not in METRICS:
            raise argparse.ArgumentTypeError(f"{metric!r} is none of {', '.join(METRICS)}")
        if metric in found:
            raise argparse.ArgumentTypeError(f"{metric} is given twice")
        found[metric] = _read_range(value)
    return found


def _read_range(text: str) -> Range:
    match = _RANGE.fullmatch(text)
    if match is None or not (match["start"] or match["end"]):
        raise argparse.ArgumentTypeError(f"{text!r} is no range such as 5, 10:, 10:20, ~:20 or @10:20")
    start = -math.inf if match["start"] == "~" else float(match["start"] or 0)
    end = math.inf if match["end"] is None else float(match["end"])
    if start > end:
        raise argparse.ArgumentTypeError(f"{text!r} is no range: {match['start'] or 0} is more than {match['end']}")
    return Range(start, end, bool(match["inside"]), text)


def judge(name: str, value: float, warning: Thresholds, critical: Thresholds) -> State:
    """Return the state that this value of a metric is worth."""
    if name in critical and critical[name].is_bad(value):
        return State.CRITICAL
    if name in warning and warning[name].is_bad(value):
        return State.WARNING
    return State.OK
