# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postgrey_py.greylist.address import IPV4_BITS, Address, format_address, parse_address
from tests.greylist.strategies import address, addresses, latin1, untimed


@pytest.mark.parametrize(
    ("text", "value", "bits"),
    [
        ("0.0.0.0", 0, 32),
        ("192.0.2.7", 0xC0000207, 32),
        ("255.255.255.255", 2**32 - 1, 32),
        ("::", 0, 128),
        ("::1", 1, 128),
        ("2001:db8::ab", 0x20010DB8 << 96 | 0xAB, 128),
        ("2001:DB8:0:0:0:0:0:AB", 0x20010DB8 << 96 | 0xAB, 128),
        ("2001:0db8:0000:0000:0000:0000:0000:00ab", 0x20010DB8 << 96 | 0xAB, 128),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2**128 - 1, 128),
        # unlike 1.37: IPv4-mapped.
        ("::ffff:192.0.2.7", 0xC0000207, 32),
        ("::FFFF:c000:207", 0xC0000207, 32),
        ("0:0:0:0:0:ffff:c000:0207", 0xC0000207, 32),
        # These only look mapped.
        ("::192.0.2.7", 0xC0000207, 128),
        ("::ffff:0:192.0.2.7", 0xFFFF << 48 | 0xC0000207, 128),
        ("1::ffff:192.0.2.7", 1 << 112 | 0xFFFF << 32 | 0xC0000207, 128),
    ],
)
def test_addresses_are_parsed(text: str, value: int, bits: int) -> None:
    assert parse_address(text) == Address(value, bits)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown",
        "localhost",
        "mail.example.com",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.7.1",
        "192.0.2.7/32",
        "192.0.2.07",
        " 192.0.2.7",
        "192.0.2.7 ",
        "0xC0000207",
        "3221225991",
        ":",
        ":::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1::2::3",
        "2001:db8::g",
        "2001:db8::/64",
        "[2001:db8::1]",
        "fe80::1%eth0",
        "192.0.2.\xb2",
        "\xff",
        "\x00",
        "192.0.2.7\x00",
        "::1\x00",
    ],
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None


@untimed
@given(latin1 | st.text("0123456789abcdefF:.%/x ", max_size=20))
def test_any_text_is_an_address_or_none(text: str) -> None:
    try:
        expected = ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        expected = None
    if isinstance(expected, ipaddress.IPv6Address):
        expected = expected.ipv4_mapped or expected
    parsed = parse_address(text)
    assert parsed == (Address(int(expected), expected.max_prefixlen) if expected is not None else None)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("0.0.0.0", "0.0.0.0"),
        ("::", "0:0:0:0:0:0:0:0"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("2001:db8::ab", "2001:DB8:0:0:0:0:0:AB"),
        ("2001:0db8:00a0:0000:0000:0000:0000:0001", "2001:DB8:A0:0:0:0:0:1"),
        ("fe80::f0:1", "FE80:0:0:0:0:0:F0:1"),
        ("::192.0.2.7", "0:0:0:0:0:0:C000:207"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_addresses_are_written_as_137_writes_them(text: str, written: str) -> None:
    assert address(text).text() == written


@untimed
@given(addresses)
def test_what_is_written_reads_the_same(some: Address) -> None:
    written = format_address(some.value, some.bits)
    assert written == some.text()
    assert parse_address(written) == some
    assert parse_address(written.lower()) == some
    whole = ipaddress.IPv4Address(some.value) if some.bits == IPV4_BITS else ipaddress.IPv6Address(some.value)
    assert parse_address(str(whole)) == parse_address(whole.exploded) == some


@pytest.mark.parametrize(
    ("text", "length", "network"),
    [
        ("192.0.2.7", 24, "192.0.2.0"),
        ("192.0.2.7", 32, "192.0.2.7"),
        ("192.0.2.7", 16, "192.0.0.0"),
        ("192.0.2.7", 1, "128.0.0.0"),
        ("192.0.2.7", 0, "0.0.0.0"),
        ("192.0.2.255", 31, "192.0.2.254"),
        ("2001:db8:1:2:3:4:5:6", 64, "2001:DB8:1:2:0:0:0:0"),
        ("2001:db8:1:2:3:4:5:6", 48, "2001:DB8:1:0:0:0:0:0"),
        ("2001:db8:1:ff:3:4:5:6", 60, "2001:DB8:1:F0:0:0:0:0"),
        ("2001:db8:1:2:3:4:5:6", 128, "2001:DB8:1:2:3:4:5:6"),
        ("2001:db8:1:2:3:4:5:6", 0, "0:0:0:0:0:0:0:0"),
    ],
)
def test_networks(text: str, length: int, network: str) -> None:
    assert address(text).network(length) == network


@untimed
@given(addresses, st.data())
def test_networks_are_those_of_the_standard_library(some: Address, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, some.bits))
    packed = some.value.to_bytes(some.bits // 8, "big")
    expected = ipaddress.ip_network((packed, length), strict=False)
    network = parse_address(some.network(length))
    assert network is not None
    assert network.value == int(expected.network_address)
