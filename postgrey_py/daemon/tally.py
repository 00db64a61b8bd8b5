# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts decisions: by reason, for each ten minutes of the last two days and since the start.

Counted when it is decided. The requests that pass because the database is down are counted by `Outage`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from postgrey_py.greylist.decision import Decision, Reason
from postgrey_py.greylist.settings import SECONDS_PER_DAY

SPAN_SECONDS = 600
KEPT_SECONDS = 2 * SECONDS_PER_DAY
KEPT_SPANS = KEPT_SECONDS // SPAN_SECONDS

# A wait is counted with so many significant digits, which bounds how many there can be.
_DIGITS = 3


def _no_counts() -> list[int]:
    return [0] * len(Reason)


@dataclass(slots=True)
class Span:
    """The decisions of a span of time that begins at `start`, in seconds since 1970.

    `counts` has them by `Reason.number`; `unseen` requests passed because the database was down. `returned` is how many
    triplets that were first seen in this span have passed since. `waits` says how many triplets passed for the first
    time after so many seconds.
    """

    start: int
    counts: list[int] = field(default_factory=_no_counts)
    unseen: int = 0
    returned: int = 0
    waits: dict[int, int] = field(default_factory=dict)

    def add(self, other: Span) -> None:
        """Count the decisions of another span with those of this one."""
        self.counts = [one + two for one, two in zip(self.counts, other.counts, strict=True)]
        self.unseen += other.unseen
        self.returned += other.returned
        for wait, number in other.waits.items():
            self.waits[wait] = self.waits.get(wait, 0) + number

    def count_of(self, *reasons: Reason) -> int:
        """Return how many decisions had one of these reasons."""
        return sum(self.counts[reason.number] for reason in reasons)

    def returns(self) -> int:
        """Return how many triplets passed for the first time."""
        return sum(self.waits.values())


class Tally:
    """The counts of a server. `passed_unseen` says how many requests have passed unseen since the start.

    `roll` begins a new span when it is time; whoever reads calls it first.
    """

    def __init__(self, now: int, passed_unseen: Callable[[], int] = lambda: 0) -> None:
        self._passed_unseen = passed_unseen
        self._unseen_before = 0
        self._current = Span(_start_of(now))
        self._spans = {self._current.start: self._current}
        self._counts = self._current.counts
        # Since the start of the server, but for the current span, whose part before the start is in `_inherited`.
        self._ended = Span(now)
        self._inherited = Span(now)

    def resume(self, spans: Iterable[Span], now: int) -> None:
        """Go on with the spans of an earlier server."""
        for span in spans:
            if span.start == self._current.start:
                self._current.add(span)
                self._counts = self._current.counts
                self._inherited.add(span)
            else:
                self._spans[span.start] = span
        self._forget(now)

    def count(self, decision: Decision, now: int) -> None:
        """Count a decision that was made `now`, which is read only where a triplet passes for the first time."""
        self._counts[decision.reason.number] += 1
        if decision.waited is not None:
            self._count_return(decision.waited, now)

    def _count_return(self, waited: int, now: int) -> None:
        wait = _round(waited)
        waits = self._current.waits
        waits[wait] = waits.get(wait, 0) + 1
        first = self._spans.get(_start_of(now - waited))
        if first is not None:
            first.returned += 1

    def roll(self, now: int) -> None:
        """Begin a new span if it is time."""
        unseen = self._passed_unseen()
        self._current.unseen += unseen - self._unseen_before
        self._unseen_before = unseen
        start = _start_of(now)
        if start == self._current.start:
            return
        self._ended = self.since_start()
        span = self._spans.setdefault(start, Span(start))
        self._inherited = Span(start)
        # A clock that was set back.
        self._inherited.add(span)
        self._current, self._counts = span, span.counts
        self._forget(now)

    def _forget(self, now: int) -> None:
        """Keep the spans that are nearest to this time."""
        for start in sorted(self._spans, key=lambda start: abs(start - now))[KEPT_SPANS:]:
            del self._spans[start]
        self._spans[self._current.start] = self._current

    def spans(self, now: int) -> list[Span]:
        """Return the spans of the last two days, in order of time; those without decisions may be missing."""
        self.roll(now)
        return [self._spans[start] for start in sorted(self._spans) if now - KEPT_SECONDS < start <= now]

    def since(self, start: int, now: int) -> Span:
        """Return all decisions since this time, which is no longer ago than two days, as one span."""
        total = Span(start)
        for span in self.spans(now):
            if span.start >= start:
                total.add(span)
        return total

    def since_start(self) -> Span:
        """Return all decisions since the start of the server as one span. Counts never go down."""
        total = Span(self._ended.start)
        total.add(self._ended)
        total.add(self._current)
        for number, count in enumerate(self._inherited.counts):
            total.counts[number] -= count
        for wait, count in self._inherited.waits.items():
            total.waits[wait] -= count
        total.unseen = self._passed_unseen()
        return total


def quantile(waits: Mapping[int, int], share: float) -> int | None:
    """Return the shortest wait that this share of all, from 0 to 1, did not exceed; None where there are none."""
    wanted, seen = share * sum(waits.values()), 0
    for wait in sorted(waits):
        seen += waits[wait]
        if seen >= wanted:
            return wait
    return None


def _start_of(now: int) -> int:
    return now - now % SPAN_SECONDS


def _round(seconds: int) -> int:
    unit: int = 10 ** max(0, len(str(seconds)) - _DIGITS)
    return seconds - seconds % unit
