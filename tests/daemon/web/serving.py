# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers with --metrics, and requests to their web server."""

from __future__ import annotations

import http.client
import re
from typing import NamedTuple

from tests.daemon.conftest import StartServer
from tests.support.servers import PolicyServer


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class WebServer:
    """A server of ours with a port for its metrics, which the system has chosen."""

    def __init__(self, start: StartServer, *options: str) -> None:
        self.server: PolicyServer = start("--metrics=127.0.0.1:0", *options)
        self.server.wait_for_log("metrics and page on inet:127.0.0.1:")
        found = re.search(r"metrics and page on inet:127\.0\.0\.1:(\d+)", self.server.log())
        assert found is not None
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}/"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            body = response.read().decode()
        finally:
            connection.close()
        return Answer(response.status, dict(response.getheaders()), body)

    def metric(self, sample: str) -> float:
        """The value of a sample, with its labels."""
        for line in self.get("/metrics").body.splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        raise AssertionError(f"there is no {sample}")
