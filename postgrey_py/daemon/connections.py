# SPDX-License-Identifier: GPL-2.0-or-later
"""All connections: what each makes the server hold, and which of them go first when that is too much.

Only the accounts: who closes them is the reception. A connection is anything hashable here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

# What all connections together may make the server hold: unfinished requests, requests without an answer, and answers
# that nobody reads. Postfix sends about a kilobyte at a time and waits, so that even a thousand of its processes stay
# far below; and it is less than the server needs by itself.
BUDGET_BYTES = 16 << 20

# So much of the budget is free again when connections were closed for it: they are put in order once for many.
FREED_SHARE = 1 / 8

Connection = TypeVar("Connection")


class Connections(Generic[Connection]):
    """All connections of a server. One per server."""

    def __init__(self) -> None:
        # Accepted, and neither gone nor on their way out; those that are still being set up among them.
        self.open: set[Connection] = set()
        self._leaving: set[Connection] = set()
        # Have not asked yet.
        self._newcomers: set[Connection] = set()
        self._when_nobody_is_new: Callable[[], None] | None = None
        # Is called when one is gone.
        self.when_gone: Callable[[], None] = lambda: None
        # Those that hold nothing, the one that asked the longest ago first.
        self._quiet: OrderedDict[Connection, None] = OrderedDict()
        # How much the others hold, the one that has held something for longest first.
        self._held: dict[Connection, int] = {}
        self.total = 0
        # Note that a connection which holds nothing has asked: on the way of every request.
        self.touch = self._quiet.move_to_end

    @property
    def leaving(self) -> int:
        """The number of those that are being closed, and may still have a descriptor."""
        return len(self._leaving)

    def expect(self, connection: Connection) -> None:
        """Count a connection that was accepted and is being set up."""
        self.open.add(connection)
        self._newcomers.add(connection)

    def enter(self, connection: Connection) -> None:
        """Note that a connection is set up, and may send requests."""
        self._quiet[connection] = None

    def drop_newcomer(self, connection: Connection) -> None:
        """Count this connection as new no longer: it has asked, or is gone."""
        self._newcomers.discard(connection)
        if self._when_nobody_is_new is not None and not self._newcomers:
            callback, self._when_nobody_is_new = self._when_nobody_is_new, None
            callback()

    def hold(self, connection: Connection, octets: int) -> None:
        """Note how much a connection makes the server hold; one that is gone may still do so."""
        before = self._held.get(connection, 0)
        self.total += octets - before
        if octets:
            self._held[connection] = octets
            self._quiet.pop(connection, None)
        elif before:
            del self._held[connection]
            if connection in self.open:
                self._quiet[connection] = None

    def leave(self, connection: Connection) -> None:
        """Note that a connection is being closed: it holds nothing, and its place is free."""
        if connection in self.open:
            self.open.discard(connection)
            self._leaving.add(connection)
        self._quiet.pop(connection, None)
        self.hold(connection, 0)

    def forget(self, connection: Connection) -> None:
        """Forget a connection that is closed; requests of it may still be undecided."""
        self.open.discard(connection)
        self._leaving.discard(connection)
        self._quiet.pop(connection, None)
        self.drop_newcomer(connection)
        self.when_gone()

    def call_when_nobody_is_new(self, callback: Callable[[], None]) -> None:
        """Call this as soon as every connection has asked: now, or later."""
        if self._newcomers:
            self._when_nobody_is_new = callback
        else:
            callback()

    def find_greediest(self, budget: int) -> list[Connection]:
        """Return the connections to close so that the others fit into the budget: those that hold most, most first."""
        excess = self.total - budget
        if excess <= 0:
            return []
        excess += int(budget * FREED_SHARE)
        found = []
        for connection in sorted(self._held, key=self._held.__getitem__, reverse=True):
            if excess <= 0:
                break
            found.append(connection)
            excess -= self._held[connection]
        return found

    def find_idle(self, may_go: Callable[[Connection], bool]) -> Connection | None:
        """Return the longest idle connection that `may_go`, or None; one that holds something only as a last resort."""
        for connections in (self._quiet, self._held):
            for connection in connections:
                if connection in self.open and may_go(connection):
                    return connection
        return None
