# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers and the way of their records to the disk, with a real database and a disk that is as slow as a test wants it.

Turns with a quick disk are in test_decider; everything at once, against a model, in test_parking_machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postgrey_py.daemon.commits import LONG_FLUSH_SECONDS, SHORT_FLUSH_SECONDS, STUCK_SECONDS, Commits
from postgrey_py.daemon.flusher import Done
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.replies import Replies, Slot
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.loglines import Level
from postgrey_py.greylist.texts import PASSED
from tests.database.dbdirs import OpenStore, open_store

FULL = DatabaseError("the disk is full")


class Disk:
    """The thread for flushes: they come back when the test says so."""

    def __init__(self) -> None:
        self.under_way: list[tuple[Callable[[], None], Done]] = []

    def start(self, work: Callable[[], None], done: Done) -> None:
        self.under_way.append((work, done))

    def come_back(self, seconds: float = 1.0, failure: DatabaseError | None = None) -> None:
        work, done = self.under_way.pop(0)
        work()
        done(seconds, failure)


class Loop:
    """The event loop: what is to be called later is in `later`, until it is cancelled."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.later.append((0.0, callback))

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Loop:
        self.later.append((seconds, callback))
        return self

    def cancel(self) -> None:
        self.later.pop()


class Sink:
    def write(self, _: list[tuple[Level, str]]) -> int:
        return 0


async def never() -> None:
    raise AssertionError


class World:
    """Commits over a real store. `sent` has what was answered, in order, `given_up` what will not be."""

    def __init__(self, store: OpenStore) -> None:
        self.store = store
        self.disk, self.loop = Disk(), Loop()
        self.sent: list[bytes] = []
        self.given_up: list[bytes] = []
        self.seconds = 0.0
        log = Log(Sink(), Level.DEBUG, marks_complaints=True)
        self.outage = Outage(never, log, lambda: 0.0)
        self.commits = Commits(store, log, self.outage, self.disk, self.loop, self.stopwatch)
        self._time = 0.0

    def stopwatch(self) -> float:
        """Each flush within the loop takes `seconds`."""
        self._time += self.seconds
        return self._time

    def answer(self, octets: bytes, *, writes: bool = True, is_alone: bool = False) -> None:
        """Decide one request, and end the turn."""
        slot = Slot(Replies(self.sent.append, lambda: None, lambda: self.given_up.append(octets)))
        slot.octets, slot.is_stored = octets, writes
        if writes:
            self.store.triplets[octets] = b"1,1"
        self.commits.add(slot)
        self.commits.end_turn(is_alone)

    def learn(self, seconds: float) -> None:
        """Have all flushes so far, the first one among them, take this long."""
        self.answer(b"first")
        self.disk.come_back(seconds)
        self.seconds = seconds
        self.sent.clear()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_store(tmp_path) as store:
        yield World(store)
        store.abort()


def test_what_was_written_is_answered_when_the_flush_is_back(world: World) -> None:
    world.answer(b"a")
    assert world.sent == []
    world.disk.come_back()
    assert world.sent == [b"a"]
    assert world.store.triplets.get(b"a") == b"1,1"


def test_what_wrote_nothing_is_answered_at_once_also_during_a_flush(world: World) -> None:
    world.answer(b"a", writes=False)
    world.answer(b"b")
    world.answer(b"c", writes=False)
    assert world.sent == [b"a", b"c"]


def test_what_is_written_during_a_flush_waits_for_the_next_one(world: World) -> None:
    world.answer(b"a")
    world.answer(b"b")
    world.answer(b"c")
    assert len(world.disk.under_way) == 1
    world.disk.come_back()
    assert world.sent == [b"a"]
    assert len(world.disk.under_way) == 1
    world.disk.come_back()
    assert world.sent == [b"a", b"b", b"c"]
    assert world.disk.under_way == []


def test_what_was_committed_during_a_flush_goes_with_the_next_one_wherever_that_is(world: World) -> None:
    world.answer(b"a")
    world.answer(b"b")
    # A slice of a clean-up is about to begin.
    world.commits.settle()
    world.answer(b"c")
    # The disk is quick again, so that the next flush is in the loop.
    world.disk.come_back(SHORT_FLUSH_SECONDS / 2)
    assert world.sent == [b"a", b"b", b"c"]
    assert world.disk.under_way == []


def test_all_who_wait_for_a_flush_that_meets_a_lack_of_memory_are_let_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out() -> None:
        raise MemoryError

    world.answer(b"a")
    world.answer(b"b")
    world.commits.settle()
    world.answer(b"c")
    monkeypatch.setattr(world.store, "flush", run_out)
    world.disk.come_back(SHORT_FLUSH_SECONDS / 2)
    assert world.sent == [b"a"]
    assert world.given_up == [b"b", b"c"]


@pytest.mark.parametrize(
    ("seconds", "is_alone", "is_in_loop"),
    [
        (SHORT_FLUSH_SECONDS, False, True),
        (SHORT_FLUSH_SECONDS * 1.01, False, False),
        (SHORT_FLUSH_SECONDS * 1.01, True, True),
        (LONG_FLUSH_SECONDS, True, True),
        (LONG_FLUSH_SECONDS * 1.01, True, False),
    ],
)
def test_short_flushes_are_waited_for_in_the_loop(
    world: World, seconds: float, is_alone: bool, is_in_loop: bool
) -> None:
    world.learn(seconds)
    world.answer(b"a", is_alone=is_alone)
    assert (world.sent == [b"a"]) is is_in_loop
    assert len(world.disk.under_way) == (0 if is_in_loop else 1)


def test_a_flush_that_fails_lets_all_pass_that_waited(world: World) -> None:
    world.answer(b"a")
    world.answer(b"b")
    world.disk.come_back(failure=FULL)
    assert world.sent == [PASSED, PASSED]
    assert world.outage.is_down


def test_a_failure_of_the_turn_lets_all_of_it_pass_and_stores_nothing(world: World) -> None:
    world.commits.fail(FULL)
    world.answer(b"a")
    assert world.sent == [PASSED]
    assert world.store.transaction is None
    assert world.store.triplets.get(b"a") is None


def test_a_disk_that_is_stuck_is_given_up_and_its_late_answer_is_nobodys(world: World) -> None:
    world.answer(b"a")
    ((seconds, give_up),) = world.loop.later
    assert seconds == STUCK_SECONDS
    give_up()
    assert world.sent == [PASSED]
    assert world.outage.is_down
    world.disk.come_back()
    assert world.sent == [PASSED]


def test_quiet_is_when_no_flush_is_under_way_or_wanted(world: World) -> None:
    quiet: list[bytes] = []
    world.commits.when_quiet(lambda: quiet.append(b"1"))
    assert quiet == [b"1"]
    world.answer(b"a")
    world.answer(b"b")
    world.commits.when_quiet(lambda: quiet.append(b"2"))
    world.disk.come_back()
    assert quiet == [b"1"]
    world.disk.come_back()
    assert quiet == [b"1", b"2"]


def test_a_turn_is_ended_once_however_many_ask_for_it(world: World) -> None:
    world.commits.end_turn_soon()
    world.commits.end_turn_soon()
    assert len(world.loop.later) == 1
    world.loop.later[0][1]()
    world.commits.end_turn_soon()
    assert len(world.loop.later) == 2
