# SPDX-License-Identifier: GPL-2.0-or-later
"""A policy server that remembers what it is asked, and answers as a test wants it."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol

Request = dict[str, str]


class Writable(Protocol):
    """A stream that takes octets."""

    def write(self, octets: bytes, /) -> object: ...


# Is given the request, its number on this connection and the stream; false hangs up.
Answer = Callable[[Request, int, Writable], bool]


def dunno(request: Request, number: int, stream: Writable) -> bool:
    stream.write(b"action=DUNNO\n\n")
    return True


class RecordingServer:
    """A context manager; `service` is how policy-test names it. On a Unix socket if there is a `path`."""

    def __init__(self, answer: Answer = dunno, path: Path | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._lock = threading.Lock()
        recorder = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with recorder._lock:
                    recorder.connections += 1
                number = 0
                while (request := read_request(self.rfile)) is not None:
                    number += 1
                    with recorder._lock:
                        recorder.requests.append(request)
                    try:
                        if not answer(request, number, self.wfile):
                            return
                    except OSError:
                        return

        self._server: socketserver.BaseServer
        if path is None:
            self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
            self.service = f"inet:127.0.0.1:{self._server.server_address[1]}"
        else:
            self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
            self.service = f"unix:{path}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> RecordingServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def read_request(stream: Iterable[bytes]) -> Request | None:
    """The attributes of the next request; None at the end of the stream."""
    request: Request = {}
    for line in stream:
        if line == b"\n":
            return request
        name, _, value = line.rstrip(b"\n").decode("latin-1").partition("=")
        request[name] = value
    return None
