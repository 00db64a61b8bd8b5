# SPDX-License-Identifier: GPL-2.0-or-later
"""A blocking client of the control socket that sends whatever it is told to."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any


class ControlClient:
    """A connection to the control socket of the server whose database is in `dbdir`."""

    def __init__(self, dbdir: Path) -> None:
        self.socket = _connect(str(dbdir / "postgrey.control"))
        self._file = self.socket.makefile("rb")

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def read(self) -> dict[str, Any]:
        """The next line of an answer; ConnectionError when the server closes instead."""
        line = self._file.readline()
        if not line:
            raise ConnectionError("closed by the server")
        message: dict[str, Any] = json.loads(line)
        return message

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """The result or the error of a command; items before it are in `items`."""
        self.send(json.dumps({"version": 1, "command": command, "arguments": arguments}).encode() + b"\n")
        items = []
        while "item" in (message := self.read()):
            items.append(message["item"])
        return {**message, "items": items} if items else message

    def result(self, command: str, **arguments: object) -> dict[str, Any]:
        """The result of a command; AssertionError for an error."""
        answer = self.ask(command, **arguments)
        assert "result" in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _connect(path: str) -> socket.socket:
    """A connection to a server that may still be starting: its port is bound before its control socket."""
    end = time.monotonic() + 30
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return connection
