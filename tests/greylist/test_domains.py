# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from postgrey_py.greylist.address import Address
from postgrey_py.greylist.domains import client_domain, is_proven, no_domain, sender_domain
from postgrey_py.greylist.request import Request
from postgrey_py.publicsuffix import load_public_suffixes

DOMAIN_OF = load_public_suffixes()
ADDRESS = Address(0xC0000207, 32)


def make_request(name: str, sender: str = "alice@example.com") -> Request:
    return Request("192.0.2.7", name, sender, "bob@example.org", "", None)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("mail-wr1-f41.google.com", "google.com"),
        ("MX.Example.co.uk", "example.co.uk"),
        ("unknown", None),
        ("", None),
        ("localhost", None),
        ("co.uk", None),
        # Bots have such names, too.
        ("host-192-0-2-7.example.com", None),
        ("dsl17.example.com", None),
    ],
)
def test_domain_of_a_client(name: str, domain: str | None) -> None:
    assert client_domain(make_request(name), ADDRESS, DOMAIN_OF) == domain


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("alice@news.example.com", "example.com"),
        ('"a@b"@example.com', "example.com"),
        ("", None),
        ("alice", None),
        ("alice@", None),
    ],
)
def test_domain_of_a_sender(sender: str, domain: str | None) -> None:
    assert sender_domain(make_request("mx", sender), DOMAIN_OF) == domain


@pytest.mark.parametrize(
    ("name", "sender", "proven"),
    [
        ("mx.example.com", "alice@example.com", True),
        ("mx.example.com", "alice@NEWS.example.com", True),
        ("mx.a.example.com", "alice@b.example.com", True),
        ("mx.example.org", "alice@example.com", False),
        ("example.com.bots.example", "alice@example.com", False),
        ("unknown", "alice@example.com", False),
        ("unknown", "alice@unknown", False),
        ("192-0-2-7.example.com", "alice@example.com", False),
        ("mx.example.com", "", False),
        # Two customers of one company.
        ("a.github.io", "alice@b.github.io", False),
    ],
)
def test_sender_is_proven_by_a_client_of_its_domain(name: str, sender: str, proven: bool) -> None:
    assert is_proven(make_request(name, sender), ADDRESS, DOMAIN_OF) is proven
    assert not is_proven(make_request(name, sender), ADDRESS, no_domain)
