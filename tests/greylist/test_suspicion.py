# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from postgrey_py.greylist.address import Address
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.suspicion import SUSPICIONS, USUAL_SUSPICIONS, find_suspicions, is_strange_helo

ADDRESS = Address(0xC0000207, 32)


def suspicions(name: str, helo: str, sender: str, *wanted: str) -> tuple[str, ...]:
    request = Request("192.0.2.7", name, sender, "bob@example.org", "", None, helo)
    return find_suspicions(request, ADDRESS, wanted, lambda name: ".".join(name.split(".")[-2:]), "mx.example.org")


def test_usual_ones_are_all_but_bounces() -> None:
    assert SUSPICIONS == ("no-name", "generic-name", "helo", "null-sender")
    assert USUAL_SUSPICIONS == ("no-name", "generic-name", "helo")


@pytest.mark.parametrize(
    ("name", "helo", "sender", "found"),
    [
        ("mx.example.net", "mx.example.net", "a@b", ()),
        ("unknown", "mx.example.net", "a@b", ("no-name",)),
        ("", "mx.example.net", "a@b", ("no-name",)),
        ("host-192-0-2-7.example.net", "mx.example.net", "a@b", ("generic-name",)),
        ("mx.example.net", "[192.0.2.7]", "a@b", ("helo",)),
        ("mx.example.net", "mx.example.net", "", ("null-sender",)),
        ("unknown", "PC", "", ("no-name", "helo", "null-sender")),
        # It is not known what it calls itself.
        ("mx.example.net", "", "a@b", ()),
    ],
)
def test_suspicions(name: str, helo: str, sender: str, found: tuple[str, ...]) -> None:
    assert suspicions(name, helo, sender, *SUSPICIONS) == found


def test_only_what_is_wanted_counts() -> None:
    assert suspicions("unknown", "pc", "", "helo") == ("helo",)
    assert suspicions("unknown", "pc", "") == ()


@pytest.mark.parametrize(
    ("helo", "is_strange"),
    [
        ("mx.example.net", False),
        ("MX.Example.Net.", False),
        ("mx1.localhost.example", False),
        ("[192.0.2.7]", True),
        ("192.0.2.7", True),
        ("[IPv6:2001:db8::1]", True),
        ("2001:db8::1", True),
        ("pc", True),
        ("DESKTOP-4F2A", True),
        ("localhost", True),
        ("localhost.localdomain", True),
        ("mail.localdomain", True),
        ("mx.example.org", True),
        ("MX.EXAMPLE.ORG.", True),
        (".", True),
        ("", False),
    ],
)
def test_helo(helo: str, is_strange: bool) -> None:
    assert is_strange_helo(helo, "mx.example.org") is is_strange
