# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of a real server, listed."""

from __future__ import annotations

from postgrey_py.daemon.control.listing import MOST_ITEMS, USUAL_ITEMS
from tests.daemon.conftest import StartServer
from tests.daemon.control.mail import CLIENT, deferred
from tests.support.control import ControlClient
from tests.support.policy import ask


def test_mail_that_waits_is_listed(start: StartServer) -> None:
    server = start()
    deferred(server)
    deferred(server, 1, client_address="2001:db8::1", sender="")
    with ControlClient(server.dbdir) as client:
        answer = client.ask("pending")
        assert answer["result"] == {"count": 4, "sent": 4}
        first, last = answer["items"][0], answer["items"][-1]
        assert (first["client"], first["sender"], first["recipient"]) == (
            "192.0.2.0",
            "alice@example.com",
            "user0@example.org",
        )
        assert 290 <= first["wait"] <= 300
        assert (last["client"], last["sender"]) == ("2001:db8:0:0:0:0:0:0", "")
        assert client.result("pending", limit=0) == {"count": 4, "sent": 0}


def test_more_records_than_a_slice_has(start: StartServer) -> None:
    server = start()
    deferred(server, 1200)
    with ControlClient(server.dbdir) as client:
        answer = client.ask("pending")
        assert answer["result"] == {"count": 1200, "sent": USUAL_ITEMS}
        assert client.ask("pending", limit=MOST_ITEMS + 1)["result"]["sent"] == 1200
        assert client.result("release", sender="example.com", apply=True)["triplets"] == 1200
        assert client.result("forget", sender="example.com", apply=True)["triplets"] == 1200
        assert client.ask("pending")["result"]["count"] == 0


def test_hashes_are_listed_and_not_chosen(start: StartServer) -> None:
    server = start("--privacy")
    deferred(server)
    with ControlClient(server.dbdir) as client:
        item = client.ask("pending")["items"][0]
        assert (len(item["key"]), item["client"]) == (40, None)
        for command in ("pending", "release", "forget", "trusted"):
            assert "--privacy" in client.ask(command, **CLIENT)["error"]["message"]
        client.result("trust", **CLIENT)
        assert ask(server.port) == "DUNNO"


def test_without_auto_whitelist_nobody_is_trusted(start: StartServer) -> None:
    with ControlClient(start("--auto-whitelist-clients=0").dbdir) as client:
        for command in ("trust", "distrust", "trusted"):
            arguments = {} if command == "trusted" else CLIENT
            assert "no auto-whitelist" in client.ask(command, **arguments)["error"]["message"]
