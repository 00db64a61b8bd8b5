# SPDX-License-Identifier: GPL-2.0-or-later
"""A blocking client of the Postfix policy delegation protocol."""

from __future__ import annotations

import itertools
import socket
from types import TracebackType

_instances = itertools.count(1)


def make_request(**attributes: str | int | None) -> bytes:
    """One request as Postfix sends it at RCPT time.

    Keyword arguments replace or add attributes; None leaves one out. Without `instance` each request
    belongs to a message of its own.
    """
    fields: dict[str, str | int | None] = {
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        "protocol_name": "ESMTP",
        "client_address": "192.0.2.7",
        "client_name": "mail.example.com",
        "reverse_client_name": "mail.example.com",
        "helo_name": "mail.example.com",
        "sender": "alice@example.com",
        "recipient": "bob@example.org",
        "recipient_count": "0",
        "queue_id": "",
        "instance": f"test.{next(_instances)}",
        "size": "12345",
        "etrn_domain": "",
    }
    fields.update(attributes)
    lines = [f"{name}={value}" for name, value in fields.items() if value is not None]
    return ("\n".join(lines) + "\n\n").encode("latin-1")


class PolicyClient:
    """A connection to a policy server at `port` of `host`, or at the Unix socket `path`."""

    def __init__(
        self, port: int | None = None, path: str | None = None, timeout: float = 30.0, host: str = "127.0.0.1"
    ) -> None:
        if path is not None:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(path)
        else:
            assert port is not None
            self.socket = socket.create_connection((host, port), timeout=timeout)
        self.buffer = b""

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def read_reply(self) -> str:
        """The next reply without `action=`; ConnectionError when the server closes instead."""
        while b"\n\n" not in self.buffer:
            octets = self.socket.recv(65536)
            if not octets:
                raise ConnectionError(f"closed by the server, unread: {self.buffer!r}")
            self.buffer += octets
        reply, self.buffer = self.buffer.split(b"\n\n", 1)
        assert reply.startswith(b"action="), reply
        return reply[len(b"action=") :].decode("latin-1")

    def ask(self, **attributes: str | int | None) -> str:
        """Send make_request(**attributes) and return the reply."""
        self.send(make_request(**attributes))
        return self.read_reply()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> PolicyClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ask(port: int, **attributes: str | int | None) -> str:
    """The reply to one request over a connection of its own."""
    with PolicyClient(port) as client:
        return client.ask(**attributes)
