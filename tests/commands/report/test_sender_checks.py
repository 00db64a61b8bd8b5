# SPDX-License-Identifier: GPL-2.0-or-later
"""What the DNS says of clients and senders, asked of a real name server on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from postgrey_py.commands.dns import Nameserver
from postgrey_py.commands.report.history import Deferral, Mail
from postgrey_py.commands.report.options import SENDER_CHECKS
from postgrey_py.commands.report.sender_checks import SenderChecks, domain_of
from postgrey_py.greylist.address import parse_address
from tests.commands.nameserver import NameServer

ZONE = {
    ("example.com.", "MX"): "10 mx.example.com.",
    ("mx.example.com.", "A"): "198.51.100.7",
    ("example.com.", "A"): "203.0.113.9",
    ("example.com.", "AAAA"): "2001:db8::9",
    # Of the blacklist: one that is listed, one that may not ask, one that has another answer.
    ("7.100.51.198.list.example.", "A"): "127.0.0.2",
    ("8.100.51.198.list.example.", "A"): "127.255.255.254",
    ("9.100.51.198.list.example.", "A"): "198.51.100.1",
}


def deferral(client: str, sender: str = "alice@example.com") -> Deferral:
    address = parse_address(client)
    assert address is not None
    return Deferral(Mail(address, ""), address, client, "", f"{sender}/bob@example.org", len(sender), "", 1)


@pytest.fixture(scope="module")
def checks() -> Iterator[SenderChecks]:
    with NameServer(ZONE) as server:
        yield SenderChecks([Nameserver("127.0.0.1", server.port)])


@pytest.mark.parametrize(
    ("client", "passed"),
    [
        ("198.51.100.7", "MX"),
        ("198.51.100.255", "MX/24"),
        ("198.51.101.0", None),
        ("203.0.113.9", "A"),
        ("203.0.113.0", "A/24"),
        ("2001:db8::9", "A"),
        ("2001:db8::ffff:0:0:0", "A/24"),
        ("2001:db8:0:1::", None),
    ],
)
def test_the_first_check_that_passes_is_told(checks: SenderChecks, client: str, passed: str | None) -> None:
    found = checks.check_senders([deferral("192.0.2.1"), deferral(client)], SENDER_CHECKS)
    assert found == ({} if passed is None else {1: passed})


def test_only_the_checks_that_are_wanted_count(checks: SenderChecks) -> None:
    clients = [deferral("198.51.100.7"), deferral("203.0.113.9")]
    assert checks.check_senders(clients, ["a"]) == {1: "A"}
    assert checks.check_senders(clients, ["mx"]) == {0: "MX"}
    assert checks.check_senders(clients, ["mx/24"]) == {0: "MX/24"}
    assert checks.check_senders(clients, []) == {}


@pytest.mark.parametrize("sender", ["", "alice", "alice@", "alice@other.example"])
def test_senders_without_such_a_domain_pass_none(checks: SenderChecks, sender: str) -> None:
    assert checks.check_senders([deferral("198.51.100.7", sender)], SENDER_CHECKS) == {}


def test_only_clients_that_are_listed_are_left_out(checks: SenderChecks) -> None:
    clients = [deferral(f"198.51.100.{number}") for number in (6, 7, 8, 9)]
    left = checks.leave_out_listed(clients, [".list.example."])
    assert [one.client_address for one in left] == ["198.51.100.6", "198.51.100.8", "198.51.100.9"]
    assert checks.leave_out_listed(clients, []) == clients
    assert not checks.is_given_up


@pytest.mark.parametrize(
    ("sender", "domain"), [("a@b", "b"), ("a@b@c", "c"), ("a@", ""), ("a", ""), ("", ""), ("@b", "b")]
)
def test_the_domain_stands_behind_the_last_sign(sender: str, domain: str) -> None:
    assert domain_of(sender) == domain
