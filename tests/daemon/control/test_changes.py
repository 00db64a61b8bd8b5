# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of a real server, changed, and a Perl Postgrey that takes its database over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from postgrey_py.daemon.control.changes import make_durable
from postgrey_py.daemon.engine import Engine
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.outage import Outage
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.errors import DatabaseError
from tests.daemon.conftest import StartServer
from tests.daemon.control.mail import CLIENT, deferred, records
from tests.support.control import ControlClient
from tests.support.logs import Memory
from tests.support.policy import PolicyClient, ask
from tests.support.servers import PERL_POSTGREY, PolicyServer


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
    server.wait_for_log("root released 1 triplet: client=192.0.2.7, recipient=user1@example.org")


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
    server.wait_for_log("root forgot 2 triplets and 1 client: client=192.0.2.7")


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


def test_change_that_does_not_reach_the_disk_is_an_outage() -> None:
    engine = cast("Engine", BrokenEngine())
    with pytest.raises(DatabaseError, match="the disk is gone"):
        asyncio.run(make_durable(engine))
    assert engine.outage.is_down


class BrokenEngine:
    """The parts of a server whose disk has gone, as far as a change needs them."""

    def __init__(self) -> None:
        self.worker = self
        self.store = self
        self.outage = Outage(self.reopen, Log(Memory()), lambda: 0.0)

    async def reopen(self) -> None:
        raise AssertionError("nobody has asked for it")

    async def do(self, work: Callable[[], None]) -> None:
        work()

    def flush(self) -> None:
        raise DatabaseError("the disk is gone")


def test_domains_are_trusted_forgotten_and_distrusted(start: StartServer) -> None:
    server = start("--lookup-by-domain")
    assert ask(server.port, client_name="mx1.example.com").startswith("DEFER_IF_PERMIT")
    with ControlClient(server.dbdir) as client:
        found = client.ask("pending", client="domain:EXAMPLE.com")
        assert [one["client"] for one in found["items"]] == ["domain:example.com"]
        assert client.ask("pending", client="domain:example.net")["result"]["count"] == 0
        assert client.result("trust", client="domain:Example.com")["client"] == "domain:example.com"
        assert ask(server.port, client_name="mx2.example.com", client_address="198.51.100.9") == "DUNNO"
        assert [one["client"] for one in client.ask("trusted", client="domain:example.com")["items"]] == [
            "domain:example.com"
        ]
        explained = client.result("explain", client="203.0.113.5", name="mx9.example.com", sender="", recipient="b@c")
        assert (explained["reason"], explained["detail"]) == ("domain AWL", "example.com")
        assert client.result("distrust", client="domain:example.com")["passes"] == 5
        found = client.result("forget", client="domain:example.com", apply=True)
        assert (found["triplets"], found["clients"]) == (1, 0)
        for wrong in ("domain:", "domain:x", "domain:a/b.c"):
            assert "is no domain" in client.ask("trust", client=wrong)["error"]["message"]
    assert [key for key in records(server.dbdir, TRIPLETS) if key.startswith(b"domain:")] == []
