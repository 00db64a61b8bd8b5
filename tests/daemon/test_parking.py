# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that wait for facts; against a model, with everything around it, they are tried in test_parking_machine."""

from __future__ import annotations

from collections.abc import Callable

from postgrey_py.daemon.parking import Parking
from postgrey_py.daemon.replies import Replies, Slot
from postgrey_py.facts.source import GiveUp, Tell
from postgrey_py.greylist.address import Address
from postgrey_py.greylist.decision import NO_FACTS, Facts, Question
from postgrey_py.greylist.request import Request

QUESTION = Question(Request("192.0.2.7", "", "a@b", "c@d", "", None), Address(0xC0000207, 32))
VOUCHED = Facts("somebody")


class Timer:
    def __init__(self, seconds: float, callback: Callable[[], None]) -> None:
        self.seconds = seconds
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class World:
    """A source that is told what to say, and a clock that is told when to ring."""

    def __init__(self, most: int = 2) -> None:
        self.tells: list[Tell] = []
        self.given_up = 0
        self.timers: list[Timer] = []
        self.judged: list[tuple[Slot, Facts]] = []
        self.parking = Parking(self, self.resume, self.call_later, seconds=3.0, most=most)
        self.replies = self.connect()

    def ask(self, _: Question, tell: Tell) -> GiveUp:
        self.tells.append(tell)
        return self.give_up

    def give_up(self) -> None:
        self.given_up += 1

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(seconds, callback))
        return self.timers[-1]

    def resume(self, _: Question, slot: Slot, facts: Facts) -> None:
        self.judged.append((slot, facts))

    def connect(self) -> Replies:
        return Replies(lambda _: None, lambda: None, lambda: None)

    def park(self, replies: Replies | None = None) -> Slot:
        slot = Slot(self.replies if replies is None else replies)
        assert self.parking.park(QUESTION, slot)
        return slot


def test_a_request_is_judged_with_the_facts_once() -> None:
    world = World()
    slot = world.park()
    assert world.judged == []
    world.tells[0](VOUCHED)
    assert world.judged == [(slot, VOUCHED)]
    assert world.timers[0].is_cancelled
    world.tells[0](NO_FACTS)
    world.timers[0].callback()
    assert len(world.judged) == 1


def test_at_the_deadline_it_is_judged_without_and_the_source_given_up() -> None:
    world = World()
    slot = world.park()
    assert world.timers[0].seconds == 3.0
    world.timers[0].callback()
    assert (world.judged, world.given_up) == ([(slot, NO_FACTS)], 1)
    world.tells[0](VOUCHED)
    assert len(world.judged) == 1


def test_too_many_are_not_parked_and_nobody_is_asked() -> None:
    world = World(most=2)
    world.park()
    world.park()
    assert not world.parking.park(QUESTION, Slot(world.replies))
    assert len(world.tells) == len(world.parking) == 2
    world.tells[0](NO_FACTS)
    world.park()


def test_a_connection_that_goes_takes_only_its_own_along() -> None:
    world = World()
    other = world.connect()
    world.park()
    slot = world.park(other)
    world.parking.drop(world.replies)
    assert (len(world.parking), world.given_up) == (1, 1)
    world.tells[0](VOUCHED)
    world.tells[1](VOUCHED)
    assert world.judged == [(slot, VOUCHED)]


def test_at_the_end_all_are_judged_without_facts() -> None:
    world = World()
    slots = [world.park(), world.park()]
    world.parking.end_all()
    assert world.judged == [(slot, NO_FACTS) for slot in slots]
    assert len(world.parking) == 0
    assert all(timer.is_cancelled for timer in world.timers)
