# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands about records, of a real server and on a Perl Postgrey that takes its database over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from postgrey_py.daemon.control.records import MOST_ITEMS, USUAL_ITEMS
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.database.snapshot import open_snapshot
from tests.daemon.conftest import StartServer
from tests.support.control import ControlClient
from tests.support.policy import PolicyClient, ask
from tests.support.servers import PERL_POSTGREY, PolicyServer

CLIENT = {"client": "192.0.2.7"}


def deferred(server: PolicyServer, number: int = 3, **attributes: str) -> None:
    """Have mail to so many recipients deferred."""
    with PolicyClient(server.port) as client:
        for count in range(number):
            assert client.ask(recipient=f"user{count}@example.org", **attributes).startswith("DEFER_IF_PERMIT")


def records(dbdir: Path, name: str) -> dict[bytes, bytes]:
    with open_snapshot(str(dbdir)) as snapshot:
        return dict(snapshot.triplets if name == TRIPLETS else snapshot.clients)


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


def test_released_mail_passes_at_its_next_try(start: StartServer) -> None:
    server = start()
    deferred(server)
    with ControlClient(server.dbdir) as client:
        seen = client.result("release", **CLIENT)
        assert (seen["triplets"], seen["applied"], seen["first"]["recipient"]) == (3, False, "user0@example.org")
        assert ask(server.port, recipient="user0@example.org").startswith("DEFER_IF_PERMIT")
        assert client.result("release", **CLIENT, recipient="user1@example.org", apply=True)["triplets"] == 1
        assert client.ask("pending")["items"][1]["wait"] == 0
    assert ask(server.port, recipient="user0@example.org").startswith("DEFER_IF_PERMIT")
    assert ask(server.port, recipient="user1@example.org").startswith("PREPEND X-Greylist: delayed 30")
    server.wait_for_log("root released 1 triplets: client=192.0.2.7, recipient=user1@example.org")


def test_released_mail_passes_at_perl_postgrey_too(start: StartServer, tmp_path: Path) -> None:
    server = start()
    deferred(server)
    with ControlClient(server.dbdir) as client:
        client.result("release", recipient="user1@example.org", apply=True)
        client.result("trust", client="198.51.100.9")
    server.stop()
    with PolicyServer(PERL_POSTGREY, server.dbdir) as perl:
        assert ask(perl.port, recipient="user0@example.org").startswith("DEFER_IF_PERMIT")
        assert ask(perl.port, recipient="user1@example.org").startswith("PREPEND X-Greylist: delayed 30")
        assert ask(perl.port, client_address="198.51.100.9") == "DUNNO"
    # It counts for the client.
    assert records(server.dbdir, CLIENTS)[b"192.0.2.7"].startswith(b"1,")


def test_what_is_released_is_on_the_disk_before_it_is_answered(start: StartServer) -> None:
    server = start()
    deferred(server)
    with ControlClient(server.dbdir) as client:
        client.result("release", **CLIENT, apply=True)
        client.result("trust", client="198.51.100.9")
    server.kill()
    again = start(dbdir=server.dbdir)
    assert ask(again.port, recipient="user2@example.org").startswith("PREPEND ")
    assert ask(again.port, client_address="198.51.100.9") == "DUNNO"


def test_forgotten_mail_is_new(start: StartServer) -> None:
    server = start()
    deferred(server)
    with ControlClient(server.dbdir) as client:
        client.result("trust", **CLIENT)
        client.result("trust", client="192.0.2.8")
        found = client.result("forget", recipient="user1@example.org", apply=True)
        assert (found["triplets"], found["clients"], found["applied"]) == (1, 0, True)
        assert found["first"]["recipient"] == "user1@example.org"
        assert len(records(server.dbdir, TRIPLETS)) == 2
        found = client.result("forget", **CLIENT, apply=True)
        assert (found["triplets"], found["clients"]) == (2, 1)
    assert records(server.dbdir, TRIPLETS) == {}
    assert list(records(server.dbdir, CLIENTS)) == [b"192.0.2.8"]
    server.wait_for_log("root forgot 2 triplets and 1 clients: client=192.0.2.7")


def test_clients_are_trusted_listed_and_distrusted(start: StartServer) -> None:
    server = start("--auto-whitelist-clients=3")
    with ControlClient(server.dbdir) as client:
        assert client.result("trust", client="[2001:db8::1]")["passes"] == 3
        assert ask(server.port, client_address="2001:db8::1") == "DUNNO"
        client.result("trust", **CLIENT)
        assert [one["client"] for one in client.ask("trusted")["items"]] == ["192.0.2.7", "2001:DB8:0:0:0:0:0:1"]
        assert [one["client"] for one in client.ask("trusted", client="192.0.0.0/8")["items"]] == ["192.0.2.7"]
        assert client.ask("trusted", limit=1)["result"] == {"count": 2, "sent": 1}
        assert client.result("distrust", **CLIENT)["passes"] == 3
        assert ask(server.port).startswith("DEFER_IF_PERMIT")
        assert client.ask("distrust", **CLIENT)["error"]["code"] == "refused"
    server.wait_for_log("client 192.0.2.7 distrusted by root")


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


def test_mail_is_answered_while_records_are_walked(start: StartServer) -> None:
    server = start()
    deferred(server, 1200)
    with ControlClient(server.dbdir) as client, PolicyClient(server.port) as mail:
        for command, arguments in (("release", {"sender": "example.com"}), ("forget", {"sender": "example.com"})):
            client.send(
                json.dumps({"version": 1, "command": command, "arguments": {**arguments, "apply": True}}).encode()
                + b"\n"
            )
            for number in range(200):
                assert mail.ask(recipient=f"new{number}@{command}.example", sender="carol@example.net")
            while "item" in (answer := client.read()):
                pass
            assert answer["result"]["triplets"] == 1200
    # What came meanwhile is there.
    assert len(records(server.dbdir, TRIPLETS)) == 400


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


def test_without_auto_whitelist_nobody_is_trusted(start: StartServer) -> None:
    with ControlClient(start("--auto-whitelist-clients=0").dbdir) as client:
        for command in ("trust", "distrust", "trusted"):
            arguments = {} if command == "trusted" else CLIENT
            assert "no auto-whitelist" in client.ask(command, **arguments)["error"]["message"]
