# SPDX-License-Identifier: GPL-2.0-or-later
"""`watch` at a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from postgrey_py.daemon.control.watch import MOST_WAITING
from tests.daemon.conftest import StartServer
from tests.daemon.processes import wait_until
from tests.support.control import ControlClient
from tests.support.policy import PolicyClient, ask, make_request


def begin(watcher: ControlClient, port: int, **arguments: str) -> None:
    """Begin to watch, and return when the server knows of it."""
    fields = ",".join(f'"{name}":"{value}"' for name, value in arguments.items())
    watcher.send(b'{"version":1,"command":"watch","arguments":{%s}}\n' % fields.encode())
    watcher.socket.settimeout(0.2)

    def is_told() -> bool:
        # What is written before the server watches is seen by nobody.
        ask(port, sender="probe@example.com", client_address="203.0.113.250", recipient="probe@example.org")
        try:
            return bool(watcher.socket.recv(1, 2))
        except TimeoutError:
            return False

    wait_until(is_told)
    watcher.socket.settimeout(30)


def test_decisions_are_shown_as_they_happen(start: StartServer, tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.write_text("white.example\n")
    server = start(f"--whitelist-clients={clients}")
    with ControlClient(server.dbdir) as client:
        begin(client, server.port)
        ask(server.port, sender="ren\xc3\xa9@example.com", client_name="\xff\x1b[31m")
        ask(server.port, client_name="mx.white.example", client_address="192.0.2.99")
        seen: list[dict[str, Any]] = []
        while len(seen) < 2:
            item = client.read()["item"]
            if item.get("sender") != "probe@example.com":
                seen.append(item)
    first, second = seen
    assert (first["action"], first["reason"], first["wait"]) == ("greylist", "new", 300)
    assert first["sender"] == "ren\N{LATIN SMALL LETTER E WITH ACUTE}@example.com"
    assert first["client_name"] == "\udcff\x1b[31m"
    assert (second["action"], second["reason"]) == ("pass", "client whitelist")
    assert second["entry"] == {"file": str(clients), "line": 1, "text": "white.example"}


def test_filters_choose(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        begin(client, server.port, client="203.0.113.0/24", action="greylist")
        ask(server.port, client_address="198.51.100.1")
        ask(server.port, client_address="203.0.113.5", recipient="last@example.org")
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["recipient"] != "last@example.org":
            seen.append(client.read()["item"])
    assert {item["client_address"].rpartition(".")[0] for item in seen} == {"203.0.113"}
    assert {item["action"] for item in seen} == {"greylist"}


def test_whoever_reads_nothing_costs_decisions_not_mail(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client, PolicyClient(server.port) as mail:
        begin(client, server.port)
        for block in range(4):
            requests = (make_request(recipient=f"{block}.{n}." + 400 * "x") for n in range(MOST_WAITING))
            for request in requests:
                mail.send(request)
                assert mail.read_reply()
        lost, seen = 0, 0
        while not lost:
            item = client.read()["item"]
            lost, seen = item.get("lost", 0), seen + 1
        assert lost > 0
        assert seen > 0
