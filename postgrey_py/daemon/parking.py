# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that wait for facts before they are decided. They keep their reply slot, and hold up nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from postgrey_py.daemon.replies import Replies, Slot
from postgrey_py.facts.source import GiveUp, Source
from postgrey_py.greylist.decision import NO_FACTS, Facts, Question

# How long a request waits for facts, and how many may wait. Beyond that it is judged without.
FACT_SECONDS = 1.0
MAX_PARKED = 5000


class Timer(Protocol):
    """A timer of the event loop, from call_later."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Timer]
Resume = Callable[[Question, Slot, Facts], None]


class Parked:
    """One request that waits: from the moment that its facts are asked for until it is judged again."""

    __slots__ = ("give_up", "question", "slot", "timer")

    def __init__(self, question: Question, slot: Slot) -> None:
        self.question = question
        self.slot = slot
        self.give_up: GiveUp | None = None
        self.timer: Timer | None = None


class Parking:
    """All requests that wait for `source`. `resume` judges one of them with the facts that there are.

    `call_later` is that of the event loop.
    """

    def __init__(
        self,
        source: Source,
        resume: Resume,
        call_later: CallLater,
        seconds: float = FACT_SECONDS,
        most: int = MAX_PARKED,
    ) -> None:
        self._source = source
        self._resume = resume
        self._call_later = call_later
        self._seconds = seconds
        self._most = most
        self._parked: dict[Parked, None] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, question: Question, slot: Slot) -> bool:
        """Ask for the facts of a question; false where too many wait already, and nobody was asked."""
        if len(self._parked) >= self._most:
            return False
        parked = Parked(question, slot)
        # First what ends it, also when memory runs out before the facts are asked for.
        parked.timer = self._call_later(self._seconds, lambda: self._end(parked, NO_FACTS))
        self._parked[parked] = None
        parked.give_up = self._source.ask(question, lambda facts: self._end(parked, facts))
        return True

    def drop(self, replies: Replies) -> None:
        """Forget what waits on a connection that is gone."""
        for parked in [parked for parked in self._parked if parked.slot.replies is replies]:
            self._take(parked)

    def end_all(self) -> None:
        """Judge everything that waits, without facts."""
        for parked in list(self._parked):
            self._end(parked, NO_FACTS)

    def _end(self, parked: Parked, facts: Facts) -> None:
        # What comes after the deadline, or after the client has gone, is of use to nobody.
        if parked in self._parked:
            self._take(parked)
            self._resume(parked.question, parked.slot, facts)

    def _take(self, parked: Parked) -> None:
        del self._parked[parked]
        if parked.timer is not None:
            parked.timer.cancel()
        if parked.give_up is not None:
            parked.give_up()
