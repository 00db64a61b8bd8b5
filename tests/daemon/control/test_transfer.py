# SPDX-License-Identifier: GPL-2.0-or-later
"""Records out of one server and into another."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from postgrey_py.daemon.control.transfer import ImportArguments
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from tests.daemon.conftest import StartServer
from tests.daemon.control.mail import deferred, records
from tests.support.control import ControlClient
from tests.support.policy import PolicyClient, ask

KEY = "192.0.2.0/alice@example.com/bob@example.org"


def export(dbdir: Path) -> list[dict[str, Any]]:
    with ControlClient(dbdir) as client:
        answer = client.ask("export")
    return [*(line for item in answer["items"] for line in item["lines"]), answer["result"]]


def give(dbdir: Path, lines: list[dict[str, Any]]) -> dict[str, int]:
    """Have these lines of an export imported; the first one is its header."""
    header, *others = (json.dumps(line) for line in lines)
    with ControlClient(dbdir) as client:
        return client.result("import", header=header, lines="\n".join(others))


def test_all_records_are_exported(start: StartServer) -> None:
    server = start()
    deferred(server, 1200)
    deferred(server, 1, sender="al\xefce@example.com")
    with ControlClient(server.dbdir) as client:
        client.result("trust", client="2001:db8::1")
    header, *lines, end = export(server.dbdir)
    assert (header["postgrey"], header["lookup"], header["ipv4cidr"], header["privacy"]) == (
        *("records", "subnet", 24),
        False,
    )
    assert end == {"end": "records", "triplets": 1201, "clients": 1}
    stored = {**records(server.dbdir, TRIPLETS), **records(server.dbdir, CLIENTS)}
    found = {
        (line.get("triplet") or line["client"]): f"{line.get('first_seen', line.get('passes'))},{line['last_seen']}"
        for line in lines
    }
    assert {key.encode("utf-8", "surrogateescape"): value.encode() for key, value in found.items()} == stored


def test_records_of_one_server_are_taken_by_another(start: StartServer, tmp_path: Path) -> None:
    one = start()
    now = int(time.time())
    with PolicyClient(one.port) as client:
        client.ask(policy_test_time=now - 1000)
        client.ask(policy_test_time=now - 500, recipient="waits@example.org")
        client.ask(policy_test_time=now - 400)
    lines = export(one.dbdir)
    other = start(dbdir=tmp_path / "other")
    assert ask(other.port, client_address="198.51.100.1").startswith("DEFER")
    assert give(other.dbdir, lines) == {"added": 3, "changed": 0, "same": 0, "old": 0}
    # Who has passed there passes here, and who waits there has waited.
    assert ask(other.port) == "DUNNO"
    assert ask(other.port, recipient="waits@example.org").startswith("PREPEND X-Greylist: delayed 50")
    # Once more changes nothing but what was older; and what came from there has nothing that is new there.
    assert give(one.dbdir, lines) == {"added": 0, "changed": 0, "same": 3, "old": 0}


def test_what_is_imported_is_merged(start: StartServer) -> None:
    server = start()
    now = int(time.time())
    with PolicyClient(server.port) as client:
        client.ask(policy_test_time=now - 100)
    header = export(server.dbdir)[0]
    # Tried elsewhere a delay before: the try here has passed.
    assert give(server.dbdir, [header, {"triplet": KEY, "first_seen": now - 500, "last_seen": now - 500}]) == {
        "added": 0,
        "changed": 1,
        "same": 0,
        "old": 0,
    }
    assert records(server.dbdir, TRIPLETS) == {KEY.encode(): b"%d,%d" % (now - 500, now - 100)}
    # Out of its retry window when it was tried here: nothing of that counts.
    week = 7 * 86400
    key = "192.0.2.0/alice@example.com/carol@example.org"
    with PolicyClient(server.port) as client:
        client.ask(policy_test_time=now - 100, recipient="carol@example.org")
    counts = give(server.dbdir, [header, {"triplet": key, "first_seen": now - week, "last_seen": now - week}])
    assert counts == {"added": 0, "changed": 0, "same": 0, "old": 1}


def test_import_is_on_the_disk_before_it_is_answered(start: StartServer) -> None:
    server = start()
    header = export(server.dbdir)[0]
    now = int(time.time())
    give(server.dbdir, [header, {"triplet": KEY, "first_seen": now - 900, "last_seen": now - 100}])
    server.kill()
    assert ask(start(dbdir=server.dbdir).port) == "DUNNO"


def test_clients_are_passed_over_without_an_auto_whitelist(start: StartServer) -> None:
    server = start("--auto-whitelist-clients=0")
    header, end = export(server.dbdir)
    assert end == {"end": "records", "triplets": 0, "clients": 0}
    client = {"client": "192.0.2.7", "passes": 9, "last_seen": int(time.time())}
    assert give(server.dbdir, [header, client])["old"] == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "no line of JSON"),
        ('{"triplet": "x"}', "first_seen is no whole number"),
        ('{"client": "x", "passes": 1, "last_seen": 9999999999}', "in the future"),
    ],
)
def test_one_wrong_line_and_nothing_of_the_message_is_imported(start: StartServer, line: str, message: str) -> None:
    server = start()
    header = json.dumps(export(server.dbdir)[0])
    good = json.dumps({"triplet": KEY, "first_seen": int(time.time()), "last_seen": int(time.time())})
    with ControlClient(server.dbdir) as client:
        error = client.ask("import", header=header, lines=f"{good}\n{line}")["error"]
        assert (error["code"], message in error["message"]) == ("bad-argument", True)
        assert "no export" in client.ask("import", header="{}", lines=good)["error"]["message"]
        assert "header is missing" in client.ask("import", lines=good)["error"]["message"]
    assert records(server.dbdir, TRIPLETS) == {}


def test_header_alone_asks_whether_records_would_fit(start: StartServer, tmp_path: Path) -> None:
    assert ImportArguments("x").lines == ""
    one, other = start("--privacy"), start(dbdir=tmp_path / "other")
    header = json.dumps(export(other.dbdir)[0])
    with ControlClient(other.dbdir) as client:
        assert client.result("import", header=header) == {"added": 0, "changed": 0, "same": 0, "old": 0}
    with ControlClient(one.dbdir) as client:
        assert "privacy" in client.ask("import", header=header)["error"]["message"]


def test_hashes_are_exported_and_imported(start: StartServer, tmp_path: Path) -> None:
    one = start("--privacy")
    deferred(one, 3)
    other = start("--privacy", dbdir=tmp_path / "other")
    assert give(other.dbdir, export(one.dbdir))["added"] == 3
    assert records(other.dbdir, TRIPLETS) == records(one.dbdir, TRIPLETS)
