# SPDX-License-Identifier: GPL-2.0-or-later
"""Replies go out in the order of the requests."""

from __future__ import annotations

from postgrey_py.daemon.replies import Replies, Slot
from postgrey_py.greylist.loglines import Level, LogLine


class Wire:
    """What is written to a connection, and whether it is closed."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = 0
        self.replies = Replies(self.writes.append, self.close, self.close)
        self.lines: list[LogLine] = []

    def close(self) -> None:
        self.closed += 1

    def expect(self, *octets: bytes) -> list[Slot]:
        slots = [Slot(self.replies) for _ in octets]
        for slot, text in zip(slots, octets, strict=True):
            slot.octets = text
            slot.lines = [LogLine(Level.INFO, text.decode())]
        return slots

    def collect(self, *slots: Slot) -> bool:
        """Collect what is ready when these are too."""
        for slot in slots:
            slot.is_ready = True
        return self.replies.collect(self.lines)

    def texts(self) -> list[str]:
        return [line.text for line in self.lines]


def test_a_slot_begins_empty() -> None:
    slot = Slot(Wire().replies)
    assert (slot.is_ready, slot.is_stored, slot.is_counted, [*slot.lines]) == (False, False, False, [])


def test_nothing_overtakes_an_earlier_reply() -> None:
    wire = Wire()
    first, second, third = wire.expect(b"1", b"2", b"3")
    assert not wire.collect(second, third)
    assert wire.collect(first)
    assert not wire.collect()
    wire.replies.send()
    assert (wire.writes, wire.texts()) == ([b"123"], ["1", "2", "3"])


def test_what_is_ready_does_not_wait_for_later_ones() -> None:
    wire = Wire()
    first, second = wire.expect(b"1", b"2")
    assert wire.collect(first)
    wire.replies.send()
    assert [*wire.replies.owed] == [second]
    assert wire.collect(second)
    wire.replies.send()
    assert (wire.writes, wire.texts()) == ([b"1", b"2"], ["1", "2"])


def test_what_is_collected_bit_by_bit_is_one_write() -> None:
    wire = Wire()
    for slot in wire.expect(b"1", b"2"):
        assert wire.collect(slot)
    wire.replies.send()
    wire.replies.send()
    assert wire.writes == [b"12"]


def test_nothing_to_send_is_no_write() -> None:
    wire = Wire()
    assert wire.collect(*wire.expect(b""))
    wire.replies.send()
    assert wire.writes == []


def test_an_idle_connection_is_hung_up_at_once() -> None:
    wire = Wire()
    wire.replies.hang_up()
    assert wire.closed == 1


def test_a_connection_is_hung_up_behind_its_last_reply() -> None:
    wire = Wire()
    first, second = wire.expect(b"1", b"2")
    wire.replies.hang_up()
    wire.collect(first)
    wire.replies.send()
    assert (wire.writes, wire.closed) == ([b"1"], 0)
    wire.collect(second)
    wire.replies.send()
    assert (wire.writes, wire.closed) == ([b"1", b"2"], 1)


def test_a_connection_is_not_hung_up_before_what_is_collected() -> None:
    wire = Wire()
    wire.collect(*wire.expect(b"1"))
    wire.replies.hang_up()
    assert wire.closed == 0
    wire.replies.send()
    assert (wire.writes, wire.closed) == ([b"1"], 1)


def test_what_is_abandoned_is_not_sent() -> None:
    wire = Wire()
    first, second = wire.expect(b"1", b"2")
    wire.collect(first)
    wire.replies.abandon()
    assert not wire.collect(second)
    wire.replies.send()
    assert (wire.writes, second.octets, [*second.lines]) == ([], b"", [])
