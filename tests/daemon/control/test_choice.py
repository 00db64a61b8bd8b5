# SPDX-License-Identifier: GPL-2.0-or-later
"""Which records a command is about."""

from __future__ import annotations

from typing import Any

import pytest

from postgrey_py.daemon.control.choice import Choice
from postgrey_py.database.environment import TRIPLETS
from tests.daemon.conftest import StartServer
from tests.daemon.control.mail import deferred, records
from tests.support.control import ControlClient


@pytest.mark.parametrize(
    ("choice", "count"),
    [
        ({"client": "192.0.2.200"}, 3),
        ({"client": "192.0.2.0/23"}, 3),
        ({"client": "192.0.4.0/24"}, 0),
        ({"client": "::/0"}, 1),
        ({"sender": "example.com"}, 3),
        ({"sender": "<>"}, 1),
        ({"recipient": "user1@example.org"}, 1),
        ({"recipient": "*@example.org", "client": "192.0.2.7"}, 3),
        ({"older": 3600}, 0),
        ({"newer": 3600}, 4),
    ],
)
def test_choices(start: StartServer, choice: dict[str, Any], count: int) -> None:
    server = start()
    deferred(server)
    deferred(server, 1, client_address="2001:db8::1", sender="")
    with ControlClient(server.dbdir) as client:
        assert client.ask("pending", **choice)["result"]["count"] == count
        if "older" not in choice and "newer" not in choice:
            assert client.result("forget", **choice)["triplets"] == count


@pytest.mark.parametrize(
    ("command", "arguments", "text"),
    [
        ("release", {}, "which?"),
        ("forget", {"apply": True}, "which?"),
        ("pending", {"client": "mail.example.com"}, "not an address or a network"),
        ("pending", {"sender": "a b"}, "not an address or a domain"),
        ("pending", {"older": -1}, "older"),
        ("trusted", {"sender": "example.com"}, "name --client alone"),
        ("trust", {"client": "192.0.2.0/24"}, "is no address"),
        ("trust", {}, "client is missing"),
    ],
)
def test_wrong_choices_change_nothing(start: StartServer, command: str, arguments: dict[str, Any], text: str) -> None:
    server = start()
    deferred(server)
    with ControlClient(server.dbdir) as client:
        assert text in client.ask(command, **arguments)["error"]["message"]
    assert len(records(server.dbdir, TRIPLETS)) == 3


def test_choice_names_what_it_is_given() -> None:
    assert Choice(client=" 192.0.2.7 ", recipient="b\udcffb@example.org").texts() == {
        "client": "192.0.2.7",
        "recipient": "b\xffb@example.org",
    }
    assert Choice(sender=" ").texts() == {}
