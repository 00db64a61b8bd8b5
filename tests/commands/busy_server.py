# SPDX-License-Identifier: GPL-2.0-or-later
"""A policy server under load, and which records its answers have promised so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.support.policy import PolicyClient
from tests.support.servers import PolicyServer

# In the future, where no clean-up finds anything old.
FIRST_SECOND = 1_000_000_000
DELAY = 300
CONNECTIONS = 4

GREYLISTED, PASSED = "DEFER_IF_PERMIT", "PREPEND"


class BusyServer:
    """A context manager: the server runs, and on every connection mail is sent and sent again without a pause.

    Each mail has a client and a recipient of its own, is deferred, and passes 300 seconds later. When the context is
    left, every answer must have been right, and the server must stop in good order.
    """

    def __init__(self, command: Sequence[str], dbdir: Path, options: Sequence[str] = ()) -> None:
        self.server = PolicyServer(command, dbdir, options)
        # Appended to by one thread each, and only after the answer.
        self._answered: list[list[tuple[bytes, bytes]]] = [[] for _ in range(CONNECTIONS)]
        self._errors: list[BaseException] = []
        self._stopping = threading.Event()
        self._started = threading.Barrier(CONNECTIONS + 1)
        self._threads = [threading.Thread(target=self._send, args=[number]) for number in range(CONNECTIONS)]

    @property
    def dbdir(self) -> Path:
        return self.server.dbdir

    def promised(self) -> tuple[set[bytes], set[bytes]]:
        """Keys of triplets and of clients that are in the database by now."""
        pairs = [pair for answered in self._answered for pair in list(answered)]
        return {triplet for triplet, _ in pairs}, {client for _, client in pairs}

    def wait_for_more(self) -> None:
        """Return when one more mail has passed on every connection; AssertionError when one has failed."""
        before = [len(answered) for answered in self._answered]
        while any(len(answered) == count for answered, count in zip(self._answered, before, strict=True)):
            assert self._errors == [], self.server.log()
            time.sleep(0.005)

    def _send(self, connection: int) -> None:
        try:
            with PolicyClient(self.server.port) as client:
                self._started.wait()
                number = 0
                while not self._stopping.is_set():
                    number += 1
                    self._send_mail(client, connection, number)
        except BaseException as error:
            self._errors.append(error)

    def _send_mail(self, client: PolicyClient, connection: int, number: int) -> None:
        network = f"10.{connection}.{number >> 8 & 255}"
        address, recipient = f"{network}.{number & 255}", f"user{connection}.{number}@example.org"
        for now, answer in ((FIRST_SECOND, GREYLISTED), (FIRST_SECOND + DELAY, PASSED)):
            reply = client.ask(client_address=address, recipient=recipient, policy_test_time=now)
            assert reply.startswith(answer), reply
        triplet = f"{network}.0/alice@example.com/{recipient}"
        self._answered[connection].append((triplet.encode(), address.encode()))

    def __enter__(self) -> BusyServer:
        self.server.start()
        for thread in self._threads:
            thread.start()
        self._started.wait(timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if kind is not None:
            self.server.kill()
            return
        assert self._errors == [], self.server.log()
        assert self.server.stop() == 0
