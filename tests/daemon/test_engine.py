# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from dataclasses import fields

from postgrey_py.daemon.engine import Engine
from tests.daemon.conftest import StartServer
from tests.support.control import ControlClient


def test_server_gives_all_its_parts(start: StartServer) -> None:
    """A part that the server forgot to give would be a bug of the first command that needs it."""
    assert {"settings", "store", "orders", "upkeep"} <= {field.name for field in fields(Engine)}
    server = start()
    with ControlClient(server.dbdir) as client:
        for command in ("status", "allowed", "reload", "clean-up"):
            assert "result" in client.ask(command), command
