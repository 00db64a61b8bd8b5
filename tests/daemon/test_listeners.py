# SPDX-License-Identifier: GPL-2.0-or-later
"""The sockets that the server listens on."""

from __future__ import annotations

import socket

from tests.daemon.conftest import StartDaemon
from tests.daemon.processes import refusal


def test_port_in_use_is_told(daemonize: StartDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        daemon = daemonize(f"--inet=127.0.0.1:{port}")
        assert refusal(daemon) == (
            f"postgrey: --inet=127.0.0.1:{port}: can't listen on 127.0.0.1, port {port}: Address already in use"
        )
    assert not daemon.pidfile.exists()
