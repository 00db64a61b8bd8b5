# SPDX-License-Identifier: GPL-2.0-or-later
"""Mail that a server has deferred, and the records that it left."""

from __future__ import annotations

from pathlib import Path

from postgrey_py.database.environment import TRIPLETS
from postgrey_py.database.snapshot import open_snapshot
from tests.support.policy import PolicyClient
from tests.support.servers import PolicyServer

CLIENT = {"client": "192.0.2.7"}


def deferred(server: PolicyServer, number: int = 3, **attributes: str) -> None:
    """Have mail to so many recipients deferred."""
    with PolicyClient(server.port) as client:
        for count in range(number):
            assert client.ask(recipient=f"user{count}@example.org", **attributes).startswith("DEFER_IF_PERMIT")


def records(dbdir: Path, name: str) -> dict[bytes, bytes]:
    with open_snapshot(str(dbdir)) as snapshot:
        return dict(snapshot.triplets if name == TRIPLETS else snapshot.clients)
