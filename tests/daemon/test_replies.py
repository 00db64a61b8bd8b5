# SPDX-License-Identifier: GPL-2.0-or-later
"""Replies go out in the order of the requests."""

from __future__ import annotations

from postgrey_py.daemon.replies import Replies, Slot


class Wire:
    """What is written to a connection, and whether it is closed."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = 0
        self.replies = Replies(self.writes.append, self.close, self.close)

    def close(self) -> None:
        self.closed += 1

    def expect(self, *octets: bytes) -> list[Slot]:
        slots = [self.replies.expect() for _ in octets]
        for slot, text in zip(slots, octets, strict=True):
            slot.octets = text
        return slots


def make_ready(*slots: Slot) -> None:
    for slot in slots:
        slot.is_ready = True


def test_a_slot_begins_empty() -> None:
    (slot,) = Wire().expect(b"")
    assert (slot.is_ready, slot.is_stored, slot.is_counted, [*slot.lines]) == (False, False, False, [])


def test_nothing_overtakes_an_earlier_reply() -> None:
    wire = Wire()
    first, second, third = wire.expect(b"1", b"2", b"3")
    make_ready(second, third)
    assert wire.replies.take() == []
    make_ready(first)
    assert wire.replies.take() == [first, second, third]
    assert wire.replies.take() == []


def test_what_is_ready_does_not_wait_for_later_ones() -> None:
    wire = Wire()
    first, second = wire.expect(b"1", b"2")
    make_ready(first)
    assert wire.replies.take() == [first]
    assert len(wire.replies) == 1
    make_ready(second)
    assert wire.replies.take() == [second]


def test_replies_that_go_together_are_one_write() -> None:
    wire = Wire()
    wire.replies.send(wire.expect(b"1", b"2"))
    assert wire.writes == [b"12"]


def test_nothing_to_send_is_no_write() -> None:
    wire = Wire()
    wire.replies.send(wire.expect(b""))
    assert wire.writes == []


def test_an_idle_connection_is_hung_up_at_once() -> None:
    wire = Wire()
    wire.replies.hang_up()
    assert wire.closed == 1


def test_a_connection_is_hung_up_behind_its_last_reply() -> None:
    wire = Wire()
    first, second = wire.expect(b"1", b"2")
    wire.replies.hang_up()
    make_ready(first)
    wire.replies.send(wire.replies.take())
    assert (wire.writes, wire.closed) == ([b"1"], 0)
    make_ready(second)
    wire.replies.send(wire.replies.take())
    assert (wire.writes, wire.closed) == ([b"1", b"2"], 1)
