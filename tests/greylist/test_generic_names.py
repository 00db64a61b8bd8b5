# SPDX-License-Identifier: GPL-2.0-or-later
"""Names as providers and mail servers have them, each with an address: `data/` beside this file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.generic_names import is_generic_name
from postgrey_py.publicsuffix import load_public_suffixes

DATA = Path(__file__).with_name("data")
DOMAIN_OF = load_public_suffixes()


def read(name: str) -> list[list[str]]:
    return [line.split() for line in (DATA / name).read_text().splitlines()]


def is_generic(name: str, text: str) -> bool:
    address = parse_address(text)
    assert address is not None, text
    return is_generic_name(name, address, DOMAIN_OF(name))


def test_there_are_enough_names_of_each_sort() -> None:
    for name in ("generic-names", "named-servers"):
        assert len({host for host, _ in read(name)}) >= 150


@pytest.mark.parametrize(("name", "address"), read("generic-names"))
def test_names_that_providers_make_are_generic(name: str, address: str) -> None:
    assert is_generic(name, address)
    assert is_generic(name.upper(), address)


@pytest.mark.parametrize(("name", "address"), read("named-servers"))
def test_names_of_mail_servers_are_not(name: str, address: str) -> None:
    assert not is_generic(name, address)


def test_names_that_the_rules_were_not_made_by_are_told_apart_as_well() -> None:
    """They were written down when the rules stood."""
    names = read("names-held-out")
    right = sum(is_generic(name, address) == (answer == "yes") for name, address, answer in names)
    assert len(names) >= 100
    assert right / len(names) >= 0.97


@pytest.mark.parametrize(
    "name",
    [
        # The forms, one by one, of 198.51.100.7.
        "198-51-100-7.example.net",
        "198.51.100.7.example.net",
        "198x51x100x7.example.net",
        "7.100.51.198.example.net",
        "host-198-051-100-007.example.net",
        "ip198051100007.example.net",
        "ip007100051198.example.net",
        "c6336407.example.net",
        "0xc6336407.example.net",
        "pc6336407.example.net",
        "x076433c6.example.net",
        "host7.ip-198-51-100.example.net",
        "7.100-51-198.example.net",
        "host7-100-dynamic.51-198-r.example.net",
        "mail-198-51-100-7.example.net",
        # A part of it.
        "host-100-7.example.net",
        "7-100.example.net",
        "net.198-51-100.example.net",
        # A word beside a number.
        "dsl4711.example.net",
        "customer-12.town.example.net",
        "u12.dhcp.example.net",
        "athedsl-4711.home.example.net",
    ],
)
def test_forms(name: str) -> None:
    assert is_generic(name, "198.51.100.7")


@pytest.mark.parametrize(
    "name",
    [
        "mx.example.net",
        "host7.example.net",
        "dsl.example.net",
        "198.example.net",
        "19851.1007.example.net",
        "mta-100-7.example.net",
        # Other numbers that only look like the address.
        "1198-51-99-7.example.org",
        "198-51-101-7.example.org",
        "ac63364071.example.org",
        # The words are of the domain that somebody has registered.
        "www1.customers.com",
        "server2.dynamic.de",
        "",
        "unknown",
        "localhost",
        ".",
    ],
)
def test_what_is_none(name: str) -> None:
    assert not is_generic(name, "198.51.100.7")


@pytest.mark.parametrize(
    "name",
    [
        "2001-db8-85a3-8d3-1319-8a2e-370-7348.example.net",
        "2001-0db8-85a3-08d3-1319-8a2e-0370-7348.example.net",
        "p20010db885a308d313198a2e03707348.dip.example.net",
        "8.4.3.7.0.7.3.0.e.2.a.8.9.1.3.1.ip6.example.net",
        "h.85a3.8d3.1319.example.net",
    ],
)
def test_forms_of_ipv6(name: str) -> None:
    assert is_generic(name, "2001:db8:85a3:8d3:1319:8a2e:370:7348")
    assert not is_generic(name, "2001:db8:1::25")


@given(st.text(st.characters(max_codepoint=255), max_size=300), st.integers(0, 2**128 - 1), st.booleans())
def test_any_name_has_an_answer(name: str, value: int, is_ipv6: bool) -> None:
    address = Address(value, 128) if is_ipv6 else Address(value >> 96, 32)
    assert is_generic_name(name, address) in (True, False)
