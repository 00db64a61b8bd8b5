# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from postgrey_py.daemon.commits import Commits
from postgrey_py.daemon.decider import Decider
from postgrey_py.daemon.parking import Parked, Parking
from postgrey_py.daemon.replies import Replies, Slot
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.decision import Decision, Facts, Question, Wanted
from postgrey_py.greylist.loglines import LogLine
from postgrey_py.greylist.request import Request
from tests.daemon.parking_machine import Connection, ParkingMachine, World

QUICK = hypothesis_settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    ParkingMachine.close_databases()


def run(directory: Path, world_type: type[World] = World, settings: hypothesis_settings = QUICK) -> int:
    """Run the machine; returns how many steps it made."""

    class Machine(ParkingMachine):
        """A class of its own, whose attributes nobody else changes."""

    Machine.directory, Machine.world_type, Machine.steps = directory, world_type, 0
    run_state_machine_as_test(Machine, settings=settings)
    return Machine.steps


def test_replies_are_right_whatever_facts_and_disk_do(directory: Path) -> None:
    assert run(directory) > 2000


@pytest.mark.proof
def test_replies_are_right_over_many_more_steps(directory: Path) -> None:
    settings = hypothesis_settings(QUICK, max_examples=3000, stateful_step_count=60, derandomize=False)
    assert run(directory, settings=settings) > 100_000


# Tests of the test: each kind of bug is planted, and found.


class HastyReplies(Replies):
    """Sends what is there, whatever was asked before."""

    def collect(self, lines: list[LogLine]) -> bool:
        ready = [slot for slot in self.owed if slot.is_ready]
        for slot in ready:
            self.owed.remove(slot)
        self.owed.extendleft(reversed(ready))
        return super().collect(lines)


class ClosingReplies(Replies):
    """Closes a connection before its last answer."""

    def hang_up(self) -> None:
        self.owed.clear()
        super().hang_up()


class HastyCommits(Commits):
    """Answers before the disk has it."""

    def _flush_in_loop(self, answers: list[Slot]) -> None:
        self._release(answers)


class EarlyCommits(Commits):
    """Answers what waits for the next flush together with what waits for the one that is under way."""

    def _flushed(self, seconds: float, failure: DatabaseError | None) -> None:
        if failure is None:
            self._release(self._written + self._committed)
        super()._flushed(seconds, failure)


class DeferringCommits(Commits):
    """Defers mail whose records are lost."""

    def _let_pass(self, answers: list[Slot], failure: DatabaseError) -> None:
        self._outage.failed(failure)
        self._release(answers)


class ForgettingCommits(Commits):
    """Forgets, after a failure, those who wait for the flush that failed and for the next."""

    def _flushed(self, seconds: float, failure: DatabaseError | None) -> None:
        if failure is not None:
            self._flushing, self._committed = [], []
        super()._flushed(seconds, failure)


class LateDecider(Decider):
    """Writes the records of a decision after the next one."""

    _late: Decision | None = None

    def _store_and_answer(self, slot: Slot, request: Request, decision: Decision | Wanted, now: int) -> None:
        if isinstance(decision, Decision):
            late, self._late = self._late, decision
            decision = decision._replace(triplets=late.triplets if late else ())
        super()._store_and_answer(slot, request, decision, now)


class HoldingCommits(Commits):
    """Answers nobody while somebody waits for facts: it goes by the slots that are still empty anywhere."""

    _held: tuple[Slot, ...] = ()

    def _release(self, answers: list[Slot]) -> None:
        held = (*self._held, *answers)
        is_held = any(not slot.octets and slot not in held for answer in held for slot in answer.replies.owed)
        self._held = held if is_held and len({id(answer.replies) for answer in held}) > 1 else ()
        if not self._held:
            super()._release(list(held))


class BoundlessParking(Parking):
    """Parks any number."""

    def park(self, question: Question, slot: Slot) -> bool:
        self._most += 1
        return super().park(question, slot)


class KeepingParking(Parking):
    """Keeps what waits on connections that are gone."""

    def drop(self, replies: Replies) -> None:
        pass


class StubbornParking(Parking):
    """Does not let go at a stop."""

    def end_all(self) -> None:
        pass


class PatientParking(Parking):
    """Knows no deadline."""

    def park(self, question: Question, slot: Slot) -> bool:
        self._seconds = 1e9
        return super().park(question, slot)


class TwiceParking(Parking):
    """Listens to facts that come too late."""

    def _end(self, parked: Parked, facts: Facts) -> None:
        self._parked[parked] = None
        super()._end(parked, facts)


def world_with(**parts: type) -> type[World]:
    """A world in which some parts are others."""
    if "replies" in parts:
        replies = parts.pop("replies")
        connection = type("C", (Connection,), {"make_replies": lambda self: replies(self.take, self.close, self.close)})
        parts["connection_type"] = connection
    return type("BadWorld", (World,), parts)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(world_with(replies=HastyReplies), id="replies out of order"),
        pytest.param(world_with(replies=ClosingReplies), id="closed before the answer"),
        pytest.param(world_with(commits_type=HastyCommits), id="answered before it is stored"),
        pytest.param(world_with(commits_type=EarlyCommits), id="answered by the wrong flush"),
        pytest.param(world_with(commits_type=DeferringCommits), id="deferred though the records are lost"),
        pytest.param(world_with(commits_type=ForgettingCommits), id="nobody answers after a failure"),
        pytest.param(world_with(commits_type=HoldingCommits), id="a parked request holds up others"),
        pytest.param(world_with(decider_type=LateDecider), id="later requests do not see earlier writes"),
        pytest.param(world_with(parking_type=BoundlessParking), id="any number is parked"),
        pytest.param(world_with(parking_type=KeepingParking), id="gone connections keep their requests"),
        pytest.param(world_with(parking_type=StubbornParking), id="a stop leaves parked requests"),
        pytest.param(world_with(parking_type=PatientParking), id="no deadline"),
        pytest.param(world_with(parking_type=TwiceParking), id="facts after the deadline count"),
    ],
)
def test_a_planted_bug_is_found(world: type[World], directory: Path) -> None:
    # The rarest are found after some 200 examples, but chance may want more than 1,000.
    settings = hypothesis_settings(QUICK, phases=[Phase.generate], report_multiple_bugs=False, max_examples=10_000)
    with pytest.raises((AssertionError, KeyError)):
        run(directory, world, settings)
