# SPDX-License-Identifier: GPL-2.0-or-later
"""The state that all connections share, and the closing of those that the server can't keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from postgrey_py.daemon.commits import Commits
from postgrey_py.daemon.connections import BUDGET_BYTES, Connections
from postgrey_py.daemon.decider import Decider
from postgrey_py.daemon.flood import Flood
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.memory import Shortage
from postgrey_py.daemon.meter import Meter
from postgrey_py.greylist.loglines import Level, LogLine
from postgrey_py.greylist.settings import Settings
from postgrey_py.protocol.reader import RequestShape

# What one connection may say in one turn, so that none keeps the others waiting: some dozen requests.
INPUT_BYTES = 16 << 10

# About what a request without an answer takes, with its log lines, beside the texts of the answer. The first one of a
# connection is not counted: everybody may have that.
SLOT_BYTES = 2 << 10

MOST_PEERS = 5

# What there is room for when memory has run out, at least.
LEAST_BYTES = 256 << 10
FEWEST_CONNECTIONS = 8


class Guest(Protocol):
    """A connection, as far as the reception needs it."""

    def cut_off(self) -> None: ...

    def hang_up(self) -> None: ...

    def may_go(self) -> bool: ...

    @property
    def peer(self) -> str: ...


class Reception:
    """The state that all connections share. One per server.

    `clock` is that of the event loop, `most` how many connections there may be. `meter` is told of requests, if there
    is one.
    """

    def __init__(
        self,
        decider: Decider,
        commits: Commits,
        log: Log,
        clock: Callable[[], float],
        settings: Settings,
        most: int,
        meter: Meter | None = None,
    ) -> None:
        self.decider = decider
        self.commits = commits
        self.clock = clock
        self.meter = meter
        self.is_exim = settings.exim
        self.slot_bytes = SLOT_BYTES + len(settings.greylist_text) + len(settings.x_greylist_header)
        self.connections: Connections[Guest] = Connections()
        self.shape = RequestShape()
        # All connections read into this one: what is in it is used up before another reads.
        self.input = memoryview(bytearray(INPUT_BYTES))
        self.shortage = Shortage(log, clock, self._relieve, self._raise_limits)
        # What there is room for, less while memory is short.
        self.most = self._most = most
        self._budget = BUDGET_BYTES
        self._log = log
        self._too_long = Flood("requests that are too long", clock)
        self._too_much = Flood("connections that hold too much", clock)
        self._in_the_way = Flood("idle connections", clock)
        # Who has lost a place since that was logged.
        self._removed: Counter[str] = Counter()

    def fit(self) -> None:
        """Keep within the budget: answer what can be answered, then close the greediest connections."""
        if self.connections.total > self._budget:
            self.commits.end_turn()
            self._close(self.connections.find_greediest(self._budget))

    def make_room(self) -> bool:
        """Close the longest idle connection; false where none is idle. `tell_of_room` logs it."""
        guest = self.connections.find_idle(lambda guest: guest.may_go())
        if guest is None:
            return False
        self._removed[guest.peer] += 1
        guest.cut_off()
        return True

    def tell_of_room(self) -> None:
        """Log which connections have been closed by `make_room`."""
        if self._removed:
            count, self._removed = self._removed, Counter()
            text = f"closed {_number(count, 'idle connection')} to make room: {_names(count)}"
            self._log.write(self._in_the_way.admit(LogLine(Level.WARNING, text)))

    def tell_too_long(self, error: Exception) -> None:
        """Log why a connection is closed that does not end its request."""
        line = LogLine(Level.WARNING, f"closing a connection: {error}")
        self._log.write(self._too_long.admit(line))

    def _relieve(self) -> None:
        """Free half of the memory that connections hold, and allow fewer of them for a while."""
        self._budget = max(LEAST_BYTES, self.connections.total // 2)
        self.most = max(FEWEST_CONNECTIONS, len(self.connections.open) * 3 // 4)
        self._close(self.connections.find_greediest(self._budget))
        while len(self.connections.open) > self.most and self.make_room():
            pass
        self.tell_of_room()

    def _raise_limits(self) -> bool:
        """Double the limits, up to those of the start; returns whether they are those again."""
        self._budget, self.most = min(BUDGET_BYTES, 2 * self._budget), min(self._most, 2 * self.most)
        return self._budget == BUDGET_BYTES and self.most == self._most

    def _close(self, guests: list[Guest]) -> None:
        if not guests:
            return
        held = self.connections.total
        count = Counter(guest.peer for guest in guests)
        for guest in guests:
            guest.cut_off()
        text = (
            f"closed {_number(count, 'connection')} with the most of {held >> 10} KiB of unfinished and unanswered"
            f" requests and unread answers: {_names(count)}"
        )
        self._log.write(self._too_much.admit(LogLine(Level.WARNING, text)))


def _number(count: Counter[str], noun: str) -> str:
    number = sum(count.values())
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _names(count: Counter[str]) -> str:
    """Return the names with the highest counts."""
    names = [f"{name} ({number})" for name, number in count.most_common(MOST_PEERS)]
    more = len(count) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
