# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures requests, turns and flushes, for `--metrics`; without it nothing here is called."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Protocol

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REQUESTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)

_began = attrgetter("began")


class Measured(Protocol):
    """A request with the time at which its turn began."""

    began: float


class Histogram:
    """Observations by upper bound, the bounds included; those above all bounds come last in `counts`."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, as often as that."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def cumulated(self) -> list[tuple[str, int]]:
        """Return for each bound, as Prometheus writes it, how many observations did not exceed it."""
        found, total = [], 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            found.append(("+Inf" if bound == float("inf") else repr(bound), total))
        return found


class Meter:
    """The measurements of a server. `clock` gives seconds, and never goes back.

    `requests` are seconds from the arrival of a request to its answer, `turns` how many requests a turn had, `flushes`
    seconds that the disk took.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.requests = Histogram(SECONDS)
        self.turns = Histogram(REQUESTS)
        self.flushes = Histogram(SECONDS)
        self._clock = clock
        self._began: float | None = None

    def arrived(self) -> None:
        """Note that requests have come; the first call begins the turn."""
        if self._began is None:
            self._began = self._clock()

    def decided(self, slots: Sequence[Measured]) -> None:
        """Note that the turn is over, and has these requests."""
        began, self._began = self._began, None
        if not slots:
            return
        if began is None:
            began = self._clock()
        for slot in slots:
            slot.began = began
        self.turns.observe(len(slots))

    def answered(self, slots: Iterable[Measured]) -> None:
        """Note that these requests are answered."""
        now = self._clock()
        for began, same in groupby(slots, _began):
            self.requests.observe(now - began, sum(1 for _ in same))
