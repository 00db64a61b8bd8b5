# SPDX-License-Identifier: GPL-2.0-or-later
"""A real server with a source of facts: nobody but the own connection waits for it, and a stop answers everybody."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.daemon.processes import GREYLISTED
from tests.support.policy import PolicyClient, ask, make_request
from tests.support.servers import ROOT, PolicyServer


@contextmanager
def server_with_facts(directory: Path, seconds: float) -> Iterator[PolicyServer]:
    command = (sys.executable, str(ROOT / "tests" / "support" / "server_with_facts.py"), str(seconds))
    with PolicyServer(command, directory / "db") as server:
        yield server


def test_facts_let_mail_pass_that_would_be_deferred(tmp_path: Path) -> None:
    with server_with_facts(tmp_path, 0.05) as server:
        assert ask(server.port, client_name="vouched.example.com") == "DUNNO"
        assert ask(server.port, client_name="mail.example.com") == GREYLISTED
        assert "action=pass, reason=its name, client_name=vouched.example.com" in server.log()


def test_who_waits_for_facts_holds_up_only_what_comes_behind_it(tmp_path: Path) -> None:
    with server_with_facts(tmp_path, 3600) as server, PolicyClient(server.port) as waiting:
        waiting.send(make_request(client_name="vouched.example.com") + make_request(recipient=None))
        for _ in range(3):
            assert ask(server.port) == GREYLISTED
        server.stop()
        # A stop answers by what is known.
        assert [waiting.read_reply(), waiting.read_reply()] == [GREYLISTED, "DUNNO"]


def test_requests_of_a_connection_that_is_gone_leave_nothing(tmp_path: Path) -> None:
    with server_with_facts(tmp_path, 3600) as server:
        with PolicyClient(server.port) as gone:
            gone.send(make_request(client_name="never.example.com", sender="gone@example.com"))
            assert ask(server.port) == GREYLISTED
            # Without this it says no more, and may still read the answer.
            gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Later than its end.
        assert ask(server.port) == GREYLISTED
        server.stop()
        assert "gone@example.com" not in server.log()
