# SPDX-License-Identifier: GPL-2.0-or-later
"""The replies of a connection, sent in the order of its requests whatever the order in which they are decided."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from postgrey_py.greylist.loglines import LogLine


class Slot:
    """The place of one reply on its connection, from the arrival of the request until it is sent.

    When the request is decided it gets `octets` and `lines` for the log. `is_stored` tells that the decision left
    records, and may be told only when they are on the disk; `is_counted` that the request passes because of an outage
    that has been told of it. The reply is sent once it `is_ready`.
    """

    __slots__ = ("is_counted", "is_ready", "is_stored", "lines", "octets", "replies")

    def __init__(self, replies: Replies) -> None:
        self.replies = replies
        self.octets = b""
        self.lines: Sequence[LogLine] = ()
        self.is_stored = self.is_counted = self.is_ready = False


class Replies:
    """The output side of one connection: `write` sends octets, `close` closes it once they are sent.

    `give_up` closes it at once, where memory has run out for the answers.
    """

    __slots__ = ("_close", "_is_closing", "_slots", "_write", "give_up")

    def __init__(self, write: Callable[[bytes], None], close: Callable[[], None], give_up: Callable[[], None]) -> None:
        self.give_up = give_up
        self._write = write
        self._close = close
        self._slots: deque[Slot] = deque()
        self._is_closing = False

    def __len__(self) -> int:
        """Return the number of replies that are owed."""
        return len(self._slots)

    def expect(self) -> Slot:
        """Return the place of the next request's reply."""
        slot = Slot(self)
        self._slots.append(slot)
        return slot

    def take(self) -> list[Slot]:
        """Take the replies off that are ready and have no earlier one to wait for."""
        slots = self._slots
        if len(slots) == 1 and slots[0].is_ready:
            return [slots.popleft()]
        taken = []
        while slots and slots[0].is_ready:
            taken.append(slots.popleft())
        return taken

    def send(self, taken: list[Slot]) -> None:
        """Send replies that were taken off."""
        octets = taken[0].octets if len(taken) == 1 else b"".join([slot.octets for slot in taken])
        if octets:
            self._write(octets)
        if self._is_closing and not self._slots:
            self._close()

    def hang_up(self) -> None:
        """Close the connection as soon as all that it has asked is answered."""
        self._is_closing = True
        if not self._slots:
            self._close()

    def abandon(self) -> None:
        """Answer nothing any more: what is decided, or will be, is told to nobody."""
        for slot in self._slots:
            slot.octets = b""
            slot.lines = ()
        self._slots.clear()
