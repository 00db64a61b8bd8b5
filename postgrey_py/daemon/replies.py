# SPDX-License-Identifier: GPL-2.0-or-later
"""The replies of a connection, sent in the order of its requests whatever the order in which they are decided."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from postgrey_py.greylist.loglines import LogLine


class Slot:
    """The place of one reply on its connection, which it takes at the arrival of the request until it is sent.

    When the request is decided it gets `octets` and `lines` for the log. `is_stored` tells that the decision left
    records, and may be told only when they are on the disk; `is_counted` that the request passes because of an outage
    that has been told of it. The reply is sent once it `is_ready`. `began` is when its turn began, where that is
    measured.
    """

    __slots__ = ("began", "is_counted", "is_ready", "is_stored", "lines", "octets", "replies")

    def __init__(self, replies: Replies) -> None:
        self.replies = replies
        self.octets = b""
        self.lines: Sequence[LogLine] = ()
        self.is_stored = self.is_counted = self.is_ready = False
        self.began = 0.0
        replies.owed.append(self)


class Replies:
    """The output side of one connection: `write` sends octets, `close` closes it once they are sent.

    `give_up` closes it at once, where memory has run out for the answers. `owed` are the places of the replies that
    are not sent yet.
    """

    __slots__ = ("_close", "_collected", "_is_closing", "_write", "give_up", "owed")

    def __init__(self, write: Callable[[bytes], None], close: Callable[[], None], give_up: Callable[[], None]) -> None:
        self.give_up = give_up
        self.owed: deque[Slot] = deque()
        self._write = write
        self._close = close
        self._collected = b""
        self._is_closing = False

    def collect(self, lines: list[LogLine]) -> bool:
        """Make the replies that are ready, and have no earlier one to wait for, what `send` sends.

        Their lines are added to `lines`, to be logged before. Returns whether there are any.
        """
        owed = self.owed
        if not owed or not owed[0].is_ready:
            return False
        while owed and owed[0].is_ready:
            slot = owed.popleft()
            lines += slot.lines
            self._collected += slot.octets
        return True

    def send(self) -> None:
        """Send what was collected."""
        octets, self._collected = self._collected, b""
        if octets:
            self._write(octets)
        if self._is_closing and not self.owed:
            self._close()

    def hang_up(self) -> None:
        """Close the connection as soon as all that it has asked is answered."""
        self._is_closing = True
        if not self.owed and not self._collected:
            self._close()

    def abandon(self) -> None:
        """Send no more replies, and discard the log lines of requests that are not answered yet."""
        for slot in self.owed:
            slot.octets = b""
            slot.lines = ()
        self.owed.clear()
        self._collected = b""
