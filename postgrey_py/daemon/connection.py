# SPDX-License-Identifier: GPL-2.0-or-later
"""One client's connection: bytes in, bytes out, and how much of both the server has to keep for it."""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import cast

from postgrey_py.daemon.reception import Reception
from postgrey_py.daemon.replies import Replies
from postgrey_py.protocol.reader import RequestReader, RequestTooLongError

# A client that is owed more answers than this is not listened to until it has got some.
MOST_OWED = 200

# Who has connected has so long to ask before he counts as idle.
FIRST_REQUEST_SECONDS = 1.0

# Whoever has not read an answer for so long has given up: Postfix waits 100 seconds.
UNREAD_SECONDS = 100.0


class Connection(asyncio.BufferedProtocol):
    """One client's connection."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._replies = Replies(self._write, self._close, self._give_up)
        self._owed = self._replies.owed
        self._meter = reception.meter
        self._open = reception.connections.open
        self._touch = reception.connections.touch
        self._reader = RequestReader(reception.shape)
        self._splitter = self._reader.splitter
        self._transport: asyncio.Transport | None = None
        self._is_closing = False
        self._is_gone = False
        self._has_asked = False
        self._made_at = self._clogged_at = 0.0
        # Whether there are answers that the client does not read.
        self._is_clogged = False
        # What it makes the server hold, as far as that is counted.
        self._held = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # All that is not sent at once counts.
        self._transport.set_write_buffer_limits(0)
        self._made_at = self._reception.clock()
        self._reception.connections.enter(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._is_closing = self._is_gone = True
        self._is_clogged = False
        self._splitter.drop()
        self._reception.decider.drop(self._replies)
        self._reception.connections.forget(self)
        self._count()
        self._reception.fit()

    def get_buffer(self, _: int) -> memoryview:
        return self._reception.input

    def buffer_updated(self, size: int) -> None:
        if self._is_closing:
            return
        reception = self._reception
        try:
            requests = self._reader.feed(reception.input[:size])
            if requests:
                if self._meter is not None:
                    self._meter.arrived()
                if not self._has_asked:
                    self._has_asked = True
                    reception.connections.drop_newcomer(self)
                if not self._held:
                    self._touch(self)
            for request in requests:
                if not reception.decider.add(self._replies, request):
                    self._is_closing = True
                    break
                if reception.is_exim:
                    self.hang_up()
                    break
            if self._held or self._splitter.unfinished or len(self._owed) > 1:
                self._count()
                reception.fit()
            if requests and len(self._open) == 1:
                # Nobody else can have asked in this turn: its end need not wait for another look at the sockets.
                reception.commits.end_turn(is_alone=True)
            elif requests:
                reception.commits.end_turn_soon()
        except RequestTooLongError as error:
            reception.tell_too_long(error)
            self.hang_up()
        except MemoryError:
            self._give_up()
            # The turn may have begun with what was asked here.
            with contextlib.suppress(MemoryError):
                reception.commits.end_turn_soon()

    def eof_received(self) -> bool:
        # A client that has said all it has to say still gets its answers; the transport stays open for them.
        self._splitter.drop()
        self._count()
        self._replies.hang_up()
        return True

    def pause_writing(self) -> None:
        # A client that asks and does not read its answers is not listened to until it does.
        self._is_clogged = True
        self._clogged_at = self._reception.clock()
        self._count()

    def resume_writing(self) -> None:
        self._is_clogged = False
        self._count()

    def hang_up(self) -> None:
        """Listen to no more requests, and close the connection once those that came are answered."""
        self._is_closing = True
        self._splitter.drop()
        self._count()
        self._replies.hang_up()

    def cut_off(self) -> None:
        """Close the connection now, and forget what was asked on it."""
        self._is_closing = True
        self._is_clogged = False
        self._held = 0
        self._splitter.drop()
        self._reception.decider.drop(self._replies)
        self._replies.abandon()
        self._reception.connections.leave(self)
        if self._transport is not None:
            self._transport.abort()

    def may_go(self) -> bool:
        """Return whether nothing is lost when this connection is closed: all that was asked is answered."""
        if self._transport is None or self._owed:
            return False
        now = self._reception.clock()
        if self._is_clogged:
            return now - self._clogged_at >= UNREAD_SECONDS
        if not self._has_asked and now - self._made_at < FIRST_REQUEST_SECONDS:
            return False
        # A request may have come that nobody has read yet.
        return not is_readable(self._transport.get_extra_info("socket").fileno())

    @property
    def peer(self) -> str:
        """The address of the client."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else "a Unix socket"

    def _count(self) -> None:
        """Note how much has to be kept for this client, and listen to it only as long as that is not too much."""
        owed = len(self._owed)
        self._held = len(self._splitter.unfinished) + self._reception.slot_bytes * (
            owed if self._is_gone else max(0, owed - 1)
        )
        if self._is_clogged and self._transport is not None:
            self._held += self._transport.get_write_buffer_size()
        self._reception.connections.hold(self, self._held)
        if self._transport is None:
            return
        if self._is_clogged or owed > MOST_OWED:
            self._transport.pause_reading()
        elif not self._is_closing:
            self._transport.resume_reading()

    def _write(self, octets: bytes) -> None:
        if self._transport is not None and not self._is_gone:
            try:
                self._transport.write(octets)
            except MemoryError:
                self._give_up()
        if self._held:
            self._count()

    def _close(self) -> None:
        # What was written to it is sent first.
        if self._transport is not None:
            self._transport.close()
        if self._held:
            self._count()

    def _give_up(self) -> None:
        """Close the connection, since memory has run out for its requests. Never raises."""
        with contextlib.suppress(MemoryError):
            self.cut_off()
        self._reception.shortage.met("for a request")


def is_readable(descriptor: int) -> bool:
    """Return whether something has come here that nobody has read or accepted yet."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
