# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from postgrey_py.daemon.meter import Histogram, Meter


class Slot:
    began = 0.0


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def test_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram((1.0, 2.5))
    for value in (0.5, 1.0, 1.1, 2.5, 9.0):
        histogram.observe(value)
    histogram.observe(2.0, times=3)
    assert histogram.cumulated() == [("1.0", 2), ("2.5", 7), ("+Inf", 8)]
    assert histogram.sum == 0.5 + 1.0 + 1.1 + 2.5 + 9.0 + 6.0


def test_requests_of_a_turn_began_with_the_first_of_them() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.arrived()
    clock.now = 10.5
    meter.arrived()
    slots = [Slot(), Slot()]
    meter.decided(slots)
    clock.now = 11.0
    meter.answered(slots)
    assert (meter.requests.sum, sum(meter.requests.counts)) == (2.0, 2)
    assert (meter.turns.sum, sum(meter.turns.counts)) == (2.0, 1)


def test_requests_that_wait_for_the_disk_are_measured_to_their_answer() -> None:
    clock = Clock()
    meter = Meter(clock)
    first, second = [Slot()], [Slot()]
    meter.arrived()
    meter.decided(first)
    clock.now = 12.0
    meter.arrived()
    meter.decided(second)
    clock.now = 13.0
    meter.answered(first + second)
    assert (meter.requests.sum, sum(meter.requests.counts)) == (4.0, 2)


def test_turn_without_requests_is_none() -> None:
    meter = Meter(Clock())
    meter.arrived()
    meter.decided([])
    meter.decided([Slot()])
    assert (meter.turns.sum, sum(meter.turns.counts)) == (1.0, 1)
