# SPDX-License-Identifier: GPL-2.0-or-later
"""`explain` of a real server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from postgrey_py.daemon.control.explain import ExplainArguments
from tests.daemon.conftest import StartServer
from tests.daemon.processes import wait_until
from tests.support.control import ControlClient
from tests.support.policy import ask

MAIL = {"client": "192.0.2.7", "sender": "alice@example.com", "recipient": "bob@example.org"}


def test_client_that_is_not_named_is_not_verified() -> None:
    assert ExplainArguments("192.0.2.7", "alice@example.com", "bob@example.org").name == "unknown"


def files_of(dbdir: Path) -> dict[str, bytes]:
    """All that is on the disk of a database; its regions in memory change as it is read."""
    return {path.name: path.read_bytes() for path in dbdir.iterdir() if path.is_file() and path.name[:2] != "__"}


def test_mail_before_and_after_it_was_deferred(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        before = client.result("explain", **MAIL)
        assert (before["action"], before["reason"], before["triplet"]["state"]) == ("greylist", "new", "never seen")
        ask(server.port)
        after = client.result("explain", **MAIL, at=before["time"] + 100)
        assert (after["reason"], after["triplet"]["state"]) == ("early-retry", "pending")
        later = client.result("explain", **MAIL, at=after["passes_from"])
        assert (later["action"], later["reason"]) == ("pass", "triplet found")
        assert client.result("explain", **MAIL, at=after["passes_until"] + 1)["reason"] == "new"


def test_orders_count_at_the_time_in_question(start: StartServer) -> None:
    with ControlClient(start().dbdir) as client:
        allowance = client.result("allow", seconds=900, sender="example.com", once=True)
        for _ in range(2):
            found = client.result("explain", **MAIL)
            assert (found["action"], found["reason"], found["detail"]) == ("pass", "allowed", "1")
        assert client.result("explain", **MAIL, at=allowance["until"])["action"] == "greylist"


def test_explaining_leaves_every_byte_as_it_is(start: StartServer) -> None:
    server = start()
    ask(server.port)
    with ControlClient(server.dbdir) as client:
        client.result("clean-up")
        log, before = server.log(), files_of(server.dbdir)
        for number in range(200):
            client.result("explain", **{**MAIL, "recipient": f"user{number}@example.org"})
        assert files_of(server.dbdir) == before
        assert server.log() == log
        decisions = client.result("status")["today"]["decisions"]
    assert [one["count"] for one in decisions] == [1]


def test_entry_that_looks_right_is_told(start: StartServer, tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.write_text("mail.example.com\n")
    server = start(f"--whitelist-clients={clients}")
    with ControlClient(server.dbdir) as client:
        assert client.result("explain", **MAIL, helo="mail.example.com")["remarks"] == [
            f"mail.example.com is listed ({clients} line 1), but Postfix could not verify the name: client_name=unknown"
        ]
        assert client.result("explain", **MAIL, name="mail.example.com")["entry"]["line"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"client": "192.0.2.7"},
        {**MAIL, "sender": 7},
        {**MAIL, "sender": "a\nb"},
        {**MAIL, "recipient": "x" * 2000},
        {**MAIL, "at": "now"},
        {**MAIL, "at": -1},
        {**MAIL, "cleint": "x"},
    ],
)
def test_wrong_arguments_are_told(start: StartServer, arguments: dict[str, Any]) -> None:
    with ControlClient(start().dbdir) as client:
        assert client.ask("explain", **arguments)["error"]["code"] == "bad-argument"


def test_nothing_is_explained_while_the_database_is_down(start: StartServer, tmp_path: Path) -> None:
    server = start(f"--control={tmp_path / 'postgrey.control'}")
    os.rename(server.dbdir, tmp_path / "away")

    def is_told() -> bool:
        ask(server.port)
        with ControlClient(tmp_path) as client:
            answer = client.ask("explain", **MAIL)
        return "error" in answer and answer["error"]["message"].startswith("the database is down, and all mail passes")

    wait_until(is_told)
